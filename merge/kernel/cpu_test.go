package kernel_test

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"mergebot/merge/kernel"
	"mergebot/merge/kernel/kerneltest"
)

var dev = kernel.Plain()

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, d := range kernel.Devices() {
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			kerneltest.Run(t, d)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func decode(t testing.TB, h uint16, f kernel.Format) float32 {
	var x [1]float32
	must(t, dev.Decode(x[:], []byte{byte(h), byte(h >> 8)}, f))
	return x[0]
}

func encode(t testing.TB, x float32, f kernel.Format) uint16 {
	var b [2]byte
	must(t, dev.Encode(b[:], []float32{x}, f))
	return uint16(b[0]) | uint16(b[1])<<8
}

// value is what the bits of a 16-bit format mean, by its definition.
func value(h uint16, mantissa, bias int) float64 {
	frac := float64(h & (1<<mantissa - 1))
	exp := int(h&0x7fff) >> mantissa
	var v float64
	if exp == 0 {
		v = math.Ldexp(frac, 1-bias-mantissa)
	} else {
		v = math.Ldexp(frac+float64(int(1)<<mantissa), exp-bias-mantissa)
	}
	if h&0x8000 != 0 {
		v = -v
	}
	return v
}

// TestFormats decodes every 16-bit number, and rounds what lies between
// neighbours and at their midpoints.
func TestFormats(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		format         kernel.Format
		mantissa, bias int
		inf            uint16
	}{{kernel.F16, 10, 15, 0x7c00}, {kernel.BF16, 7, 127, 0x7f80}} {
		for h := range uint16(0xffff) {
			if h&0x7fff > f.inf {
				if x := decode(t, h, f.format); x == x {
					t.Fatalf("%04x is no NaN but %v", h, x)
				}
				continue
			}
			x := decode(t, h, f.format)
			if h&0x7fff == f.inf {
				if !math.IsInf(float64(x), 1-int(h>>15)*2) {
					t.Fatalf("%04x decodes to %v", h, x)
				}
			} else if want := value(h, f.mantissa, f.bias); float64(x) != want {
				t.Fatalf("%04x decodes to %v, want %v", h, x, want)
			}
			if got := encode(t, x, f.format); got != h {
				t.Fatalf("%04x does not survive: %04x", h, got)
			}
			if h&0x7fff >= f.inf-1 || h&0x8000 != 0 {
				continue
			}
			next := value(h+1, f.mantissa, f.bias)
			middle := float32((float64(x) + next) / 2) // exact: one bit more
			even := h + h&1
			for y, want := range map[float32]uint16{
				middle:                               even,
				math.Nextafter32(middle, x):          h,
				math.Nextafter32(middle, 2*middle+1): h + 1,
			} {
				if f.format == kernel.BF16 && h == 0 {
					break // below the subnormals of fp32
				}
				if got := encode(t, y, f.format); got != want {
					t.Fatalf("%x rounds to %04x, want %04x", y, got, want)
				}
				if got := encode(t, -y, f.format); got != want|0x8000 {
					t.Fatalf("%x rounds to %04x, want %04x", -y, got, want|0x8000)
				}
			}
		}
		nan := encode(t, float32(math.NaN()), f.format)
		if x := decode(t, nan, f.format); x == x {
			t.Error("NaN was lost")
		}
	}
	if encode(t, 65520, kernel.F16) != 0x7c00 || encode(t, 65519.996, kernel.F16) != 0x7bff || encode(t, math.MaxFloat32, kernel.BF16) != 0x7f80 {
		t.Error("overflow does not round to infinity where it should")
	}
}

func numbers(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		u := kernel.Uniform(11, int64(i)) - 0.5
		x[i] = float32(u * u * u * 0.3)
		if i%7 == 0 {
			x[i] = float32(int(u*16)) * 0x1p-10 // ties and zeros
		}
	}
	return x
}

