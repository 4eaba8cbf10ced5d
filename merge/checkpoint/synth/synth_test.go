package main

import (
	"crypto/sha256"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mergebot/merge/checkpoint"
)

func hashOf(t *testing.T, dir string) [32]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

func values(t *testing.T, dir, name string) []float32 {
	t.Helper()
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	x, _ := c.Tensor(name)
	v := make([]float32, x.Elements())
	if err := c.Read(name, v); err != nil {
		t.Fatal(err)
	}
	return v
}

// moments returns the mean, standard deviation and kurtosis.
func moments(v []float32) (mean, std, kurtosis float64) {
	for _, x := range v {
		mean += float64(x) / float64(len(v))
	}
	var m2, m4 float64
	for _, x := range v {
		d := float64(x) - mean
		m2 += d * d / float64(len(v))
		m4 += d * d * d * d / float64(len(v))
	}
	return mean, math.Sqrt(m2), m4 / (m2 * m2)
}

func near(got, want, share float64) bool { return math.Abs(got-want) <= share*want }

func TestSynth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, args := range []string{
		"-dtype float32 -vocab 999 -out " + at("base"),
		"-dtype float32 -vocab 999 -out " + at("same"),
		"-dtype float32 -vocab 999 -seed 1 -out " + at("other"),
		"-base " + at("base") + " -seed 2 -delta-scale 0.5 -out " + at("expert"),
		"-preset tiny -tied -dtype float16 -shard-size 40000 -tokenizer ../../../testdata/family/base -out " + at("sharded"),
	} {
		if err := run(t.Context(), strings.Fields(args)); err != nil {
			t.Fatal(args, err)
		}
	}
	if hashOf(t, at("base")) != hashOf(t, at("same")) || hashOf(t, at("base")) == hashOf(t, at("other")) {
		t.Error("the values are not a function of the seed")
	}
	const name = "model.layers.1.mlp.up_proj.weight"
	base, expert := values(t, at("base"), name), values(t, at("expert"), name)
	if mean, std, _ := moments(base); math.Abs(mean) > 0.001 || !near(std, 0.02, 0.05) {
		t.Errorf("base has mean %v, standard deviation %v", mean, std)
	}
	for i := range expert {
		expert[i] -= base[i]
	}
	if _, std, kurtosis := moments(expert); !near(std, 0.01, 0.1) || !near(kurtosis, 6.8, 0.2) {
		t.Errorf("the delta has standard deviation %v, kurtosis %v", std, kurtosis)
	}
	c, err := checkpoint.Open(at("sharded"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, ok := c.Tensor("lm_head.weight"); ok || !c.TiedEmbeddings() || len(c.Files()) < 2 {
		t.Errorf("tied %v in %d files", c.TiedEmbeddings(), len(c.Files()))
	}
	if k := c.Shape("model.layers.0.self_attn.k_proj.weight"); len(k) != 2 || k[0] != 32 || k[1] != 64 {
		t.Errorf("k_proj has shape %v", k)
	}
	if _, err := os.Stat(at("sharded/tokenizer.json")); err != nil {
		t.Error(err)
	}
}

func TestPresetSize(t *testing.T) {
	t.Parallel()
	for preset, want := range map[string]int64{"1.1b": 1_100_048_384, "7b": 6_738_415_616} { // TinyLlama's, LLaMA-2's own counts
		var params int64
		for _, o := range presets[preset].tensors(checkpoint.BF16) {
			params += o.Size() / 2
		}
		if params != want {
			t.Errorf("%s has %d parameters", preset, params)
		}
	}
}

// Of a sparse checkpoint the blocks that have values have those of the whole
// one, the others are zeros.
func TestSparse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, args := range []string{
		"-vocab 20000 -out " + at("whole"),
		"-vocab 20000 -sparse 2 -out " + at("sparse"),
		"-base " + at("whole") + " -seed 2 -out " + at("wholeExpert"),
		"-base " + at("sparse") + " -seed 2 -sparse 2 -out " + at("sparseExpert"),
	} {
		if err := run(t.Context(), strings.Fields(args)); err != nil {
			t.Fatal(args, err)
		}
	}
	for whole, sparse := range map[string]string{"whole": "sparse", "wholeExpert": "sparseExpert"} {
		for _, name := range []string{"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} {
			want, got := values(t, at(whole), name), values(t, at(sparse), name)
			for i, x := range want {
				if i/blockSize%2 == 1 {
					x = 0
				}
				if got[i] != x {
					t.Fatalf("%s, %s: element %d is %v, not %v", sparse, name, i, got[i], x)
				}
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"", "-preset 8b -out x", "-dtype int8 -out x", "-sparse -1 -out x", "-heads 5 -out x", "-kv-heads 3 -out x", "-hidden -1 -out x", "-base nowhere -out x",
	} {
		if err := run(t.Context(), strings.Fields(args)); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
