package talk

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/configs"
)

// titleLength is what a check's title may hold, in characters; GitHub shows about as much.
const titleLength = 120

// PlanCheck is the check of one recipe's plan: its problems are annotations on the recipe's own lines.
func PlanCheck(c Conversation, p change.Plan) forge.Check {
	k := forge.Check{Commit: c.State.PlannedHead, Name: checkName(p.Path), URL: c.changePage(), State: forge.Success}
	switch {
	case p.Removed:
		k.State, k.Title = forge.Neutral, "removed: nothing to plan"
	case p.Outage != "":
		k.State, k.Title = forge.Pending, "the Hub could not be reached; it is tried again"
	case len(p.Problems) > 0:
		k.State, k.Title = forge.Failure, plural(len(p.Problems), "problem")+": "+lowest(p.Problems).Message
	case p.ID == "" || p.Plan == nil:
		k.State, k.Title = forge.Pending, "planning"
	default:
		k.Title = fmt.Sprintf("planned: %s, %s", plural(len(p.Plan.Lock.Models), "model"), download(p.Plan))
		if n := len(p.Plan.Warnings); n > 0 {
			k.Title += ", " + plural(n, "warning")
		}
	}
	k.Title = line(k.Title, titleLength)
	for _, e := range p.Problems {
		k.Annotations = append(k.Annotations, annotation(p.Path, e))
	}
	if p.Plan != nil {
		for _, w := range p.Plan.Warnings {
			k.Annotations = append(k.Annotations, forge.Annotation{Path: p.Path, Line: warningLine(p.Plan, w), Warning: true, Title: "warning", Message: line(w, 4*messageLength)})
		}
	}
	d := document{}
	c.Runs = nil // the check is about the plan alone
	c.recipe(&d, p)
	k.Summary = d.String("here", k.URL)
	return k
}

// checkName has the path in it; one that is too long, or that does not show as it is, ends with a hash.
func checkName(path string) string {
	s := line(path, 80)
	if s != path {
		sum := sha256.Sum256([]byte(path))
		s += " ~" + hex.EncodeToString(sum[:4])
	}
	return "mergebot/plan: " + s
}

func lowest(all []configs.Error) configs.Error {
	return slices.MinFunc(all, func(a, b configs.Error) int { return cmp.Compare(a.Line, b.Line) })
}

func annotation(path string, e configs.Error) forge.Annotation {
	text := line(e.Message, 4*messageLength)
	if e.Suggestion != "" {
		text += fmt.Sprintf("; did you mean %q?", line(e.Suggestion, nameLength))
	}
	a := forge.Annotation{Path: path, Line: max(e.Line, 1), Title: "problem", Message: text}
	if e.Line > 0 {
		a.Column = max(e.Column, 0)
	}
	return a
}

