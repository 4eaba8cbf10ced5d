package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mergebot/bot/run"
)

func (a *app) runCommand() *cobra.Command {
	var o run.Options
	var lock string
	cmd := &cobra.Command{
		Use:   "run RECIPE",
		Short: "the whole pipeline: plan, fetch, measure, search, merge, evaluate, report",
		Long: `run takes a recipe from plan to report. Killed or interrupted at any moment, the same
command goes on where it was: finished steps are kept in the ledger and never done twice.

It leaves in the output folder: model/ (the merged checkpoint with its card README.md, the
recipe and provenance.json), report.html with a page for every item beside it, report.md and
report.json. Nothing is published without --publish, and nothing ever when a gate of the recipe is
not met.`,
		Example: `  mergebot run recipes/llama2-math-finance-law.yaml --out merged
  mergebot run recipe.yaml --limit 50            # a quick look: 50 rows a task
  mergebot run recipe.yaml --publish
  mergebot run recipe.yaml --lock provenance.json  # again, at the commits of a published merge`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if o.Limit < 0 {
				return usageError{fmt.Errorf("--limit %d: give a number of rows, or 0", o.Limit)}
			}
			r, err := recipe(argv[0])
			if err != nil {
				return err
			}
			if lock != "" {
				if o.Pins, err = run.ReadPins(lock); err != nil {
					return err
				}
			}
			w := newWatcher(a.err, a.quiet || a.json)
			env, done, err := a.environment(cmd, w)
			if err != nil {
				return err
			}
			defer done()
			outcome, err := run.Execute(cmd.Context(), env, r, o)
			w.close()
			if outcome != nil && outcome.Report != nil {
				if perr := a.printOutcome(outcome); perr != nil {
					return perr
				}
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&o.Out, "out", "o", "", "output folder (default: the recipe's name)")
	cmd.Flags().BoolVar(&o.Publish, "publish", false, "publish to the recipe's repo when all gates are met")
	cmd.Flags().StringVar(&lock, "lock", "", "a provenance.json: its commits, ratios and coefficients, whatever the branches hold now")
	cmd.Flags().IntVar(&o.Limit, "limit", 0, "score at most so many rows a task (0: as the recipe says)")
	return cmd
}

// printOutcome says how a run ended: the report's short form, then where things are.
func (a *app) printOutcome(o *run.Outcome) error {
	if a.json {
		return a.printJSON(o.Summary())
	}
	if err := o.WriteSummary(a.out); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\nmodel:  %s\nreport: %s\n", o.ModelDir, o.ReportPath)
	if o.Published != nil {
		fmt.Fprintf(a.out, "hub:    %s\n", o.Published.URL)
	}
	return nil
}
