// Package kerneltest holds the tests that every device passes: the bits of the
// reference, on lengths around every vector width and block, and on the values
// where floating point is special.
package kerneltest

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"mergebot/merge/kernel"
)

// lengths are all those up to 200, and some around blocks.
func lengths() (all []int) {
	for n := range 201 {
		all = append(all, n)
	}
	return append(all, 4095, 4096, 4097, 4096+33, 8192, 12289)
}

var formats = []kernel.Format{kernel.F32, kernel.F16, kernel.BF16}

// special are zeros, subnormals, ties of every format's rounding, extremes.
var special = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0.5, 1e-45, -1e-45, 0x1p-126, 0x1p-24, 0x1p-25, 0x1.8p-25, -0x1.8p-24, 0x1p-14,
	0x1.ffcp-15, 1 + 0x1p-11, 1 + 0x1.8p-10, 1 + 0x1p-8, 1 + 0x1.8p-7, 65504, 65519.996, 65520, -65520, math.MaxFloat32, -math.MaxFloat32,
}

// odd are not numbers, or not finite.
var odd = []float32{
	float32(math.NaN()), -float32(math.NaN()), math.Float32frombits(0x7f800001), math.Float32frombits(0xffc12345),
	float32(math.Inf(1)), float32(math.Inf(-1)),
}

// values returns n numbers: special ones, many ties and ordinary ones. They do
// not begin where a vector would like them to.
func values(r *rand.Rand, n int) []float32 {
	x := make([]float32, n+3)[r.IntN(4):][:n]
	for i := range x {
		switch r.IntN(8) {
		case 0:
			x[i] = special[r.IntN(len(special))]
		case 1, 2, 3:
			x[i] = float32(r.IntN(9)-4) * 0x1p-12
		default:
			x[i] = float32(r.NormFloat64() * 0.02)
		}
	}
	return x
}

// wide are numbers of which each has another exponent than the last, in no
// order: fp64 must round their sum at nearly every step, so that a sum taken in
// another order shows.
func wide(x []float32) []float32 {
	w := make([]float32, len(x))
	for i := range w {
		w[i] = float32(math.Ldexp(1+float64(i%1000)/1001, i*37%80-40))
		if math.Signbit(float64(x[i])) {
			w[i] = -w[i]
		}
	}
	return w
}

// Run checks dev against the reference, operation by operation.
func Run(t *testing.T, dev kernel.Device) {
	for _, n := range lengths() {
		r := rand.New(rand.NewPCG(1, uint64(n)))
		c := bench{t, kernel.Plain(), dev, n}
		x, y, z := values(r, n), values(r, n), values(r, n)
		c.all(x, y, z)
		for i := range x { // damaged checkpoints
			if r.IntN(5) == 0 {
				x[i] = odd[r.IntN(len(odd))]
			}
			if r.IntN(9) == 0 {
				y[i] = odd[r.IntN(len(odd))]
			}
		}
		c.all(x, y, z)
	}
}

