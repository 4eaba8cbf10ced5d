//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

// isa is the instruction set that a vector device uses.
type isa uint8

const (
	avx2   isa = iota // with FMA, F16C and BMI2, as all processors with AVX2 but VIA's
	avx512            // F, BW, DQ and VL: Skylake-X, Zen 4 and later
)

func (i isa) String() string {
	if i == avx512 {
		return "avx512"
	}
	return "avx2"
}

// CPU returns the fastest device of this processor: AVX-512, AVX2 or the
// reference.
func CPU() Device { return devices()[0] }

// devices are all that this processor runs, the fastest first.
func devices() (all []Device) {
	x := cpu.X86
	two := x.HasAVX2 && x.HasFMA && x.HasBMI2 && x.HasPOPCNT && x.HasF16C
	if two && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL {
		all = append(all, vector{set: avx512})
	}
	if two {
		all = append(all, vector{set: avx2})
	}
	return append(all, plain{})
}
