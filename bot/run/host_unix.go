//go:build unix

package run

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// flock takes a lock file for as long as this process lives, or until the returned function is called.
func flock(path string) (func(), error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, fmt.Errorf("output folder: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			return nil, fmt.Errorf("another mergebot is writing here (%s is locked): wait for it, or give another output folder", path)
		}
		// Whoever held the lock may have removed the file just now: then this one locks nothing.
		if held, err := f.Stat(); err == nil {
			if there, err := os.Stat(path); err == nil && os.SameFile(held, there) {
				return func() { os.Remove(path); f.Close() }, nil
			}
		}
		f.Close()
	}
}

// FreeSpace is the free space, in bytes, of the file system that holds a folder (a path or a file:// URL)
// or would hold it.
func FreeSpace(dir string) (uint64, error) {
	dir = strings.TrimPrefix(dir, "file://")
	var s unix.Statfs_t
	for {
		err := unix.Statfs(dir, &s)
		if err == nil {
			return s.Bavail * uint64(s.Bsize), nil
		}
		i := strings.LastIndexByte(strings.TrimRight(dir, "/"), '/')
		if !os.IsNotExist(err) || i <= 0 {
			return 0, err
		}
		dir = dir[:i]
	}
}

// sameDisk says whether two folders lie, or would lie, on one file system.
func sameDisk(a, b string) bool {
	x, okA := device(a)
	y, okB := device(b)
	return okA && okB && x == y
}

// device is the file system of a folder, or of the nearest one above it that is there.
func device(dir string) (uint64, bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return 0, false
	}
	for {
		var st unix.Stat_t
		err := unix.Stat(dir, &st)
		if err == nil {
			return uint64(st.Dev), true
		}
		up := filepath.Dir(dir)
		if !os.IsNotExist(err) || up == dir {
			return 0, false
		}
		dir = up
	}
}

// peakMemory is the largest resident set of this process, in bytes.
func peakMemory() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss) // bytes there, KiB elsewhere
	}
	return int64(u.Maxrss) * 1024
}
