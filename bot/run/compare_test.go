package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mergebot/eval/report"
)

// TestEnginesThatDiffer: what a machine had free says nothing about an answer, nor where it was recalled from; another
// kind of processor or another model behind a server does.
func TestEnginesThatDiffer(t *testing.T) {
	t.Parallel()
	engine := func(name string, flags ...string) report.Engine {
		e := report.Engine{Name: name, Version: "1", DType: "F32", Flags: map[string]string{}}
		for i := 0; i < len(flags); i += 2 {
			e.Flags[flags[i]] = flags[i+1]
		}
		return e
	}
	llama := engine("llama.cpp", "binding", "yzma 1", "kernels", "haswell", "lanes", "2", "cache_mib", "900")
	for name, c := range map[string]struct {
		a, b  report.Engine
		wantA string
	}{
		"equal":        {a: llama, b: llama},
		"busier":       {a: llama, b: engine("llama.cpp", "binding", "yzma 1", "kernels", "haswell", "lanes", "8", "cache_mib", "17")},
		"recalled":     {a: engine("llama.cpp", "binding", "yzma 1"), b: llama},
		"processor":    {a: llama, b: engine("llama.cpp", "binding", "yzma 1", "kernels", "zen4", "lanes", "8"), wantA: "llama.cpp 1, F32, kernels=haswell"},
		"engine":       {a: engine("vllm"), b: engine("sglang"), wantA: "vllm 1, F32"},
		"quantization": {a: engine("sglang", "model", "m", "quantization", "awq"), b: engine("sglang", "model", "m"), wantA: "sglang 1, F32, quantization=awq"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, y, differ := engines(c.a, c.b)
			if differ != (c.wantA != "") || differ && x.String() != c.wantA {
				t.Errorf("%v: %q and %q, want %q", differ, x, y, c.wantA)
			}
			if _, _, again := engines(c.b, c.a); again != differ {
				t.Error("it depends on the order")
			}
		})
	}
}

// TestWhoWasTuned: of a run that tuned on what it reports, the merged model is too good, and not its base.
func TestWhoWasTuned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := report.Report{Title: "r", Selection: report.SelectionTest, Domains: []report.Domain{{Name: "d", Tasks: []report.Task{{Name: "gsm8k",
		Scores: []report.Score{{Role: report.Base, N: 1}, {Role: report.Merged, N: 1}}}}}}}
	item := report.Item{ID: "1", Answers: []report.Answer{{Role: report.Base}, {Role: report.Merged}}}
	if err := report.WriteItems(dir, r, []report.TaskItems{{Domain: "d", Task: "gsm8k", Items: []report.Item{item}}}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := report.JSON(f, r); err != nil {
		t.Fatal(err)
	}
	p, _, err := Compare(t.Context(), CompareOptions{A: dir + ":base", B: dir})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings) != 1 || !strings.HasPrefix(p.Warnings[0], "B was tuned") {
		t.Errorf("%q", p.Warnings)
	}
}
