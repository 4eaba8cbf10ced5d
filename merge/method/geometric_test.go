package method

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"mergebot/merge/kernel"
)

// near compares at fp32's precision.
func near(got, want []float32) bool {
	return slices.EqualFunc(got, want, func(x, y float32) bool {
		return math.Abs(float64(x-y)) <= 2e-7*max(1, math.Abs(float64(y)))
	})
}

// TestGeometricByHand: vectors of the plane and of space whose lengths and angles are plain.
func TestGeometricByHand(t *testing.T) {
	t.Parallel()
	const half, third = math.Sqrt2 / 2, math.Pi / 3
	sqrt3 := float32(math.Sqrt(3))
	number := func(kv ...any) map[string]float64 {
		m := map[string]float64{}
		for i := 0; i < len(kv); i += 2 {
			switch v := kv[i+1].(type) {
			case int:
				m[kv[i].(string)] = float64(v)
			case float64:
				m[kv[i].(string)] = v
			}
		}
		return m
	}
	for _, c := range []struct {
		name, method string
		tiny         tiny
		shape        []int64
		want         []float32
	}{
		{name: "a right angle, halfway: √½ of both", method: "slerp",
			tiny: tiny{tensors: set([]float32{2, 0}, []float32{0, 4}), numbers: number("t", 0.5)}, want: []float32{2 * half, 4 * half}},
		{name: "a third of 90°: sin 60° and sin 30°", method: "slerp",
			tiny: tiny{tensors: set([]float32{2, 0}, []float32{0, 4}), numbers: number("t", 1./3)}, want: []float32{sqrt3, 2}},
		{name: "t = 0 is the base", method: "slerp",
			tiny: tiny{tensors: set([]float32{0.1, 0.7}, []float32{-0.3, 4}), numbers: number("t", 0)}, want: []float32{0.1, 0.7}},
		{name: "t = 1 is the model", method: "slerp",
			tiny: tiny{tensors: set([]float32{0.1, 0.7}, []float32{-0.3, 4}), numbers: number("t", 1)}, want: []float32{-0.3, 4}},
		{name: "parallel: a straight line", method: "slerp",
			tiny: tiny{tensors: set([]float32{1, 2}, []float32{3, 6}), numbers: number("t", 0.25)}, want: []float32{1.5, 3}},
		{name: "opposite: a straight line", method: "slerp",
			tiny: tiny{tensors: set([]float32{1, 2}, []float32{-1, -2}), numbers: number("t", 0.25)}, want: []float32{0.5, 1}},
		{name: "zero base: a quarter of a right angle to it", method: "slerp",
			tiny: tiny{tensors: set([]float32{0, 0}, []float32{0, 4}), numbers: number("t", 1./3)}, want: []float32{0, 2}},

		{name: "cos 0.9996: a straight line", method: "slerp",
			tiny: tiny{tensors: set([]float32{1, 0}, unit(0.9996)), numbers: number("t", 0.5)}, want: []float32{0.9998, unit(0.9996)[1] / 2}},
		{name: "cos 0.9994: the middle of the arc has length 1", method: "slerp",
			tiny: tiny{tensors: set([]float32{1, 0}, unit(0.9994)), numbers: number("t", 0.5)}, want: unit(math.Cos(math.Acos(0.9994) / 2))},

		{name: "weights 1 and 2: t = 2/3, sin 30° and sin 60°", method: "nuslerp",
			tiny: tiny{noBase: true, tensors: set([]float32{9, 9}, []float32{4, 0}, []float32{0, 2}), numbers: number("0/weight", 1, "1/weight", 2)}, want: []float32{2, sqrt3}},
		{name: "weights that cancel: t = 0.5", method: "nuslerp",
			tiny: tiny{noBase: true, tensors: set([]float32{9, 9}, []float32{4, 0}, []float32{0, 2}), numbers: number("0/weight", 1, "1/weight", -1)}, want: []float32{4 * half, 2 * half}},
		{name: "of deltas", method: "nuslerp",
			tiny: tiny{tensors: set([]float32{1, 1}, []float32{5, 1}, []float32{1, 3}), numbers: number("0/weight", 1, "1/weight", 2)}, want: []float32{3, 1 + sqrt3}},
		{name: "opposite deltas: a straight line", method: "nuslerp",
			tiny: tiny{tensors: set([]float32{1, 1}, []float32{2, 3}, []float32{0, -1}), numbers: number("0/weight", 3, "1/weight", 1)}, want: []float32{1.5, 2}},
		{name: "rows: 4,0 and 0,2 at a right angle; 1,1 and 3,3 parallel", method: "nuslerp", shape: []int64{2, 2},
			tiny: tiny{noBase: true, tensors: set(make([]float32, 4), []float32{4, 0, 1, 1}, []float32{0, 2, 3, 3}), numbers: number("weight", 1), bools: map[string]bool{"nuslerp_flatten": false}},
			want: []float32{4 * half, 2 * half, 2, 2}},
		{name: "columns: the same, turned", method: "nuslerp", shape: []int64{2, 2},
			tiny: tiny{noBase: true, tensors: set(make([]float32, 4), []float32{4, 1, 0, 1}, []float32{0, 3, 2, 3}), numbers: number("weight", 1), bools: map[string]bool{"nuslerp_flatten": false, "nuslerp_row_wise": true}},
			want: []float32{4 * half, 2, 2 * half, 2}},
		{name: "a vector has one row", method: "nuslerp", shape: []int64{2},
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{4, 0}, []float32{0, 2}), numbers: number("weight", 1), bools: map[string]bool{"nuslerp_flatten": false, "nuslerp_row_wise": true}},
			want: []float32{4 * half, 2 * half}},

		// Directions (1,0) and (0,1), mean √½(1,1), mean length 3.
		{name: "two at a right angle", method: "multislerp",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{2, 0}, []float32{0, 4}), numbers: number("weight", 1)}, want: []float32{3 * half, 3 * half}},
		{name: "weights 3 and 4 of 7: direction (0.6, 0.8), length 2·3/7 + 4·4/7 = 22/7", method: "multislerp",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{2, 0}, []float32{0, 4}), numbers: number("0/weight", 3, "1/weight", 4)}, want: []float32{22. / 7 * 0.6, 22. / 7 * 0.8}},
		{name: "not normalised: length 22", method: "multislerp",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{2, 0}, []float32{0, 4}), numbers: number("0/weight", 3, "1/weight", 4), bools: map[string]bool{"normalize_weights": false}}, want: []float32{22 * 0.6, 22 * 0.8}},
		{name: "of deltas", method: "multislerp",
			tiny: tiny{tensors: set([]float32{1, -1}, []float32{3, -1}, []float32{1, 3}), numbers: number("weight", 1)}, want: []float32{1 + 3*half, -1 + 3*half}},
		{name: "opposite: the mean", method: "multislerp",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{2, 0}, []float32{-4, 0}), numbers: number("weight", 1)}, want: []float32{-1, 0}},
		{name: "three that left the base as it was", method: "multislerp",
			tiny: tiny{tensors: set([]float32{1, 2}, []float32{1, 2}, []float32{1, 2}, []float32{1, 2}), numbers: number("weight", 1)}, want: []float32{1, 2}},
		{name: "one model is itself", method: "multislerp",
			tiny: tiny{tensors: set([]float32{1, 2}, []float32{0.3, 0.7}), numbers: number("weight", 5)}, want: []float32{0.3, 0.7}},
		{name: "a large eps counts: û = 0.8 each, m = √½·0.8, above 0.5; cos 0.5", method: "multislerp",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{2, 0}, []float32{0, 2}), numbers: number("weight", 1, "eps", 0.5)}, want: []float32{float32(2 * half * math.Cos(0.5)), float32(2 * half * math.Cos(0.5))}},

		{name: "two: the middle, times the mean length 3", method: "karcher",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{2, 0}, []float32{0, 4})}, want: []float32{3 * half, 3 * half}},
		// On a circle the mean is the mean angle: 0°, 0° and 60° give 20°, where normalising the sum would give 19.1°.
		{name: "angles 0°, 0°, 60°", method: "karcher",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{1, 0}, []float32{1, 0}, []float32{0.5, sqrt3 / 2}), numbers: number("max_iter", 100, "tol", 1e-9)},
			want: []float32{float32(math.Cos(third / 3)), float32(math.Sin(third / 3))}},
		{name: "angles 0°, 0°, 60°, weighed down by a zero", method: "karcher",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{1, 0}, []float32{1, 0}, []float32{0.5, sqrt3 / 2}, []float32{0, 0}), numbers: number("max_iter", 100, "tol", 1e-9)},
			want: []float32{float32(0.75 * math.Cos(third/3)), float32(0.75 * math.Sin(third/3))}},
		{name: "no steps: the sum's direction, (2.5, √3/2)/√7", method: "karcher",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{1, 0}, []float32{1, 0}, []float32{0.5, sqrt3 / 2}), numbers: number("max_iter", 0)},
			want: []float32{float32(2.5 / math.Sqrt(7)), float32(math.Sqrt(3) / 2 / math.Sqrt(7))}},
		{name: "one step on a circle is exact", method: "karcher",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{1, 0}, []float32{1, 0}, []float32{0.5, sqrt3 / 2}), numbers: number("max_iter", 1)},
			want: []float32{float32(math.Cos(third / 3)), float32(math.Sin(third / 3))}},
		{name: "opposite but for rounding: the first's direction, twice its length", method: "karcher",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 3), []float32{0.1, 0.7, 0.3}, []float32{-0.3, -2.1, -0.9})}, want: []float32{0.2, 1.4, 0.6}},
		{name: "opposite: no mean, so the first's direction", method: "karcher",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{1, 0}, []float32{-3, 0})}, want: []float32{2, 0}},
		{name: "all zero", method: "karcher",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{0, 0}, []float32{0, 0})}, want: []float32{0, 0}},
		{name: "one model is itself", method: "karcher",
			tiny: tiny{noBase: true, tensors: set(make([]float32, 2), []float32{0.3, 0.7})}, want: []float32{0.3, 0.7}},

		{name: "distances 0, 0.25, 1, 2 with t = 0.5: all, all, a half, a quarter", method: "nearswap",
			tiny: tiny{tensors: set([]float32{1, 1, 1, 1}, []float32{1, 1.25, 2, -1}), numbers: number("t", 0.5)}, want: []float32{1, 1.25, 1.5, 0.5}},
		{name: "t = 0 is the base", method: "nearswap",
			tiny: tiny{tensors: set([]float32{1, 1}, []float32{1, 2}), numbers: number("t", 0)}, want: []float32{1, 1}},

		// cos 60° = ½: t = 2·½/1.5 = ⅔ of the mean delta (1.5, √3/2)/… with lengths 2 and 2.
		{name: "two at 60°", method: "model_stock",
			tiny: tiny{tensors: set([]float32{1, 1}, []float32{3, 1}, []float32{2, 1 + sqrt3})}, want: []float32{2, 1 + sqrt3/3}},
		{name: "the same delta twice: all of it", method: "model_stock",
			tiny: tiny{tensors: set([]float32{1, 1}, []float32{3, 2}, []float32{3, 2})}, want: []float32{3, 2}},
		{name: "right angles: the base", method: "model_stock",
			tiny: tiny{tensors: set([]float32{1, 1, 1}, []float32{3, 1, 1}, []float32{1, 7, 1}, []float32{1, 1, 2})}, want: []float32{1, 1, 1}},
		{name: "opposite, so singular: the base", method: "model_stock",
			tiny: tiny{tensors: set([]float32{1, 1}, []float32{2, 1}, []float32{-3, 1})}, want: []float32{1, 1}},
		// Cosines ½, 0, 0 … of three: mean 1/6, t = ½/(1 + 2/6) = 3/8 of a third of the sum.
		{name: "three, one pair at 60°", method: "model_stock",
			tiny: tiny{tensors: set(make([]float32, 3), []float32{2, 0, 0}, []float32{1, sqrt3, 0}, []float32{0, 0, 8})}, want: []float32{0.375, sqrt3 / 8, 1}},
		{name: "row by row: the same, then at a right angle", method: "model_stock", shape: []int64{2, 2},
			tiny: tiny{tensors: set(make([]float32, 4), []float32{1, 2, 5, 0}, []float32{1, 2, 0, 5}), bools: map[string]bool{"filter_wise": true}}, want: []float32{1, 2, 0, 0}},
		// Lengths of 1e-4 and 1e-3: the product 1e-7 counts as 1e-6, the cosine is 0.1; t = 0.2/1.1.
		{name: "tiny deltas", method: "model_stock",
			tiny: tiny{tensors: set([]float32{0}, []float32{1e-4}, []float32{1e-3})}, want: []float32{1.1e-3 / 2 * 0.2 / 1.1}},
	} {
		p := c.tiny.problem()
		p.Tensors[0].Shape = c.shape
		for _, size := range []int64{4, 3, 1} {
			if got := run(t, c.method, p, "a", size); !near(got, c.want) {
				t.Errorf("%s (%s): %v, want %v", c.name, c.method, got, c.want)
			}
		}
	}
}

