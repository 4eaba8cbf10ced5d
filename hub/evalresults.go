package hub

import (
	"bytes"
	"fmt"
	"math"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"
)

// EvalResultsDir is the folder of a model's repo whose YAML files the Hub shows on the model's page and on the
// leaderboards of its benchmarks (https://huggingface.co/docs/hub/eval-results).
const EvalResultsDir = ".eval_results"

// EvalResult is one score as the Hub takes it. It has no date: that defaults to the time of the commit, and equal
// merges have equal files.
type EvalResult struct {
	Dataset EvalDataset `yaml:"dataset"`
	Value   float64     `yaml:"value"` // in per cent, two decimals
	Source  *EvalSource `yaml:"source,omitempty"`
	Notes   string      `yaml:"notes,omitempty"`
}

// EvalDataset names a task of a benchmark: a data set that the Hub has registered as one, and that defines the task
// in its eval.yaml.
type EvalDataset struct {
	ID       string `yaml:"id"`
	TaskID   string `yaml:"task_id"`
	Revision string `yaml:"revision,omitempty"`
}

// EvalSource is where more about the score is found.
type EvalSource struct {
	URL  string `yaml:"url"`
	Name string `yaml:"name,omitempty"`
}

// benchmark is a leaderboard, and what a score must be to belong there: of all its items, by a grader whose verdict
// on its answers is that of exact match.
type benchmark struct {
	file, dataset, config, split, taskID string
	items                                int
	graders                              []string
}

// benchmarks lists those of the tasks' data sets that the Hub has registered: only one. The task's id is the one that
// the Hub's documentation and other models' files use; its eval.yaml is not fetched.
func benchmarks() []benchmark {
	return []benchmark{{file: "gsm8k.yaml", dataset: "openai/gsm8k", config: "main", split: "test", taskID: "gsm8k", items: 1319,
		graders: []string{"abel", "gsm8k_official", "lm_eval_strict", "lm_eval_flexible"}}}
}

// EvalResultPaths are all paths that Card.EvalResults may return.
func EvalResultPaths() []string {
	var out []string
	for _, b := range benchmarks() {
		out = append(out, path.Join(EvalResultsDir, b.file))
	}
	return out
}

// takes tells whether a score may stand on the leaderboard: one of a sample, of another split, by another rule, at no
// certain commit, or of a model that was tuned on the very rows would mislead those who compare.
func (b benchmark) takes(r CardResult) bool {
	return r.Dataset == b.dataset && r.Config == b.config && r.Split == b.split && r.N == b.items && r.Total == b.items &&
		commitSHA.MatchString(r.Revision) && slices.Contains(b.graders, r.Grader) && !r.Tuned
}

// EvalResults are the files for EvalResultsDir by path: a file for each benchmark of the Hub on which the card has a
// score that belongs on its leaderboard. The other scores are in the card's model-index alone.
func (c Card) EvalResults() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, b := range benchmarks() {
		i := slices.IndexFunc(c.Results, b.takes)
		if i < 0 {
			continue
		}
		r := c.Results[i]
		if err := r.validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", b.file, err)
		}
		x := EvalResult{Dataset: EvalDataset{ID: b.dataset, TaskID: b.taskID, Revision: r.Revision}, Value: math.Round(r.Value*1e4) / 100,
			Notes: fmt.Sprintf("per cent right of n = %d (all); standard error %s, 95 %% interval %s to %s; greedy, zero-shot, prompt %s, grader %s",
				r.N, percent2(r.StandardError), percent2(r.Low), percent2(r.High), r.Prompt, r.Grader)}
		if c.Repo != "" {
			x.Source = &EvalSource{URL: "https://huggingface.co/" + c.Repo, Name: "mergebot report"}
		}
		var buf bytes.Buffer
		enc := yaml.NewEncoder(&buf)
		enc.SetIndent(2)
		if err := enc.Encode([]EvalResult{x}); err != nil {
			return nil, fmt.Errorf("%s: %w", b.file, err)
		}
		if err := enc.Close(); err != nil {
			return nil, fmt.Errorf("%s: %w", b.file, err)
		}
		out[path.Join(EvalResultsDir, b.file)] = buf.Bytes()
	}
	return out, nil
}

func percent2(f float64) string { return fmt.Sprintf("%.2f", 100*f) }
