// Package demo runs the whole of mergebot, offline, on a tiny family of trained models: an embedded hub on loopback is
// filled with them and their data sets, and the daemon watches a local repository of recipes. Each recipe is pushed on
// a branch, planned by the daemon, merged, and then run and published like on any other hub.
package demo

import (
	"context"
	"embed"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"mergebot/bot/run"
	"mergebot/eval/report"
	"mergebot/hub/embedded"
	"mergebot/testdata/familyhub"
)

//go:embed recipes
var recipes embed.FS

// Options of a demo.
type Options struct {
	Out   string // folder for everything
	Full  bool   // every row, densities 0.2 and 0.1
	Serve bool   // keep the page up after the tables, until the context is done
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

// Run does it all and prints the tables. Run again in the same folder, it finds every recipe merged and published.
func Run(ctx context.Context, o Options) (err error) {
	if o.Out, err = filepath.Abs(o.Out); err != nil {
		return err
	}
	server, err := serve(ctx, o.Out)
	if err != nil {
		return err
	}
	defer server.Close()
	o.Log("hub: %s serves the tiny family (a base and three experts) and its data sets", server.URL)
	storage, err := run.OpenStorage(filepath.Join(o.Out, "storage"))
	if err != nil {
		return err
	}
	defer storage.Close()
	t, err := openTeam(filepath.Join(o.Out, "recipes.git"))
	if err != nil {
		return err
	}
	d, err := startDaemon(ctx, o, server.URL, storage)
	if err != nil {
		return err
	}
	defer func() {
		if serr := d.stop(); err == nil {
			err = serr
		}
	}()
	o.Log("bot: watches %s, shows %s, logs to %s", t.dir, d.page, d.log.Name())
	if err := d.looked(ctx); err != nil {
		return err
	}

	var tables []report.Comparison
	var last run.Record
	for _, set := range sets {
		table := report.Comparison{Caption: "Domain-Ratio, % of the experts' own scores: " + set.caption}
		for _, name := range order(set.name, o.Full) {
			o.Log("\n%s", name)
			rec, r, err := one(ctx, o, t, d, name)
			if err != nil {
				return fmt.Errorf("%s: %w; the daemon's log is %s", name, err, d.log.Name())
			}
			table.Rows = append(table.Rows, row(name, r))
			last = rec
		}
		tables = append(tables, table)
	}
	where, err := conclude(ctx, o, storage, last.ID, tables)
	if err != nil {
		return err
	}
	o.Done()
	if err := show(o, tables); err != nil {
		return err
	}
	if o.Serve {
		fmt.Fprintf(o.Stdout, "page:   %s (until ^C)\nreport: %s\n", d.page, where)
		<-ctx.Done()
		return nil
	}
	fmt.Fprintf(o.Stdout, "page:   mergebot demo --serve --out %s shows it again\nreport: %s\n", o.Out, where)
	return nil
}

func show(o Options, tables []report.Comparison) error {
	for _, t := range tables {
		fmt.Fprintln(o.Stdout)
		fmt.Fprintln(o.Stdout, t.Caption)
		if err := report.Table(o.Stdout, t.Rows...); err != nil {
			return err
		}
	}
	fmt.Fprintln(o.Stdout, "\nOne seed, tiny experts that were made to be mergeable, few rows (n): this shows that the machinery works,\nnot how large models behave. The report says more.")
	_, err := fmt.Fprintf(o.Stdout, "\nmodels: %s\n", filepath.Join(o.Out, "models"))
	return err
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
