package talk

import (
	"fmt"
	"strings"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
)

// standing is where a recipe of a change stands, in the order in which the headline cares.
type standing int

const (
	faulty standing = iota
	unreachable
	runFailed
	underGate
	underway
	queued
	unplanned
	cancelled
	tried
	planned
	passed
	published
	gone
)

// standingWords say it of one recipe, and after a count of several.
var standingWords = [...]struct{ alone, counted string }{
	{"Cannot be planned", "with problems"}, {"Waiting for the Hub", "waiting for the Hub"}, {"Failed", "failed"}, {"Gate not met", "under a gate"},
	{"Running", "running"}, {"Waiting to run", "waiting to run"}, {"Being planned", "being planned"}, {"Cancelled", "cancelled"},
	{"Tried on few rows", "tried on few rows"}, {"Planned", "planned"}, {"Complete", "complete"}, {"Published", "published"}, {"Removed", "removed"},
}

// look is what counts of the runs for one recipe of a change.
type look struct {
	plan   change.Plan
	active *Run // runs or waits
	done   *Run // the newest that ended: a try only where there is no other
	standing
}

func (c Conversation) look(p change.Plan) look {
	l := look{plan: p}
	var tries *Run
	for i := range c.Runs {
		r := &c.Runs[i]
		onMain := r.Record.Kind == run.Release || r.Record.Kind == run.Scheduled
		if r.Record.Origin.Path != p.Path || !onMain && (p.ID == "" || r.Record.Origin.Bound != p.ID) {
			continue
		}
		switch {
		case !r.Record.State.Over():
			l.active = r
		case r.Record.Kind == run.Try:
			tries = r
		case l.done == nil || r.Record.State != run.Cancelled || l.done.Record.Kind != r.Record.Kind: // to cancel undoes no result
			l.done = r
		}
	}
	if l.done == nil {
		l.done = tries
	}
	l.standing = l.stand()
	return l
}

func (l look) stand() standing {
	switch {
	case l.active != nil && l.active.Record.State == run.Queued:
		return queued
	case l.active != nil:
		return underway
	case l.done != nil:
		return standingOf(l.done.Record)
	case l.plan.Removed:
		return gone
	case len(l.plan.Problems) > 0:
		return faulty
	case l.plan.Outage != "":
		return unreachable
	case l.plan.ID == "":
		return unplanned
	}
	return planned
}

func standingOf(r run.Record) standing {
	switch {
	case r.State == run.RunFailed:
		return runFailed
	case r.State == run.Gated:
		return underGate
	case r.State == run.Cancelled:
		return cancelled
	case r.Result != nil:
		return published
	case r.Kind == run.Try:
		return tried
	}
	return passed
}

// scored says whether a recipe has tasks; without a plan it may.
func (l look) scored() bool { return l.plan.Plan == nil || len(l.plan.Plan.Lock.Datasets) > 0 }

// headline is where things stand, in bold, and what to do next.
func (c Conversation) headline() string {
	s := c.State
	switch {
	case s.Problem != "":
		return "**Cannot be planned:** " + sentence(plain(s.Problem, messageLength))
	case s.State == forge.Closed:
		return "**Closed without being merged.** Its runs are cancelled and its locks given back; nothing of it is published."
	case s.State == forge.Open && s.Target != "" && c.Target != "" && s.Target != c.Target:
		return "**Goes to " + span(s.Target) + " now.** Only what goes to " + span(c.Target) + " is planned and run: its runs are cancelled and its locks given back."
	case s.PlannedHead == "":
		return "**Planning** commit " + c.commit(s.Head) + ": this takes seconds."
	case s.State == forge.Open && s.PlannedHead != s.Head:
		return "**Planning** commit " + c.commit(s.Head) + ". What follows is of " + c.commit(s.PlannedHead) + ": its plans no longer hold."
	case s.State == forge.Open && s.PlannedBase != "" && s.PlannedBase != s.Base:
		return "**Planning again,** since " + span(c.target()) + " has moved on to " + c.commit(s.Base) + ": the plans that follow no longer hold."
	case len(s.Plans) == 0:
		return "**No recipe is changed here:** there is nothing to plan."
	}
	var of [len(standingWords)][]look
	first := gone
	for _, p := range s.Plans {
		l := c.look(p)
		of[l.standing] = append(of[l.standing], l)
		first = min(first, l.standing)
	}
	var counts []string
	for i, ls := range of {
		if len(ls) > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", len(ls), standingWords[i].counted))
		}
	}
	bold := plural(len(s.Plans), "recipe") + ": " + strings.Join(counts, ", ")
	if len(s.Plans) == 1 {
		bold = standingWords[first].alone
	} else if len(counts) == 1 {
		bold = standingWords[first].alone + ": " + plural(len(s.Plans), "recipe")
	}
	if s.State == forge.Merged && len(s.Plans) == 1 {
		return strings.TrimRight("**Merged.** "+c.afterMerge(of[first][0]), " ")
	} else if s.State == forge.Merged {
		return "**Merged. " + bold + ".** " + c.afterMerge(of[first][0])
	}
	return "**" + bold + ".** " + c.next(of[first][0], len(s.Plans) > 1)
}

