package talk

import (
	"fmt"
	"slices"
	"strings"

	"mergebot/bot/change"
)

// How much of what was before is kept in sight; the page has all.
const (
	pastPlans    = 10
	pastRuns     = 20
	pastCommands = 30
)

// history is what was before, folded: runs, commands, plans; the newest first.
func (c Conversation) history() string {
	var parts []string
	add := func(title string, items []string, most int) {
		if len(items) > 0 {
			parts = append(parts, "**"+title+"**\n\n"+bullets(items, most))
		}
	}
	var runs, commands, plans []string
	for _, r := range slices.Backward(c.Runs) {
		rec := r.Record
		by := ""
		if rec.Origin.By != "" {
			by = " by " + span(rec.Origin.By)
		}
		s := fmt.Sprintf("%s: %s of %s%s: %s", moment(rec.Created), link(span(string(rec.Kind)), runPage(c.Page, rec.ID)), span(rec.Origin.Path), by, plain(string(rec.State), 20))
		if rec.Error != "" {
			s += ": " + plain(rec.Error, 200)
		}
		runs = append(runs, s)
	}
	for _, m := range slices.Backward(c.State.Commands) {
		commands = append(commands, moment(m.At)+": "+said(m))
	}
	for _, p := range c.State.Past {
		ids := make([]string, 0, len(p.IDs))
		for _, id := range p.IDs[:min(len(p.IDs), 20)] {
			ids = append(ids, span(id))
		}
		plans = append(plans, fmt.Sprintf("%s: %s on %s: %s", moment(p.At), c.commit(p.Head), c.commit(p.Base), or(strings.Join(ids, ", "), "no plan")))
	}
	add("Runs", runs, pastRuns)
	add("Commands", commands, pastCommands)
	add("Plans that no longer hold", plans, pastPlans)
	return folded("History: "+historyCounts(len(runs), len(commands), len(plans)), strings.Join(parts, "\n"))
}

func historyCounts(runs, commands, plans int) string {
	var words []string
	for _, w := range []struct {
		n    int
		noun string
	}{{runs, "run"}, {commands, "command"}, {plans, "earlier plan"}} {
		if w.n > 0 {
			words = append(words, plural(w.n, w.noun))
		}
	}
	return listing(words)
}

// said is a command and its answer.
func said(m change.Command) string {
	s := span(m.By) + " said " + span(m.Text)
	if m.Text == "" { // what was said is not repeated
		s = span(m.By) + " was not understood"
	} else if m.Refused {
		s += ", **refused**"
	}
	if m.Answer != "" {
		s += ": " + plain(m.Answer, messageLength)
	}
	return s
}

// lastCommand is the newest command with its answer: who was refused looks for the reason here. Of one that made a run,
// the run says how it goes.
func (c Conversation) lastCommand() string {
	n := len(c.State.Commands)
	if n == 0 || c.State.Commands[n-1].Run != "" {
		return ""
	}
	return sentence(said(c.State.Commands[n-1]))
}

func (c Conversation) askedForHelp() bool {
	n := len(c.State.Commands)
	return n > 0 && (c.State.Commands[n-1].Text == "help" || c.State.Commands[n-1].Text == "")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
