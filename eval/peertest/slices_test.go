package peertest

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mergebot/configs"
	"mergebot/merge"
	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// sliceGold is what mergekit makes of the recipes in slices/: every tensor, named RECIPE/TENSOR.
var sliceGold = filepath.Join("golden", "slices.safetensors.gz")

// sliceRecipes are the recipes by name.
func sliceRecipes(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("slices", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recipes: %v", err)
	}
	out := map[string]string{}
	for _, f := range files {
		if f, err = filepath.Abs(f); err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".yaml")] = f
	}
	return out
}

// TestSlices merges the recipes of slices/ and compares every element with mergekit's golden file, without mergekit.
func TestSlices(t *testing.T) {
	if *update {
		t.Skip("the golden files are being made")
	}
	var depths map[string]sliceConfig
	readJSON(t, goldenPath("slices"), &depths)
	likeSlices(t, openSliceGold(t, sliceGold), depths)
}

// TestMergekitSlices runs mergekit on the recipes, and holds the golden file to its results.
func TestMergekitSlices(t *testing.T) {
	peers(t)
	b, work := newBench(t), t.TempDir()
	writeSliceModels(t, filepath.Join(work, "models"))
	now := filepath.Join(work, "slices.safetensors.gz")
	var depths map[string]sliceConfig
	b.script(t, "slices.py", map[string]any{"models": filepath.Join(work, "models"), "recipes": sliceRecipes(t), "work": work, "tensors": now}, &depths)
	if *update {
		data, err := os.ReadFile(now)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(sliceGold, data, 0o644); err != nil {
			t.Fatal(err)
		}
		writeJSON(t, goldenPath("slices"), depths)
	}
	theirs := openSliceGold(t, now)
	likeSlices(t, theirs, depths)
	kept := openSliceGold(t, sliceGold)
	sameLayout(t, kept, theirs)
	for _, name := range theirs.Names() {
		if !slices.Equal(floats(t, kept, name), floats(t, theirs, name)) {
			t.Errorf("%s: mergekit's own result is no longer that of the golden file", name)
		}
	}
}

// sliceConfig is what a result's config.json says of its layers; of mergekit's, 0 where it could not write it.
type sliceConfig struct {
	Layers int      `json:"num_hidden_layers"`
	Types  []string `json:"layer_types,omitempty"`
}

// openSliceGold unpacks mergekit's results.
func openSliceGold(t *testing.T, path string) *checkpoint.Checkpoint {
	t.Helper()
	packed, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	from, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return openCheckpoint(t, dir)
}

// likeSlices merges every recipe and compares it with mergekit's result.
func likeSlices(t *testing.T, theirs *checkpoint.Checkpoint, depths map[string]sliceConfig) {
	models := filepath.Join(t.TempDir(), "models")
	writeSliceModels(t, models)
	recipes := sliceRecipes(t)
	if len(depths) != len(recipes) {
		t.Errorf("%d recipes, the golden file has %d", len(recipes), len(depths))
	}
	for name, path := range recipes {
		t.Run(name, func(t *testing.T) {
			ours := openCheckpoint(t, mergeSlices(t, path, models))
			var got sliceConfig
			readJSON(t, filepath.Join(ours.Dir(), "config.json"), &got)
			if want := depths[name].Layers; want > 0 && got.Layers != want || len(got.Types) > 0 && len(got.Types) != got.Layers {
				t.Errorf("config.json: %+v; mergekit's %d layers", got, want)
			}
			var d difference
			for _, x := range theirs.Tensors() {
				tensor, of := strings.CutPrefix(x.Name, name+"/")
				if !of || buffer(tensor) {
					continue
				}
				y, ok := ours.Tensor(tensor)
				if !ok || y.DType != x.DType || !slices.Equal(y.Shape, x.Shape) {
					t.Errorf("%s: %s %v, mergekit's %s %v", tensor, y.DType, y.Shape, x.DType, x.Shape)
					continue
				}
				d.add(tensor, floats(t, ours, tensor), floats(t, theirs, x.Name), x.DType)
			}
			if d.tensors != len(ours.Names()) || d.tensors == 0 {
				t.Errorf("%d tensors, mergekit has %d", len(ours.Names()), d.tensors)
			}
			d.check(t)
		})
	}
}

// buffer says that GPT-NeoX computes a tensor itself; only old checkpoints hold it, and only mergekit writes it.
func buffer(name string) bool {
	return strings.HasSuffix(name, ".attention.bias") || strings.HasSuffix(name, ".masked_bias") || strings.HasSuffix(name, ".inv_freq")
}

// mergeSlices runs a recipe over the models in a folder and returns the folder of the result.
func mergeSlices(t *testing.T, path, models string) string {
	t.Helper()
	r, err := configs.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	open := func(ref configs.ModelRef) merge.Model {
		return merge.Model{Name: filepath.Base(ref.Local), Checkpoint: openCheckpoint(t, filepath.Join(models, filepath.Base(ref.Local)))}
	}
	var base *merge.Model
	if !r.BaseModel.IsZero() {
		m := open(r.BaseModel)
		base = &m
	}
	var inputs []merge.Input
	for _, m := range r.Inputs() {
		inputs = append(inputs, merge.Input{Model: open(m.Model)})
	}
	m, err := merge.New(kernel.CPU(), r, base, inputs)
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.Write(t.Context(), filepath.Join(t.TempDir(), "out"), merge.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return w.Dir
}

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

// TestSliceGoldIsWhole: what the comparison skips, no recipe may hide behind.
func TestSliceGoldIsWhole(t *testing.T) {
	if *update {
		t.Skip("the golden files are being made")
	}
	var depths map[string]sliceConfig
	readJSON(t, goldenPath("slices"), &depths)
	found := map[string]bool{}
	for _, name := range openSliceGold(t, sliceGold).Names() {
		recipe, _, _ := strings.Cut(name, "/")
		found[recipe] = true
	}
	want := map[string]bool{}
	for name := range sliceRecipes(t) {
		want[name] = true
	}
	if !reflect.DeepEqual(found, want) {
		b, _ := json.Marshal(found)
		t.Errorf("the golden file has %s", b)
	}
}
