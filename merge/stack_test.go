package merge

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"mergebot/configs"
	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// tower is a checkpoint of so many layers; every element of a tensor is its number: the layer's, 100 more for the
// embeddings, 200 for the final norm, 300 for the output layer, and all of it plus add.
type tower struct {
	layers     int
	add        float32
	rows       int64 // of the vocabulary, 3 by default
	tied       bool
	stack      string // "model.layers." by default
	config     string
	odd, empty int // a layer of another shape, one without tensors; 0 for none
}

func (x tower) made() made {
	if x.rows == 0 {
		x.rows = 3
	}
	if x.stack == "" {
		x.stack = "model.layers."
	}
	m := made{tied: x.tied, data: map[string][]float32{}, shape: map[string][]int64{}, config: x.config}
	add := func(name string, v float32, shape ...int64) {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		m.data[name], m.shape[name] = slices.Repeat([]float32{v + x.add}, int(n)), shape
	}
	add(emb, 100, x.rows, 2)
	for l := range x.layers {
		width := int64(2)
		switch {
		case x.empty > 0 && l == x.empty:
			continue
		case x.odd > 0 && l == x.odd:
			width = 4
		}
		add(fmt.Sprint(x.stack, l, ".mlp.up_proj.weight"), float32(l), width, 2)
		add(fmt.Sprint(x.stack, l, ".input_layernorm.weight"), float32(l), 2)
	}
	add("model.norm.weight", 200, 2)
	if !x.tied {
		add(lmHead, 300, x.rows, 2)
	}
	return m
}

// towers are opened models by the repository's name in recipes.
type towers map[string]Model

func raise(t testing.TB, all map[string]tower) towers {
	t.Helper()
	out := towers{}
	for name, x := range all {
		out[name] = x.made().open(t, name)
	}
	return out
}

// merger binds a recipe whose models are named a/NAME.
func (ts towers) merger(t testing.TB, src string) (*Merger, error) {
	t.Helper()
	r := recipe(t, src)
	var base *Model
	if !r.BaseModel.IsZero() {
		m := ts[filepath.Base(r.BaseModel.Repo)]
		base = &m
	}
	var inputs []Input
	for _, m := range r.Inputs() {
		inputs = append(inputs, Input{Model: ts[filepath.Base(m.Model.Repo)]})
	}
	return New(kernel.CPU(), r, base, inputs)
}

