package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageCSS string

// How much of a row a page shows.
const (
	maxSamples    = 8
	maxSampleText = 400
)

// HTML writes the page: one file without scripts or anything to load, and without links but those to
// the item pages beside it, where Items says that there are some. Its content policy
// lets a browser do nothing but apply the style sheet inside, which is named by its hash, so that
// even a text that slipped through the escaping could neither run nor fetch.
func HTML(w io.Writer, r Report) error {
	t, err := template.New("page").Funcs(pageFuncs()).Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("parse the report's page: %w", err)
	}
	var page bytes.Buffer
	err = t.Execute(&page, view{
		Report: r,
		CSS:    template.CSS(pageCSS),
		Policy: policy(pageCSS, ""),
	})
	if err != nil {
		return fmt.Errorf("render report.html: %w", err)
	}
	if _, err := w.Write(page.Bytes()); err != nil {
		return fmt.Errorf("write report.html: %w", err)
	}
	return nil
}

// policy is a page's Content-Security-Policy: the one style sheet inside and, if there is one, the
// one script, each named by its hash; nothing else.
func policy(css, script string) string {
	source := func(text string) string {
		hash := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'"
	}
	p := "default-src 'none'; style-src " + source(css)
	if script != "" {
		p += "; script-src " + source(script)
	}
	return p + "; base-uri 'none'; form-action 'none'"
}

// view is what the page's template sees: the report and what follows from it.
type view struct {
	Report
	CSS    template.CSS
	Policy string
}

func (v view) PageTitle() string  { return v.title() }
func (v view) Verdict() []string  { return headline(v.Report) }
func (v view) Cautions() []string { return cautions(v.Report) }
func (v view) Method() []string   { return methodNotes(v.Report) }
func (v view) Alarm() string      { return v.selection() }

// Roles are the columns of the score table: those that some task has a score for.
func (v view) Roles() []Role {
	var out []Role
	for _, role := range []Role{Base, Expert, Merged, Single} {
		if slices.ContainsFunc(v.Domains, func(d Domain) bool {
			return slices.ContainsFunc(d.Tasks, func(t Task) bool { _, ok := t.Score(role); return ok })
		}) {
			out = append(out, role)
		}
	}
	return out
}

func (v view) Inputs(role string) []string {
	var out []string
	for _, l := range v.Plan.Lock {
		if l.Kind == "model" && l.Role == role {
			out = append(out, l.Repo)
		}
	}
	return out
}

func (v view) HasRatios() bool {
	return slices.ContainsFunc(v.Domains, func(d Domain) bool { return d.Ratio != nil })
}

func (v view) HasSamples() bool {
	return slices.ContainsFunc(v.Domains, func(d Domain) bool {
		return slices.ContainsFunc(d.Tasks, func(t Task) bool { return len(t.Samples) > 0 })
	})
}

// promptText is a prompt's template and the tasks that are put with it.
type promptText struct{ Name, Hash, Text, Tasks string }

// Prompts are the distinct templates of all tasks.
func (v view) Prompts() []promptText {
	var out []promptText
	for _, d := range v.Domains {
		for _, t := range d.Tasks {
			p := promptText{t.Protocol.Prompt, t.Protocol.PromptHash, t.Protocol.PromptText, t.Name}
			same := func(q promptText) bool { return q.Name == p.Name && q.Hash == p.Hash && q.Text == p.Text }
			switch i := slices.IndexFunc(out, same); {
			case p.Text == "":
			case i >= 0:
				out[i].Tasks += ", " + p.Tasks
			default:
				out = append(out, p)
			}
		}
	}
	return out
}

// ItemsLink leads to a task's items, those of one verdict only if show names it; "" where there are no
// item pages.
func (v view) ItemsLink(domain, task, show string) string {
	if v.Items == 0 {
		return ""
	}
	var all []taskKey
	for _, d := range v.Domains {
		for _, t := range d.Tasks {
			all = append(all, taskKey{d.Name, t.Name})
		}
	}
	return itemsLink(itemStems(all)[taskKey{domain, task}], show)
}

// Engines are the distinct engines of all scores: one, unless some were taken elsewhere.
func (v view) Engines() []string {
	var out []string
	for _, d := range v.Domains {
		for _, t := range d.Tasks {
			for _, s := range t.Scores {
				if e := flags(s.Engine); e != "" && !slices.Contains(out, e) {
					out = append(out, e)
				}
			}
		}
	}
	return out
}

// RatioLimit is where the tracks of the Domain-Ratios end, the same for all of them. A ratio over
// 3, to an expert that knows next to nothing, runs off the track.
func (v view) RatioLimit() float64 {
	limit := 1.2
	for _, d := range v.Domains {
		if d.Ratio != nil {
			limit = math.Max(limit, math.Ceil(10*d.Ratio.High)/10)
		}
	}
	return math.Min(limit, 3)
}

// stepGroup sums the steps of one name.
type stepGroup struct {
	Name          string
	Steps, Cached int
	Seconds       float64
	Bytes         int64
	Share         float64 // of the run's seconds
}

