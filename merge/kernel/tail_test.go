package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTailFindsWhatOutliersFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 33, BlockSize, 5*BlockSize + 77} {
		d := make([]float32, n)
		for i := range d {
			d[i] = float32(r.NormFloat64() * math.Exp(r.NormFloat64()))
		}
		if n > 40 {
			d[3], d[7], d[9] = 2, -2, math.Nextafter32(2, 3) // at the threshold, and just above
		}
		for _, dev := range []Device{Plain(), CPU()} {
			tail := NewTail(1.5, n)
			for from := 0; from < n; from += 2 * BlockSize {
				if err := tail.Add(dev, d[from:min(from+2*BlockSize, n)]); err != nil {
					t.Fatal(err)
				}
			}
			for _, above := range []float64{1.5, 2, math.Nextafter(2, 3), 3.7, 1e9, math.Inf(1)} {
				want := make([]Outliers, 1)
				if err := Plain().Outliers(want, d, []float64{above}); err != nil {
					t.Fatal(err)
				}
				if got, ok := tail.Outliers(above); !ok || got != want[0] {
					t.Errorf("%s, %d elements above %v: %+v, %v, want %+v", dev.Name(), n, above, got, ok, want[0])
				}
			}
			if _, ok := tail.Outliers(1.4999); ok {
				t.Errorf("a threshold below what was kept is answered")
			}
		}
	}
}

func TestTailKeepsNoMoreThanItMay(t *testing.T) {
	d := make([]float32, 3*BlockSize)
	for i := range d {
		d[i] = 2
	}
	for name, tail := range map[string]*Tail{"too many": NewTail(1, BlockSize), "from zero": NewTail(0, len(d)), "from NaN": NewTail(float32(math.NaN()), len(d))} {
		if err := tail.Add(Plain(), d); err != nil {
			t.Fatal(err)
		}
		if _, ok := tail.Outliers(1.5); ok || cap(tail.keys) > 0 {
			t.Errorf("%s: answered, or kept %d", name, len(tail.keys))
		}
	}
}
