package talk

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"mergebot/bot/run"
	"mergebot/eval/report"
)

// result adds what came of a run to a document: where it stands, scores, gates, chart, links.
func (r Run) result(d *document, page, plan string, scored bool) {
	rec := r.Record
	d.add(section, r.verdict(plan)+r.links(page))
	var pieces report.Pieces
	if r.Report != nil {
		of := *r.Report
		if rec.Result != nil {
			of.Published = nil // the verdict says it
		}
		pieces = report.MarkdownPieces(of)
	}
	if pieces.Warning != "" {
		d.add(section, "**⚠ "+pieces.Warning+"**")
	}
	if rec.Kind == run.Try && pieces.Scores != "" {
		d.add(scores, "**These scores are of "+r.rows()+": they show that the recipe works, and rank nothing. They are not publishable.**")
	}
	if r.Report != nil && rec.State != run.RunFailed {
		d.add(scores, pieces.Headline)
	}
	d.add(scores, unbroken(pieces.Scores))
	d.add(scores, pieces.Gates)
	if r.Report != nil {
		d.add(chart, bars(*r.Report))
	}
	d.add(cautions, folded("Read with care", bullets(pieces.Cautions, 20)))
	if len(r.Steps) > 0 {
		d.add(aside, folded("Steps", steps(r, scored)))
	}
}

func (r Run) rows() string {
	if r.Record.Limit > 0 {
		return "at most " + plural(r.Record.Limit, "row") + " a task"
	}
	return "few rows a task"
}

// verdict is one line: how a run ended, and what can be done now.
func (r Run) verdict(plan string) string {
	rec := r.Record
	again := command(rec.Kind, plan)
	if plan == "" {
		again = "the next run of the recipe"
	}
	switch rec.State {
	case run.RunFailed:
		return fmt.Sprintf("**✗ %s failed:** %s\n\nOnce that is put right, %s goes on where it stopped: finished steps are not done again.", deed(rec), plain(rec.Error, messageLength), again)
	case run.Cancelled:
		why := ""
		if rec.Error != "" {
			why = " " + plain(rec.Error, messageLength)
		}
		return fmt.Sprintf("**%s was cancelled.**%s %s goes on where it stopped.", deed(rec), sentence(why), upper(again))
	case run.Gated:
		return "**✗ Gate not met.**"
	}
	switch p := rec.Result; {
	case p != nil:
		return fmt.Sprintf("**✓ Published as %s** at commit %s%s.", link(span(p.Repo), p.URL), span(short(p.Commit)), private(p))
	case rec.Kind == run.Try:
		return "**✓ Tried on " + r.rows() + ".**"
	}
	return "**✓ Done.**"
}

func private(p *report.Published) string {
	if p.Private {
		return ", private"
	}
	return ""
}

// sentence ends a text with a full stop.
func sentence(s string) string {
	if s == "" || strings.ContainsAny(s[len(s)-1:], ".?!…") {
		return s
	}
	return s + "."
}

// upper begins a sentence, unless it begins with code.
func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// deed names a run as the subject of a sentence.
func deed(r run.Record) string {
	switch r.Kind {
	case run.Try:
		return "The try"
	case run.Release:
		return "The run for publishing"
	case run.Scheduled:
		return "The scheduled run"
	}
	return "The run"
}

// links lead to what the page has of a run.
func (r Run) links(page string) string {
	at := runPage(page, r.Record.ID)
	if at == "" {
		return ""
	}
	var all []string
	if r.Report != nil {
		all = append(all, link("report", at+"/report/report.html"))
	}
	all = append(all, link("run", at), link("log", at+"/log"))
	return "\n\n" + strings.Join(all, " · ")
}

// runPage is the address of a run on the page; "" when there is none.
func runPage(page, id string) string {
	if link("x", page) == "x" || id == "" {
		return ""
	}
	return strings.TrimRight(page, "/") + "/runs/" + url.PathEscape(id)
}

var interval = regexp.MustCompile(`\(([0-9.]+)–([0-9.]+)\)`)

// unbroken keeps an interval on one line of a narrow cell.
func unbroken(table string) string { return interval.ReplaceAllString(table, "($1–\u2060$2)") }

// maxBars keeps a chart legible: eight tasks.
const maxBars = 24

var chartable = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,39}$`)

// bars draws the accuracies in Mermaid's xychart (tried with 11.17.2). Bars of several series cover each other there, so
// every bar has a line of its own, and text in place of a picture can still be read.
func bars(r report.Report) string {
	var names, values []string
	for _, d := range r.Domains {
		for _, t := range d.Tasks {
			for _, role := range []report.Role{report.Base, report.Expert, report.Merged} {
				s, ok := t.Score(role)
				if !ok || !chartable.MatchString(t.Name) || s.Accuracy < 0 || s.Accuracy > 1 {
					continue
				}
				names = append(names, fmt.Sprintf("%q", t.Name+" "+string(role)))
				values = append(values, fmt.Sprintf("%.1f", 100*s.Accuracy))
			}
		}
	}
	if len(names) < 2 || len(names) > maxBars {
		return ""
	}
	return fmt.Sprintf("```mermaid\n---\nconfig:\n  xyChart:\n    height: %d\n  themeVariables:\n    xyChart:\n      plotColorPalette: \"#4a7fb5\"\n---\n"+
		"xychart-beta horizontal\n  title \"Accuracy, %%\"\n  x-axis [%s]\n  y-axis 0 --> 100\n  bar [%s]\n```\n",
		60+20*len(names), strings.Join(names, ", "), strings.Join(values, ", "))
}
