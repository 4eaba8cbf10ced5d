package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dustin/go-humanize"
)

// createFile writes a file so that it is there whole or not at all: fill
// writes to a hidden neighbour, which is synced and renamed at the end and
// removed on any error.
func createFile(path string, fill func(w io.Writer) error) (err error) {
	dir, name := filepath.Split(path)
	temp := filepath.Join(dir, "."+name+partial)
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return spaceError(err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(temp)
			err = spaceError(err)
		}
	}()
	w := flushBeside(f)
	err = fill(w)
	w.end()
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Clean(dir))
}

func writeFile(path string, data []byte) error {
	return createFile(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// syncDir makes a rename last. Systems that cannot sync a folder need not.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil && errors.Is(err, syscall.EIO) {
		return err
	}
	return nil
}

// spaceError gives a full disk its name.
func spaceError(err error) error {
	if diskFull(err) {
		return fmt.Errorf("%w (%v); free some and run again: finished shards are kept", ErrNoSpace, err)
	}
	return err
}

// checkSpace fails where need bytes do not fit on the disk that holds dir. A
// system that does not say how much is free passes.
func checkSpace(dir string, need int64) error {
	free, ok := freeBytes(dir)
	if ok && free < uint64(need) {
		return fmt.Errorf("%s: %w: %s are needed, %s are free; free some or choose another folder",
			dir, ErrNoSpace, humanize.IBytes(uint64(need)), humanize.IBytes(free))
	}
	return nil
}