func (c bench) all(x, y, z []float32) {
	c.formats(x)
	c.floats("delta", func(d kernel.Device, dst []float32) error { return d.Delta(dst, x, y) })
	c.floats("scale", func(d kernel.Device, dst []float32) error { return d.Scale(dst, x, 1.1) })
	c.floats("divide", func(d kernel.Device, dst []float32) error { return d.Divide(dst, x, 0.3) })
	for _, k := range []float32{1, 0, -0.7} {
		c.floats("add scaled", func(d kernel.Device, dst []float32) error { copy(dst, y); return d.AddScaled(dst, x, k) })
	}
	c.counts(x)
	spread := wide(x)
	c.sums(spread)
	c.same("dot", func(d kernel.Device) any {
		sum := 0.1
		c.ok(d.Dot(&sum, spread, y))
		return canonical(sum)
	})
	c.same("dot of sums that round", func(d kernel.Device) any {
		sum := 0.1
		c.ok(d.Dot(&sum, spread, wide(y)))
		return canonical(sum)
	})
	c.cuts(x, y)
	v := [][]float32{x, y, z}
	c.floats("elect", func(d kernel.Device, dst []float32) error { return d.Elect(dst, v, -1) })
	c.floats("elect in place", func(d kernel.Device, dst []float32) error {
		copy(dst, x)
		return d.Elect(dst, [][]float32{dst, y}, 0)
	})
	c.floats("elect of none", func(d kernel.Device, dst []float32) error { return d.Elect(dst, nil, 1) })
	sign := make([]float32, c.n)
	c.ok(c.ref.Elect(sign, v, 0))
	c.floats("agree", func(d kernel.Device, dst []float32) error { return d.Agree(dst, sign, v, nil) })
	c.floats("agree, weighted", func(d kernel.Device, dst []float32) error { return d.Agree(dst, sign, v, []float32{1, 0.5, -1.5}) })
	c.floats("agree, odd signs", func(d kernel.Device, dst []float32) error { return d.Agree(dst, x, v, []float32{1, 0, -1}) })
	c.same("signs", func(d kernel.Device) any {
		p, m, err := d.Signs(x)
		c.ok(err)
		return [2]int64{p, m}
	})
}

// bench compares one operation at one length on two devices.
type bench struct {
	t        *testing.T
	ref, dev kernel.Device
	n        int
}

func (c bench) ok(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c bench) same(what string, f func(d kernel.Device) any) {
	c.t.Helper()
	if want, got := f(c.ref), f(c.dev); got != want {
		c.t.Errorf("%s of %d elements: %v, the reference gives %v", what, c.n, got, want)
	}
}

// canonical is one NaN for all: payloads may differ.
func canonical(x float64) uint64 {
	if x != x {
		x = math.NaN()
	}
	return math.Float64bits(x)
}

func (c bench) floats(what string, f func(d kernel.Device, dst []float32) error) {
	c.t.Helper()
	want, got := make([]float32, c.n), make([]float32, c.n)
	c.ok(f(c.ref, want))
	c.ok(f(c.dev, got))
	for i := range want {
		if math.Float32bits(want[i]) != math.Float32bits(got[i]) && (want[i] == want[i] || got[i] == got[i]) {
			c.t.Errorf("%s of %d elements: [%d] is %v, the reference gives %v", what, c.n, i, got[i], want[i])
			return
		}
	}
}

func (c bench) formats(x []float32) {
	for _, f := range formats {
		want, got := make([]byte, c.n*f.Size()), make([]byte, c.n*f.Size())
		c.ok(c.ref.Encode(want, x, f))
		c.ok(c.dev.Encode(got, x, f))
		if !bytes.Equal(want, got) {
			c.t.Errorf("encode %d of %d elements differs", f, c.n)
		}
		c.floats("decode", func(d kernel.Device, dst []float32) error { return d.Decode(dst, want, f) })
		c.floats("round", func(d kernel.Device, dst []float32) error { return d.Round(dst, x, f) })
	}
}

func (c bench) sums(x []float32) {
	c.same("stats", func(d kernel.Device) any {
		var s kernel.Stats
		c.ok(d.Stats(&s, x))
		return [7]uint64{uint64(s.Count), uint64(s.Zeros), uint64(s.NonFinite), canonical(s.SumAbs), canonical(s.SumSq),
			uint64(math.Float32bits(s.Min)), uint64(math.Float32bits(s.Max))}
	})
	for _, above := range [][]float64{{0.01, 0.05}, {0}, {-1}, {0x1p-12}, {math.Nextafter(0x1p-12, 0)}, {1e300}, {math.Inf(1), math.NaN(), math.MaxFloat32}} {
		c.same("outliers", func(d kernel.Device) any {
			o := make([]kernel.Outliers, len(above))
			c.ok(d.Outliers(o, x, above))
			all := make([][2]uint64, 3)
			for j := range o {
				all[j] = [2]uint64{uint64(o[j].Count), canonical(o[j].SumAbs)}
			}
			return [3][2]uint64(all)
		})
	}
}

