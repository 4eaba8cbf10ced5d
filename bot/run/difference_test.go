package run

import (
	"reflect"
	"strings"
	"testing"

	"mergebot/eval/engine"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	old := &Plan{Recipe: PlannedRecipe{File: "recipes/a.yaml", Text: "merge_method: ties\nname: a\n"}, Lock: Lock{
		Base:     &LockedModel{Repo: "o/base", SHA: "b1"},
		Models:   []LockedModel{{Repo: "o/x", SHA: "x1"}, {Repo: "o/x", SHA: "x2"}, {Repo: "o/gone", SHA: "g"}, {Path: "/m", Digest: "d1"}},
		Datasets: []LockedDataset{{Task: "gsm8k", Repo: "d/s", SHA: "1"}, {Task: "math", Repo: "d/s", SHA: "1"}, {Task: "fpb", Repo: "d/f", SHA: "1"}},
		Engine:   &engine.Info{Engine: "llama.cpp", Version: "b1", DType: "F32"}}}
	if d := Diff(nil, old); d != nil {
		t.Errorf("to nothing: %+v", d)
	}
	if d := Diff(old, old); !reflect.DeepEqual(d, &Difference{}) {
		t.Errorf("to itself: %+v", d)
	}
	after := &Plan{Recipe: PlannedRecipe{File: "recipes/a.yaml", Text: "merge_method: ties\nname: b\n"}, Lock: Lock{
		Base:     &LockedModel{Repo: "o/other", SHA: "b1"},
		Models:   []LockedModel{{Repo: "o/new", SHA: "n"}, {Repo: "o/x", SHA: "x1"}, {Repo: "o/x", SHA: "x3"}, {Path: "/m", Digest: "d2"}},
		Datasets: []LockedDataset{{Task: "gsm8k", Repo: "d/s", SHA: "2"}, {Task: "math", Repo: "d/s", SHA: "2"}},
		Engine:   &engine.Info{Engine: "vllm", DType: "bfloat16", Flags: map[string]string{"b": "2", "a": "1"}}}}
	d := Diff(old, after)
	want := []Moved{{"base", "o/base", "b1", ""}, {"base", "o/other", "", "b1"}, {"model", "o/x", "x2", "x3"}, {"model", "o/gone", "g", ""}, {"model", "/m", "d1", "d2"},
		{"model", "o/new", "", "n"}, {"dataset", "d/s", "1", "2"}, {"dataset", "d/f", "1", ""}, {"engine", "", "llama.cpp b1 F32", "vllm bfloat16 a=1 b=2"}}
	if !reflect.DeepEqual(d.Lock, want) {
		t.Errorf("lock\n%+v\nwant\n%+v", d.Lock, want)
	}
	if want := "--- a/recipes/a.yaml\n+++ b/recipes/a.yaml\n@@ -1,2 +1,2 @@\n merge_method: ties\n-name: a\n+name: b\n"; d.Text != want {
		t.Errorf("%q, want %q", d.Text, want)
	}
	if words := d.words(); strings.Contains(words, "\n") || !strings.HasPrefix(words, "the recipe was changed, base o/base is gone, ") || !strings.Contains(words, "model o/x moved from x2 to x3") {
		t.Error(words)
	}
}
