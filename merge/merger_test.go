package merge

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"mergebot/configs"
	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

func recipe(t testing.TB, src string) *configs.Recipe {
	t.Helper()
	r, err := configs.Parse("recipe.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// threeExperts is a recipe over the family, with what its method takes.
func threeExperts(t testing.TB, method string) *configs.Recipe {
	density := ", density: 0.2"
	base := "base_model: acme/base\n"
	switch method {
	case "linear":
		density, base = "", ""
	case "task_arithmetic":
		density = ""
	}
	return recipe(t, "merge_method: "+method+"\n"+base+`models:
  - {model: acme/math, parameters: {weight: 0.5`+density+`}}
  - {model: acme/finance, parameters: {weight: 0.3`+density+`}}
  - {model: acme/law, parameters: {weight: 0.7`+density+`}}
dtype: float16
mergebot: {seed: 7}
`)
}

// TestWriteIsAFunctionOfThePlan writes the same merge under different numbers
// of threads, and once in pieces, and compares every file.
func TestWriteIsAFunctionOfThePlan(t *testing.T) {
	base := member(t, "base")
	for _, method := range []string{"linear", "task_arithmetic", "ties", "dare_linear", "dare_ties", "magnitude", "owl", "dppa"} {
		b := &base
		if method == "linear" {
			b = nil
		}
		sameWithThreads(t, threeExperts(t, method), b, domains)
	}
}

// sameWithThreads merges experts with 1, 2 and 5 threads and compares the files.
func sameWithThreads(t *testing.T, r *configs.Recipe, base *Model, experts []string) {
	t.Helper()
	var first map[string]string
	for _, procs := range []int{1, 2, 5} {
		before := runtime.GOMAXPROCS(procs)
		var inputs []Input
		for _, d := range experts {
			inputs = append(inputs, Input{Model: member(t, d)})
		}
		mg, err := New(kernel.CPU(), r, base, inputs)
		if err != nil {
			t.Fatal(err)
		}
		w, err := mg.Write(t.Context(), filepath.Join(t.TempDir(), "out"), WriteOptions{ShardSize: 1 << 20})
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatalf("%s: %v", r.MergeMethod, err)
		}
		if w.Tensors != 39 || len(w.Files) < 3 {
			t.Fatalf("%s: wrote %d tensors, files %v", r.MergeMethod, w.Tensors, w.Files)
		}
		if first == nil {
			first = w.Files
		}
		for f, sum := range first {
			if w.Files[f] != sum {
				t.Errorf("%s: %s differs with %d threads", r.MergeMethod, f, procs)
			}
		}
	}
}

// TestWrittenIsReadRounded compares what Write stores with what Read gives.
func TestWrittenIsReadRounded(t *testing.T) {
	t.Parallel()
	base := member(t, "base")
	var inputs []Input
	for _, d := range domains {
		x := member(t, d)
		inputs = append(inputs, Input{Model: x, Measurement: mustMeasure(t, base, x, paperPruning(PruneDP, 0.2, 0.1)), Ratios: []float64{1.6, 0.75}, Coefficient: 0.8})
	}
	mg, err := NewTreated(kernel.CPU(), base, inputs)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var last int64
	w, err := mg.Write(t.Context(), dir, WriteOptions{OutDType: "bfloat16", Progress: func(done, total int64) {
		if done <= last || done > total {
			t.Errorf("progress %d after %d of %d", done, last, total)
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	if last != w.Bytes {
		t.Errorf("progress ended at %d of %d", last, w.Bytes)
	}
	out := openModel(t, "out", dir)
	if !slices.Equal(out.Checkpoint.Names(), mg.Names()) {
		t.Errorf("names %v", out.Checkpoint.Names())
	}
	config, err := out.Checkpoint.Config()
	if err != nil || config["torch_dtype"] != "bfloat16" {
		t.Errorf("config %v, %v", config["torch_dtype"], err)
	}
	for _, f := range []string{"tokenizer.json", "generation_config.json"} {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range mg.Names() {
		n := elements(mg.Shape(name))
		got, want := make([]float32, n), make([]float32, n)
		if err := out.Checkpoint.Read(name, got); err != nil {
			t.Fatal(err)
		}
		if err := mg.Read(name, want); err != nil {
			t.Fatal(err)
		}
		if err := kernel.CPU().Round(want, want, kernel.BF16); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: stored and read differ", name)
		}
		sum := make([]float32, n) // the definition, expert by expert
		if err := base.Checkpoint.Read(name, sum); err != nil {
			t.Fatal(err)
		}
		for _, in := range inputs {
			d := treatedDelta(t, base, in.Model, in.Measurement, name, in.Ratios)
			for i := range sum {
				sum[i] += float32(float32(0.8) * d[i])
			}
		}
		if err := kernel.CPU().Round(sum, sum, kernel.BF16); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, sum) {
			t.Errorf("%s: stored and defined differ", name)
		}
	}
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// TestWith checks that a candidate is the merge made with its numbers.
func TestWith(t *testing.T) {
	t.Parallel()
	base, x := member(t, "base"), member(t, "math")
	m := mustMeasure(t, base, x, paperPruning(PruneDP, 0.2, 0.1))
	make1 := func(in Input) *Merger {
		in.Model, in.Measurement = x, m
		mg, err := NewTreated(kernel.CPU(), base, []Input{in})
		if err != nil {
			t.Fatal(err)
		}
		return mg
	}
	const name = "model.layers.1.mlp.down_proj.weight"
	read := func(mg *Merger) []float32 {
		dst := make([]float32, elements(mg.Shape(name)))
		if err := mg.Read(name, dst); err != nil {
			t.Fatal(err)
		}
		return dst
	}
	plain := make1(Input{})
	direct := make1(Input{Ratios: []float64{1.8, 0}, Coefficient: 0.6})
	candidate := plain.With([][]float64{{1.8, 0}}, []float64{0.6})
	if !slices.Equal(read(direct), read(candidate)) {
		t.Error("a candidate differs from the merge made with its numbers")
	}
	if slices.Equal(read(plain), read(candidate)) {
		t.Error("a candidate changed nothing, or changed the merge it came from")
	}
	if direct.Digest() != candidate.Digest() || plain.Digest() == candidate.Digest() {
		t.Error("digests do not follow ratios and coefficients")
	}
	original := make([]float32, len(read(plain)))
	if err := base.Checkpoint.Read(name, original); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read(plain.With(nil, []float64{0})), original) {
		t.Error("coefficient 0 is not the base")
	}
	for _, bad := range []*Merger{plain.With([][]float64{{1}}, nil), plain.With([][]float64{{1, math.NaN()}}, nil)} {
		if err := bad.Read(name, original); err == nil {
			t.Error("bad ratios were taken")
		}
		if _, err := bad.Write(t.Context(), filepath.Join(t.TempDir(), "x"), WriteOptions{}); err == nil {
			t.Error("bad ratios were written")
		}
	}
}

// TestMeasurementsAreMadeWhenMissing: a recipe alone gives the same bytes as
// one whose experts were measured before, and the same digest.
func TestMeasurementsAreMadeWhenMissing(t *testing.T) {
	t.Parallel()
	base := member(t, "base")
	r := threeExperts(t, "dppa")
	const name = "model.layers.0.mlp.up_proj.weight"
	var outs [2][]float32
	var digests [2]string
	for i := range outs {
		var inputs []Input
		for j, d := range domains {
			in := Input{Model: member(t, d)}
			if i == 1 {
				in.Measurement = mustMeasure(t, base, in.Model, RecipePruning(r, j))
			}
			inputs = append(inputs, in)
		}
		mg, err := New(kernel.CPU(), r, &base, inputs)
		if err != nil {
			t.Fatal(err)
		}
		outs[i] = make([]float32, elements(mg.Shape(name)))
		digests[i] = mg.Digest()
		if err := mg.Read(name, outs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(outs[0], outs[1]) || digests[0] != digests[1] {
		t.Error("a measurement given and one made when needed differ")
	}
}

// TestResume checks that finished shards are kept.
func TestResume(t *testing.T) {
	t.Parallel()
	base := member(t, "base")
	r := threeExperts(t, "task_arithmetic")
	mg, err := New(kernel.CPU(), r, &base, []Input{{Model: member(t, "math")}, {Model: member(t, "finance")}, {Model: member(t, "law")}})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := mg.Write(t.Context(), filepath.Join(t.TempDir(), "whole"), WriteOptions{ShardSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "resumed")
	ctx, cancel := cancelled(t)
	_, err = mg.Write(ctx, dir, WriteOptions{ShardSize: 1 << 20, Progress: func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	}})
	if err == nil {
		t.Fatal("a cancelled write succeeded")
	}
	outputs, err := mg.layout.result().Outputs("float16")
	if err != nil {
		t.Fatal(err)
	}
	out, err := checkpoint.Create(dir, outputs, checkpoint.WriterOptions{ShardSize: 1 << 20, Stamp: mg.Digest() + "/float16"})
	if err != nil {
		t.Fatal(err)
	}
	if !out.Shards()[0].Done {
		t.Error("nothing was kept of the first attempt")
	}
	again, err := mg.Write(t.Context(), dir, WriteOptions{ShardSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for f, sum := range whole.Files {
		if again.Files[f] != sum {
			t.Errorf("%s differs after resuming", f)
		}
	}
}

// TestMeasurementIsPlainData: a measurement that went through JSON merges to
// the same bytes, and progress counts to its end.
func TestMeasurementIsPlainData(t *testing.T) {
	t.Parallel()
	base, x := member(t, "base"), member(t, "finance")
	for _, kind := range []string{PruneDP, PruneMagnitude, PruneOWL, PruneDARE, PruneNone} {
		var done, total int64
		m, err := Measure(t.Context(), kernel.CPU(), base, x, paperPruning(kind, 0.2, 0.1), func(d, n int64) {
			if d < done || d > n {
				t.Errorf("%s: progress %d of %d after %d", kind, d, n, done)
			}
			done, total = d, n
		})
		if err != nil {
			t.Fatal(err)
		}
		if done != total || total == 0 {
			t.Errorf("%s: progress ended at %d of %d", kind, done, total)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var again Measurement
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatal(err)
		}
		ratios := make([]float64, m.Partitions())
		for i := range ratios {
			ratios[i] = 1.7 - float64(i)
		}
		for _, name := range []string{"lm_head.weight", "model.layers.2.self_attn.k_proj.weight"} {
			if !slices.Equal(treatedDelta(t, base, x, m, name, ratios), treatedDelta(t, base, x, &again, name, ratios)) {
				t.Errorf("%s: %s differs after JSON", kind, name)
			}
		}
		if len(b) > 64<<10 {
			t.Errorf("%s: %d bytes for 39 tensors", kind, len(b))
		}
	}
}
