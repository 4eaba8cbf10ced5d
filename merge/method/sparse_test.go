package method

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"

	"mergebot/merge/kernel"
)

// TestSparseByHand: small cases worked out in the comments, all exact in fp32.
func TestSparseByHand(t *testing.T) {
	t.Parallel()
	// base 1; deltas 8, −4, 2, 1 and −2, −4, 0.5, 1.
	four := map[string][][]float32{"a": {{1, 1, 1, 1}, {9, -3, 3, 2}, {-1, -3, 1.5, 2}}}
	numbers := func(pairs ...any) map[string]float64 {
		m := map[string]float64{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1].(float64)
		}
		return m
	}
	paper := func(y tiny) tiny { y.paper = true; return y }
	for _, c := range []struct {
		name, method string
		tiny         tiny
		want         []float32
	}{
		// Of each the largest goes, 8 and −4, and the two next stay: −4, 2 and −2, 1.
		{"mid, summed", "breadcrumbs", tiny{tensors: four, numbers: numbers("weight", 1., "density", 0.5, "gamma", 0.25)},
			[]float32{-1, -3, 3, 2}},
		// int(0.01·4) is 0: nothing goes from the top; 8, −4 and −2, −4 stay.
		{"a tensor too small for outliers", "breadcrumbs", tiny{tensors: four, numbers: numbers("weight", 1., "density", 0.5)},
			[]float32{7, -7, 1, 1}},
		// 3 of 4 stay, so only one of the two outliers goes: −4, 2, 1 and −2, 0.5, 1.
		{"fewer outliers", "breadcrumbs", tiny{tensors: four, numbers: numbers("weight", 1., "density", 0.75, "gamma", 0.5)},
			[]float32{-1, -3, 3.5, 3}},
		{"density 1 keeps outliers too", "breadcrumbs", tiny{tensors: four, numbers: numbers("weight", 1., "gamma", 0.5)},
			[]float32{7, -7, 3.5, 3}},
		{"nothing kept", "breadcrumbs", tiny{tensors: four, numbers: numbers("weight", 1., "density", 0.1, "gamma", 0.25)},
			[]float32{1, 1, 1, 1}},
		{"mid, normalised and by half", "breadcrumbs",
			tiny{tensors: four, numbers: numbers("weight", 1., "density", 0.5, "gamma", 0.25, "lambda", 0.5), bools: map[string]bool{"normalize": true}},
			[]float32{0.5, 0, 1.5, 1.25}},
		// −4, 2 rescaled by 15/6; −2, 1 by 7.5/3: both 2.5.
		{"mid, rescaled", "breadcrumbs",
			tiny{tensors: four, numbers: numbers("weight", 1., "density", 0.5, "gamma", 0.25), bools: map[string]bool{"rescale": true}},
			[]float32{-4, -9, 6, 3.5}},
		// Kept at 0.75 from the top: 8, −4, 2 and −2, −4, 1. Signs +, −, +, +.
		{"majority sign", "breadcrumbs_ties", tiny{tensors: four, numbers: numbers("weight", 1., "density", 0.75)},
			[]float32{9, -7, 3, 2}},
		// Weights 1 and 5: sums 8 − 10 < 0, so −10 stays; −24; 2; 5.
		{"signs after weighting", "breadcrumbs_ties", tiny{tensors: four, numbers: numbers("0/weight", 1., "1/weight", 5., "density", 0.75)},
			[]float32{-9, -23, 3, 6}},
		{"signs before it, in the paper", "breadcrumbs_ties",
			paper(tiny{tensors: four, numbers: numbers("0/weight", 1., "1/weight", 5., "density", 0.75)}),
			[]float32{9, -23, 3, 6}},

		{"all kept: signs +, −, +, +, means", "della", tiny{tensors: four, numbers: numbers("weight", 1.)},
			[]float32{9, -3, 2.25, 2}},
		{"all kept, summed", "della_linear", tiny{tensors: four, numbers: numbers("weight", 1.)},
			[]float32{7, -7, 3.5, 3}},

		// Σδ² is 85 and 21.25: weights 0.8 and 0.2. Signs +, −, +, +: 8; −4; (1.6 + 0.1)/1; 1.
		{"all positions", "sce", tiny{tensors: four, numbers: numbers()},
			[]float32{9, -3, 1 + float32(float32(0.8)*2+float32(0.2)*0.5), 2}},
		// Variances 25, 0, 0.5625, 0: half of the two that vary is the first. Σδ² is 64 and 4; only 8 agrees.
		{"one position", "sce", tiny{tensors: four, numbers: numbers("select_topk", 0.5)},
			[]float32{9, 1, 1, 1}},
		{"one model does not vary", "sce", tiny{tensors: map[string][][]float32{"a": {{1, 1}, {2, 3}}}, numbers: numbers("select_topk", 0.5)},
			[]float32{1, 1}},
		{"one model", "sce", tiny{tensors: map[string][][]float32{"a": {{1, 1}, {2, 3}}}},
			[]float32{2, 3}},
		// 2^-12 and 3·2^-12: Σδ²/n is 1e-7 or so, below 1e-6: equal weights; else 0.1 and 0.9.
		{"small deltas weigh the same", "sce", tiny{tensors: map[string][][]float32{"a": {{0, 0}, {0x1p-12, 0x1p-12}, {0x3p-12, 0x3p-12}}}},
			[]float32{0x2p-12, 0x2p-12}},
		{"but not in the paper", "sce", paper(tiny{tensors: map[string][][]float32{"a": {{0, 0}, {0x1p-12, 0x1p-12}, {0x3p-12, 0x3p-12}}}}),
			[]float32{(float32(0.1)*0x1p-12 + float32(0.9)*0x3p-12), (float32(0.1)*0x1p-12 + float32(0.9)*0x3p-12)}},
		{"deltas that cancel count as +", "sce", tiny{tensors: map[string][][]float32{"a": {{1, 1}, {4, -4}, {-2, 6}}}},
			[]float32{4, 6}},
		{"no deltas at all", "sce", paper(tiny{tensors: map[string][][]float32{"a": {{5, 0}, {5, 0}, {5, 0}}}}),
			[]float32{5, 0}},

		// |δ| > 1: 8, −4, 2 and −2, −4: means 3 and −4, 2 by itself.
		{"unique and shared", "ram", tiny{tensors: four, numbers: numbers("epsilon", 1.)},
			[]float32{4, -3, 3, 1}},
		// The first has 2 shared and 1 unique: 1 + 0.5·min(2, α 4) = 2, so 2·2. The second has none unique.
		{"unique scaled", "ramplus_tl", tiny{tensors: four, numbers: numbers("epsilon", 1., "r", 0.5, "alpha", 4.)},
			[]float32{4, -3, 5, 1}},
		{"up to alpha", "ramplus_tl", tiny{tensors: four, numbers: numbers("epsilon", 1., "r", 0.5, "alpha", 1.)},
			[]float32{4, -3, 4, 1}},

		{"as it is", "passthrough", tiny{tensors: map[string][][]float32{"a": {{0, 0}, {1, -2}}}, noBase: true}, []float32{1, -2}},
		{"scaled", "passthrough", tiny{tensors: map[string][][]float32{"a": {{0, 0}, {1, -2}}}, noBase: true, numbers: numbers("0/scale", -1.5)}, []float32{-1.5, 3}},
	} {
		for _, size := range []int64{4, 1} {
			if got := run(t, c.method, c.tiny.problem(), "a", size); !slices.Equal(got, c.want) {
				t.Errorf("%s (%s, blocks of %d): %v, want %v", c.name, c.method, size, got, c.want)
			}
		}
	}
}

