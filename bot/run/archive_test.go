package run

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mergebot/eval/report"
)

// TestKeptReports scores two merges with the embedded engine. Their reports and items are in storage, of the one under its
// gate too; what storage keeps of them is compared item by item.
func TestKeptReports(t *testing.T) {
	t.Parallel()
	env := openFamily(t, nil).env(t)
	env.Engines.Llama.LibDir = engineDir(t)
	const text = "merge_method: task_arithmetic\nbase_model: tiny/base\nmodels:\n  - {model: tiny/math, parameters: {weight: WEIGHT}}\ndtype: float16\nmergebot:\n" +
		"  domains: {math: {expert: tiny/math, tasks: [gsm8k]}}\n  gates: [{domain: math, min_ratio: 0.9}]\n" +
		"  evaluate: {limit: 20, tasks: {gsm8k: {revision: main, max_tokens: 64}}}\n  publish: {repo: acme/x}\n"
	var ids []string
	for _, weight := range []string{"1", "0"} {
		out := t.TempDir()
		recipe := parse(t, strings.Replace(text, "WEIGHT", weight, 1))
		o, err := Execute(t.Context(), env, recipe, Options{Out: out, Publish: true, Fence: func(context.Context) error { return errors.New("not now") }})
		state := RunFailed // by the fence: the scores are kept all the same
		if weight == "0" {
			state = Gated
			if !errors.Is(err, ErrGate) {
				t.Fatal(err)
			}
			ids = append(ids, o.Run)
		} else {
			if err == nil || o != nil {
				t.Fatalf("%v, %+v", err, o)
			}
			all, err := Records(t.Context(), env.Storage, "", 0)
			if err != nil || len(all) != 1 {
				t.Fatalf("%+v, %v", all, err)
			}
			ids = append(ids, all[0].ID)
		}
		id := ids[len(ids)-1]
		if r := record(t, env.Storage, id); r.State != state || r.Result != nil {
			t.Errorf("%+v", r)
		}
		r, ok, err := ReadReport(t.Context(), env.Storage, id)
		if err != nil || !ok || r.Items != 20 {
			t.Fatalf("%+v, %t, %v", r, ok, err)
		}
		names, err := env.Storage.List(t.Context(), reportFolder(id))
		if err != nil || len(names) < 6 {
			t.Fatalf("%q, %v", names, err)
		}
		for _, name := range names { // all that the folder has, as it has it
			kept, _, err := env.Storage.ReadBytes(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if there, err := os.ReadFile(filepath.Join(out, strings.TrimPrefix(name, reportFolder(id)))); err != nil || string(there) != string(kept) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	p, err := CompareRuns(t.Context(), env.Storage, ids[0], ids[1])
	if err != nil || len(p.Tasks) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	if k := p.Tasks[0]; k.N != 20 || k.A <= k.B || len(k.Lost) <= len(k.Gained) || p.A.Role != report.Merged {
		t.Errorf("the expert itself against the base: %+v", k)
	}
	if same, err := CompareRuns(t.Context(), env.Storage, ids[0], ids[0]); err != nil || same.Tasks[0].Difference.Value != 0 {
		t.Errorf("%+v, %v", same, err)
	}
	if _, err := CompareRuns(t.Context(), env.Storage, ids[0], "nobody"); !errors.Is(err, ErrNotARun) {
		t.Error(err)
	}
	if _, ok, err := ReadReport(t.Context(), env.Storage, "nobody"); ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	plan, err := Resolve(t.Context(), env, parse(t, strings.Replace(text, "WEIGHT", "1", 1)), nil)
	if err != nil || plan.Download.Evaluation.Items != 60 || plan.Download.Evaluation.Seconds == 0 {
		t.Errorf("the engine's pace is known now: %+v, %v", plan.Download.Evaluation, err)
	}
}
