package run

import (
	"strings"
	"testing"

	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/hub"
	"mergebot/merge/kernel"
	"mergebot/merge/search"
)

// What a coefficient search found belongs to one way of merging. Methods without a measurement have nothing but the
// recipe to tell them apart: their density, weights and semantics must be in the ledger's key and in the candidate's digest.
func TestSearchKeysTellRecipesApart(t *testing.T) {
	t.Parallel()
	key := func(t *testing.T, edit ...string) (in, digest string) {
		t.Helper()
		text := strings.NewReplacer(edit...).Replace(`
merge_method: dare_linear
base_model: tiny/base
models:
  - {model: tiny/math, parameters: {density: 0.2, weight: 1}}
  - {model: tiny/law, parameters: {density: 0.2, weight: 1}}
mergebot:
  seed: 7
  semantics: paper
  search: {coefficient: common, limit: 20}
  domains:
    math: {expert: tiny/math, tasks: [gsm8k]}
  gates: [{domain: math, min_ratio: 0.5}]
`)
		r, err := configs.Parse("recipe.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		info := engine.Pinned()
		p := &pipeline{recipe: r, scorer: &scorer{engine: info}, measured: make([]string, 2), ratios: make([][]float64, 2), plan: &Plan{recipe: r,
			Lock: Lock{Base: &LockedModel{Digest: "b"}, Models: []LockedModel{{Name: "tiny/math", Digest: "m"}, {Name: "tiny/law", Digest: "l"}}, Engine: &info}}}
		si := p.coefficientIn(nil)
		if in, err = hashOf(si); err != nil {
			t.Fatal(err)
		}
		return in, p.candidate(si, search.Candidate{Coefficients: []float64{0.5, 0.5}}, nil).digest
	}
	in, digest := key(t)
	for _, edit := range [][]string{{"density: 0.2", "density: 0.1"}, {"weight: 1}", "weight: 2}"}, {"seed: 7", "seed: 8"},
		{"semantics: paper", "semantics: mergekit"}, {"dare_linear", "dare_ties"}} {
		if a, b := key(t, edit...); a == in || b == digest {
			t.Errorf("%s → %s: the same key (%t) or the same candidate (%t)", edit[0], edit[1], a == in, b == digest)
		}
	}
	if a, b := key(t, "min_ratio: 0.5", "min_ratio: 0.9"); a != in || b != digest {
		t.Error("a gate changed the search's key: it would be searched again")
	}
}

// Another merge into the same folder must not take away what somebody put there.
func TestForeignFileInTheModel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, mine := dir+"/out", dir+"/out/mine.gguf"
	merge := func(density string) error {
		r, err := configs.Parse("recipe.yaml", []byte("merge_method: ties\nbase_model: ../../testdata/family/base\nmodels: [{model: ../../testdata/family/math, parameters: {weight: 1, density: "+density+"}}]\ndtype: float16\n"))
		if err != nil {
			t.Fatal(err)
		}
		storage, err := OpenStorage(dir + "/storage")
		if err != nil {
			t.Fatal(err)
		}
		defer storage.Close()
		client, err := hub.New(hub.Options{Endpoint: "http://127.0.0.1:1", Cache: dir + "/cache", Anonymous: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Merge(t.Context(), &Env{Hub: client, Storage: storage, Device: kernel.CPU(), ShardSize: 5e9}, r, out)
		return err
	}
	if err := merge("0.5"); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(mine, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if err := merge("0.5"); err != nil {
		t.Errorf("the same merge again: %v", err)
	}
	if err := merge("0.4"); err == nil || !strings.Contains(err.Error(), "mine.gguf") {
		t.Errorf("another merge over somebody's file: %v", err)
	}
	if sum, err := hashFile(t.Context(), mine); err != nil || sum != hashBytes([]byte("mine")) {
		t.Errorf("the file is gone: %v", err)
	}
}
