//go:build linux && (amd64 || arm64)

package cuda

import (
	"fmt"

	"github.com/ebitengine/purego"
)

// open binds the driver's library, which comes with the driver and with nothing else. It stays loaded.
func open(library string) (*driver, error) {
	lib, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		if err.Error() != "" { // the system keeps its message for each thread, and it can be gone
			err = fmt.Errorf(" (%w)", err)
		}
		return nil, fmt.Errorf("%w: NVIDIA's driver is not here: %s cannot be opened%w; install it, or give the container the GPU (docker run --gpus all)", ErrNone, library, err)
	}
	d := new(driver)
	for _, s := range d.symbols() {
		p, err := purego.Dlsym(lib, s.name)
		if err != nil {
			return nil, fmt.Errorf("the driver in %s has no %s: install one of this decade: %w", library, s.name, err)
		}
		purego.RegisterFunc(s.function, p)
	}
	return d, nil
}
