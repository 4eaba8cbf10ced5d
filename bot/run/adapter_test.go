package run

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mergebot/configs"
	"mergebot/hub"
	"mergebot/merge/checkpoint"
)

// adapterGold holds tiny models, adapters and what PEFT merges of them; see merge/checkpoint.
const adapterGold = "../../merge/checkpoint/testdata/lora"

// addRepo copies files into a repository of a seed folder, with a card.
func addRepo(t testing.TB, models, repo, card, from string) {
	t.Helper()
	dir := filepath.Join(models, filepath.FromSlash(repo))
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"merged.safetensors", "exact.safetensors"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	write(t, dir, "README.md", "---\n"+card+"---\n")
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// openAdapters serves a tiny LLaMA and adapters for it.
func openAdapters(t *testing.T) *familyHub {
	return openFamily(t, func(models string) {
		gold := func(name string) string { return filepath.Join(adapterGold, filepath.FromSlash(name)) }
		addRepo(t, models, "tiny/llama", "license: mit\n", gold("llama"))
		addRepo(t, models, "tiny/moved", "license: mit\n", gold("llama")) // the same under another name
		addRepo(t, models, "tiny/plain", "license: apache-2.0\nbase_model: tiny/llama\n", gold("adapters/plain"))
		addRepo(t, models, "tiny/dora", "license: cc-by-nc-4.0\nbase_model: tiny/llama\n", gold("adapters/dora"))
		addRepo(t, models, "tiny/conv", "license: mit\n", gold("adapters/conv1d"))
		write(t, filepath.Join(models, "tiny/plain"), "tokenizer.json", "{}") // not read
		for repo, change := range map[string]string{
			"bad/kind": `"LORA"->"LOHA"`, "bad/start": `"init_lora_weights": false->"init_lora_weights": "pissa"`, "bad/rank": `"r": 4->"r": 5`,
			"bad/new": `"use_dora": false->"use_dora": false, "use_hydra": true`, "bad/json": `{->[`, "bad/magnitude": `"use_dora": false->"use_dora": true`,
		} {
			addRepo(t, models, repo, "license: mit\n", gold("adapters/plain"))
			path := filepath.Join(models, repo, checkpoint.AdapterConfigName)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			was, is, _ := strings.Cut(change, "->")
			if !strings.Contains(string(b), was) {
				t.Fatalf("%s: %s is not there", repo, was)
			}
			write(t, filepath.Join(models, repo), checkpoint.AdapterConfigName, strings.Replace(string(b), was, is, 1))
		}
		addRepo(t, models, "bad/empty", "license: mit\n", gold("adapters/plain"))
		if err := os.Remove(filepath.Join(models, "bad/empty", checkpoint.AdapterWeights)); err != nil {
			t.Fatal(err)
		}
	})
}

const adaptedRecipe = `merge_method: linear
base_model: tiny/llama
models:
  - {model: tiny/llama+tiny/plain, parameters: {weight: 0.5}}
  - {model: tiny/moved+tiny/dora@main, parameters: {weight: 0.5}}
  - {model: tiny/llama, parameters: {weight: 0}}
dtype: float32
`

// TestAdapterInPlan: an adapter's commit, digest, licence and descent are part of the plan, and each repository is
// fetched once.
func TestAdapterInPlan(t *testing.T) {
	t.Parallel()
	family := openAdapters(t)
	env := family.env(t)
	p, err := Resolve(t.Context(), env, parse(t, adaptedRecipe), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := p.Lock.Models
	for i, want := range []string{"tiny/llama+tiny/plain", "tiny/moved+tiny/dora", "tiny/llama"} {
		if m[i].Name != want {
			t.Errorf("model %d is %s, want %s", i, m[i].Name, want)
		}
	}
	a := m[1].Adapter
	if a == nil || a.Repo != "tiny/dora" || a.Asked != "main" || len(a.SHA) != 40 || a.License != "cc-by-nc-4.0" || len(a.Digest) != 64 || a.Bytes == 0 || a.Tensors == 0 {
		t.Fatalf("adapter: %+v", a)
	}
	if len(a.Lineage) != 1 || a.Lineage[0].Repo != "tiny/llama" {
		t.Errorf("descent: %+v", a.Lineage)
	}
	if m[0].SHA != m[2].SHA || m[0].Digest == m[2].Digest || m[0].Parameters != m[2].Parameters || m[0].Bytes != m[2].Bytes || m[2].Adapter != nil {
		t.Errorf("with the adapter %+v, without %+v", m[0], m[2])
	}
	if got := fmt.Sprint(m[0].Adapter.Files); strings.Contains(got, "tokenizer") || len(m[0].Adapter.Files) != 2 {
		t.Errorf("files of the adapter: %s", got)
	}
	want := m[2].Bytes + m[1].Bytes + m[0].Adapter.Bytes + a.Bytes
	read := int64(0) // for the plan
	for _, part := range p.Lock.parts() {
		for _, f := range part.Files {
			if f.Path == "config.json" || f.Path == checkpoint.AdapterConfigName {
				read += f.Size
			}
		}
	}
	if p.Download.Bytes != want || p.Download.Missing != want-read {
		t.Errorf("%d bytes, %d missing, want %d and %d", p.Download.Bytes, p.Download.Missing, want, want-read)
	}
	if p.License.ID != "cc-by-nc-4.0" {
		t.Errorf("the licence is %+v: the adapter's is the strictest", p.License)
	}
	if want := "tiny/dora was trained upon tiny/llama and is applied to tiny/moved"; !slices.Contains(p.Warnings, want) || strings.Contains(fmt.Sprint(p.Warnings), "tiny/plain was") {
		t.Errorf("warnings %q", p.Warnings)
	}
	other, err := Resolve(t.Context(), env, parse(t, strings.Replace(adaptedRecipe, "tiny/llama+tiny/plain", "tiny/llama+tiny/dora", 1)), nil)
	if err != nil || other.ID == p.ID {
		t.Errorf("another adapter, the same plan: %v", err)
	}
	if err == nil && other.Lock.Models[0].Digest == m[0].Digest {
		t.Error("another adapter, the same digest")
	}
	if d := fmt.Sprint(Diff(p, other).Lock); !strings.Contains(d, "adapter tiny/plain") {
		t.Errorf("difference %s", d)
	}
	if same, err := Resolve(t.Context(), env, parse(t, adaptedRecipe), PinsOf(p)); err != nil || same.ID != p.ID {
		t.Errorf("at the same commits: %v", err)
	}
}

// TestAdapterProblems: what is wrong with an adapter is said on its line, before weights are fetched.
func TestAdapterProblems(t *testing.T) {
	t.Parallel()
	family := openAdapters(t)
	for ref, want := range map[string]string{
		"tiny/llama+tiny/math":        "tiny/math is no adapter: it has no adapter_config.json",
		"tiny/llama+tiny/conv":        "which the model does not have: was the adapter trained upon another one?",
		"tiny/llama+bad/kind":         `peft_type "LOHA"`,
		"tiny/llama+bad/start":        `init_lora_weights "pissa"`,
		"tiny/llama+bad/rank":         "not of rank 5",
		"tiny/llama+bad/new":          `"use_hydra": unsupported checkpoint: this member is not known`,
		"tiny/llama+bad/json":         "adapter_config.json: damaged checkpoint",
		"tiny/llama+bad/empty":        "neither adapter_model.safetensors nor adapter_model.bin",
		"tiny/llama+no/body":          "repository not found",
		"tiny/llama+s3://bucket/lora": "buckets are not read here",
		"tiny/plain":                  "an adapter, not a whole model; name it after its base: BASE+tiny/plain",
		"bad/magnitude":               "an adapter",
		"tiny/base+tiny/plain":        "tiny/base+tiny/plain",
	} {
		t.Run(strings.ReplaceAll(ref, "/", " "), func(t *testing.T) {
			t.Parallel()
			r := parse(t, "merge_method: linear\nmodels:\n  - {model: tiny/llama, parameters: {weight: 1}}\n  - {model: "+ref+", parameters: {weight: 1}}\n")
			_, err := Resolve(t.Context(), family.env(t), r, nil)
			problems, outage := Problems(r, err)
			if outage || len(problems) != 1 || problems[0].Line != 4 || !strings.Contains(problems[0].Message, want) || strings.Contains(problems[0].Message, "\n") {
				t.Errorf("outage %t, problems %v, want %q in line 4", outage, problems, want)
			}
		})
	}
}

// TestMergeAdapted: merges of adapted models are PEFT's numbers, say what they were made of, and can be made again.
func TestMergeAdapted(t *testing.T) {
	t.Parallel()
	family := openAdapters(t)
	env, out := family.env(t), filepath.Join(t.TempDir(), "out")
	recipe := func(text string) *configs.Recipe { return parse(t, text) }
	one, err := Merge(t.Context(), env, recipe("merge_method: passthrough\nmodels: [{model: tiny/llama+tiny/dora}]\ndtype: float32\n"), out)
	if err != nil {
		t.Fatal(err)
	}
	want, changed := openCheckpoint(t, filepath.Join(adapterGold, "llama")), openOther(t, filepath.Join(adapterGold, "adapters", "dora", "merged.safetensors"))
	got := openCheckpoint(t, one.Dir)
	for _, name := range got.Names() {
		ref := want
		if _, ok := changed.Tensor(name); ok {
			ref = changed
		}
		x, y := values(t, got, name), values(t, ref, name)
		for i := range x {
			if !(math.Abs(float64(x[i]-y[i])) <= 1e-6*max(0.1, math.Abs(float64(y[i])))) || ref == want && x[i] != y[i] {
				t.Fatalf("%s[%d] is %v, PEFT's %v", name, i, x[i], y[i])
			}
		}
	}
	if len(got.Names()) != len(want.Names()) {
		t.Errorf("%d tensors, the model has %d", len(got.Names()), len(want.Names()))
	}
	b, err := os.ReadFile(filepath.Join(one.Dir, provenanceFile))
	if err != nil {
		t.Fatal(err)
	}
	var provenance hub.Provenance
	if err := json.Unmarshal(b, &provenance); err != nil {
		t.Fatal(err)
	}
	if len(provenance.Inputs) != 2 || provenance.Inputs[1].Role != "adapter" || provenance.Inputs[1].Repo != "tiny/dora" || len(provenance.Inputs[1].SHA) != 40 || len(provenance.Inputs[1].Files) != 2 {
		t.Errorf("inputs %+v", provenance.Inputs)
	}
	card, err := os.ReadFile(filepath.Join(one.Dir, "README.md"))
	if err != nil || !strings.Contains(string(card), "tiny/dora") {
		t.Errorf("the card does not name the adapter: %v\n%s", err, card)
	}
	pins, err := ReadPins(filepath.Join(one.Dir, provenanceFile))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Resolve(t.Context(), env, recipe("merge_method: passthrough\nmodels: [{model: tiny/llama+tiny/dora}]\ndtype: float32\n"), pins)
	if err != nil || again.ID != one.Plan {
		t.Errorf("at the commits of its provenance: %v", err)
	}

	// Deltas of two adapters to the model itself, random masks and all: the same bytes again from an empty cache.
	ties := "merge_method: dare_ties\nbase_model: tiny/llama\nmodels:\n  - {model: tiny/llama+tiny/plain, parameters: {weight: 0.5, density: 0.5}}\n  - {model: tiny/llama+tiny/dora, parameters: {weight: 0.5, density: 0.5}}\ndtype: bfloat16\n"
	first, err := Merge(t.Context(), env, recipe(ties), filepath.Join(t.TempDir(), "first"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := Merge(t.Context(), family.env(t), recipe(ties), filepath.Join(t.TempDir(), "second"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := first.Files["model.safetensors"], second.Files["model.safetensors"]; a != b || a == "" {
		t.Errorf("bytes %s and %s", a, b)
	}
}

// TestAdapterFolders: from a terminal, model and adapter may be folders.
func TestAdapterFolders(t *testing.T) {
	t.Parallel()
	env, gold := openFamily(t, nil).env(t), must(filepath.Abs(adapterGold))
	text := "merge_method: passthrough\nmodels: [{model: " + gold + "/gpt2+" + gold + "/adapters/conv1d}]\n"
	m, err := Merge(t.Context(), env, parse(t, text), filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	const name = "transformer.h.0.attn.c_proj.weight" // square, and stored as in × out
	x, y := values(t, openCheckpoint(t, m.Dir), name), values(t, openOther(t, filepath.Join(gold, "adapters", "conv1d", "merged.safetensors")), name)
	for i := range x {
		if !(math.Abs(float64(x[i]-y[i])) <= 1e-6) {
			t.Fatalf("%s[%d] is %v, PEFT's %v", name, i, x[i], y[i])
		}
	}
	i, err := Inspect(t.Context(), env, must(configs.ParseModelRef(gold+"/gpt2+"+gold+"/adapters/conv1d")), configs.ModelRef{})
	if err != nil {
		t.Fatal(err)
	}
	adapted := 0
	for _, tensor := range i.Tensors {
		if tensor.Adapted {
			adapted++
		}
	}
	if adapted != 4 || !strings.HasSuffix(i.Model, "gpt2+"+gold+"/adapters/conv1d") {
		t.Errorf("%d adapted tensors in %s", adapted, i.Model)
	}
	d, err := Inspect(t.Context(), env, must(configs.ParseModelRef(gold+"/llama+"+gold+"/adapters/plain")), must(configs.ParseModelRef(gold+"/llama")))
	if err != nil || d.Delta == nil || !(d.Delta.RMS > 0) {
		t.Errorf("against its base: %v", err)
	}
}

func openCheckpoint(t *testing.T, dir string) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// openOther opens a safetensors file of any name.
func openOther(t *testing.T, file string) *checkpoint.Checkpoint {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "model.safetensors", string(b))
	return openCheckpoint(t, dir)
}

func values(t *testing.T, c *checkpoint.Checkpoint, name string) []float32 {
	t.Helper()
	info, _ := c.Tensor(name)
	x := make([]float32, info.Elements())
	if err := c.Read(name, x); err != nil {
		t.Fatal(err)
	}
	return x
}
