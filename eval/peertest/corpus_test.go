package peertest

import (
	"compress/gzip"
	"encoding/json"
	"io"
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

// corpus is a folder of recipes over made-up models, and what mergekit makes of them.
type corpus struct {
	folder   string                         // golden/FOLDER.json and golden/FOLDER.safetensors.gz are mergekit's results
	models   func(t testing.TB, dir string) // writes the models that the recipes call ./NAME
	inferred []string                       // recipes for which mergekit has to forget its table of architectures, and to read them from transformers
	precise  []string                       // recipes whose roundings on the way are mergekit's alone: it runs them in float32
}

func (c corpus) gold() string { return filepath.Join("golden", c.folder+".safetensors.gz") }

// recipes are the recipes by name.
func (c corpus) recipes(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.folder, "*.yaml"))
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

// recorded merges the recipes and compares every element with mergekit's golden file, without mergekit.
func (c corpus) recorded(t *testing.T) {
	t.Helper()
	if *update {
		t.Skip("the golden files are being made")
	}
	var depths map[string]depth
	readJSON(t, goldenPath(c.folder), &depths)
	c.like(t, unpackGold(t, c.gold()), depths)
}

// asked runs mergekit on the recipes, and holds the golden file to its results.
func (c corpus) asked(t *testing.T) {
	t.Helper()
	peers(t)
	b, work := newBench(t), t.TempDir()
	c.models(t, filepath.Join(work, "models"))
	now := filepath.Join(work, "tensors.safetensors.gz")
	var depths map[string]depth
	b.script(t, "recipes.py", map[string]any{"models": filepath.Join(work, "models"), "recipes": c.recipes(t), "work": work,
		"tensors": now, "inferred": c.inferred, "precise": c.precise}, &depths)
	if *update {
		data, err := os.ReadFile(now)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.gold(), data, 0o644); err != nil {
			t.Fatal(err)
		}
		writeJSON(t, goldenPath(c.folder), depths)
	}
	theirs := unpackGold(t, now)
	c.like(t, theirs, depths)
	kept := unpackGold(t, c.gold())
	sameLayout(t, kept, theirs)
	for _, name := range theirs.Names() {
		if !slices.Equal(floats(t, kept, name), floats(t, theirs, name)) {
			t.Errorf("%s: mergekit's own result is no longer that of the golden file", name)
		}
	}
}

// depth is what a result's config.json says of its layers; of mergekit's, 0 where it could not write it.
type depth struct {
	Layers int      `json:"num_hidden_layers"`
	GPT2   int      `json:"n_layer,omitempty"`
	Types  []string `json:"layer_types,omitempty"`
	Text   *depth   `json:"text_config,omitempty"`
}

// decoder is that of a config of whatever form.
func (d depth) decoder() depth {
	if d.Text != nil {
		return d.Text.decoder()
	}
	d.Layers = max(d.Layers, d.GPT2)
	return d
}

// unpackGold unpacks mergekit's results.
func unpackGold(t *testing.T, path string) *checkpoint.Checkpoint {
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

// like merges every recipe and compares it with mergekit's result.
func (c corpus) like(t *testing.T, theirs *checkpoint.Checkpoint, depths map[string]depth) {
	t.Helper()
	models := filepath.Join(t.TempDir(), "models")
	c.models(t, models)
	recipes := c.recipes(t)
	if len(depths) != len(recipes) {
		t.Errorf("%d recipes, the golden file has %d", len(recipes), len(depths))
	}
	for name, path := range recipes {
		t.Run(name, func(t *testing.T) {
			ours := openCheckpoint(t, mergeLocal(t, path, models))
			var written depth
			readJSON(t, filepath.Join(ours.Dir(), "config.json"), &written)
			got := written.decoder()
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

// mergeLocal runs a recipe over the models in a folder and returns the folder of the result.
func mergeLocal(t *testing.T, path, models string) string {
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

// whole: what the comparison skips, no recipe may hide behind.
func (c corpus) whole(t *testing.T) {
	t.Helper()
	if *update {
		t.Skip("the golden files are being made")
	}
	found := map[string]bool{}
	for _, name := range unpackGold(t, c.gold()).Names() {
		recipe, _, _ := strings.Cut(name, "/")
		found[recipe] = true
	}
	want := map[string]bool{}
	for name := range c.recipes(t) {
		want[name] = true
	}
	if !reflect.DeepEqual(found, want) {
		b, _ := json.Marshal(found)
		t.Errorf("the golden file has %s", b)
	}
}
