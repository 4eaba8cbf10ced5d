// Package demo runs the whole of mergebot, offline, on a tiny family of trained models: an embedded
// hub on loopback is filled with them and their data sets, and recipes are run against it like
// against any other hub.
package demo

import (
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/eval/report"
	"mergebot/hub"
	"mergebot/hub/embedded"
	"mergebot/testdata/familyhub"
)

//go:embed recipes
var recipes embed.FS

// Options of a demo.
type Options struct {
	Out  string // folder for everything
	Full bool   // every row, densities 0.2 and 0.1
	// Env gives device, engine, shard size and observer; its hub and storage are the demo's own.
	Env    *run.Env
	Stdout io.Writer
	Log    func(format string, v ...any) // headlines
	Done   func()                        // called before the tables: progress ends
}

// caveats are said wherever the tiny family is shown.
var caveats = []string{
	"The tiny family was trained once, from one seed, and its experts were trained to have deltas that merge well: other models may behave otherwise.",
	"The experts' settings were chosen with an eye on these tasks, so scores on their test rows are mildly optimistic.",
	"What helps here is the amplification, not dynamic pruning over plain magnitude; finance is an easy domain, whose base has over half of the answers.",
}

// sets of domains that are merged, in the order of the tables (the paper's Tables 6 and 5).
var sets = []struct{ name, caption string }{
	{"math-finance", "math + finance"},
	{"math-finance-law", "math + finance + law"},
}

// Run does it all and prints the tables. Run again in the same folder, it finds every step done.
func Run(ctx context.Context, o Options) error {
	out, err := filepath.Abs(o.Out)
	if err != nil {
		return err
	}
	o.Out = out
	server, err := serve(ctx, out)
	if err != nil {
		return err
	}
	defer server.Close()
	o.Log("hub: %s serves the tiny family (a base and three experts) and its data sets", server.URL)

	env := o.Env
	if env.Storage, err = run.OpenStorage(filepath.Join(out, "storage")); err != nil {
		return err
	}
	defer env.Storage.Close()
	// Nothing of the user's own Hub is touched: an own cache, and no token.
	env.Hub, err = hub.New(hub.Options{Endpoint: server.URL, Cache: filepath.Join(out, "cache"), Anonymous: true, Progress: env.HubProgress})
	if err != nil {
		return err
	}

	var tables []report.Comparison
	var last *run.Outcome
	for _, set := range sets {
		table := report.Comparison{Caption: "Domain-Ratio, % of the experts' own scores: " + set.caption}
		for _, name := range order(set.name, o.Full) {
			o.Log("\n%s", name)
			outcome, err := one(ctx, o, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			table.Rows = append(table.Rows, row(name, outcome.Report))
			last = outcome
		}
		tables = append(tables, table)
	}
	last.Report.Comparisons = tables
	last.Report.Notes = append(last.Report.Notes, caveats...)
	where, err := last.WriteReport(out)
	if err != nil {
		return err
	}
	o.Done()
	for _, t := range tables {
		fmt.Fprintln(o.Stdout)
		fmt.Fprintln(o.Stdout, t.Caption)
		if err := report.Table(o.Stdout, t.Rows...); err != nil {
			return err
		}
	}
	fmt.Fprintln(o.Stdout, "\nOne seed, tiny experts that were made to be mergeable, few rows (n): this shows that the machinery works,\nnot how large models behave. The report says more.")
	fmt.Fprintf(o.Stdout, "\nmodels: %s\nreport: %s\n", filepath.Join(out, "runs"), where)
	return nil
}

// order lists a set's recipes as the paper's tables do: the higher rate first, DARE before DPPA.
func order(set string, full bool) []string {
	names := []string{"dare-80-" + set, "dppa-80-" + set}
	if full {
		names = append([]string{"dare-90-" + set, "dppa-90-" + set}, names...)
	}
	return names
}

// serve starts the hub over a folder and fills it.
func serve(ctx context.Context, out string) (*embedded.Running, error) {
	seed := filepath.Join(out, "seed")
	if err := familyhub.WriteSeed(seed); err != nil {
		return nil, err
	}
	// Two origins, like the real one: large files come from another host.
	server, err := embedded.Listen(ctx, embedded.Options{Root: filepath.Join(out, "hub")}, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := server.Server.Seed(ctx, seed); err != nil {
		server.Close()
		return nil, err
	}
	return server, nil
}

// one writes a recipe out, for the reader to see, and runs it.
func one(ctx context.Context, o Options, name string) (*run.Outcome, error) {
	text, err := recipes.ReadFile(path.Join("recipes", name+".yaml"))
	if err != nil {
		return nil, err
	}
	if o.Full {
		text = []byte(strings.Replace(string(text), "    limit: 100\n", "    limit: 0\n", 1))
	}
	file := filepath.Join(o.Out, "recipes", name+".yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return nil, err
	}
	recipe, err := configs.Load(file)
	if err != nil {
		return nil, err
	}
	return run.Execute(ctx, o.Env, recipe, run.Options{Out: filepath.Join(o.Out, "runs", name), Publish: true})
}

// row is a run as a line of the paper's table.
func row(name string, r *report.Report) report.Row {
	parts := strings.SplitN(name, "-", 3)
	out := report.Row{Method: strings.ToUpper(parts[0]) + " " + parts[1] + " %", Selection: r.Selection}
	for _, d := range r.Domains {
		cell := report.Cell{Domain: d.Name, Ratio: d.Ratio}
		for _, t := range d.Tasks {
			if s, ok := t.Score(report.Merged); ok {
				cell.N += s.N
			}
		}
		out.Cells = append(out.Cells, cell)
	}
	return out
}

// Recipes names the recipes of the demo.
func Recipes() []string {
	var names []string
	for _, s := range sets {
		names = append(names, order(s.name, true)...)
	}
	slices.Sort(names)
	return names
}
