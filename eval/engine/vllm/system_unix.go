//go:build linux || darwin

package vllm

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const supported = true

// tryLock locks a file until it is closed or its process ends.
func tryLock(f *os.File) bool {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// owned tells whether a file is this user's.
func owned(path string) bool {
	st, err := os.Lstat(path)
	if err != nil {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Getuid()
}

func freeBytes(dir string) (uint64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return uint64(st.Bavail) * uint64(st.Bsize), true
}

// inGroup puts a process into a group, 0 for a new one of its own: the terminal's ^C is for the program, which ends
// the server itself.
func inGroup(group int) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true, Pgid: group} }

func killGroup(group int) { _ = syscall.Kill(-group, syscall.SIGKILL) }

// groupGone tells whether no process of a group is left.
func groupGone(group int) bool { return errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) }
