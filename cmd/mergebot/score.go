package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mergebot/eval/grade"
)

func (a *app) scoreCommand() *cobra.Command {
	var o grade.Options
	cmd := &cobra.Command{
		Use:   "score --task TASK [--grader GRADER] [FILE.jsonl]",
		Short: "grade saved generations of any model",
		Long: `score reads lines {"id","gold","output","options"?} from FILE, or from standard input, and writes
lines {"id","extracted","correct"} to standard output, a summary to standard error (with --json as
one line of JSON). gold is the answer (mathematics), or the option's index or a list of indices
(choices).

With --format lm-eval it reads the samples_*.jsonl that lm-evaluation-harness writes for --log_samples,
of tasks that generate text; each doc is graded once.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			in := a.in
			if len(argv) == 1 && argv[0] != "-" {
				f, err := os.Open(argv[0])
				if err != nil {
					return usageError{err}
				}
				defer f.Close()
				in = f
			}
			return a.score(cmd, in, o)
		},
	}
	cmd.Flags().StringVar(&o.Task, "task", "", "gsm8k, math, fiqa_sa, fpb, scotus or unfair_tos")
	cmd.Flags().StringVar(&o.Grader, "grader", "", "grader (default: the task's): see docs/graders.md")
	cmd.Flags().BoolVar(&o.Bare, "bare", false, "output is already the bare answer: nothing is extracted")
	cmd.Flags().StringVar(&o.Format, "format", "", "lm-eval: the lines are samples of lm-evaluation-harness")
	cmd.MarkFlagRequired("task")
	return cmd
}

func (a *app) score(cmd *cobra.Command, in io.Reader, o grade.Options) error {
	s, err := grade.ScoreJSONL(cmd.Context(), in, a.out, o)
	if err != nil {
		return usageError{err}
	}
	if a.json {
		return json.NewEncoder(a.err).Encode(struct {
			Task string `json:"task"`
			grade.Summary
		}{o.Task, s})
	}
	fmt.Fprintf(a.err, "%s by %s: %d of %d correct, %.1f %% (standard error %.1f, 95 %% interval %.1f to %.1f), %d without an answer, %d with several\n",
		o.Task, s.Grader, s.Correct, s.N, 100*s.Accuracy, 100*s.StdErr, 100*s.Lo, 100*s.Hi, s.NoAnswer, s.Several)
	return nil
}