func (c bench) counts(x []float32) {
	c.sums(x)
	for _, bracket := range [][2]float32{{0x1p-12, 0x1p-11}, {0, 0}, {0, float32(math.Inf(1))}, {0x1p-12, 0x1p-12}, {1, 0.5}, {0, math.Float32frombits(0x7fffffff)}} {
		c.same("sift", func(d kernel.Device) any {
			keys, at := make([]uint32, c.n), make([]uint32, c.n)
			below, found, err := d.Sift(keys, at, x, bracket[0], bracket[1])
			c.ok(err)
			sum := uint64(0) // of all that was found, in order
			for i := range found {
				sum = (sum^uint64(keys[i])<<32^uint64(at[i]))*0x100000001b3 + 1
			}
			return [3]int{below, found, int(sum)}
		})
	}
	if c.n != 64 && c.n < 4095 {
		return // what follows has large results
	}
	c.same("high", func(d kernel.Device) any {
		h := new(kernel.HighCounts)
		c.ok(d.High(h, x))
		return *h
	})
	c.same("low", func(d kernel.Device) any {
		slot := new([1 << 15]uint8)
		slot[0x3980], slot[0] = 1, 2 // 2^-12 and the subnormals
		h := make([]kernel.LowCounts, 2)
		c.ok(d.Low(h, x, slot))
		return [2]kernel.LowCounts{h[0], h[1]}
	})
	for _, skip := range []int64{0, 1, 5, 1 << 40} {
		c.same("nth", func(d kernel.Device) any {
			pos, seen, err := d.Nth(x, 0x1p-12, skip)
			c.ok(err)
			return [2]int64{int64(pos), seen}
		})
	}
}

func (c bench) cuts(x, key []float32) {
	cuts := []kernel.Cut{{Threshold: 0x1p-11, Index: 1000}, {Threshold: 0x1p-12, Index: 70}, {Threshold: 0x1p-12, Index: 3}}
	c.floats("amplify", func(d kernel.Device, dst []float32) error {
		return d.Amplify(dst, x, key, 64, cuts, []float32{1.8, 0, 0.5})
	})
	c.floats("amplify in place", func(d kernel.Device, dst []float32) error {
		copy(dst, x)
		return d.Amplify(dst, dst, dst, 0, cuts[:1], []float32{1.8})
	})
	c.floats("amplify nothing", func(d kernel.Device, dst []float32) error { return d.Amplify(dst, x, key, 0, nil, nil) })
	c.floats("amplify random", func(d kernel.Device, dst []float32) error {
		return d.AmplifyRandom(dst, x, 1<<33, kernel.Stream(7, "math/a"), []float64{0.9, 0.8, 0}, []float32{5, 3, 0.5})
	})
	c.floats("amplify at the ends of chance", func(d kernel.Device, dst []float32) error {
		return d.AmplifyRandom(dst, x, -7, kernel.Stream(8, "a"), []float64{math.NaN(), 2, 1, 0x1p-1, 1e-300, -1}, []float32{9, 8, 7, 6, 5, 4})
	})
	c.floats("amplify by no chance", func(d kernel.Device, dst []float32) error { return d.AmplifyRandom(dst, x, 0, 1, nil, nil) })
	many := []kernel.Cut{
		{Threshold: float32(math.Inf(1))}, {Threshold: 0x1p-10, Index: -5}, {Threshold: 0x1p-11, Index: 1 << 40},
		{Threshold: 0x1p-11, Index: 4190}, {Threshold: 0x1p-11, Index: 90}, {Threshold: 0x1p-11, Index: 33}, {},
	}
	c.floats("amplify by many cuts", func(d kernel.Device, dst []float32) error {
		return d.Amplify(dst, x, key, 1, many, []float32{7, 6, 5, -4, 3, 2, 0.5})
	})
}
