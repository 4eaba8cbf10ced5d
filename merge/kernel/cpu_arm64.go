//go:build !purego

package kernel

// isa is the instruction set that a vector device uses: every arm64 has NEON.
type isa uint8

const neon isa = 0

func (isa) String() string { return "neon" }

// CPU returns the fastest device of this processor: NEON.
func CPU() Device { return vector{set: neon} }

// devices are all that this processor runs, the fastest first.
func devices() []Device { return []Device{CPU(), plain{}} }
