package merge

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
	"mergebot/merge/method"
)

func header(name string, dtype checkpoint.DType, shape ...int64) checkpoint.Tensor {
	return checkpoint.Tensor{Name: name, DType: dtype, Shape: shape}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const f = checkpoint.BF16
	base := []checkpoint.Tensor{header(emb, f, 100, 8), header(q0, f, 8, 8), header(norm, f, 8), header(lmHead, f, 100, 8)}
	edit := func(change func(x []checkpoint.Tensor) []checkpoint.Tensor) []checkpoint.Tensor {
		return change(slices.Clone(base))
	}
	r := recipe(t, "merge_method: task_arithmetic\nbase_model: a/base\nmodels: [{model: a/x, parameters: {weight: 1}}]\n")
	trimming := recipe(t, "merge_method: task_arithmetic\nbase_model: a/base\ntokenizer_source: base\nmodels: [{model: a/x, parameters: {weight: 1}}]\n")
	larger := edit(func(x []checkpoint.Tensor) []checkpoint.Tensor {
		x[0], x[3] = header(emb, f, 101, 8), header(lmHead, f, 101, 8)
		return x
	})
	smaller := edit(func(x []checkpoint.Tensor) []checkpoint.Tensor {
		x[0], x[3] = header(emb, f, 99, 8), header(lmHead, f, 99, 8)
		return x
	})
	for _, c := range []struct {
		name   string
		expert []checkpoint.Tensor
		o      CheckOptions
		want   error
		says   []string
	}{
		{"the same", base, CheckOptions{}, nil, nil},
		{"missing", base[:3], CheckOptions{}, ErrMissingTensor, []string{"a/x", lmHead}},
		{"added", append(slices.Clone(base), header("model.layers.1.x.weight", f, 8, 8)), CheckOptions{}, ErrMissingTensor, []string{"model.layers.1.x.weight"}},
		{"shape", edit(func(x []checkpoint.Tensor) []checkpoint.Tensor { x[1] = header(q0, f, 8, 9); return x }), CheckOptions{}, ErrShape, []string{"[8 9]", "[8 8]"}},
		{"larger vocabulary", larger, CheckOptions{}, ErrVocabulary, []string{"101", "100", "tokenizer_source: base"}},
		{"smaller vocabulary", smaller, CheckOptions{}, ErrVocabulary, []string{"99", "100"}},
		{"quantised", edit(func(x []checkpoint.Tensor) []checkpoint.Tensor { x[1] = header(q0, checkpoint.I32, 8, 8); return x }), CheckOptions{}, ErrQuantised, []string{"I32", "bfloat16"}},
		{"another float", edit(func(x []checkpoint.Tensor) []checkpoint.Tensor { x[1] = header(q0, checkpoint.F32, 8, 8); return x }), CheckOptions{}, nil, nil},
		{"old buffers", append(slices.Clone(base), header("model.layers.0.self_attn.rotary_emb.inv_freq", checkpoint.F32, 4)), CheckOptions{}, nil, nil},
		{"an expert tied", base[:3], CheckOptions{Tied: []bool{true}}, nil, nil},
		{"the base tied", base, CheckOptions{BaseTied: true}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Check(r, base, [][]checkpoint.Tensor{c.expert}, c.o)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
	var notes []string
	if _, err := Check(trimming, base, [][]checkpoint.Tensor{larger}, CheckOptions{Note: func(s string) { notes = append(notes, s) }}); err != nil || len(notes) != 2 {
		t.Errorf("tokenizer_source: base: %v, notes %q", err, notes)
	}
	if _, err := Check(trimming, base, [][]checkpoint.Tensor{smaller}, CheckOptions{}); !errors.Is(err, ErrVocabulary) {
		t.Errorf("trimming to more rows than there are: %v", err)
	}
	if _, err := Check(r, base, [][]checkpoint.Tensor{base, base}, CheckOptions{}); err == nil {
		t.Error("two models for a recipe of one")
	}
	if _, err := Check(r, nil, [][]checkpoint.Tensor{base}, CheckOptions{}); err == nil {
		t.Error("task_arithmetic without a base")
	}
	r.MergeMethod = "arcee_fusion"
	if _, err := Check(r, base, [][]checkpoint.Tensor{base}, CheckOptions{}); !errors.Is(err, method.ErrNotBuiltIn) {
		t.Errorf("arcee_fusion: %v", err)
	}
}

// TestTiedAndTrimmed merges a tied base with an expert that is not, whose
// vocabulary is larger, and that stores a buffer; with integers carried over.
func TestTiedAndTrimmed(t *testing.T) {
	t.Parallel()
	const freq = "model.layers.0.self_attn.rotary_emb.inv_freq"
	base := made{tied: true, ints: []string{"ids"}, shape: map[string][]int64{emb: {2, 2}},
		data: map[string][]float32{emb: {1, 2, 3, 4}, norm: {1}, freq: {9}}}.open(t, "base")
	x := made{shape: map[string][]int64{emb: {3, 2}, lmHead: {3, 2}},
		data: map[string][]float32{emb: {2, 3, 4, 5, 6, 7}, lmHead: {0, 0, 0, 0, 0, 0}, norm: {3}}}.open(t, "x")
	r := recipe(t, "merge_method: task_arithmetic\nbase_model: a/base\ntokenizer_source: base\nmodels: [{model: a/x, parameters: {weight: 1}}]\n")
	mg, err := New(kernel.CPU(), r, &base, []Input{{Model: x}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"ids", emb, norm}; !slices.Equal(mg.Names(), want) {
		t.Fatalf("names %v, want %v", mg.Names(), want)
	}
	if len(mg.Notes()) != 3 {
		t.Errorf("notes %q", mg.Notes())
	}
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := mg.Write(t.Context(), dir, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	out := openModel(t, "out", dir)
	got := make([]float32, 4)
	if err := out.Checkpoint.Read(emb, got); err != nil || !slices.Equal(got, []float32{2, 3, 4, 5}) {
		t.Errorf("embeddings %v, %v", got, err)
	}
	ids := make([]byte, 16)
	if err := out.Checkpoint.ReadAt("ids", ids, 0); err != nil || string(ids) != "0123456789abcdef" {
		t.Errorf("integers %q, %v", ids, err)
	}
	r = recipe(t, "merge_method: task_arithmetic\nbase_model: a/base\nmodels: [{model: a/x, parameters: {weight: 1}}]\n")
	if _, err := New(kernel.CPU(), r, &base, []Input{{Model: x}}); !errors.Is(err, ErrVocabulary) {
		t.Errorf("different vocabularies: %v", err)
	}
}

// TestTooLarge: what does not fit the output format is an error, and leaves no
// weights behind.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	base := made{data: map[string][]float32{norm: {60000, 1}}}.open(t, "base")
	x := made{data: map[string][]float32{norm: {64000, 1}}}.open(t, "x")
	r := recipe(t, "merge_method: task_arithmetic\nbase_model: a/base\nmodels: [{model: a/x, parameters: {weight: 2}}]\n")
	mg, err := New(kernel.CPU(), r, &base, []Input{{Model: x}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := mg.Write(t.Context(), dir, WriteOptions{OutDType: "float16"}); err == nil || !strings.Contains(err.Error(), "bfloat16") {
		t.Errorf("68000 in float16: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "model.safetensors")); !os.IsNotExist(err) {
		t.Errorf("weights left behind: %v", err)
	}
	if _, err := mg.Write(t.Context(), dir, WriteOptions{OutDType: "int64"}); err == nil {
		t.Error("wrote integers")
	}
	if _, err := mg.Write(t.Context(), dir, WriteOptions{OutDType: "bfloat16"}); err != nil {
		t.Error(err)
	}
}