// unit is the vector of length 1 and that cosine to the first axis.
func unit(cos float64) []float32 { return []float32{float32(cos), float32(math.Sqrt(1 - cos*cos))} }

func set(x ...[]float32) map[string][][]float32 { return map[string][][]float32{"a": x} }

// lanes is the reference with another number of lanes.
type lanes struct {
	kernel.Device
	n int
}

func (l lanes) Lanes() int { return l.n }

// TestGeometricDivisions: a tensor merged by rows or columns is its rows or columns merged one by one, also where they
// straddle blocks; and the threads do not show.
func TestGeometricDivisions(t *testing.T) {
	t.Parallel()
	for _, shape := range [][]int64{{3, blockElements + 2*kernel.BlockSize + 7}, {blockElements/100 + 90, 101}, {2, 5, 3}} {
		count := int64(1)
		for _, d := range shape {
			count *= d
		}
		tensors := make([][]float32, 4)
		for k := range tensors {
			tensors[k] = make([]float32, count)
			for i := range tensors[k] {
				tensors[k][i] = float32(kernel.Uniform(uint64(k)+7, int64(i)) - 0.3)
			}
		}
		row, column := shape[len(shape)-1], shape[0]
		rowsOf := func(x []float32, i int64) []float32 { return x[i*row : (i+1)*row] }
		columnOf := func(x []float32, i int64) (out []float32) {
			for j := range column {
				out = append(out, x[i+j*(count/column)])
			}
			return out
		}
		for _, c := range []struct {
			method string
			models int
			bools  map[string]bool
			parts  int64
			part   func([]float32, int64) []float32
		}{
			{"nuslerp", 2, map[string]bool{"nuslerp_flatten": false}, count / row, rowsOf},
			{"nuslerp", 2, map[string]bool{"nuslerp_flatten": false, "nuslerp_row_wise": true}, count / column, columnOf},
			{"model_stock", 3, map[string]bool{"filter_wise": true}, count / row, rowsOf},
		} {
			y := tiny{tensors: set(tensors[:c.models+1]...), bools: c.bools, numbers: map[string]float64{"0/weight": 1, "1/weight": 0.4}}
			p := y.problem()
			p.Tensors[0].Shape = shape
			whole := run(t, c.method, p, "a", 3*kernel.BlockSize)
			for _, n := range []int{1, 2, 8} {
				p.Device = lanes{kernel.CPU(), n}
				if again := run(t, c.method, p, "a", blockElements); !slices.Equal(again, whole) {
					t.Errorf("%s %v of %v: other bits in other blocks or with %d lanes", c.method, c.bools, shape, n)
				}
			}
			for i := int64(0); i < c.parts; i += max(1, c.parts/40) {
				one := tiny{numbers: y.numbers, tensors: map[string][][]float32{"a": nil}}
				for _, x := range tensors[:c.models+1] {
					one.tensors["a"] = append(one.tensors["a"], c.part(x, i))
				}
				if got := run(t, c.method, one.problem(), "a", blockElements); !near(c.part(whole, i), got) {
					t.Fatalf("%s %v of %v: part %d alone differs", c.method, c.bools, shape, i)
				}
			}
		}
	}
}

