//go:build !linux

package checkpoint

import "os"

func readAhead(*os.File, int64, int64) {}
