package run

import (
	"encoding/binary"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"mergebot/configs"
	"mergebot/hub"
	"mergebot/hub/embedded"
	"mergebot/merge/kernel"
	"mergebot/testdata/familyhub"
)

// familyRecipe is a whole recipe over the tiny family.
const familyRecipe = `merge_method: dppa
base_model: tiny/base
models:
  - {model: tiny/math, parameters: {density: 0.2}}
  - {model: tiny/finance, parameters: {density: 0.2}}
  - {model: tiny/law, parameters: {density: 0.2}}
dtype: float16
mergebot:
  domains:
    math: {expert: tiny/math, tasks: [gsm8k, math]}
    finance: {expert: tiny/finance, tasks: [fiqa_sa, fpb]}
    law: {expert: tiny/law, tasks: [scotus, unfair_tos]}
  evaluate:
    tasks:
      gsm8k: {revision: main}
      math: {revision: main, dataset: EleutherAI/hendrycks_math}
      fiqa_sa: {revision: main}
      fpb: {revision: main}
      scotus: {revision: main}
      unfair_tos: {revision: main}
  publish: {repo: acme/all, license: apache-2.0}
`

// mergeRecipe merges and scores nothing.
const mergeRecipe = `merge_method: task_arithmetic
base_model: tiny/base
models:
  - {model: tiny/math, parameters: {weight: 1}}
dtype: float16
mergebot:
  publish: {repo: acme/sum, private: false}
`

// familyHub serves the tiny family, and what a test adds to it.
type familyHub struct {
	URL    string
	faults *embedded.Faults
	dir    string
}

// openFamily serves the family; edit may change the seed folder before it is read.
func openFamily(t testing.TB, edit func(models string)) *familyHub {
	t.Helper()
	dir := t.TempDir()
	seed := filepath.Join(dir, "seed")
	if err := familyhub.WriteSeed(seed); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(filepath.Join(seed, "models"))
	}
	f := &familyHub{faults: new(embedded.Faults), dir: dir}
	server, err := embedded.Listen(t.Context(), embedded.Options{Root: filepath.Join(dir, "hub"), Faults: f.faults}, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if err := server.Seed(t.Context(), seed); err != nil {
		t.Fatal(err)
	}
	f.URL = server.URL
	return f
}

// env is an environment of its own, with an empty cache and storage.
func (f *familyHub) env(t testing.TB) *Env {
	t.Helper()
	client, err := hub.New(hub.Options{Endpoint: f.URL, Cache: t.TempDir(), Anonymous: true, HTTP: &http.Client{}})
	if err != nil {
		t.Fatal(err)
	}
	storage, err := OpenStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { storage.Close() })
	return &Env{Hub: client, Storage: storage, Device: kernel.CPU(), ShardSize: 5e9}
}

func parse(t testing.TB, text string) *configs.Recipe {
	t.Helper()
	r, err := configs.Parse("recipes/r.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// addModel puts a repository of a card and weights, given by a safetensors header, into a seed folder.
func addModel(t testing.TB, models, repo, card, header string, size int) {
	t.Helper()
	dir := filepath.Join(models, filepath.FromSlash(repo))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	weights := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	for name, b := range map[string][]byte{"README.md": []byte("---\n" + card + "---\n"), "config.json": []byte(`{"num_hidden_layers": 2}`),
		"model.safetensors": append(weights, make([]byte, size)...)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
