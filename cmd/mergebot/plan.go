package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"mergebot/bot/run"
	"mergebot/configs"
)

func (a *app) planCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plan RECIPE",
		Short: "resolve and check a recipe: commits, licences, shapes, sizes; no weights",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			r, err := recipe(argv[0])
			if err != nil {
				return err
			}
			w := newWatcher(a.err, true)
			env, done, err := a.environment(cmd, w)
			if err != nil {
				return err
			}
			defer done()
			p, err := run.Resolve(cmd.Context(), env, r, nil)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(p)
			}
			return a.printPlan(p)
		},
	}
}

func (a *app) printPlan(p *run.Plan) error {
	fmt.Fprintf(a.out, "plan %s\nrecipe %s: %s, %d models\n\n", p.ID[:16], p.Recipe.Name, p.Recipe.Method, len(p.Lock.Models))
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROLE\tWHAT\tCOMMIT\tLICENCE\tSIZE")
	var row func(role string, m *run.LockedModel)
	row = func(role string, m *run.LockedModel) {
		name, sha := m.Repo, m.SHA
		if name == "" {
			name, sha = m.Path, m.Digest
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", role, name, sha[:12], or(m.License, "-"), humanize.IBytes(uint64(m.Bytes)))
		for _, from := range m.Lineage {
			fmt.Fprintf(t, "  of\t%s\t\t%s\t\n", from.Repo, or(from.License, or(from.Unread, "-")))
		}
		if m.Adapter != nil {
			row("adapter", m.Adapter)
		}
	}
	if p.Lock.Base != nil {
		row("base", p.Lock.Base)
	}
	for i := range p.Lock.Models {
		row("model", &p.Lock.Models[i])
	}
	for _, d := range p.Lock.Datasets {
		rows := ""
		if n := d.Rows(); n > 0 {
			rows = humanize.Comma(int64(n)) + " rows"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", d.Task, d.Repo, d.SHA[:12], rows)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	layers := ""
	if n := p.Output.Layers; n > 0 { // stacked from slices
		layers = fmt.Sprintf(" in %d layers", n)
	}
	fmt.Fprintf(a.out, "\noutput   %d tensors%s, %s parameters, %s, %s in %d file(s), licence %s\n", p.Output.Tensors, layers,
		humanize.Comma(p.Output.Parameters), or(p.Output.DType, "types as stored"), humanize.IBytes(uint64(p.Output.Bytes)), p.Output.Shards, or(p.License.ID, "unknown"))
	fmt.Fprintf(a.out, "fetch    %s of %s\n", humanize.IBytes(uint64(p.Download.Missing)), humanize.IBytes(uint64(p.Download.Bytes)))
	fmt.Fprintf(a.out, "disk     %s\n", humanize.IBytes(uint64(p.Download.DiskBytes)))
	if p.Download.EngineBytes > 0 {
		fmt.Fprintf(a.out, "memory   %s for the embedded engine\n", humanize.IBytes(uint64(p.Download.EngineBytes)))
	}
	if v := p.Download.VRAM; v != nil {
		fmt.Fprintf(a.out, "vram     %s for the weights in %s", humanize.IBytes(uint64(v.Weights)), v.DType)
		if v.KV > 0 {
			fmt.Fprintf(a.out, ", %s of keys and values for each sequence of %s tokens", humanize.IBytes(uint64(v.KV)), humanize.Comma(v.Context))
		}
		fmt.Fprintln(a.out)
	}
	fmt.Fprintf(a.out, "time     about %d s to measure and merge here; network and evaluation come on top\n", p.Download.Seconds)
	if e := p.Download.Evaluation; e != nil {
		fmt.Fprintln(a.out, "        ", evaluationWords(e))
	}
	for _, m := range p.Warnings {
		fmt.Fprintln(a.out, "warning:", m)
	}
	return nil
}

// evaluationWords says what scoring takes, as far as it is known.
func evaluationWords(e *run.PlannedEvaluation) string {
	prompts := "the prompts are counted once the data sets are here"
	if e.Items > 0 {
		prompts = humanize.Comma(e.Items) + " prompts"
	}
	if e.Seconds == 0 {
		return "not known for scoring (" + prompts + "): this engine has not scored these tasks on a machine like this yet"
	}
	return fmt.Sprintf("about %s to score (%s); searches and gates come on top", time.Duration(e.Seconds)*time.Second, prompts)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate RECIPE...",
		Short: "check recipes offline: every problem with file, line and column",
		Args:  args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, argv []string) error {
			var all configs.Errors
			var failed []error
			for _, path := range argv {
				_, err := configs.Load(path)
				if errs, ok := err.(configs.Errors); ok {
					all = append(all, errs...)
				} else if err != nil {
					failed = append(failed, err)
				} else if !a.json {
					fmt.Fprintf(a.out, "%s: ok\n", path)
				}
			}
			if len(all) > 0 {
				failed = append([]error{all}, failed...)
			}
			if a.json {
				if err := a.printJSON(map[string]any{"ok": len(failed) == 0, "errors": append(configs.Errors{}, all...)}); err != nil {
					return err
				}
			}
			if len(failed) > 0 {
				return usageError{errors.Join(failed...)}
			}
			return nil
		},
	}
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the JSON schema of recipes, for editors",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			s, err := configs.Schema()
			if err != nil {
				return err
			}
			_, err = a.out.Write(s)
			return err
		},
	}
}
