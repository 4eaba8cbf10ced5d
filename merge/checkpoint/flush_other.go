//go:build !linux

package checkpoint

import "os"

func startFlush(*os.File, int64, int64) {}
