package eval_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"mergebot/eval"
	"mergebot/eval/engine"
	"mergebot/eval/grade"
	"mergebot/eval/task"
)

// session answers from a table of completions by prompt.
type session struct {
	answers map[string]engine.Completion
	err     error
	short   bool
}

func (s session) Generate(_ context.Context, reqs []engine.Request, each func(int, engine.Completion)) ([]engine.Completion, error) {
	if s.err != nil {
		return nil, s.err
	}
	var out []engine.Completion
	for i, r := range reqs {
		if r.MaxTokens != 32 {
			return nil, fmt.Errorf("max tokens %d", r.MaxTokens)
		}
		out = append(out, s.answers[r.Prompt])
		if each != nil {
			each(i, out[i])
		}
	}
	if s.short {
		out = out[1:]
	}
	return out, nil
}
func (session) Swap(context.Context, engine.Weights) error { return nil }
func (session) Info() engine.Info                          { return engine.Info{Engine: "table"} }
func (session) Close() error                               { return nil }

func choiceSet() *task.Set {
	options := []string{" yes", " no"}
	s := &task.Set{
		Task:  task.Task{Name: "fpb", Grader: "contains", Prompt: "raw", MaxTokens: 32},
		Split: "test", Total: 5, PromptHash: "p", ItemsHash: "i",
	}
	for i, p := range []string{"a", "b", "c", "d"} {
		s.Items = append(s.Items, task.Item{ID: "FPB/test/" + p, Prompt: p, Options: options, GoldIndex: []int{i % 2}})
	}
	return s
}

func TestRun(t *testing.T) {
	t.Parallel()
	answers := map[string]engine.Completion{
		"a": {Text: " Yes.", Finish: engine.FinishStop},
		"b": {Text: " yes or no", Finish: engine.FinishLength},
		"c": {Text: " no", Finish: engine.FinishStop},
		"d": {Text: " perhaps", Finish: engine.FinishStop},
	}
	var finished int
	r, err := eval.Run(t.Context(), session{answers: answers}, choiceSet(), func(n int) { finished = n })
	if err != nil {
		t.Fatal(err)
	}
	if r.N != 4 || r.Correct != 2 || r.NoAnswer != 1 || r.Several != 1 || r.Truncated != 1 || r.Total != 5 || finished != 4 {
		t.Errorf("%+v, finished %d", r, finished)
	}
	if r.Accuracy() != 0.5 || r.Engine.Engine != "table" || r.ItemsHash != "i" || r.PromptHash != "p" {
		t.Errorf("%+v", r)
	}
	want := eval.ItemResult{ID: "FPB/test/b", Output: " yes or no", Extracted: "yes | no", Correct: true, Several: true, Finish: "length"}
	if r.Items[1] != want {
		t.Errorf("item %+v, want %+v", r.Items[1], want)
	}

	failed := map[string]engine.Completion{"a": {Finish: engine.FinishError, Error: "prompt too long"}}
	if _, err := eval.Run(t.Context(), session{answers: failed}, choiceSet(), nil); !errors.Is(err, eval.ErrGeneration) || !strings.Contains(err.Error(), "prompt too long") {
		t.Errorf("an item without completion: %v", err)
	}
	if _, err := eval.Run(t.Context(), session{answers: answers, short: true}, choiceSet(), nil); !errors.Is(err, eval.ErrGeneration) {
		t.Errorf("fewer completions: %v", err)
	}
	if _, err := eval.Run(t.Context(), session{err: engine.ErrUnusable}, choiceSet(), nil); !errors.Is(err, engine.ErrUnusable) {
		t.Errorf("unusable: %v", err)
	}
	bad := choiceSet()
	bad.Task.Grader = "x"
	if _, err := eval.Run(t.Context(), session{}, bad, nil); !errors.Is(err, grade.ErrUnknown) {
		t.Errorf("unknown grader: %v", err)
	}
}

func TestRatios(t *testing.T) {
	t.Parallel()
	result := func(correct, n int) eval.Result { return eval.Result{Correct: correct, N: n} }
	if got := eval.TaskRatio(result(3, 10), result(6, 10)); got != 0.5 {
		t.Error(got)
	}
	for name, got := range map[string]float64{
		"dense 0":       eval.TaskRatio(result(3, 10), result(0, 10)),
		"no items":      eval.TaskRatio(result(0, 0), result(1, 10)),
		"no ratios":     eval.DomainRatio(nil),
		"one undefined": eval.DomainRatio([]float64{1, math.NaN()}),
	} {
		if !math.IsNaN(got) {
			t.Errorf("%s: %v, want NaN", name, got)
		}
	}
	if got := eval.DomainRatio([]float64{0.5, 2}); math.Abs(got-1) > 1e-15 {
		t.Error(got)
	}
	if got := eval.DomainRatio([]float64{0, 2}); got != 0 {
		t.Error(got)
	}
	// Cut off, not rounded; a ratio that is exactly two decimals stays.
	for ratio, want := range map[float64]float64{1.107473: 110.74, 0.8: 80, 0.9646: 96.46, 0: 0, 1.16025: 116.02} {
		if got := eval.Percent(ratio); got != want {
			t.Errorf("Percent(%v) = %v, want %v", ratio, got, want)
		}
	}
}

