package run

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"mergebot/eval/report"
)

// conclude judges, describes, publishes and reports.
func (p *pipeline) conclude(ctx context.Context) (*Outcome, error) {
	if err := p.judge(ctx); err != nil {
		return nil, err
	}
	if err := p.describe(); err != nil {
		return nil, err
	}
	r := p.report()
	items := p.items()
	if _, err := writeReport(p.opts.Out, r, items); err != nil {
		return nil, err
	}
	if p.opts.Publish && p.passed() {
		// The report goes up with the model; what publishing adds to it is then written here. Publishing may fail:
		// the scores are kept before.
		if err := p.archive(ctx, items); err != nil {
			return nil, err
		}
		if err := p.publish(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.x.journal.emit(ctx, Event{Phase: Finished, Step: stepReport.Name, Subject: p.plan.Recipe.Name}); err != nil {
		return nil, err
	}
	r = p.report()
	page, err := writeReport(p.opts.Out, r, items)
	if err != nil {
		return nil, err
	}
	if err := p.archive(ctx, items); err != nil {
		return nil, err
	}
	o := &Outcome{Run: p.x.journal.record.ID, Plan: p.plan, ModelDir: p.modelDir(), ReportPath: page, Report: &r, Published: p.commit, items: items}
	if !p.passed() {
		return o, fmt.Errorf("%w: see %s", ErrGate, page)
	}
	return o, nil
}

// Summary is an outcome for machines.
type Summary struct {
	Run       string            `json:"run"`
	Plan      string            `json:"plan"`
	State     State             `json:"state"`
	Model     string            `json:"model"`
	Report    string            `json:"report"`
	Published *report.Published `json:"published,omitempty"`
	Domains   []report.Domain   `json:"domains,omitempty"`
	Gates     []report.Gate     `json:"gates,omitempty"`
	Files     []report.File     `json:"files"`
}

// Summary says how the run ended, for machines.
func (o *Outcome) Summary() Summary {
	return Summary{Run: o.Run, Plan: o.Plan.ID, State: o.State, Model: o.ModelDir, Report: o.ReportPath, Published: o.Report.Published,
		Domains: o.Report.Domains, Gates: o.Report.Gates, Files: o.Report.Files}
}

// WriteSummary says how the run ended, for people: a line a task, then a line a domain.
func (o *Outcome) WriteSummary(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(o.Report.Domains) > 0 {
		fmt.Fprintln(t, "TASK\tN\tBASE\tEXPERT\tMERGED\t95 % INTERVAL\tRATIO\t95 % INTERVAL\tAGAINST THE EXPERT")
	}
	for _, d := range o.Report.Domains {
		for _, x := range d.Tasks {
			merged, _ := x.Score(report.Merged)
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s – %s\t%s\t%s\n", x.Name, merged.N, accuracy(x, report.Base), accuracy(x, report.Expert), accuracy(x, report.Merged),
				percent(merged.Low), percent(merged.High), ratioText(x.Ratio), testWords(x.McNemar))
		}
		fmt.Fprintf(t, "domain %s\t\t\t\t\t\t%s\t%s\n", d.Name, ratioText(d.Ratio), ratioWords(d.Ratio))
	}
	for _, g := range o.Report.Gates {
		word := "met"
		if !g.Passed {
			word = "NOT MET"
		}
		least := max(g.MinRatio, g.MinScore)
		if g.Low <= least && least <= g.High {
			word += ", but " + percent(least) + " is inside the noise"
		}
		fmt.Fprintf(t, "gate %s%s\t%d\t\t\t\t\t%s\t%s – %s\t%s\n", g.Domain, g.Task, g.N, percent(g.Value), percent(g.Low), percent(g.High), word)
	}
	if err := t.Flush(); err != nil || o.Report.Selection != report.SelectionTest {
		return err
	}
	_, err := fmt.Fprintln(w, "\nThe recipe says selection: test: what was chosen was chosen on the very rows that are reported here.\nThese scores are too good by an unknown amount.")
	return err
}

// testWords says what McNemar's test of merged against expert allows to be said.
func testWords(m *report.McNemar) string {
	switch {
	case m == nil:
		return ""
	case m.P >= 0.05:
		return "inside the noise"
	case m.OnlyMerged > m.OnlyExpert:
		return "better"
	}
	return "worse"
}

// ratioWords says what a Domain-Ratio allows to be said.
func ratioWords(i *report.Interval) string {
	if i == nil {
		return ""
	}
	return [...]string{"worse", "inside the noise", "better"}[1+i.Side()]
}

func accuracy(t report.Task, role report.Role) string {
	s, ok := t.Score(role)
	if !ok {
		return "-"
	}
	return percent(s.Accuracy)
}

func percent(f float64) string { return fmt.Sprintf("%.1f", 100*f) }

func ratioText(i *report.Interval) string {
	if i == nil {
		return "undefined\t"
	}
	return percent(i.Value) + "\t" + percent(i.Low) + " – " + percent(i.High)
}
