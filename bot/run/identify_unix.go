//go:build linux || darwin

package run

import "golang.org/x/sys/unix"

// identify asks the system about a file; links are followed.
func identify(path string) (identity, bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return identity{}, false
	}
	return identity{path, uint64(st.Dev), st.Ino, st.Size, unix.TimespecToNsec(st.Mtim), unix.TimespecToNsec(st.Ctim)}, true
}
