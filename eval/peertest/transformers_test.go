package peertest

import (
	"fmt"
	"maps"
	"reflect"
	"testing"

	"mergebot/bot/run"
)

// generated is what testdata/generate.py answers.
type generated struct {
	Versions map[string]string
	Warnings []string
	Problems map[string][]string
	DType    string
	Cases    []textCase
}

// generate has transformers load a model, a folder or a repository of the bench's hub, and continue the prompts.
// It fails the test unless loading passes without a word.
func (b *bench) generate(t *testing.T, model, dtype string, cases []textCase) generated {
	t.Helper()
	var got generated
	b.script(t, "generate.py", map[string]any{"model": model, "cases": cases}, &got)
	if len(got.Warnings) > 0 || len(got.Problems) > 0 {
		t.Errorf("transformers loads %s with warnings %q, problems %v", model, got.Warnings, got.Problems)
	}
	if want := "torch." + dtype; got.DType != want {
		t.Errorf("config of %s: dtype %s, want %s", model, got.DType, want)
	}
	if len(got.Cases) != len(cases) {
		t.Fatalf("%d answers to %d prompts", len(got.Cases), len(cases))
	}
	for i, c := range cases {
		got.Cases[i].Task, got.Cases[i].Prompt, got.Cases[i].MaxTokens = c.Task, c.Prompt, c.MaxTokens
	}
	return got
}

// TestTransformersLoadsMerged has transformers load merged folders and write the same texts as the embedded engine.
func TestTransformersLoadsMerged(t *testing.T) {
	peers(t)
	b := newBench(t)
	for _, dtype := range []string{"float16", "bfloat16"} {
		t.Run(dtype, func(t *testing.T) {
			name := "dppa-" + dtype
			dir := b.merge(t, name)
			got := b.generate(t, dir, dtype, prompts(t))
			b.checkTexts(t, dir, got.Cases)
			now := texts{updateCommand, got.Versions, weightFiles(t, openCheckpoint(t, dir)), got.Cases}
			if *update {
				writeJSON(t, goldenPath(name), now)
				return
			}
			var want texts
			readJSON(t, goldenPath(name), &want)
			if !reflect.DeepEqual(now.Cases, want.Cases) {
				t.Error("transformers' own texts are no longer those of the golden file")
			}
		})
	}
}

// TestPublished runs a recipe to its published end; transformers, safetensors and huggingface_hub then read the
// repository from the hub.
func TestPublished(t *testing.T) {
	peers(t)
	b := newBench(t)
	requireEngine(t, b.env.Engines.Llama.LibDir)
	recipe := loadRecipe(t, "publish")
	o, err := run.Execute(t.Context(), b.env, recipe, run.Options{Out: t.TempDir(), Publish: true})
	if err != nil {
		t.Fatal(err)
	}
	repo := recipe.Mergebot.Publish.Repo
	got := b.generate(t, repo, "float16", prompts(t))
	b.checkTexts(t, o.ModelDir, got.Cases)

	var seen struct {
		Tensors map[string]struct {
			DType string
			Shape []int64
		}
		Metadata      map[string]map[string]string
		DType         string
		Architectures []string
		Card          map[string]any
		Results       []struct {
			Dataset string
			Value   float64
		}
		Text int
	}
	b.script(t, "published.py", map[string]any{"repo": repo}, &seen)
	c := openCheckpoint(t, o.ModelDir)
	if len(seen.Tensors) != len(c.Names()) {
		t.Errorf("safetensors finds %d tensors, want %d", len(seen.Tensors), len(c.Names()))
	}
	for _, x := range c.Tensors() {
		if s := seen.Tensors[x.Name]; s.DType != "torch.float16" || fmt.Sprint(s.Shape) != fmt.Sprint(x.Shape) {
			t.Errorf("safetensors reads %s as %+v", x.Name, s)
		}
	}
	for file, m := range seen.Metadata {
		if m["format"] != "pt" {
			t.Errorf("%s: metadata %v, want format pt", file, m)
		}
	}
	if seen.DType != "torch.float16" || fmt.Sprint(seen.Architectures) != "[LlamaForCausalLM]" {
		t.Errorf("AutoConfig: %s %v", seen.DType, seen.Architectures)
	}

	want := map[string]any{
		"base_model":          []any{"tiny/base", "tiny/math", "tiny/finance", "tiny/law"},
		"base_model_relation": "merge", "license": "apache-2.0", "library_name": "transformers", "pipeline_tag": "text-generation", "model_name": "tiny-dppa",
	}
	tags, _ := seen.Card["tags"].([]any)
	delete(seen.Card, "tags")
	if !maps.EqualFunc(seen.Card, want, func(a, b any) bool { return reflect.DeepEqual(a, b) }) {
		t.Errorf("card: %v\nwant %v", seen.Card, want)
	}
	if len(tags) == 0 || seen.Text == 0 {
		t.Errorf("card: tags %v, %d characters of text", tags, seen.Text)
	}
	scores := 0
	for _, d := range o.Report.Domains {
		scores += len(d.Tasks)
	}
	if len(seen.Results) != scores || scores != 6 {
		t.Errorf("model-index: %v, want %d results", seen.Results, scores)
	}
}
