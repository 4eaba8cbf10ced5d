package peertest

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"mergebot/merge/checkpoint"
)

// tolerance is how far an element may lie from mergekit's. task_arithmetic and ties give mergekit's bits; linear is
// one rounding off here and there (1.2e-7 at most), since mergekit's multiply-add rounds once and ours twice.
const tolerance = 1e-6

// merges is golden/mergekit.json: what mergekit makes of the recipes of this folder.
type merges struct {
	Command  string
	Versions map[string]string
	Recipes  map[string]map[string]record // recipe → tensor
}

// record describes a tensor by what fits in a golden file.
type record struct {
	DType  checkpoint.DType `json:"dtype"`
	Shape  []int64          `json:"shape"`
	SHA256 string           `json:"sha256"` // of the elements as fp32, little endian
	Tied   int              `json:"tied,omitempty"`
	Sum    float64          `json:"sum"`
	Sample []float32        `json:"sample"` // every n-th element
}

// comparison is a recipe whose elements can be compared; exact says that they must be the same bits.
type comparison struct {
	name  string
	exact bool
}

var compared = []comparison{{"linear", false}, {"task_arithmetic", true}, {"ties", true}}

// TestMergesLikeMergekit merges by mergekit's golden files, without mergekit.
func TestMergesLikeMergekit(t *testing.T) { likeGolden(t, "mergekit", compared) }

// TestMergekit runs mergekit on the recipes and compares every element.
func TestMergekit(t *testing.T) { likeMergekit(t, "mergekit", compared) }

// likeGolden merges recipes and compares with what a golden file says of mergekit's results.
func likeGolden(t *testing.T, file string, recipes []comparison) {
	t.Helper()
	if *update {
		t.Skip("the golden files are being made")
	}
	var golden merges
	readJSON(t, goldenPath(file), &golden)
	b := newBench(t)
	for _, r := range recipes {
		t.Run(r.name, func(t *testing.T) {
			got, want := b.records(t, r.name, b.merge(t, r.name)), golden.Recipes[r.name]
			if len(got) != len(want) || len(want) == 0 {
				t.Errorf("%d tensors, want %d", len(got), len(want))
			}
			for name, w := range want {
				g := got[name]
				if g.DType != w.DType || !slices.Equal(g.Shape, w.Shape) || g.Tied != w.Tied || len(g.Sample) != len(w.Sample) {
					t.Errorf("%s: %s %v, %d tied; want %s %v, %d", name, g.DType, g.Shape, g.Tied, w.DType, w.Shape, w.Tied)
					continue
				}
				if r.exact {
					if g.SHA256 != w.SHA256 {
						t.Errorf("%s: other elements than mergekit's", name)
					}
					continue
				}
				count := int64(1)
				for _, d := range w.Shape {
					count *= d
				}
				if !(math.Abs(g.Sum-w.Sum) <= tolerance*math.Sqrt(float64(count))) { // roundings go either way
					t.Errorf("%s: sum %v, want %v", name, g.Sum, w.Sum)
				}
				for i := range w.Sample {
					if d := math.Abs(float64(g.Sample[i]) - float64(w.Sample[i])); !(d <= tolerance) {
						t.Errorf("%s: element of the sample %d is off by %g", name, i, d)
					}
				}
			}
		})
	}
}

// likeMergekit merges recipes by mergekit too, compares every element and holds the golden file to mergekit's results.
func likeMergekit(t *testing.T, file string, recipes []comparison) {
	t.Helper()
	peers(t)
	b := newBench(t)
	now := merges{Command: updateCommand, Recipes: map[string]map[string]record{}}
	b.script(t, "versions.py", []string{"mergekit", "torch", "transformers"}, &now.Versions)
	for _, r := range recipes {
		t.Run(r.name, func(t *testing.T) {
			theirs := b.mergekit(t, r.name)
			now.Recipes[r.name] = b.records(t, r.name, theirs)
			c, ours := openCheckpoint(t, theirs), openCheckpoint(t, b.merge(t, r.name))
			sameLayout(t, ours, c)
			tied := b.tied(t, r.name)
			worst, differ, free, total := 0.0, 0, 0, 0
			for _, name := range c.Names() {
				got, want := floats(t, ours, name), floats(t, c, name)
				for i := range want {
					total++
					if tied[name][i] {
						free++
						continue
					}
					d := math.Abs(float64(got[i]) - float64(want[i]))
					if d != 0 {
						differ++
					}
					worst = max(worst, d)
				}
			}
			t.Logf("%d elements: %d tied at a cut and left out, %d not mergekit's bits, the largest difference %g", total, free, differ, worst)
			if !(worst <= tolerance) || r.exact && differ > 0 || free > total/50 {
				t.Errorf("largest difference %g in %d elements, want %g; %d left out", worst, differ, tolerance, free)
			}
		})
	}
	if *update {
		writeJSON(t, goldenPath(file), now)
		return
	}
	var want merges
	readJSON(t, goldenPath(file), &want)
	if !reflect.DeepEqual(now.Recipes, want.Recipes) {
		t.Error("mergekit's own results are no longer those of the golden file")
	}
}

// mergekit runs mergekit on a recipe and returns the folder of its result.
func (b *bench) mergekit(t *testing.T, recipe string) string {
	t.Helper()
	dir := filepath.Join(b.work, "mergekit", recipe)
	// The two last are for adapters: where mergekit puts the models that it makes of them, and that it does not round those.
	b.peer(t, "mergekit-yaml", "--quiet", recipePath(recipe), dir, "--lora-merge-cache", filepath.Join(b.work, "adapted"), "--lora-merge-dtype", "float32")
	return dir
}

