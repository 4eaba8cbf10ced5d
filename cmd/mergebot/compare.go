package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mergebot/bot/run"
	"mergebot/eval/report"
)

func (a *app) compareCommand() *cobra.Command {
	var o run.CompareOptions
	cmd := &cobra.Command{
		Use:   "compare A B [--out DIR]",
		Short: "compare two models of any two runs, item by item",
		Long: `compare pairs the items of two folders that mergebot run or eval wrote, by task, id, prompt and
right answer, and says per task how B differs from A: in points, with a paired bootstrap interval, and
whether that is more than chance (McNemar). Items that only one of them has are left out and counted.
A and B are the merged, or the only, model of the folder; A:base, A:expert and A:merged name another.

Where grader or prompt differ this is no comparison, and an error; --force compares all the same, and
then pairs by task, id and right answer alone.`,
		Example: `  mergebot compare out/dare out/dppa --out comparison
  mergebot compare out:expert out
  mergebot compare eval-report other-eval --json`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			o.A, o.B = argv[0], argv[1]
			p, page, err := run.Compare(cmd.Context(), o)
			if errors.Is(err, run.ErrNotARun) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			if a.json {
				return report.PairedJSON(a.out, *p)
			}
			if err := report.PairedText(a.out, *p); err != nil {
				return err
			}
			if page != "" {
				fmt.Fprintf(a.out, "\ncomparison: %s\n", page)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Out, "out", "o", "", "folder for compare.html and compare.json")
	f.BoolVar(&o.Force, "force", false, "compare although graders or prompts differ")
	return cmd
}
