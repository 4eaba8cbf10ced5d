package checkpoint

import (
	"os"

	"golang.org/x/sys/unix"
)

// readAhead starts to read [off, off+n) into the system's cache.
func readAhead(f *os.File, off, n int64) {
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_WILLNEED)
}