func sameLayout(t *testing.T, ours, theirs *checkpoint.Checkpoint) {
	t.Helper()
	if !slices.Equal(slices.Sorted(slices.Values(ours.Names())), slices.Sorted(slices.Values(theirs.Names()))) {
		t.Fatalf("tensors %v, mergekit's %v", ours.Names(), theirs.Names())
	}
	for _, x := range theirs.Tensors() {
		if y, _ := ours.Tensor(x.Name); y.DType != x.DType || !slices.Equal(y.Shape, x.Shape) {
			t.Errorf("%s: %s %v, mergekit's %s %v", x.Name, y.DType, y.Shape, x.DType, x.Shape)
		}
	}
}

// records describes a checkpoint's tensors; elements tied at a cut count as 0.
func (b *bench) records(t *testing.T, recipe, dir string) map[string]record {
	t.Helper()
	const samples = 16
	c, tied, out := openCheckpoint(t, dir), b.tied(t, recipe), map[string]record{}
	for _, info := range c.Tensors() {
		x := floats(t, c, info.Name)
		for i := range tied[info.Name] {
			x[i] = 0
		}
		r := record{DType: info.DType, Shape: info.Shape, Tied: len(tied[info.Name])}
		h := sha256.New()
		if err := binary.Write(h, binary.LittleEndian, x); err != nil {
			t.Fatal(err)
		}
		r.SHA256 = hex.EncodeToString(h.Sum(nil))
		for i, v := range x {
			r.Sum += float64(v)
			if i%((len(x)+samples-1)/samples) == 0 {
				r.Sample = append(r.Sample, v)
			}
		}
		out[info.Name] = r
	}
	return out
}

// tied finds, for a recipe with densities, the elements of each tensor whose delta in some model is as large as that
// model's cut: which of them are kept is a choice, and mergekit's differs from ours.
func (b *bench) tied(t *testing.T, recipe string) map[string]map[int]bool {
	t.Helper()
	r, out := loadRecipe(t, recipe), map[string]map[int]bool{}
	if r.MergeMethod != "ties" {
		return sparseTied(t, r)
	}
	for i, m := range r.Models {
		density := r.ParameterNumber(i, "density", "", 0, 1)
		base, expert := familyModel(t, r.BaseModel.Repo), familyModel(t, m.Model.Repo)
		for _, name := range base.Names() {
			d := deltas(t, base, expert, name)
			for k := range d {
				d[k] = float32(math.Abs(float64(d[k])))
			}
			sorted := slices.SortedFunc(slices.Values(d), func(x, y float32) int { return cmp.Compare(y, x) })
			kept := int(density * float64(len(d)))
			cut := sorted[kept-1]
			if sorted[kept] != cut { // no choice to be made
				continue
			}
			for k, v := range d {
				if v == cut {
					if out[name] == nil {
						out[name] = map[int]bool{}
					}
					out[name][k] = true
				}
			}
		}
	}
	return out
}

// familyModel opens a model of the family where the repository keeps it.
func familyModel(t *testing.T, repo string) *checkpoint.Checkpoint {
	t.Helper()
	return openCheckpoint(t, filepath.Join("..", "..", "testdata", "family", filepath.Base(repo)))
}

func deltas(t *testing.T, base, expert *checkpoint.Checkpoint, name string) []float32 {
	t.Helper()
	b, x := floats(t, base, name), floats(t, expert, name)
	for i := range x {
		x[i] -= b[i]
	}
	return x
}

// TestMergekitDARE compares the random methods by what does not depend on the generator: the share of the deltas that
// is kept, and that the kept ones are the expert's, scaled so that each tensor's L1 norm is what it was.
func TestMergekitDARE(t *testing.T) {
	peers(t)
	b := newBench(t)
	for _, name := range []string{"dare_linear", "dare_ties"} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := openCheckpoint(t, b.merge(t, name)), openCheckpoint(t, b.mergekit(t, name))
			sameLayout(t, ours, theirs)
			t.Log("ours: ", thinned(t, ours))
			t.Log("mergekit: ", thinned(t, theirs))
		})
	}
}

// TestDARE does the same without mergekit.
func TestDARE(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"dare_linear", "dare_ties"} {
		thinned(t, openCheckpoint(t, b.merge(t, name)))
	}
}

// thinned checks a DARE merge of tiny/math at density 0.3.
func thinned(t *testing.T, merged *checkpoint.Checkpoint) string {
	t.Helper()
	const density = 0.3
	base, expert := familyModel(t, "base"), familyModel(t, "math")
	kept, of, worst := 0, 0, 0.0
	for _, name := range merged.Names() {
		full, got := deltas(t, base, expert, name), deltas(t, base, merged, name)
		before, after, n, k := 0.0, 0.0, 0, 0
		for i := range full {
			before += math.Abs(float64(full[i]))
			if full[i] != 0 {
				n++
			}
			if got[i] != 0 {
				k++
				after += math.Abs(float64(full[i]))
			}
		}
		if want := density * float64(n); math.Abs(float64(k)-want) > 5*math.Sqrt(want*(1-density)) {
			t.Errorf("%s: %d of %d deltas kept, want about %.0f", name, k, n, want)
		}
		for i := range full {
			if got[i] != 0 {
				worst = max(worst, math.Abs(float64(got[i])-float64(full[i])*before/after))
			}
		}
		kept, of = kept+k, of+n
	}
	if !(worst <= tolerance) {
		t.Errorf("a kept delta is off by %g", worst)
	}
	return fmt.Sprintf("%d of %d deltas kept (%.4f); kept ones are off by at most %.2g", kept, of, float64(kept)/float64(of), worst)
}