func (ts towers) must(t testing.TB, src string) *Merger {
	t.Helper()
	m, err := ts.merger(t, src)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// first reads the first element of a tensor of the result.
func first(t testing.TB, m *Merger, name string) float32 {
	t.Helper()
	n := int64(1)
	for _, d := range m.Shape(name) {
		n *= d
	}
	x := make([]float32, n)
	if err := m.Read(name, x); err != nil {
		t.Fatal(err)
	}
	return x[0]
}

func up(layer int) string { return fmt.Sprintf("model.layers.%d.mlp.up_proj.weight", layer) }

// TestStack: layers are numbered anew; what comes before them is the first slice's, what comes after them the last's.
func TestStack(t *testing.T) {
	t.Parallel()
	ts := raise(t, map[string]tower{"x": {layers: 4}, "y": {layers: 6, add: 0.5}})
	m := ts.must(t, `merge_method: passthrough
slices:
  - sources: [{model: a/x, layer_range: [1, 3]}]
  - sources: [{model: a/y, layer_range: [4, 6]}]
  - sources: [{model: a/x, layer_range: [1, 2]}]
  - sources: [{model: a/y}]
`)
	for i, want := range []float32{1, 2, 4.5, 5.5, 1, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5} {
		if got := first(t, m, up(i)); got != want {
			t.Errorf("layer %d: %v, want %v", i, got, want)
		}
	}
	if got := []float32{first(t, m, emb), first(t, m, "model.norm.weight"), first(t, m, lmHead)}; !slices.Equal(got, []float32{100, 200.5, 300.5}) {
		t.Errorf("outside the layers: %v", got)
	}
	if n := len(m.Names()); n != 2*11+3 {
		t.Errorf("%d tensors", n)
	}
}

// TestStackEnds: the output layer is merged from all sources of the last slice, also where the first slice has fewer,
// of which mergekit 0.1.5 takes only as many.
func TestStackEnds(t *testing.T) {
	t.Parallel()
	ts := raise(t, map[string]tower{"x": {layers: 2}, "y": {layers: 2, add: 1}})
	m := ts.must(t, `merge_method: linear
slices:
  - sources: [{model: a/x, layer_range: [0, 1]}]
  - sources: [{model: a/x, layer_range: [1, 2]}, {model: a/y, layer_range: [0, 1]}]
parameters: {weight: 1}
`)
	for name, want := range map[string]float32{emb: 100, up(0): 0, up(1): 1, "model.norm.weight": 200.5, lmHead: 300.5} {
		if got := first(t, m, name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestStackBases: a slice's own base goes before the recipe's, which is an expert then; a slice may be the base's alone.
func TestStackBases(t *testing.T) {
	t.Parallel()
	ts := raise(t, map[string]tower{"x": {layers: 2}, "y": {layers: 2, add: 1}})
	m := ts.must(t, `merge_method: task_arithmetic
base_model: a/x
slices:
  - sources: [{model: a/x, layer_range: [0, 1]}, {model: a/y, layer_range: [0, 1], parameters: {weight: 0.25}}]
  - sources: [{model: a/x, layer_range: [1, 2]}]
  - sources: [{model: a/x, layer_range: [0, 1], parameters: {weight: 0.25}}, {model: a/y, layer_range: [0, 1]}]
    base_model: a/y
`)
	for i, want := range []float32{0.25, 1, 0.75} {
		if got := first(t, m, up(i)); got != want {
			t.Errorf("layer %d: %v, want %v", i, got, want)
		}
	}
	if got := first(t, m, lmHead); got != 300.75 {
		t.Errorf("output layer: %v", got)
	}
	// A searched coefficient multiplies the weights of one model, in all slices.
	if got := first(t, m.With(nil, []float64{1, 2}), up(0)); got != 0.5 {
		t.Errorf("with a coefficient: %v", got)
	}
}

// TestStackFilters: filters of a model's parameters see the source's name, those of the recipe's the result's.
func TestStackFilters(t *testing.T) {
	t.Parallel()
	ts := raise(t, map[string]tower{"x": {layers: 4}, "y": {layers: 4, add: 1}})
	m := ts.must(t, `merge_method: task_arithmetic
base_model: a/x
slices:
  - sources: [{model: a/x, layer_range: [2, 4]}, {model: a/y, layer_range: [2, 4]}]
parameters:
  weight: [{filter: layers.3., value: 0.5}, {value: 1}]
  lambda: [{filter: layers.0., value: 0.25}, {filter: layers.3., value: 9}, {value: 1}]
`)
	for i, want := range []float32{2.25, 3.5} {
		if got := first(t, m, up(i)); got != want {
			t.Errorf("layer %d: %v, want %v", i, got, want)
		}
	}
}

// TestOneSliceIsModels: one slice of all layers is the recipe of whole models, to its digest.
func TestOneSliceIsModels(t *testing.T) {
	t.Parallel()
	ts := raise(t, map[string]tower{"x": {layers: 3}, "y": {layers: 3, add: 1}, "z": {layers: 3, add: 0.1}})
	whole := ts.must(t, "merge_method: ties\nbase_model: a/x\nmodels: [{model: a/y, parameters: {weight: [0, 1], density: 0.7}}, {model: a/z}]\nparameters: {weight: 2}\n")
	for name, sources := range map[string]string{
		"ranges":  "[{model: a/y, layer_range: [0, 3], parameters: {weight: [0, 1], density: 0.7}}, {model: a/x, layer_range: [0, 3]}, {model: a/z, layer_range: [0, 3]}]",
		"without": "[{model: a/x}, {model: a/y, parameters: {weight: [0, 1], density: 0.7}}, {model: a/z}]",
	} {
		m := ts.must(t, "merge_method: ties\nbase_model: a/x\nslices: [{sources: "+sources+"}]\nparameters: {weight: 2}\n")
		if m.Digest() != whole.Digest() {
			t.Errorf("%s: another digest", name)
		}
		for _, tensor := range whole.Names() {
			if a, b := first(t, m, tensor), first(t, whole, tensor); a != b {
				t.Errorf("%s: %s is %v, not %v", name, tensor, a, b)
			}
		}
	}
	// Pruning needs no models: either.
	ts.must(t, "merge_method: magnitude\nbase_model: a/x\nslices: [{sources: [{model: a/x, layer_range: [0, 3]}, {model: a/y, layer_range: [0, 3], parameters: {density: 0.5}}]}]\n")
	// Other ranges are another merge.
	seen := map[string]string{}
	for _, ranges := range []string{"[0, 2]}, {model: a/y, layer_range: [0, 2]", "[0, 2]}, {model: a/y, layer_range: [1, 3]", "[1, 3]}, {model: a/y, layer_range: [0, 2]"} {
		d := ts.must(t, "merge_method: linear\nslices: [{sources: [{model: a/x, layer_range: "+ranges+"}]}]\nparameters: {weight: 1}\n").Digest()
		if seen[d] != "" {
			t.Errorf("%s has the digest of %s", ranges, seen[d])
		}
		seen[d] = ranges
	}
}

// TestStackMasks: random masks are those of the source's tensor: a layer that is used twice is thinned twice alike, and
// as in a recipe of whole models.
func TestStackMasks(t *testing.T) {
	t.Parallel()
	wide := func(add float32) made {
		m := made{data: map[string][]float32{}, shape: map[string][]int64{}}
		for _, name := range []string{emb, up(0), up(1), "model.norm.weight", lmHead} {
			m.data[name] = make([]float32, 600)
			for i := range m.data[name] {
				m.data[name][i] = float32(i%7) * add
			}
			m.shape[name] = []int64{60, 10}
		}
		return m
	}
	ts := towers{"x": wide(0).open(t, "x"), "y": wide(1).open(t, "y")}
	read := func(m *Merger, name string) []float32 {
		x := make([]float32, 600)
		if err := m.Read(name, x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	const rest = "parameters: {weight: 1, density: 0.5, rescale: false}\nmergebot: {seed: 3}\n"
	whole := ts.must(t, "merge_method: dare_linear\nbase_model: a/x\nmodels: [{model: a/y}]\n"+rest)
	stack := ts.must(t, `merge_method: dare_linear
base_model: a/x
slices:
  - sources: [{model: a/x, layer_range: [1, 2]}, {model: a/y, layer_range: [1, 2]}]
  - sources: [{model: a/x, layer_range: [0, 2]}, {model: a/y, layer_range: [0, 2]}]
`+rest)
	for to, from := range []int{1, 0, 1} {
		got, want := read(stack, up(to)), read(whole, up(from))
		if !slices.Equal(got, want) {
			t.Errorf("layer %d is not masked as layer %d of the whole model", to, from)
		}
		kept := kernel.Stream(3, fmt.Sprint("y/", up(from)))
		for i := range got {
			if on := kernel.Uniform(kept, int64(i)) >= 0.5; (got[i] != 0) != (on && i%7 != 0) {
				t.Fatalf("layer %d, element %d: %v, drawn %v", to, i, got[i], on)
			}
		}
	}
}

// TestStackIsRefused: what does not fit is an error with its entry in the recipe.
func TestStackIsRefused(t *testing.T) {
	t.Parallel()
	ts := raise(t, map[string]tower{"x": {layers: 4}, "y": {layers: 6, add: 1}, "gap": {layers: 4, empty: 2}, "odd": {layers: 4, odd: 2},
		"h": {layers: 4, stack: "transformer.h."}, "wide": {layers: 4, rows: 5}, "flat": {}})
	ts["two"] = made{data: map[string][]float32{"a.layers.0.w": {1}, "b.layers.0.w": {1}}}.open(t, "two")
	for name, c := range map[string]struct {
		src  string
		want error
		says string
		path []string
	}{
		"range": {"merge_method: passthrough\nslices: [{sources: [{model: a/y, layer_range: [0, 6]}]}, {sources: [{model: a/x, layer_range: [2, 5]}]}]\n",
			ErrLayers, "a/x has 4 layers, 0 to 3; the range [2, 5] goes on to layer 4", []string{"slices", "1", "sources", "0", "layer_range"}},
		"uneven": {"merge_method: linear\nparameters: {weight: 1}\nslices: [{sources: [{model: a/x}, {model: a/y}]}, {sources: [{model: a/x}, {model: a/y, layer_range: [1, 4]}]}]\n",
			ErrLayers, "6 of a/y, but 4", []string{"slices", "0", "sources", "1", "layer_range"}},
		"gap": {"merge_method: passthrough\nslices: [{sources: [{model: a/gap, layer_range: [1, 4]}]}]\n",
			ErrMissingTensor, "gap has no tensors of layer 2", []string{"slices", "0", "sources", "0", "layer_range"}},
		"shape": {"merge_method: linear\nparameters: {weight: 1}\nslices: [{sources: [{model: a/x, layer_range: [0, 3]}, {model: a/odd, layer_range: [1, 4]}]}]\n",
			ErrShape, "[4 2] in odd", []string{"slices", "0", "sources", "1", "layer_range"}},
		"hidden size": {"merge_method: passthrough\nslices: [{sources: [{model: a/x, layer_range: [0, 1]}]}, {sources: [{model: a/odd, layer_range: [2, 3]}]}]\n",
			ErrShape, "only fine-tuned models", []string{"slices", "1", "sources", "0", "layer_range"}},
		"another layout": {"merge_method: linear\nparameters: {weight: 1}\nslices: [{sources: [{model: a/x, layer_range: [0, 1]}, {model: a/h, layer_range: [0, 1]}]}]\n",
			ErrMissingTensor, "transformer.h.", []string{"slices", "0", "sources", "1", "layer_range"}},
		"stacked layouts": {"merge_method: passthrough\nslices: [{sources: [{model: a/x, layer_range: [0, 1]}]}, {sources: [{model: a/h, layer_range: [0, 1]}]}]\n",
			ErrMissingTensor, "are they of one family", []string{"slices", "1", "sources", "0", "layer_range"}},
		"two stacks": {"merge_method: passthrough\nslices: [{sources: [{model: a/two, layer_range: [0, 1]}]}]\n",
			nil, "more than one stack of layers", []string{"slices", "0", "sources", "0", "layer_range"}},
		"no layers": {"merge_method: passthrough\nslices: [{sources: [{model: a/flat, layer_range: [0, 1]}]}]\n",
			nil, "no layers", []string{"slices", "0", "sources", "0", "layer_range"}},
		"vocabularies": {"merge_method: passthrough\nslices: [{sources: [{model: a/x, layer_range: [0, 1]}]}, {sources: [{model: a/wide, layer_range: [0, 1]}]}]\n",
			ErrVocabulary, "wide has 5 tokens and x 3", []string{"slices", "1", "sources", "0", "layer_range"}},
		"pruning a part": {"merge_method: magnitude\nbase_model: a/x\nslices: [{sources: [{model: a/x, layer_range: [0, 3]}, {model: a/y, layer_range: [0, 3], parameters: {density: 0.5}}]}]\n",
			nil, "prunes whole models", []string{"slices", "0", "sources", "0", "layer_range"}},
		"too many": {"merge_method: passthrough\nslices: [" + strings.TrimSuffix(strings.Repeat("{sources: [{model: a/y}]}, ", 683), ", ") + "]\n",
			nil, "4098 layers; 4096 is the most", []string{"slices"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ts.merger(t, strings.ReplaceAll(c.src, "a/gap", "a/gap"))
			var entry *EntryError
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(strings.ReplaceAll(err.Error(), "a/", ""), strings.ReplaceAll(c.says, "a/", "")) {
				t.Fatalf("got %v, want %v: %s", err, c.want, c.says)
			}
			for _, one := range apart(err) {
				if errors.As(one, &entry) && slices.Equal(entry.Path, c.path) {
					return
				}
			}
			t.Errorf("%v is not at %v", err, c.path)
		})
	}
}

// apart are the errors that were joined.
func apart(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// TestStackVocabulary: tokenizer_source: base leaves out rows wherever in the stack they come from.
func TestStackVocabulary(t *testing.T) {
	t.Parallel()
	ts := raise(t, map[string]tower{"x": {layers: 2}, "wide": {layers: 2, rows: 5, add: 1}})
	m := ts.must(t, `merge_method: passthrough
base_model: a/x
tokenizer_source: base
slices:
  - sources: [{model: a/wide, layer_range: [0, 1]}]
  - sources: [{model: a/x, layer_range: [0, 1]}]
  - sources: [{model: a/wide, layer_range: [1, 2]}]
`)
	for _, name := range []string{emb, lmHead} {
		if s := m.Shape(name); !slices.Equal(s, []int64{3, 2}) {
			t.Errorf("%s: %v", name, s)
		}
	}
	if got := first(t, m, lmHead); got != 301 {
		t.Errorf("output layer: %v", got)
	}
	if len(m.Notes()) != 2 {
		t.Errorf("notes %q", m.Notes())
	}
}

// TestStackCheck: the plan says the result's real size, and what Write will note.
func TestStackCheck(t *testing.T) {
	t.Parallel()
	x := tower{layers: 3}.made()
	var tensors []checkpoint.Tensor
	for name, shape := range x.shape {
		tensors = append(tensors, header(name, checkpoint.BF16, shape...))
	}
	r := recipe(t, "merge_method: passthrough\nslices: [{sources: [{model: a/x}]}, {sources: [{model: a/x, layer_range: [1, 3]}]}]\n")
	var notes []string
	result, err := Check(r, nil, [][]checkpoint.Tensor{tensors}, CheckOptions{Configs: []map[string]any{{"num_hidden_layers": 3.0, "attn_layer_period": 2.0}},
		Note: func(s string) { notes = append(notes, s) }})
	if err != nil {
		t.Fatal(err)
	}
	if result.Layers != 5 || len(result.Tensors) != 2*5+3 || len(notes) != 1 || !strings.Contains(notes[0], "attn_layer_period: 2") {
		t.Errorf("%d layers, %d tensors, notes %q", result.Layers, len(result.Tensors), notes)
	}
	var bytes int64
	outputs, err := result.Outputs("float32")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outputs {
		bytes += o.Size()
	}
	if want := int64(4 * (6 + 5*(4+2) + 2 + 6)); bytes != want {
		t.Errorf("%d bytes, want %d", bytes, want)
	}
}

// TestStackSameBytes writes a stack under different numbers of threads, and once after a kill.
func TestStackSameBytes(t *testing.T) {
	src := `merge_method: dare_ties
base_model: acme/base
slices:
  - sources: [{model: acme/base, layer_range: [0, 3]}, {model: acme/math, layer_range: [0, 3]}, {model: acme/law, layer_range: [1, 4]}]
  - sources: [{model: acme/law, layer_range: [2, 4]}, {model: acme/base, layer_range: [2, 4]}]
parameters: {weight: [0.3, 0.7], density: 0.4}
dtype: float16
mergebot: {seed: 5}
`
	var want map[string]string
	for _, procs := range []int{1, 2, 8} {
		before := runtime.GOMAXPROCS(procs)
		m := ofFamily(t, recipe(t, src))
		w, err := m.Write(t.Context(), filepath.Join(t.TempDir(), "out"), WriteOptions{ShardSize: 1 << 20})
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = w.Files
		}
		if !reflect.DeepEqual(w.Files, want) || len(want) < 3 {
			t.Errorf("%d threads: %v, want %v", procs, w.Files, want)
		}
	}
	m, dir := ofFamily(t, recipe(t, src)), filepath.Join(t.TempDir(), "resumed")
	ctx, cancel := cancelled(t)
	if _, err := m.Write(ctx, dir, WriteOptions{ShardSize: 1 << 20, Progress: func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	}}); err == nil {
		t.Fatal("a cancelled write succeeded")
	}
	w, err := ofFamily(t, recipe(t, src)).Write(t.Context(), dir, WriteOptions{ShardSize: 1 << 20})
	if err != nil || !reflect.DeepEqual(w.Files, want) {
		t.Errorf("resumed: %v, %v", w, err)
	}
}

// ofFamily binds a recipe over the family.
func ofFamily(t testing.TB, r *configs.Recipe) *Merger {
	t.Helper()
	base := member(t, "base")
	var inputs []Input
	for _, m := range r.Inputs() {
		inputs = append(inputs, Input{Model: member(t, filepath.Base(m.Model.Repo))})
	}
	m, err := New(kernel.CPU(), r, &base, inputs)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestInputOrOutput: the tensors outside the layers, in the layouts that people have.
func TestInputOrOutput(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"model.embed_tokens.weight", "gpt_neox.embed_in.weight", "transformer.wte.weight", "transformer.wpe.weight", "transformer.word_embeddings.weight",
		"model.tok_embeddings.weight", "bert.embeddings.LayerNorm.bias", "model.embedding_norm.weight", "backbone.embeddings.weight", "transformer.relative_pe.slopes",
		"model.language_model.embed_tokens.weight", "embeddings.position_ids", "transformer.embd.wte.weight"} {
		if !isInput(name) {
			t.Errorf("%s comes after the layers", name)
		}
	}
	for _, name := range []string{"model.norm.weight", "lm_head.weight", "lm_head.bias", "gpt_neox.final_layer_norm.bias", "embed_out.weight", "transformer.ln_f.weight", "output.weight",
		"transformer.output_layer.weight", "model.final_layernorm.bias", "bert.pooler.dense.weight", "score.weight", "classifier.bias", "backbone.norm_f.weight", "cls.predictions.bias"} {
		if isInput(name) {
			t.Errorf("%s comes before the layers", name)
		}
	}
}
