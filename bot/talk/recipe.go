package talk

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/eval/report"
)

// recipe adds the sections of one recipe to a document.
func (c Conversation) recipe(d *document, p change.Plan) {
	l := c.look(p)
	d.add(section, "### "+c.file(p.Path)+"\n\n"+c.state(l))
	d.add(problems, problemList(p))
	if l.active != nil {
		d.add(section, c.activeLine(*l.active, l.scored()))
		d.add(progress, steps(*l.active, l.scored()))
	}
	if l.done != nil {
		l.done.result(d, c.Page, p.ID, l.scored())
	}
	if p.Plan == nil {
		return
	}
	d.add(warnings, warningList(p.Plan))
	table := c.models(p.Plan)
	list := needs(p.Plan)
	if l.done != nil || l.active != nil { // what was planned steps back behind what came of it
		d.add(facts, folded("Plan: "+plural(len(p.Plan.Lock.Models), "model")+", "+download(p.Plan), table+"\n"+list))
	} else {
		d.add(facts, table)
		d.add(facts, list)
	}
	c.difference(d, p)
}

// state is a line on the plan, then its id, alone so that it copies, and who is in the way.
func (c Conversation) state(l look) string {
	p := l.plan
	switch {
	case p.Removed:
		return "Removed: it is not run any more. What was published of it stays as it is."
	case p.Outage != "":
		return "**The Hub could not be reached:** " + sentence(plain(p.Outage, messageLength)) + " The recipe may be right; the plan is tried again by itself."
	case len(p.Problems) > 0:
		return "**✗ " + plural(len(p.Problems), "problem") + ":** it cannot be planned."
	case p.ID == "":
		return "Not planned yet."
	}
	s := "Plan id:\n\n" + span(p.ID)
	if c.State.State != forge.Open { // nobody copies it any more
		s = "Plan " + span(p.ID)
	}
	if p.Name != "" && p.Plan != nil {
		s = "Recipe " + plain(p.Name, nameLength) + ", " + span(p.Plan.Recipe.Method) + ". " + s
	}
	if t := p.Target; t != "" && c.State.State == forge.Open {
		if holder, ok := c.Locks[t]; ok {
			s += fmt.Sprintf("\n\n**%s is locked by %s:** `run` has to wait until that is merged or closed, or says `/mergebot unlock`.", span(t), span(holder))
		} else if slices.Contains(c.State.Locked, t) {
			s += "\n\nHolds the lock of " + span(t) + "."
		}
	}
	return s
}

func (c Conversation) activeLine(r Run, scored bool) string {
	what := "Running"
	if r.Record.State == run.Queued {
		what = "Waiting"
	}
	by := ""
	if r.Record.Origin.By != "" {
		by = ", asked for by " + span(r.Record.Origin.By)
	}
	return fmt.Sprintf("**%s** (%s%s): %s", what, plain(string(r.Record.Kind), 20), by, position(r, scored)) + r.links(c.Page)
}

// problemList names every problem with its place.
func problemList(p change.Plan) string {
	items := make([]string, 0, len(p.Problems))
	for _, e := range p.Problems {
		items = append(items, span(place(p.Path, e))+": "+meant(e))
	}
	return bullets(items, 30)
}

// place is file:line:column; the file is the change's, whatever the one that was read was called.
func place(path string, e configs.Error) string {
	if e.Line <= 0 {
		return path
	}
	return path + ":" + e.Position.String()
}

func meant(e configs.Error) string {
	s := plain(e.Message, messageLength)
	if e.Suggestion != "" {
		s += "; did you mean " + span(e.Suggestion) + "?"
	}
	return s
}

func warningList(p *run.Plan) string {
	items := make([]string, 0, len(p.Warnings))
	for _, w := range p.Warnings {
		items = append(items, "⚠ "+plain(w, messageLength))
	}
	return bullets(items, 20)
}

// difference says what the recipe has otherwise than on the default branch.
func (c Conversation) difference(d *document, p change.Plan) {
	on := span(c.target())
	switch {
	case p.Difference == nil:
		d.add(moves, "New: "+on+" has no such recipe.")
		return
	case p.Difference.Text == "" && len(p.Difference.Lock) == 0:
		d.add(moves, "As on "+on+": neither the recipe nor its lock differs.")
		return
	}
	d.add(moves, c.moved(p.Difference.Lock, "Other than on "+on+":"))
	if p.Difference.Text != "" {
		d.add(diff, folded("Recipe against "+c.targetName(), diffFence(p.Difference.Text)))
	}
}

