//go:build (!amd64 && !arm64) || purego

package kernel

// CPU returns the fastest device of this processor: the reference, where there
// is no assembly.
func CPU() Device { return plain{} }

// devices are all that this processor runs, the fastest first.
func devices() []Device { return []Device{plain{}} }
