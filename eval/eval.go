// Package eval scores a model on a task and says how much the score can be trusted.
//
// The metrics are the paper's: accuracy on a task, Task-Ratio (a merged or pruned model's accuracy as a share of the
// dense expert's, eq. 7) and Domain-Ratio (the geometric mean of a domain's Task-Ratios, eq. 8). Results keep every
// item, so that two models asked the same questions can be compared item by item.
package eval

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mergebot/eval/engine"
	"mergebot/eval/grade"
	"mergebot/eval/task"
)

// ErrGeneration is returned when the engine could not answer an item.
var ErrGeneration = errors.New("no completion")

// Result is one model's score on one task.
type Result struct {
	Task string `json:"task"`
	// Split and Source say which rows were asked.
	Split  string `json:"split"`
	Source string `json:"source"`
	Grader string `json:"grader"`
	// Prompt is the preset; PromptHash and ItemsHash pin its text and the items.
	Prompt     string `json:"prompt"`
	PromptHash string `json:"prompt_hash"`
	ItemsHash  string `json:"items_hash"`
	// Dataset at Revision is where the rows are from; Total is how many there are without a limit.
	Dataset   string `json:"dataset"`
	Revision  string `json:"revision"`
	Total     int    `json:"total"`
	MaxTokens int    `json:"max_tokens"`
	N         int    `json:"n"`
	Correct   int    `json:"correct"`
	// NoAnswer, Several and Truncated count outputs without an answer, with more than one, and cut off by MaxTokens or
	// the context.
	NoAnswer  int `json:"no_answer"`
	Truncated int `json:"truncated"`
	Several   int `json:"several"`
	// Recalled counts the completions that an earlier run of the same weights had made.
	Recalled int          `json:"recalled,omitempty"`
	Items    []ItemResult `json:"items"`
	Engine   engine.Info  `json:"engine"`
	Seconds  float64      `json:"seconds"`
}

// ItemResult is one judged output.
type ItemResult struct {
	ID        string `json:"id"`
	Output    string `json:"output"`
	Extracted string `json:"extracted"`
	Correct   bool   `json:"correct"`
	NoAnswer  bool   `json:"no_answer,omitempty"`
	Several   bool   `json:"several,omitempty"`
	// Finish is "stop" or "length".
	Finish string `json:"finish"`
}

// Accuracy is Correct / N, 0 without items.
func (r Result) Accuracy() float64 {
	if r.N == 0 {
		return 0
	}
	return float64(r.Correct) / float64(r.N)
}

// Run asks the generator every item of the set and judges the answers; done, if not nil, is told how many are finished.
// An item that the engine cannot answer fails the run with ErrGeneration: a score over fewer items than asked would
// not be comparable. engine.ErrUnusable comes through as it is.
func Run(ctx context.Context, g engine.Generator, set *task.Set, done func(n int)) (*Result, error) {
	t := set.Task
	grader, err := grade.Get(t.Grader)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", t.Name, err)
	}
	requests := make([]engine.Request, len(set.Items))
	for i, it := range set.Items {
		requests[i] = engine.Request{ID: it.ID, Prompt: it.Prompt, MaxTokens: t.MaxTokens}
	}
	start := time.Now()
	finished := 0
	completions, err := g.Generate(ctx, requests, func(int, engine.Completion) {
		if finished++; done != nil {
			done(finished)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", t.Name, err)
	}
	if len(completions) != len(requests) {
		return nil, fmt.Errorf("task %s: %w: %d answers to %d prompts", t.Name, ErrGeneration, len(completions), len(requests))
	}
	r := &Result{N: len(set.Items), Items: make([]ItemResult, len(set.Items)), Engine: g.Info()}
	r.Describe(set)
	for i, c := range completions {
		it := set.Items[i]
		if c.Finish == engine.FinishError {
			return nil, fmt.Errorf("task %s: %w for item %s: %s", t.Name, ErrGeneration, it.ID, c.Error)
		}
		v := grader.Grade(it.Question(), c.Text)
		r.Items[i] = ItemResult{ID: it.ID, Output: c.Text, Extracted: v.Extracted, Correct: v.Correct, NoAnswer: v.NoAnswer, Several: v.Several, Finish: c.Finish}
		r.count(v, c.Finish)
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

// Describe says of a result which set its items are from. Sets of equal items may be of different commits, splits and
// purposes, and a result that was kept for the items alone is then one of each.
func (r *Result) Describe(set *task.Set) {
	t := set.Task
	r.Task, r.Grader, r.MaxTokens = t.Name, t.Grader, t.MaxTokens
	r.Dataset, r.Revision, r.Split, r.Source, r.Total = t.Dataset, t.Revision, set.Split, set.Source, set.Total
	r.Prompt, r.PromptHash, r.ItemsHash = t.Prompt, set.PromptHash, set.ItemsHash
}

func (r *Result) count(v grade.Verdict, finish string) {
	for _, c := range []struct {
		is bool
		n  *int
	}{
		{v.Correct, &r.Correct}, {v.NoAnswer, &r.NoAnswer}, {v.Several, &r.Several}, {finish == engine.FinishLength, &r.Truncated},
	} {
		if c.is {
			*c.n++
		}
	}
}