// TestGramOfRows: the sums of each row are those of the row alone, to the last bit of fp64.
func TestGramOfRows(t *testing.T) {
	t.Parallel()
	for _, shape := range [][]int64{{3, blockElements + 2*kernel.BlockSize + 7}, {40, 3*kernel.BlockSize + 5}} {
		count, row := shape[0]*shape[1], shape[1]
		x := [][]float32{make([]float32, count), make([]float32, count)}
		for k := range x {
			for i := range x[k] {
				x[k][i] = float32(kernel.Uniform(uint64(k)+3, int64(i)) - 0.3)
			}
		}
		p := tiny{tensors: set(x...)}.problem()
		p.Tensors[0].Shape = shape
		s := span{withBase: true, by: rows}
		got, err := s.measure(t.Context(), p, p.Tensors[0], s.divide(p.Tensors[0]), 2)
		if err != nil {
			t.Fatal(err)
		}
		for i, pair := range pairs(2) {
			for r := range shape[0] {
				var want float64
				if err := p.Device.Dot(&want, x[pair[0]][r*row:(r+1)*row], x[pair[1]][r*row:(r+1)*row]); err != nil {
					t.Fatal(err)
				}
				if got[i][r] != want {
					t.Fatalf("%v: row %d, pair %v: %v, want %v", shape, r, pair, got[i][r], want)
				}
			}
		}
	}
}

