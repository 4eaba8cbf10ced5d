//go:build unix

package bucket

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lock is an advisory lock on a file, flock(2).
type lock struct {
	file  *os.File
	sound bool // false where there are no locks
}

// takeLock waits for the lock until ctx ends. The file is left behind: removing it would let two holders in.
func takeLock(ctx context.Context, name string) (*lock, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o664)
	if err != nil {
		return nil, err
	}
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return &lock{f, true}, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return &lock{f, false}, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(wait):
		}
	}
}

func (l *lock) release() { _ = l.file.Close() }