// warningLine is the first line of the recipe that names the model which a warning is about; else the first.
func warningLine(p *run.Plan, warning string) int {
	repos := make([]string, 0, len(p.Lock.Models)+1)
	add := func(m run.LockedModel) {
		if repos = append(repos, m.Repo); m.Adapter != nil {
			repos = append(repos, m.Adapter.Repo)
		}
	}
	for _, m := range p.Lock.Models {
		add(m)
	}
	if p.Lock.Base != nil {
		add(*p.Lock.Base)
	}
	slices.SortFunc(repos, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // a/bc before a/b
	for _, repo := range repos {
		if repo == "" || !strings.Contains(warning, repo) {
			continue
		}
		if before, _, ok := strings.Cut(p.Recipe.Text, repo); ok {
			return 1 + strings.Count(before, "\n")
		}
	}
	return 1
}

// RunCheck is the check of all runs of a commit: of each recipe the newest that ended counts, a try only where there is
// nothing else, and the worst of them is the check's.
func RunCheck(commit, page string, runs []Run) forge.Check {
	k := forge.Check{Commit: commit, Name: "mergebot/run", State: forge.Success}
	c := Conversation{State: &change.State{}, Page: page, Runs: runs}
	var all []look
	for i := range runs {
		path := runs[i].Record.Origin.Path
		if slices.ContainsFunc(all, func(l look) bool { return l.plan.Path == path }) {
			continue
		}
		all = append(all, c.lookByPath(path))
	}
	slices.SortStableFunc(all, func(a, b look) int { return cmp.Compare(severity(a), severity(b)) })
	var titles []string
	d := document{}
	for i, l := range all {
		state, title := l.check()
		if i == 0 {
			k.State = state
		}
		if len(all) > 1 {
			title = line(l.plan.Path, 60) + ": " + title
		}
		titles = append(titles, title)
		c.runSummary(&d, l)
	}
	d.drop(chart) // a check's page shows it as text
	k.Title = line(strings.Join(titles, "; "), titleLength)
	if k.URL = or(k.URL, c.runURL(all)); len(all) == 0 {
		k.State, k.Title = forge.Neutral, "nothing was run"
	}
	k.Summary = d.String("here", k.URL)
	return k
}

// lookByPath is look without a plan: the runs are all of one commit already.
func (c Conversation) lookByPath(path string) look {
	var of []Run
	for _, r := range c.Runs {
		if r.Record.Origin.Path == path {
			r.Record.Origin.Bound = "x"
			of = append(of, r)
		}
	}
	l := Conversation{Runs: of}.look(change.Plan{Path: path, ID: "x"})
	l.plan = change.Plan{Path: path}
	for _, r := range c.Runs {
		if r.Record.Origin.Path == path && r.Record.Origin.Bound != "" {
			l.plan.ID = r.Record.Origin.Bound
		}
	}
	return l
}

// severity orders for the worst first: failed and gated, running, cancelled, tried, done.
func severity(l look) int {
	state, _ := l.check()
	return slices.Index([]forge.CheckState{forge.Failure, forge.Pending, forge.Neutral, forge.Success}, state)
}

// check is the verdict on one recipe's runs.
func (l look) check() (forge.CheckState, string) {
	switch l.standing {
	case runFailed:
		return forge.Failure, "failed: " + l.done.Record.Error
	case underGate:
		return forge.Failure, "gate not met" + l.done.missed()
	case underway, queued:
		return forge.Pending, position(*l.active, true)
	case cancelled:
		return forge.Neutral, strings.TrimSuffix("cancelled: "+l.done.Record.Error, ": ")
	case tried:
		return forge.Neutral, "tried on " + l.done.rows()
	case published:
		return forge.Success, "published as " + l.done.Record.Result.Repo
	}
	if n := l.done.gates(); n > 0 {
		return forge.Success, plural(n, "gate") + " met"
	}
	return forge.Success, "done"
}

func (r Run) gates() int {
	if r.Report == nil {
		return 0
	}
	return len(r.Report.Gates)
}

// missed names the gates that are not met.
func (r Run) missed() string {
	if r.Report == nil {
		return ""
	}
	var out []string
	for _, g := range r.Report.Gates {
		if !g.Passed {
			out = append(out, fmt.Sprintf("%s %.1f %%, at least %.1f %%", g.Domain+g.Task, 100*g.Value, 100*max(g.MinRatio, g.MinScore)))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ": " + strings.Join(out, "; ")
}

func (c Conversation) runSummary(d *document, l look) {
	d.add(section, "### "+span(l.plan.Path))
	if l.active != nil {
		d.add(section, c.activeLine(*l.active, true))
		d.add(progress, steps(*l.active, true))
	}
	if l.done != nil {
		l.done.result(d, c.Page, l.plan.ID, true)
	}
}

// runURL is the page of the run that the check is about.
func (c Conversation) runURL(all []look) string {
	for _, l := range all {
		if l.active != nil {
			return runPage(c.Page, l.active.Record.ID)
		}
		if l.done != nil {
			return runPage(c.Page, l.done.Record.ID)
		}
	}
	return ""
}
