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
		return nil, fmt.Errorf("%w: NVIDIA's driver is not here (%w); install it, or give the container the GPU (docker run --gpus all)", ErrNone, err)
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