// made is a base and three models of a few blocks, whose rows end anywhere in
// them.
func made(n int) [][]float32 {
	set := make([][]float32, 4)
	for k := range set {
		set[k] = make([]float32, n)
		for i := range set[k] {
			set[k][i] = float32(kernel.Uniform(uint64(k)+100, int64(i))-0.5) * 0.1
			if k > 0 {
				set[k][i] = set[0][i] + set[k][i]*0.3
			}
		}
	}
	return set
}

// naiveDella restates della and della_linear for a tensor of rows.
func naiveDella(p *Problem, method string, row int, base []float32, models [][]float32) []float64 {
	n := len(base)
	out, signs := make([]float64, n), make([]float64, n)
	thinned, weights := make([][]float64, len(models)), make([]float64, len(models))
	for k, x := range models {
		density, epsilon := p.Number(k, "density", "a", 1), p.Number(k, "epsilon", "a", 0.15)
		weights[k] = p.Number(k, "weight", "a", 0)
		thinned[k] = make([]float64, n)
		var before, after float64
		for begin := 0; begin < n; begin += row {
			order := make([]int, min(row, n-begin))
			for i := range order {
				order[i] = begin + i
			}
			slices.SortStableFunc(order, func(a, b int) int {
				return cmp.Compare(math.Abs(float64(x[a]-base[a])), math.Abs(float64(x[b]-base[b])))
			})
			for rank, i := range order {
				chance := density
				if len(order) > 1 {
					chance = density - epsilon + 2*epsilon*float64(rank)/float64(len(order)-1)
				}
				d := float64(x[i] - base[i])
				before += math.Abs(d)
				if kernel.Uniform(kernel.Stream(p.Seed, p.Models[k]+"/a"), int64(i)) >= 1-chance {
					after += math.Abs(d)
					thinned[k][i] = d
					if p.Paper {
						thinned[k][i] /= chance
					}
				}
			}
		}
		for i := range thinned[k] {
			if !p.Paper {
				thinned[k][i] *= before / after
			}
			signs[i] += thinned[k][i] * weights[k]
		}
	}
	for i := range out {
		var sum, weight float64
		for k := range thinned {
			v := thinned[k][i] * weights[k]
			if method == "della_linear" || v != 0 && (v > 0) == (signs[i] >= 0) {
				sum, weight = sum+v, weight+weights[k]
			}
		}
		if method == "della" && weight != 0 {
			sum /= weight
		}
		out[i] = float64(base[i]) + sum
	}
	return out
}