// stepGroups are the steps by name, in the order in which each name first started.
func (r Report) stepGroups() []stepGroup {
	var out []stepGroup
	var total float64
	for _, s := range r.Steps {
		i := slices.IndexFunc(out, func(g stepGroup) bool { return g.Name == s.Name })
		if i < 0 {
			i = len(out)
			out = append(out, stepGroup{Name: s.Name})
		}
		g := &out[i]
		g.Steps++
		g.Bytes += s.Bytes
		if s.Cached {
			g.Cached++
			continue
		}
		g.Seconds += s.Seconds
		total += s.Seconds
	}
	for i := range out {
		if total > 0 {
			out[i].Share = out[i].Seconds / total
		}
	}
	return out
}

// StepGroups is stepGroups for the template.
func (v view) StepGroups() []stepGroup { return v.stepGroups() }

// figure is a chart with its legend and what it says in a sentence.
type figure struct {
	Title, Text string
	Chart       template.HTML
	Lines       []legend
	Probes      []Probe
}

type legend struct {
	Name string
	Key  template.HTML
}

func newFigure(title, text, xLabel, yLabel string, lines []series, probes []Probe) figure {
	f := figure{Title: title, Text: text, Probes: probes}
	for i, l := range lines {
		f.Lines = append(f.Lines, legend{l.Name, l.key(i)})
	}
	if len(lines) > 0 {
		f.Chart = lineChart(lines, xLabel, yLabel, title+": "+text)
	}
	return f
}

// Amplifications has a figure per expert.
func (v view) Amplifications() []figure {
	if v.Search == nil {
		return nil
	}
	var out []figure
	for _, a := range v.Search.Experts {
		out = append(out, newFigure(a.name(), a.text(), "amplification ratio", "Domain-Ratio, %", amplificationLines(a), a.Probes))
	}
	return out
}

func (a Amplification) name() string {
	if a.Domain != "" {
		return a.Domain
	}
	return a.Expert
}

func (a Amplification) text() string {
	var parts []string
	for i, r := range a.Ratios {
		parts = append(parts, fmt.Sprintf("P%d × %s", i+1, number(r)))
	}
	return fmt.Sprintf("method %d chosen with %s; %s %% on the selection items", a.Method, list(parts), percent(a.Score))
}

// CoefficientFigure is the search of the merge's coefficients, nil if there was none.
func (v view) CoefficientFigure() *figure {
	if v.Search == nil || v.Search.Coefficient == nil {
		return nil
	}
	c := *v.Search.Coefficient
	f := newFigure("Coefficient", c.text(), "coefficient", "mean Domain-Ratio, %", coefficientLines(c, v.Inputs("expert")), c.Probes)
	return &f
}

func (c Coefficients) text() string {
	return fmt.Sprintf("%s coefficient, chosen: %s; %s %% on the selection items", c.Mode, numbers(c.chosen()), percent(c.Score))
}

// chosen is one number when all experts share it.
func (c Coefficients) chosen() []float64 {
	if c.Mode == "common" && len(c.Chosen) > 1 {
		return c.Chosen[:1]
	}
	return c.Chosen
}

func pageFuncs() template.FuncMap {
	return template.FuncMap{
		"percent": percent, "interval": percentRange, "number": number, "numbers": numbers, "small": small,
		"size": size, "count": count, "count64": func(n int) string { return count(int64(n)) }, "points": points, "seconds": seconds, "moment": moment, "short": short,
		"list": list, "capital": capital, "plural": plural,
		"ratioBar":   func(i *Interval, limit float64) template.HTML { return ratioBar(*i, limit) },
		"scoreTrack": scoreTrack,
		"shareBar":   shareBar,
		"heatMap": func(m Measurement) template.HTML {
			return heatMap(m, "Pruning rates of "+m.Expert+" by layer and linear; the same numbers are in the table below")
		},
		"heatKey":     heatKey,
		"heatScale":   Measurement.scaleOf,
		"score":       func(t Task, role Role) *Score { return pointerTo(t.Score(role)) },
		"taskVerdict": Task.verdict,
		"comparison":  func(i *Interval) string { return i.comparison() },
		"gateText":    Gate.text,
		"gateReached": Gate.reached,
		"stdErr":      Score.standardError,
		"shown":       func(s string) template.HTML { return shown(s, maxShown) },
		"clip":        func(s string) string { return clip(s, maxSampleText) },
		"samples":     func(s []Sample) []Sample { return s[:min(len(s), maxSamples)] },
		"linear":      shortLinear,
		"few":         func(n int) bool { return n < fewItems },
		"tasks":       taskScores,
		"flags":       flags,
		"unbroken":    func(s string) string { return strings.ReplaceAll(s, " %", "\u00a0%") },
	}
}

func pointerTo(s Score, ok bool) *Score {
	if !ok {
		return nil
	}
	return &s
}

func taskScores(ts []TaskScore) string {
	var parts []string
	for _, t := range ts {
		parts = append(parts, fmt.Sprintf("%s %d/%d", t.Task, t.Correct, t.N))
	}
	return strings.Join(parts, " · ")
}

// flags writes an engine and its flags in a fixed order.
func flags(e Engine) string {
	parts := []string{strings.TrimSpace(e.Name + " " + e.Version)}
	if e.DType != "" {
		parts = append(parts, e.DType)
	}
	var names []string
	for name := range e.Flags {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parts = append(parts, name+"="+e.Flags[name])
	}
	return strings.Join(parts, ", ")
}
