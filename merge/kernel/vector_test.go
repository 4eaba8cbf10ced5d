package kernel_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"mergebot/merge/kernel"
)

// sameFloats compares bits, all NaN being one.
func sameFloats(t *testing.T, what string, d kernel.Device, want, got []float32) {
	t.Helper()
	for i, w := range want {
		if g := got[i]; math.Float32bits(w) != math.Float32bits(g) && (w == w || g == g) {
			t.Fatalf("%s on %s: [%d] is %x, the reference gives %x", what, d.Name(), i, math.Float32bits(g), math.Float32bits(w))
		}
	}
}

// FuzzDevices runs any bits through every device's operations.
func FuzzDevices(f *testing.F) {
	f.Add(binary.LittleEndian.AppendUint32(nil, 0x7fc00000), uint16(100), float32(0.5), float32(1), int64(3))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0x80, 0x7f}, uint16(4200), float32(0), float32(-1), int64(1<<40))
	f.Fuzz(func(t *testing.T, raw []byte, length uint16, a, b float32, first int64) {
		if len(raw) < 4 {
			return
		}
		n := int(length) % (kernel.BlockSize + 100)
		x, y := make([]float32, n), make([]float32, n)
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[i*3%(len(raw)-3):]))
			y[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[i*5%(len(raw)-3):]))
		}
		hi, lo := kernel.Cut{Threshold: a, Index: first % 64}, kernel.Cut{Threshold: b}
		if (kernel.Cut{Threshold: b}).Keeps(a, -1) == false { // nested: the smaller set first
			hi, lo = kernel.Cut{Threshold: b}, kernel.Cut{Threshold: a, Index: first % 64}
		}
		if math.Abs(float64(a)) == math.Abs(float64(b)) || a != a || b != b {
			lo = kernel.Cut{}
		}
		first &= 1<<50 - 1
		floats := map[string]func(d kernel.Device, dst []float32) error{
			"delta":      func(d kernel.Device, dst []float32) error { return d.Delta(dst, x, y) },
			"scale":      func(d kernel.Device, dst []float32) error { return d.Scale(dst, x, a) },
			"divide":     func(d kernel.Device, dst []float32) error { return d.Divide(dst, x, b) },
			"add scaled": func(d kernel.Device, dst []float32) error { copy(dst, y); return d.AddScaled(dst, x, a) },
			"round f16":  func(d kernel.Device, dst []float32) error { return d.Round(dst, x, kernel.F16) },
			"round bf16": func(d kernel.Device, dst []float32) error { return d.Round(dst, x, kernel.BF16) },
			"amplify": func(d kernel.Device, dst []float32) error {
				return d.Amplify(dst, x, y, first%128, []kernel.Cut{hi, lo}, []float32{a, 0.5})
			},
			"amplify random": func(d kernel.Device, dst []float32) error {
				return d.AmplifyRandom(dst, x, first, uint64(first)*3, []float64{float64(a), float64(b)}, []float32{2, b})
			},
			"elect": func(d kernel.Device, dst []float32) error { return d.Elect(dst, [][]float32{x, y, x}, a) },
			"agree": func(d kernel.Device, dst []float32) error {
				return d.Agree(dst, y, [][]float32{x, y}, []float32{a, b})
			},
		}
		want, got := make([]float32, n), make([]float32, n)
		half, same := make([]byte, 2*n), make([]byte, 2*n)
		for _, d := range kernel.Devices() {
			for what, op := range floats {
				must(t, op(dev, want))
				must(t, op(d, got))
				sameFloats(t, what, d, want, got)
			}
			for _, format := range []kernel.Format{kernel.F16, kernel.BF16} {
				must(t, dev.Encode(half, x, format))
				must(t, d.Encode(same, x, format))
				if !slices.Equal(half, same) {
					t.Fatalf("encode %d on %s differs", format, d.Name())
				}
				must(t, dev.Decode(want, raw16(raw, n), format))
				must(t, d.Decode(got, raw16(raw, n), format))
				sameFloats(t, "decode", d, want, got)
			}
			if w, g := sums(t, dev, x, y, a, b), sums(t, d, x, y, a, b); !slices.Equal(w, g) {
				t.Fatalf("sums on %s: %v, the reference gives %v", d.Name(), g, w)
			}
		}
	})
}

// raw16 is 2n bytes of raw, repeated.
func raw16(raw []byte, n int) []byte {
	b := make([]byte, 0, 2*n+len(raw))
	for len(b) < 2*n {
		b = append(b, raw...)
	}
	return b[:2*n]
}

// sums are all that reduces to numbers, as bits, all NaN being one.
func sums(t *testing.T, d kernel.Device, x, y []float32, a, b float32) (all []uint64) {
	var s kernel.Stats
	must(t, d.Stats(&s, x))
	o := make([]kernel.Outliers, 2)
	must(t, d.Outliers(o, x, []float64{float64(a), float64(b) * 1.0000001}))
	var dot float64
	must(t, d.Dot(&dot, x, y))
	for _, v := range []float64{s.SumAbs, s.SumSq, float64(s.Min), float64(s.Max), o[0].SumAbs, o[1].SumAbs, dot} {
		if v != v {
			v = math.NaN()
		}
		all = append(all, math.Float64bits(v))
	}
	p, m, err := d.Signs(x)
	must(t, err)
	keys, at := make([]uint32, len(x)), make([]uint32, len(x))
	below, found, err := d.Sift(keys, at, x, a, b)
	must(t, err)
	for i := range found {
		all = append(all, uint64(keys[i]), uint64(at[i]))
	}
	for _, n := range []int64{s.Count, s.Zeros, s.NonFinite, o[0].Count, o[1].Count, p, m, int64(below), int64(found)} {
		all = append(all, uint64(n))
	}
	return all
}