func TestDellaAgainstNaive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		row, n int
		size   int64
	}{
		{1000, blockElements + 5856, 3 * kernel.BlockSize}, // rows cut by the blocks of both phases
		{500, 8000, 777},
		{4096, 2 * kernel.BlockSize, kernel.BlockSize},
		{5000, 5000, 1024}, // a vector
		{1, 500, 100},
	} {
		set := made(c.n)
		for _, method := range []string{"della", "della_linear"} {
			for _, paper := range []bool{false, true} {
				y := tiny{tensors: map[string][][]float32{"a": set}, seed: 5, paper: paper,
					numbers: map[string]float64{"0/weight": 0.5, "1/weight": 0.8, "2/weight": 0.3, "density": 0.3, "epsilon": 0.2, "1/density": 0.6}}
				if paper { // signs before weighting are other signs
					y.numbers["0/weight"], y.numbers["1/weight"], y.numbers["2/weight"] = 1, 1, 1
				}
				p := y.problem()
				p.Tensors[0].Shape = []int64{int64(c.n / c.row), int64(c.row)}
				if c.row == c.n {
					p.Tensors[0].Shape = []int64{int64(c.n)}
				}
				want := naiveDella(p, method, c.row, set[0], set[1:])
				got, wrong := run(t, method, p, "a", c.size), 0
				for i := range got {
					if math.Abs(float64(got[i])-want[i]) > 1e-6 {
						wrong++ // only where a sum is so near 0 that its sign is rounding
					}
				}
				if wrong > 2 {
					t.Errorf("%s (rows of %d, paper %v, blocks of %d): %d of %d elements differ", method, c.row, paper, c.size, wrong, c.n)
				}
			}
		}
	}
}

// TestDellaChances: in the lowest, middle and highest tenth of the ranks as many
// stay as their chances say; ε shrinks where it does not fit beside the density.
func TestDellaChances(t *testing.T) {
	t.Parallel()
	const row, rows = 100, 5000
	x := make([]float32, row*rows)
	for i := range x {
		x[i] = float32(1 + (i*37)%row) // ranks in another order than the elements
	}
	set := map[string][][]float32{"a": {make([]float32, len(x)), x}}
	for _, c := range []struct{ density, epsilon, low, middle, high float64 }{
		{0.5, 0.3, 0.2 + 0.6*4.5/99, 0.5, 0.8 - 0.6*4.5/99},
		{0.9, 0.3, 0.8 + 0.2*4.5/99, 0.9, 1 - 0.2*4.5/99},
		{0.1, 0.15, 0.2 * 4.5 / 99, 0.1, 0.2 - 0.2*4.5/99},
	} {
		y := tiny{tensors: set, numbers: map[string]float64{"weight": 1, "density": c.density, "epsilon": c.epsilon}, bools: map[string]bool{"rescale": false}, seed: 3}
		p := y.problem()
		p.Tensors[0].Shape = []int64{rows, row}
		var kept [10]float64
		for i, v := range run(t, "della_linear", p, "a", blockElements) {
			if v != 0 {
				kept[(int(x[i])-1)/10]++
			}
		}
		for tenth, want := range map[int]float64{0: c.low, 9: c.high} {
			if got := kept[tenth] / (rows * row / 10); math.Abs(got-want) > 0.012 { // five standard errors
				t.Errorf("%+v: %.4f of tenth %d stay, want %.4f", c, got, tenth, want)
			}
		}
		var all float64
		for _, n := range kept {
			all += n
		}
		if got := all / (rows * row); math.Abs(got-c.middle) > 0.004 {
			t.Errorf("%+v: %.4f stay", c, got)
		}
	}
}

