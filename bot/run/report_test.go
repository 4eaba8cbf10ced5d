package run

import (
	"testing"

	"mergebot/eval/task"
)

// TestJudgedOn: the report names the search's rows of every task, in the recipe's order.
func TestJudgedOn(t *testing.T) {
	t.Parallel()
	p := &pipeline{plan: &Plan{Lock: Lock{Datasets: []LockedDataset{{Task: "gsm8k"}, {Task: "fpb"}, {Task: "math"}}}},
		scorer: &scorer{sets: map[setKey]*task.Set{
			{"fpb", task.Select, 9}:   {Source: "a part of test"},
			{"gsm8k", task.Select, 9}: {Source: "train split"},
			{"gsm8k", task.Test, 9}:   {Source: "test split"},
		}}}
	for range 20 {
		if got, want := p.judgedOn(9), "gsm8k: train split; fpb: a part of test"; got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}