// TestSums compares with exact arithmetic, and shows that how a tensor is cut
// into runs does not matter.
func TestSums(t *testing.T) {
	t.Parallel()
	d := numbers(5*kernel.BlockSize + 123)
	var whole, parts kernel.Stats
	must(t, dev.Stats(&whole, d))
	outWhole, outParts := make([]kernel.Outliers, 1), make([]kernel.Outliers, 1)
	above := []float64{0.01}
	must(t, dev.Outliers(outWhole, d, above))
	for rest := d; len(rest) > 0; {
		n := min(2*kernel.BlockSize, len(rest))
		must(t, dev.Stats(&parts, rest[:n]))
		must(t, dev.Outliers(outParts, rest[:n], above))
		rest = rest[n:]
	}
	if whole != parts || outWhole[0] != outParts[0] {
		t.Errorf("%+v in one run, %+v in several", whole, parts)
	}
	exact, squares, zeros := new(big.Float).SetPrec(400), new(big.Float).SetPrec(400), int64(0)
	var over kernel.Outliers
	lo, hi := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, x := range d {
		a := math.Abs(float64(x))
		exact.Add(exact, big.NewFloat(a))
		squares.Add(squares, big.NewFloat(a*a))
		if x == 0 {
			zeros++
		}
		if a > 0.01 {
			over.Count++
			over.SumAbs += a
		}
		lo, hi = min(lo, x), max(hi, x)
	}
	sum, _ := exact.Float64()
	sq, _ := squares.Float64()
	if math.Abs(whole.SumAbs-sum) > 1e-12*sum || math.Abs(whole.SumSq-sq) > 1e-12*sq {
		t.Errorf("sums %v, %v; want %v, %v", whole.SumAbs, whole.SumSq, sum, sq)
	}
	if whole.Count != int64(len(d)) || whole.Zeros != zeros || whole.Min != lo || whole.Max != hi || whole.NonFinite != 0 {
		t.Errorf("%+v; want %d zeros, %v to %v", whole, zeros, lo, hi)
	}
	if outWhole[0].Count != over.Count || math.Abs(outWhole[0].SumAbs-over.SumAbs) > 1e-12*over.SumAbs {
		t.Errorf("%+v, want %+v", outWhole[0], over)
	}
	var odd kernel.Stats
	must(t, dev.Stats(&odd, []float32{1, float32(math.NaN()), float32(math.Inf(-1))}))
	if odd.NonFinite != 2 {
		t.Errorf("%d of 2 elements found that are not finite", odd.NonFinite)
	}
}

// TestZeros: which zero comes first does not show.
func TestZeros(t *testing.T) {
	t.Parallel()
	minus := float32(math.Copysign(0, -1))
	for _, d := range kernel.Devices() {
		for _, x := range [][]float32{{minus, 0}, {0, minus}, {minus, -1}, {minus, 1}, slices.Repeat([]float32{minus}, 100)} {
			var s kernel.Stats
			must(t, d.Stats(&s, x))
			if math.Signbit(float64(s.Max)) && s.Max == 0 || math.Signbit(float64(s.Min)) && s.Min == 0 {
				t.Errorf("%s: %v has minimum %v and maximum %v", d.Name(), x, s.Min, s.Max)
			}
		}
	}
}

// TestOutliersThreshold: thresholds that fp32 cannot hold are not rounded past an
// element.
func TestOutliersThreshold(t *testing.T) {
	t.Parallel()
	const v = float32(0.1)
	x := slices.Repeat([]float32{-v}, 70)
	for _, d := range kernel.Devices() {
		for above, want := range map[float64]int64{
			math.Nextafter(float64(v), 0): 70, float64(v): 0, math.Nextafter(float64(v), 1): 0, math.MaxFloat64: 0, -math.MaxFloat64: 70,
		} {
			o := make([]kernel.Outliers, 1)
			must(t, d.Outliers(o, x, []float64{above}))
			if o[0].Count != want {
				t.Errorf("%s: %d of 70 lie above %v, want %d", d.Name(), o[0].Count, above, want)
			}
		}
	}
}

// TestUniform pins the generator: these are the oracle's first numbers.
func TestUniform(t *testing.T) {
	t.Parallel()
	if s := kernel.Stream(0, ""); s != 0xcbf29ce484222325 {
		t.Errorf("fnv1a64 of nothing is %x", s)
	}
	if s := kernel.Stream(1, "a"); s != 0xaf63dc4c8601ec8c^1 {
		t.Errorf("stream of a is %x", s)
	}
	// splitmix64 from state 0: published first outputs.
	for i, want := range []uint64{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f} {
		if got := kernel.Uniform(0, int64(i)); got != float64(want>>11)*0x1p-53 {
			t.Errorf("element %d: %v, want %v", i, got, float64(want>>11)*0x1p-53)
		}
	}
}

func TestTies(t *testing.T) {
	t.Parallel()
	v := [][]float32{{1, -3, 0, 2}, {-1, 1, 0, 3}, {0, 1, 0, -1}}
	sign, out := make([]float32, 4), make([]float32, 4)
	must(t, dev.Elect(sign, v, 1))
	if sign[0] != 1 || sign[1] != -1 || sign[2] != 1 || sign[3] != 1 { // sums 0, −1, 0, 4
		t.Errorf("signs %v", sign)
	}
	must(t, dev.Agree(out, sign, v, nil))
	if out[0] != 1 || out[1] != -3 || out[2] != 0 || out[3] != 5 {
		t.Errorf("agreeing sums %v", out)
	}
	must(t, dev.Agree(out, sign, v, []float32{0.5, 0.5, 1}))
	if out[0] != 2 || out[1] != -6 || out[2] != 0 || out[3] != 5 {
		t.Errorf("agreeing means %v", out)
	}
}