// next is what people can do about a recipe of an open change.
func (c Conversation) next(l look, several bool) string {
	it, id := "it", l.plan.ID
	if several {
		it = span(l.plan.Path)
	}
	switch l.standing {
	case faulty:
		return "Put right what is named below and push: every push is planned."
	case unreachable:
		return "The plan is tried again by itself."
	case runFailed:
		return "The reason is below. " + command(l.done.Record.Kind, id) + " goes on where it stopped."
	case underGate:
		return "Merging this publishes nothing while a gate is not met."
	case underway:
		return fmt.Sprintf("%s is at %s. `/mergebot cancel` ends it.", upper(it), position(*l.active, l.scored()))
	case queued:
		return fmt.Sprintf("%s is %s. `/mergebot cancel` takes it back.", upper(it), position(*l.active, l.scored()))
	case unplanned:
		return "This takes seconds."
	case cancelled:
		return command(run.Full, id) + " goes on where it stopped."
	case tried:
		return command(run.Full, id) + " scores all that the recipe asks for."
	case passed, published:
		if t := l.plan.Target; t != "" {
			return "Merging this pull request publishes " + it + " as " + span(t) + "."
		}
		return "Merging this pull request puts " + it + " on " + span(c.target()) + "; the recipe names no repo to publish to."
	case gone:
		return "There is nothing to run. What was published before stays as it is."
	}
	if c.State.Fork && c.State.Trusted != c.State.Head {
		return "It comes from a fork: nothing is run for it before a maintainer says so."
	}
	with := ""
	if several {
		id, with = "plan-id", " With the id below a recipe's name,"
	}
	return strings.TrimSpace(with + " " + command(run.Try, id) + " merges and scores few rows; " + command(run.Full, id) + " does all but publish; merging this pull request publishes.")
}

// command is what to write to have a plan run.
func command(k run.Kind, id string) string {
	if k != run.Try {
		k = run.Full
	}
	return span("/mergebot " + string(k) + " " + id)
}

// afterMerge is what becomes of a recipe that is on the default branch.
func (c Conversation) afterMerge(l look) string {
	switch l.standing {
	case published:
		p := l.done.Record.Result
		return "Published as " + link(span(p.Repo), p.URL) + " at commit " + span(short(p.Commit)) + "."
	case underway, queued:
		return "The run for publishing is " + strings.Replace(position(*l.active, l.scored()), "step", "at step", 1) + "."
	case runFailed:
		return "Nothing was published: the reason is below."
	case underGate:
		return "Nothing was published, since a gate is not met."
	case cancelled:
		return "Nothing was published."
	case gone:
		return "What was published before stays as it is."
	case faulty, unreachable, unplanned:
		return ""
	case passed:
		if l.done.Record.Kind == run.Release && l.plan.Target == "" {
			return "The recipe names no repo to publish to."
		}
	}
	return "It is about to be run and published; steps that were done before are not done again."
}

func (c Conversation) target() string { return or(c.Target, or(c.State.Target, "the default branch")) }
