package peertest

import (
	"math"
	"testing"

	"mergebot/merge/checkpoint"
)

// difference is how far a result lies from mergekit's: in fp32 relative to the element, but no less than to the
// tensor's root mean square (sums that nearly cancel keep the error of their parts); in 16 bits in units of the last
// place.
type difference struct {
	tensors            int
	elements, off      int
	worst              float64
	ulps               int
	worstName, ulpName string
}

func (d *difference) add(name string, got, want []float32, dtype checkpoint.DType) {
	d.tensors++
	d.elements += len(want)
	var squares float64
	for _, w := range want {
		squares += float64(w) * float64(w)
	}
	rms := math.Sqrt(squares / float64(len(want)))
	for i, w := range want {
		if math.Float32bits(got[i]) == math.Float32bits(w) {
			continue
		}
		if got[i] == w { // zeros of different signs
			continue
		}
		d.off++
		if dtype == checkpoint.F32 {
			if e := math.Abs(float64(got[i])-float64(w)) / max(math.Abs(float64(w)), rms); !(e <= d.worst) {
				d.worst, d.worstName = e, name
			}
			continue
		}
		if u := ulps(got[i], w, dtype); u > d.ulps {
			d.ulps, d.ulpName = u, name
		}
	}
}

// ulps counts the steps between two numbers of a 16-bit type, or many.
func ulps(a, b float32, dtype checkpoint.DType) int {
	if dtype == checkpoint.F16 { // steps of fp16 are as large as its exponent says
		_, exp := math.Frexp(math.Max(math.Abs(float64(a)), math.Abs(float64(b))))
		return int(math.Ceil(math.Abs(float64(a)-float64(b)) / math.Ldexp(1, max(exp, -13)-11)))
	}
	x, y := int32(math.Float32bits(a))>>16, int32(math.Float32bits(b))>>16
	if (x < 0) != (y < 0) {
		return math.MaxInt
	}
	return int(max(x-y, y-x))
}

func (d *difference) check(t *testing.T) {
	t.Helper()
	t.Logf("%d elements, %d are not mergekit's: by at most %.2g relative, %d ulp", d.elements, d.off, d.worst, d.ulps)
	if !(d.worst <= tolerance) {
		t.Errorf("%s is off by %g, want %g at most", d.worstName, d.worst, tolerance)
	}
	if d.ulps > 1 {
		t.Errorf("%s is off by %d units of the last place", d.ulpName, d.ulps)
	}
	if d.ulps > 0 && d.off*1000 > d.elements {
		t.Errorf("%d of %d elements are off by one unit of the last place, more than one in a thousand", d.off, d.elements)
	}
}
