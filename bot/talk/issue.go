package talk

import (
	"fmt"
	"math"
	"strings"

	"mergebot/bot/run"
	"mergebot/eval/report"
)

// Issue is what a scheduled run says when a score has moved by more than the noise. The marker stands for the recipe and
// both runs. p may be nil, where the two cannot be compared item by item. moved is what the later one's lock has otherwise
// (Diff's Lock).
func Issue(recipe string, before, after run.Record, p *report.Paired, page string, moved ...run.Moved) (mark, title, body string) {
	mark = marker("issue", recipe, before.ID, after.ID)
	title = mentionless(line(recipe, 80)) + ": scores have moved"
	if t := largest(p); t != nil {
		title = fmt.Sprintf("%s: %s %s points (%.1f %% before, %.1f %% now)", mentionless(line(recipe, 80)), mentionless(line(t.Name, 40)),
			report.Points(t.Difference.Value), 100*t.A, 100*t.B)
	}
	c := Conversation{Page: page}
	d := document{}
	d.add(essential, mark+"\nThe scheduled run of "+span(recipe)+" scores otherwise than the run before it, by more than the noise.")
	t := newTable("", "Run", "Plan", "Ended", "State")
	for _, r := range []struct {
		name string
		run.Record
	}{{"before (A)", before}, {"now (B)", after}} {
		t.row(r.name, link(span(r.ID), runPage(page, r.ID)), span(short(r.Plan)), moment(r.Ended), plain(string(r.State), 20))
	}
	d.add(essential, t.String())
	d.add(moves, c.moved(moved, "What moved:"))
	if p == nil {
		d.add(scores, "The two cannot be compared item by item: their tasks, prompts or graders differ.")
	} else {
		d.add(scores, report.PairedMarkdown(*p, "before (A)", "now (B)"))
		d.add(aside, "Both answered the same items; the interval is a paired bootstrap's at 95 %, p is of McNemar's exact test.")
		var items []string
		for _, w := range p.Warnings {
			items = append(items, "⚠ "+plain(w, messageLength))
		}
		d.add(warnings, bullets(items, 20))
	}
	if at := runPage(page, after.ID); at != "" {
		d.add(section, strings.Join([]string{link("report now", at+"/report/report.html"), link("report before", runPage(page, before.ID)+"/report/report.html")}, " · "))
	}
	return mark, title, d.String("here", runPage(page, after.ID))
}

// largest is the task that moved most among those whose difference is not chance; of the others where there is none.
func largest(p *report.Paired) *report.PairedTask {
	if p == nil {
		return nil
	}
	var best *report.PairedTask
	real := func(t *report.PairedTask) bool { return t.P < 0.05 }
	for i := range p.Tasks {
		t := &p.Tasks[i]
		if best == nil || real(t) && !real(best) || real(t) == real(best) && math.Abs(t.Difference.Value) > math.Abs(best.Difference.Value) {
			best = t
		}
	}
	return best
}

// mentionless keeps a title, which is no Markdown, from naming people or issues.
func mentionless(s string) string {
	return strings.NewReplacer("@", "@\u200b", "#", "#\u200b", "`", "'").Replace(s)
}