// targetName is for a fold's summary, which is HTML: only names that mean nothing there.
func (c Conversation) targetName() string {
	if t := c.target(); strings.Trim(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/- ") == "" && len(t) < 60 {
		return t
	}
	return "the default branch"
}

const maxDiff = 12_000 // bytes

// diffFence holds a unified diff. Every line begins with the diff's own sign, so that none is another bot's command.
func diffFence(text string) string {
	lines := strings.Split(strings.TrimRight(report.Visible(text), "\n"), "\n")
	for i, l := range lines {
		if l != "" && !strings.ContainsRune(`+-@ \`, rune(l[0])) {
			l = " " + l
		}
		if strings.HasPrefix(strings.TrimSpace(l), "/") { // after a blank, to some bots
			l = " \u200b" + strings.TrimSpace(l)
		}
		lines[i] = l
	}
	return fence("diff", strings.Join(lines, "\n"), maxDiff)
}

const maxRows = 24 // of a table of models or moves

// moved is the table of what the lock has otherwise.
func (c Conversation) moved(all []run.Moved, caption string) string {
	if len(all) == 0 {
		return ""
	}
	t := newTable("Moved", "Name", "From", "To")
	for _, m := range all[:min(len(all), maxRows)] {
		commit := func(sha string) string {
			if sha == "" {
				return "–"
			}
			return c.revision(m.What, m.Name, sha)
		}
		name := ""
		if m.Name != "" { // an engine has none
			name = span(m.Name)
		}
		t.row(plain(m.What, 20), name, commit(m.From), commit(m.To))
	}
	return caption + "\n\n" + t.String() + rest(len(all)-maxRows)
}

func rest(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("\n… and %d more.\n", n)
}

// commit is a commit of the recipes' repository, linked where that has addresses.
func (c Conversation) commit(sha string) string {
	if c.Link == nil || sha == "" {
		return span(short(sha))
	}
	return link(span(short(sha)), c.Link(sha, ""))
}

// file is a recipe's path, linked at the change's head.
func (c Conversation) file(path string) string {
	if c.Link == nil {
		return span(path)
	}
	return link(span(path), c.Link(c.State.Head, path))
}

// revision is a commit of a model or a data set on the Hub.
func (c Conversation) revision(what, repo, sha string) string {
	kind := map[string]string{"base": "", "model": "", "dataset": "datasets/"}
	in, ok := kind[what]
	if !ok || c.Hub == "" || !hubRepo(repo) {
		return span(short(sha))
	}
	return link(span(short(sha)), strings.TrimRight(c.Hub, "/")+"/"+in+repo+"/tree/"+url.PathEscape(sha))
}

func hubRepo(s string) bool {
	return strings.Count(s, "/") == 1 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") == ""
}

// place says which commits all is about, and where the page is.
func (c Conversation) place() string {
	s := c.State
	if s.PlannedHead == "" {
		return ""
	}
	text := "Commit " + c.commit(s.PlannedHead) + " on " + span(c.target())
	if s.PlannedBase != "" {
		text += " at " + c.commit(s.PlannedBase)
	}
	if !s.PlannedAt.IsZero() {
		text += ", planned " + moment(s.PlannedAt)
	}
	if a := c.changePage(); a != "" {
		text += " · " + link("page", a)
	}
	return text
}

func (c Conversation) changePage() string {
	if link("x", c.Page) == "x" {
		return ""
	}
	return strings.TrimRight(c.Page, "/") + "/changes/" + url.PathEscape(change.Key(c.State.ID))
}

// strangers says why a fork gets less, and what a maintainer can say.
func (c Conversation) strangers() string {
	s := c.State
	switch {
	case !s.Fork || s.State != forge.Open:
		return ""
	case s.Trusted != "" && s.Trusted == s.Head:
		return "From a fork: a maintainer vouches for commit " + c.commit(s.Head) + ". A push takes that back."
	}
	text := "**From a fork:** planned without the bot's token, so private and gated models look as if they were not there, and nothing is run."
	if fullSHA.MatchString(s.Head) {
		text += " A maintainer who has read this very commit can say\n\n```\n/mergebot plan " + s.Head + "\n```"
	}
	return text
}
