//go:build !linux || !(amd64 || arm64)

package cuda

import (
	"fmt"
	"runtime"
)

func open(string) (*driver, error) {
	return nil, fmt.Errorf("%w: no CUDA on this system (%s/%s): it is used on Linux, amd64 and arm64", ErrNone, runtime.GOOS, runtime.GOARCH)
}