// TestSelectionAgainstNaive compares breadcrumbs, sce and ramplus_tl on tensors
// of several blocks with restatements in fp64.
func TestSelectionAgainstNaive(t *testing.T) {
	t.Parallel()
	const n = blockElements + 5*kernel.BlockSize + 77
	set := made(n)
	delta := func(k, i int) float64 { return float64(set[k+1][i] - set[0][i]) }
	ascending := func(key func(i int) float64) []int {
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(key(a), key(b)) })
		return order
	}
	y := tiny{tensors: map[string][][]float32{"a": set}, numbers: map[string]float64{
		"0/weight": 0.5, "1/weight": 0.8, "2/weight": 0.3, "density": 0.3, "gamma": 0.02, "select_topk": 0.4, "epsilon": 0.01, "r": 0.3, "alpha": 5}}
	check := func(method string, want func(i int) float64) {
		t.Helper()
		wrong := 0
		for i, got := range run(t, method, y.problem(), "a", 3*kernel.BlockSize) {
			if math.Abs(float64(got)-float64(set[0][i])-want(i)) > 1e-7 {
				wrong++
			}
		}
		if wrong > 2 {
			t.Errorf("%s: %d of %d elements differ", method, wrong, n)
		}
	}
	sums := make([]float64, n)
	for k, w := range []float64{0.5, 0.8, 0.3} {
		order := ascending(func(i int) float64 { return math.Abs(delta(k, i)) })
		const top = n - n*2/100
		for _, i := range order[top-n*3/10 : top] {
			sums[i] += w * delta(k, i)
		}
	}
	check("breadcrumbs", func(i int) float64 { return sums[i] })

	variance := func(i int) float64 {
		mean := (delta(0, i) + delta(1, i) + delta(2, i)) / 3
		var v float64
		for k := range 3 {
			v += (delta(k, i) - mean) * (delta(k, i) - mean)
		}
		return float64(float32(v / 3))
	}
	selected := ascending(variance)[n-n*4/10:]
	chosen, squares := make([]bool, n), [3]float64{}
	for _, i := range selected {
		chosen[i] = true
		for k := range squares {
			squares[k] += delta(k, i) * delta(k, i)
		}
	}
	check("sce", func(i int) float64 {
		if !chosen[i] {
			return 0
		}
		plus := delta(0, i)+delta(1, i)+delta(2, i) >= 0
		var sum, weight float64
		for k := range 3 {
			if (delta(k, i) > 0) == plus {
				sum, weight = sum+squares[k]*delta(k, i), weight+squares[k]
			}
		}
		return sum / weight
	})

	var shared, unique [3]float64
	others := func(i int) (who []int) {
		for k := range 3 {
			if math.Abs(delta(k, i)) > float64(float32(0.01)) {
				who = append(who, k)
			}
		}
		return who
	}
	for i := range n {
		who := others(i)
		for _, k := range who {
			if len(who) == 1 {
				unique[k]++
			} else {
				shared[k]++
			}
		}
	}
	check("ramplus_tl", func(i int) (sum float64) {
		who := others(i)
		for _, k := range who {
			if len(who) == 1 {
				return delta(k, i) * (1 + 0.3*min(5, shared[k]/unique[k]))
			}
			sum += delta(k, i) / float64(len(who))
		}
		return sum
	})
}

// TestNaNIsSeen: a weight that is not a number does not vanish under a threshold.
func TestNaNIsSeen(t *testing.T) {
	t.Parallel()
	set := map[string][][]float32{"a": {{0}, {float32(math.NaN())}, {1}}}
	for _, method := range []string{"ram", "ramplus_tl"} {
		if got := run(t, method, tiny{tensors: set}.problem(), "a", 1)[0]; got == got {
			t.Errorf("%s: %v", method, got)
		}
	}
}

func TestSparseErrors(t *testing.T) {
	t.Parallel()
	set := map[string][][]float32{"a": {{1}, {2}, {3}}}
	for _, c := range []struct {
		method string
		tiny   tiny
		want   string
	}{
		{"breadcrumbs", tiny{tensors: set, numbers: map[string]float64{"weight": 1, "density": 0.5, "gamma": -1}}, "gamma"},
		{"della", tiny{tensors: set, numbers: map[string]float64{"weight": 1, "density": 0.5, "epsilon": math.NaN()}}, "epsilon"},
		{"della_linear", tiny{tensors: set}, "weight"},
		{"sce", tiny{tensors: set, numbers: map[string]float64{"select_topk": 1.5}}, "select_topk"},
		{"ram", tiny{tensors: set, numbers: map[string]float64{"epsilon": -1}}, "epsilon"},
		{"ramplus_tl", tiny{tensors: set, numbers: map[string]float64{"alpha": -1}}, "alpha"},
		{"passthrough", tiny{tensors: set, noBase: true}, "passthrough takes 1"},
		{"sce", tiny{tensors: set, noBase: true}, "base"},
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
}
