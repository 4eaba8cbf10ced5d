package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
)

func (plain) Decode(dst []float32, src []byte, f Format) error {
	equal(len(dst)*f.Size(), len(src))
	switch f {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = fromHalf(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	default:
		panic(fmt.Sprintf("kernel: format %d", f))
	}
	return nil
}

func (plain) Encode(dst []byte, src []float32, f Format) error {
	equal(len(dst), len(src)*f.Size())
	switch f {
	case F32:
		for i, x := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
		}
	case F16:
		for i, x := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], toHalf(x))
		}
	case BF16:
		for i, x := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], toBrain(x))
		}
	default:
		panic(fmt.Sprintf("kernel: format %d", f))
	}
	return nil
}

func (plain) Round(dst, src []float32, f Format) error {
	equal(len(dst), len(src))
	switch f {
	case F32:
		copy(dst, src)
	case F16:
		for i, x := range src {
			dst[i] = fromHalf(toHalf(x))
		}
	case BF16:
		for i, x := range src {
			dst[i] = math.Float32frombits(uint32(toBrain(x)) << 16)
		}
	default:
		panic(fmt.Sprintf("kernel: format %d", f))
	}
	return nil
}

// fromHalf widens binary16: the exponent is moved by a multiplication, which
// also normalises subnormals.
func fromHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	m := uint32(h & 0x7fff)
	if m >= 0x7c00 {
		if m > 0x7c00 {
			m |= 0x200 // NaN, made quiet, as every processor does
		}
		return math.Float32frombits(sign | 0x7f800000 | (m&0x3ff)<<13)
	}
	x := math.Float32frombits(m<<13) * 0x1p112
	return math.Float32frombits(sign | math.Float32bits(x))
}

// toHalf rounds to binary16, to nearest even.
func toHalf(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b>>16) & 0x8000
	b &^= 1 << 31
	switch {
	case b > 0x7f800000: // NaN, made quiet
		return sign | 0x7e00 | uint16(b>>13)&0x3ff
	case b >= 0x47800000: // 65536 and above
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: subnormal; adding 1/2 rounds at 2^-24
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	b += 0xfff + b>>13&1
	return sign | uint16((b-0x38000000)>>13) // a carry into 0x7c00 is overflow to Inf
}

// toBrain rounds to bfloat16, to nearest even.
func toBrain(x float32) uint16 {
	b := math.Float32bits(x)
	if b&^(1<<31) > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
