package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/eval/report"
)

func (a *app) evalCommand() *cobra.Command {
	var o run.EvaluateOptions
	cmd := &cobra.Command{
		Use:   "eval MODEL --tasks gsm8k,math",
		Short: "score a model on tasks and write a report",
		Long: `eval scores a model (org/name[@revision], or a folder) and writes report.html, report.md and
report.json, and a page for every item. What these weights answered before, in the same engine, is
not asked again: an evaluation that was killed goes on at the item.

With --engine URL an OpenAI-compatible server that holds MODEL answers (vLLM, llama-server, SGLang,
transformers serve); MODEL then only says which weights the scores belong to, and is not downloaded.
The server's key, if it wants one, comes from MERGEBOT_ENGINE_KEY.`,
		Example: `  mergebot eval GAIR/Abel-7B-001 --tasks gsm8k,math --limit 100
  mergebot eval ./merged/model --tasks math --set math.grader=hendrycks --set math.max_tokens=512
  mergebot eval GAIR/Abel-7B-001 --tasks gsm8k --engine http://localhost:8000/v1`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if err := checkEngine(o.Engine); err != nil {
				return usageError{err}
			}
			for i, name := range o.Names {
				if slices.Contains(o.Names[:i], name) {
					return usageError{fmt.Errorf("--tasks: %s is in the list already", name)}
				}
			}
			if o.Limit < 0 {
				return usageError{fmt.Errorf("--limit %d: give a number of rows, or 0", o.Limit)}
			}
			ref, err := configs.ParseModelRef(argv[0])
			if err != nil {
				return usageError{err}
			}
			if o.Tasks, err = taskOptions(o.Names, o.Set); err != nil {
				return usageError{err}
			}
			w := newWatcher(a.err, a.quiet || a.json)
			env, done, err := a.environment(cmd, w)
			if err != nil {
				return err
			}
			defer done()
			r, where, err := run.Evaluate(cmd.Context(), env, ref, o)
			w.close()
			if err != nil {
				return err
			}
			if a.json {
				return report.JSON(a.out, *r)
			}
			if err := report.Markdown(a.out, *r); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "\nreport: %s\n", where)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Names, "tasks", nil, "tasks: gsm8k, math, fiqa_sa, fpb, scotus, unfair_tos")
	f.IntVar(&o.Limit, "limit", 0, "rows a task (0: all)")
	f.Uint64Var(&o.Seed, "seed", 0, "seed that draws the rows when --limit is set")
	f.StringVarP(&o.Out, "out", "o", "eval-report", "folder for the report")
	f.StringVar(&o.Engine, "engine", "auto", "auto, llama.cpp, vllm, or the URL of a server that holds MODEL")
	f.StringVar(&o.Served, "served", "", "the name that the server has for MODEL (default: the only one it lists)")
	f.StringArrayVar(&o.Set, "set", nil, "change a task: TASK.KEY=VALUE, keys as in a recipe's evaluate.tasks")
	cmd.MarkFlagRequired("tasks")
	return cmd
}

// checkEngine holds --engine to what it may be. A URL is not quoted: it may hold a password.
func checkEngine(name string) error {
	if slices.Contains(configs.Engines, name) {
		return nil
	}
	u, err := url.Parse(name)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("--engine: want %s, or the URL of a server such as http://localhost:8000/v1", strings.Join(configs.Engines, ", "))
	case u.User != nil:
		return errors.New("--engine: a password does not belong in the URL; the server's key comes from MERGEBOT_ENGINE_KEY")
	}
	return nil
}

// taskOptions reads TASK.KEY=VALUE lines by the recipe's own decoder, so that keys and errors are the same.
func taskOptions(names, sets []string) (map[string]configs.TaskOptions, error) {
	lines := map[string][]string{}
	for _, s := range sets {
		key, value, ok := strings.Cut(s, "=")
		name, field, ok2 := strings.Cut(key, ".")
		if !ok || !ok2 {
			return nil, fmt.Errorf("--set %s: write TASK.KEY=VALUE, such as math.grader=hendrycks", s)
		}
		lines[name] = append(lines[name], field+": "+value)
	}
	return configs.ParseTaskOptions(names, lines)
}
