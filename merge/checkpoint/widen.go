package checkpoint

import (
	"encoding/binary"
	"math"

	"mergebot/merge/kernel"
)

// widen decodes little-endian elements of b into dst, as many as dst holds.
// F32, F16 and BF16 are exact (subnormals and infinities included; a NaN stays
// one); F64 is rounded to nearest even.
func widen(d DType, dst []float32, b []byte) error {
	var f kernel.Format
	switch d {
	case F32:
		f = kernel.F32
	case BF16:
		f = kernel.BF16
	case F16:
		f = kernel.F16
	case F64:
		b = b[:8*len(dst)]
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		}
		return nil
	}
	return kernel.CPU().Decode(dst, b[:f.Size()*len(dst)], f)
}
