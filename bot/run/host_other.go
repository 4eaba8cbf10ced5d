//go:build !unix

package run

import "errors"

// flock does nothing here: two runs must not be given one output folder.
func flock(string) (func(), error) { return func() {}, nil }

// FreeSpace is not known on this system.
func FreeSpace(string) (uint64, error) {
	return 0, errors.New("free space is not known on this system")
}

func peakMemory() int64 { return 0 }

// sameDisk says whether two folders lie on one file system; here nobody knows.
func sameDisk(string, string) bool { return false }
