package peertest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"mergebot/configs"
	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// sparse are the recipes of the methods that thin deltas out, not at random, and of passthrough. sce differs by its
// weights, which mergekit sums in fp32.
var sparse = []comparison{
	{"breadcrumbs", true}, {"breadcrumbs_ties", true}, {"sce", false}, {"ram", true}, {"ramplus_tl", true}, {"passthrough", true},
}

// TestSparse merges by mergekit's golden files, without mergekit.
func TestSparse(t *testing.T) { likeGolden(t, "sparse", sparse) }

// TestMergekitSparse runs mergekit on the recipes and compares every element.
func TestMergekitSparse(t *testing.T) { likeMergekit(t, "sparse", sparse) }

// sparseTied is tied for breadcrumbs, which cuts twice.
func sparseTied(t *testing.T, r *configs.Recipe) map[string]map[int]bool {
	t.Helper()
	out := map[string]map[int]bool{}
	if r.MergeMethod != "breadcrumbs" && r.MergeMethod != "breadcrumbs_ties" {
		return out
	}
	base := familyModel(t, r.BaseModel.Repo)
	for i, m := range r.Models {
		density, gamma := r.ParameterNumber(i, "density", "", 0, 1), r.ParameterNumber(i, "gamma", "", 0, 0.01)
		expert := familyModel(t, m.Model.Repo)
		for _, name := range base.Names() {
			d := deltas(t, base, expert, name)
			n := len(d)
			kept, outliers := int(density*float64(n)), int(gamma*float64(n))
			small := max(0, n-kept-outliers)
			for k, v := range d {
				d[k] = float32(math.Abs(float64(v)))
			}
			sorted := slices.Sorted(slices.Values(d))
			for _, place := range []int{small, small + kept} {
				if place == 0 || place == n || sorted[place-1] != sorted[place] {
					continue // no choice to be made
				}
				for k, v := range d {
					if v == sorted[place] {
						if out[name] == nil {
							out[name] = map[int]bool{}
						}
						out[name][k] = true
					}
				}
			}
		}
	}
	return out
}

// TestMergekitDella compares by what does not depend on the generator, as TestMergekitDARE does.
func TestMergekitDella(t *testing.T) {
	peers(t)
	b := newBench(t)
	for _, name := range []string{"della", "della_linear"} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := openCheckpoint(t, b.merge(t, name)), openCheckpoint(t, b.mergekit(t, name))
			sameLayout(t, ours, theirs)
			t.Log("ours: ", ranked(t, ours))
			t.Log("mergekit: ", ranked(t, theirs))
		})
	}
}

// TestDella does the same without mergekit.
func TestDella(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"della", "della_linear"} {
		ranked(t, openCheckpoint(t, b.merge(t, name)))
	}
}

// ranked checks a DELLA merge of tiny/math at density 0.4 and epsilon 0.3: in each tenth of the rows' ranks the share
// kept is what its chances say, and what is kept is the expert's, scaled so that each tensor's L1 norm is what it was.
func ranked(t *testing.T, merged *checkpoint.Checkpoint) string {
	t.Helper()
	const density, epsilon = 0.4, 0.3
	base, expert := familyModel(t, "base"), familyModel(t, "math")
	var kept, of, want [10]float64
	worst := 0.0
	var r kernel.Ranker
	for _, name := range merged.Names() {
		full, got := deltas(t, base, expert, name), deltas(t, base, merged, name)
		info, _ := merged.Tensor(name)
		row := int(info.Shape[len(info.Shape)-1])
		ranks := make([]uint32, row)
		before, after := 0.0, 0.0
		for begin := 0; begin < len(full); begin += row {
			r.Rank(ranks, full[begin:begin+row])
			for k, rank := range ranks {
				i := begin + k
				before += math.Abs(float64(full[i]))
				if full[i] == 0 {
					continue // kept or not, it looks the same
				}
				tenth := int(rank) * 10 / row
				of[tenth]++
				want[tenth] += density - epsilon + 2*epsilon*float64(rank)/float64(row-1)
				if got[i] != 0 {
					kept[tenth]++
					after += math.Abs(float64(full[i]))
				}
			}
		}
		for i := range full {
			if got[i] != 0 {
				worst = max(worst, math.Abs(float64(got[i])-float64(full[i])*before/after))
			}
		}
	}
	if !(worst <= tolerance) {
		t.Errorf("a kept delta is off by %g", worst)
	}
	shares := ""
	for tenth := range kept {
		if d := math.Abs(kept[tenth] - want[tenth]); d > 5*math.Sqrt(want[tenth]) {
			t.Errorf("tenth %d of the ranks: %.0f of %.0f deltas kept, want about %.0f", tenth, kept[tenth], of[tenth], want[tenth])
		}
		shares += fmt.Sprintf(" %.3f", kept[tenth]/of[tenth])
	}
	return fmt.Sprintf("kept by tenth of the ranks%s; kept ones are off by at most %.2g", shares, worst)
}
