//go:build !linux && !darwin

package run

// identify does not know when a file was changed here, which every program may set: files are hashed each time.
func identify(string) (identity, bool) { return identity{}, false }
