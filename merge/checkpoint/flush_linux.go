package checkpoint

import (
	"os"

	"golang.org/x/sys/unix"
)

// startFlush has the system begin to write [off, off+n) of f to the disk, and
// does not wait for it: what it cannot do now the sync at the end will.
func startFlush(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}
