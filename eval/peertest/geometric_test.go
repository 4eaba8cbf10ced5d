package peertest

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// geometric are the recipes of the methods that go by lengths and angles.
var geometric = []string{
	"slerp", "nuslerp", "nuslerp-deltas", "nuslerp-rows", "nuslerp-columns", "multislerp", "multislerp-deltas",
	"karcher", "nearswap", "model_stock", "model_stock-rows",
}

// closest is how far an element may lie from mergekit's in float64, rounded to float32: two roundings of numbers up to 2.
// In float32 mergekit adds up norms and products in that type, too, and is itself 1.8e-6 off what it computes in float64.
const closest = 3e-7

// thinner leaves every fourth element of the samples in the golden file.
const thinner = 4

// TestGeometric merges by mergekit's golden files, without mergekit.
func TestGeometric(t *testing.T) {
	if *update {
		t.Skip("the golden files are being made")
	}
	var golden merges
	readJSON(t, goldenPath("geometric"), &golden)
	b := newBench(t)
	for _, recipe := range geometric {
		t.Run(recipe, func(t *testing.T) {
			got, want := b.thinRecords(t, recipe, b.merge(t, recipe)), golden.Recipes[recipe]
			if len(got) != len(want) || len(want) == 0 {
				t.Errorf("%d tensors, want %d", len(got), len(want))
			}
			for name, w := range want {
				g, count := got[name], int64(1)
				if g.DType != w.DType || !slices.Equal(g.Shape, w.Shape) || len(g.Sample) != len(w.Sample) {
					t.Errorf("%s: %s %v, want %s %v", name, g.DType, g.Shape, w.DType, w.Shape)
					continue
				}
				for _, d := range w.Shape {
					count *= d
				}
				// Roundings of elements go either way, those of coefficients all one way.
				if !(math.Abs(g.Sum-w.Sum) <= closest*(math.Sqrt(float64(count))+math.Abs(w.Sum))) {
					t.Errorf("%s: sum %v, want %v", name, g.Sum, w.Sum)
				}
				for i := range w.Sample {
					if d := math.Abs(float64(g.Sample[i]) - float64(w.Sample[i])); !(d <= closest) {
						t.Errorf("%s: element of the sample %d is off by %g", name, i, d)
					}
				}
			}
		})
	}
}

// thinRecords are a checkpoint's records with fewer samples.
func (b *bench) thinRecords(t *testing.T, recipe, dir string) map[string]record {
	t.Helper()
	all := b.records(t, recipe, dir)
	for name, r := range all {
		var thin []float32
		for i := 0; i < len(r.Sample); i += thinner {
			thin = append(thin, r.Sample[i])
		}
		r.Sample = thin
		all[name] = r
	}
	return all
}

// mergekitDouble runs mergekit on a recipe in float64, and has it write float32.
func (b *bench) mergekitDouble(t *testing.T, recipe string) string {
	t.Helper()
	text, err := os.ReadFile(recipePath(recipe))
	if err != nil {
		t.Fatal(err)
	}
	single, double := []byte("\ndtype: float32\n"), []byte("\ndtype: float64\nout_dtype: float32\n")
	if !bytes.Contains(text, single) {
		t.Fatalf("%s is not in float32", recipe)
	}
	path := filepath.Join(b.work, recipe+".yaml")
	if err := os.WriteFile(path, bytes.Replace(text, single, double, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(b.work, "mergekit", recipe)
	b.peer(t, "mergekit-yaml", "--quiet", path, dir)
	return dir
}

// TestMergekitGeometric runs mergekit on the recipes and compares every element.
func TestMergekitGeometric(t *testing.T) {
	peers(t)
	b := newBench(t)
	now := merges{Command: updateCommand, Recipes: map[string]map[string]record{}}
	b.script(t, "versions.py", []string{"mergekit", "torch", "transformers"}, &now.Versions)
	for _, recipe := range geometric {
		t.Run(recipe, func(t *testing.T) {
			dir := b.mergekitDouble(t, recipe)
			now.Recipes[recipe] = b.thinRecords(t, recipe, dir)
			theirs, ours := openCheckpoint(t, dir), openCheckpoint(t, b.merge(t, recipe))
			sameLayout(t, ours, theirs)
			worst, where, differ, total := 0.0, "", 0, 0
			for _, name := range theirs.Names() {
				got, want := floats(t, ours, name), floats(t, theirs, name)
				for i := range want {
					d := math.Abs(float64(got[i]) - float64(want[i]))
					if d != 0 {
						differ++
					}
					if d > worst {
						worst, where = d, name
					}
					total++
				}
			}
			t.Logf("%d of %d elements are not mergekit's bits; the largest difference is %.2g, in %s", differ, total, worst, where)
			if !(worst <= closest) {
				t.Errorf("largest difference %g, want %g", worst, closest)
			}
		})
	}
	if *update {
		writeJSON(t, goldenPath("geometric"), now)
		return
	}
	var want merges
	readJSON(t, goldenPath("geometric"), &want)
	if !reflect.DeepEqual(now.Recipes, want.Recipes) {
		t.Error("mergekit's own results are no longer those of the golden file")
	}
}