func TestWilson(t *testing.T) {
	t.Parallel()
	// 81 of 263: the worked example in Newcombe (1998), table I, method 3: 0.2553 to 0.3662.
	for _, c := range []struct {
		correct, n int
		lo, hi     float64
	}{{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}, {0, 0, 0, 1}, {20, 20, 0.8389, 1}} {
		lo, hi := eval.Wilson(c.correct, c.n)
		if math.Abs(lo-c.lo) > 5e-5 || math.Abs(hi-c.hi) > 5e-5 {
			t.Errorf("Wilson(%d, %d) = %.4f, %.4f, want %.4f, %.4f", c.correct, c.n, lo, hi, c.lo, c.hi)
		}
	}
}

// results makes a pair from strings of 0 and 1.
func results(merged, dense string) (eval.Result, eval.Result) {
	make := func(s string) eval.Result {
		r := eval.Result{Task: "t", N: len(s)}
		for i, c := range s {
			r.Items = append(r.Items, eval.ItemResult{ID: fmt.Sprint(i), Correct: c == '1'})
			if c == '1' {
				r.Correct++
			}
		}
		return r
	}
	return make(merged), make(dense)
}

func TestIntervals(t *testing.T) {
	t.Parallel()
	merged, dense := results(strings.Repeat("1101110101", 20), strings.Repeat("1111110101", 20))
	i, err := eval.TaskRatioInterval(merged, dense)
	if err != nil {
		t.Fatal(err)
	}
	ratio := eval.TaskRatio(merged, dense) // 7/8
	if !i.Contains(ratio) || i.Contains(1) || i.Hi-i.Lo > 0.12 || i.Undefined != 0 {
		t.Errorf("paired interval %+v of %v", i, ratio)
	}
	again, err := eval.TaskRatioInterval(merged, dense)
	if err != nil || again != i {
		t.Errorf("not reproducible: %+v, %+v, %v", i, again, err)
	}
	d, err := eval.DomainRatioInterval([]eval.Pair{{Merged: merged, Dense: dense}, {Merged: dense, Dense: merged}})
	if err != nil || !d.Contains(1) {
		t.Errorf("domain interval %+v, %v", d, err)
	}
	if m, err := eval.PooledMcNemar([]eval.Pair{{Merged: merged, Dense: dense}, {Merged: dense, Dense: merged}}); err != nil || m.Gained != m.Lost || m.Lost == 0 || m.P != 1 {
		t.Errorf("pooled: %+v, %v", m, err)
	}

	// The same item ids in another order are still the same items.
	shuffled := merged
	shuffled.Items = append(append([]eval.ItemResult{}, merged.Items[100:]...), merged.Items[:100]...)
	if _, err := eval.TaskRatioInterval(shuffled, dense); err != nil {
		t.Error(err)
	}
	other := dense
	other.Items = append([]eval.ItemResult{}, dense.Items...)
	other.Items[3].ID = "x"
	if _, err := eval.TaskRatioInterval(merged, other); !errors.Is(err, eval.ErrUnpaired) {
		t.Errorf("other items: %v", err)
	}

	none, zero := results("1010", "0000")
	u, err := eval.TaskRatioInterval(none, zero)
	if err != nil || !math.IsNaN(u.Lo) || u.Undefined != 1 {
		t.Errorf("dense 0: %+v, %v", u, err)
	}
	b, err := json.Marshal(u)
	if err != nil || string(b) != `{"lo":null,"hi":null,"undefined":1}` {
		t.Errorf("%s, %v", b, err)
	}
	for _, want := range []eval.Interval{i, u} {
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got eval.Interval
		if err := json.Unmarshal(b, &got); err != nil || (got != want && !math.IsNaN(want.Lo)) || math.IsNaN(got.Lo) != math.IsNaN(want.Lo) {
			t.Errorf("%s: %+v, %v", b, got, err)
		}
	}
}

// The 95 % interval must hold the true ratio about 95 times in 100: checked on models whose true accuracies are known.
func TestIntervalCoverage(t *testing.T) {
	t.Parallel()
	state := uint64(1)
	random := func() float64 {
		state = state*6364136223846793005 + 1442695040888963407
		return float64(state>>11) / (1 << 53)
	}
	const rounds, items, pMerged, pDense = 200, 150, 0.6, 0.8
	inside := 0
	for range rounds {
		var m, d strings.Builder
		for range items {
			fmt.Fprint(&m, b2i(random() < pMerged))
			fmt.Fprint(&d, b2i(random() < pDense))
		}
		merged, dense := results(m.String(), d.String())
		i, err := eval.TaskRatioInterval(merged, dense)
		if err != nil {
			t.Fatal(err)
		}
		if i.Contains(pMerged / pDense) {
			inside++
		}
	}
	t.Logf("%d of %d intervals hold the true ratio", inside, rounds)
	if inside < 182 || inside > 198 {
		t.Errorf("%d of %d intervals hold the true ratio", inside, rounds)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestMcNemar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		merged, dense string
		want          eval.McNemar
		words         string
	}{
		{"1100", "1100", eval.McNemar{P: 1}, "inside the noise"},
		// One gained, nine lost: 2·(1+10)/1024.
		{"1000000000" + "1", "0111111111" + "1", eval.McNemar{Gained: 1, Lost: 9, P: 22.0 / 1024}, "worse, outside the noise"},
		{"1111111", "0000000", eval.McNemar{Gained: 7, P: 2.0 / 128}, "better, outside the noise"},
	} {
		m, d := results(c.merged, c.dense)
		got, err := eval.CompareMcNemar(m, d)
		if err != nil || got.Gained != c.want.Gained || got.Lost != c.want.Lost || math.Abs(got.P-c.want.P) > 1e-12 {
			t.Errorf("%s against %s: %+v, %v", c.merged, c.dense, got, err)
		}
		if !strings.HasPrefix(got.Words(), c.words) {
			t.Error(got.Words())
		}
	}
}