func TestGeometricErrors(t *testing.T) {
	t.Parallel()
	two := set([]float32{1, 2}, []float32{2, 1}, []float32{3, 1})
	weight := map[string]float64{"weight": 1}
	for _, c := range []struct {
		method string
		tiny   tiny
		want   string
	}{
		{"slerp", tiny{tensors: two, numbers: map[string]float64{"t": 0.5}}, "takes 1 models"},
		{"slerp", tiny{tensors: set([]float32{1}, []float32{2})}, "no t"},
		{"slerp", tiny{tensors: set([]float32{1}, []float32{2}), noBase: true}, "base"},
		{"slerp", tiny{tensors: set([]float32{1}, []float32{float32(math.NaN())}), numbers: map[string]float64{"t": 0.5}}, "NaN"},
		{"nuslerp", tiny{tensors: two}, "weight"},
		{"nuslerp", tiny{tensors: set([]float32{1}, []float32{2}), numbers: weight}, "takes 2 models"},
		{"multislerp", tiny{tensors: two, numbers: map[string]float64{"0/weight": 1, "1/weight": -1}}, "sum to 0"},
		{"multislerp", tiny{tensors: set([]float32{0, 0}, []float32{1, 0}, []float32{0, 1}, []float32{-1, -1}), noBase: true,
			numbers: map[string]float64{"0/weight": 1, "1/weight": 1, "2/weight": math.Sqrt2}}, "cancel"},
		{"nearswap", tiny{tensors: set([]float32{1}, []float32{2})}, "parameters.t"},
		{"model_stock", tiny{tensors: set([]float32{1}, []float32{2})}, "at least 2"},
	} {
		m, err := Get(c.method)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := m.Begin(c.tiny.problem())
		if err == nil {
			_, err = plan.Tensor(t.Context(), "a")
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want something about %q", c.method, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := tiny{tensors: two, numbers: weight}.problem()
	m, err := Get("nuslerp")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := m.Begin(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Tensor(ctx, "a"); err == nil {
		t.Error("a cancelled measurement succeeded")
	}
}
