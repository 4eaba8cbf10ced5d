package checkpoint

import (
	"encoding/binary"
	"math"
	"testing"
)

// halfReference is the definition of binary16, in fp64.
func halfReference(h uint16) float32 {
	sign := 1 - 2*float64(h>>15)
	exp, man := int(h>>10&31), float64(h&1023)
	switch exp {
	case 0:
		return float32(sign * math.Ldexp(man, -24))
	case 31:
		if man != 0 {
			return float32(math.NaN())
		}
		return float32(math.Inf(int(sign)))
	}
	return float32(sign * math.Ldexp(1024+man, exp-25))
}

func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

func TestWidenHalf(t *testing.T) {
	t.Parallel()
	stored, wide := make([]byte, 2<<16), make([]float32, 1<<16)
	for h := range wide {
		binary.LittleEndian.PutUint16(stored[2*h:], uint16(h))
	}
	if err := widen(F16, wide, stored); err != nil {
		t.Fatal(err)
	}
	for h, got := range wide {
		if want := halfReference(uint16(h)); !same(got, want) {
			t.Fatalf("half %#04x is %v, want %v", h, got, want)
		}
	}
}

func TestWiden(t *testing.T) {
	t.Parallel()
	inf := float32(math.Inf(1))
	f64 := func(v float64) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)) }
	for _, c := range []struct {
		d    DType
		b    []byte
		want float32
	}{
		{BF16, []byte{0x80, 0x3f}, 1},
		{BF16, []byte{0x01, 0x00}, 0x1p-133},
		{BF16, []byte{0x80, 0xff}, -inf},
		{BF16, []byte{0xc1, 0x7f}, float32(math.NaN())},
		{F32, floatBytes(math.SmallestNonzeroFloat32), math.SmallestNonzeroFloat32},
		{F64, f64(1 + 0x1p-24), 1},                     // a tie goes to even
		{F64, f64(1 + 0x1p-24 + 0x1p-50), 1 + 0x1p-23}, // above the tie
		{F64, f64(1e300), inf},
	} {
		got := make([]float32, 1)
		if err := widen(c.d, got, c.b); err != nil {
			t.Fatal(err)
		}
		if !same(got[0], c.want) {
			t.Errorf("%s % x is %v, want %v", c.d, c.b, got[0], c.want)
		}
	}
}

func TestTorchNames(t *testing.T) {
	t.Parallel()
	for _, d := range []DType{F64, F32, F16, BF16, I64, I32, I16, I8, U8, Bool} {
		if got, ok := FromTorchName(d.TorchName()); !ok || got != d {
			t.Errorf("%s → %q → %s", d, d.TorchName(), got)
		}
	}
	if d, ok := FromTorchName(""); ok {
		t.Errorf("the empty name gives %s", d)
	}
}

func BenchmarkWiden(b *testing.B) {
	for _, d := range []DType{F32, F16, BF16} {
		b.Run(string(d), func(b *testing.B) {
			src, dst := make([]byte, 1<<20*d.Size()), make([]float32, 1<<20)
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if err := widen(d, dst, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
