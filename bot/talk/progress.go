package talk

import (
	"fmt"
	"slices"
	"strings"

	"mergebot/bot/run"
	"mergebot/eval/report"
)

// order is that of the data flow; a search's probes are part of it.
var order = [...]string{"resolve", "fetch", "measure", "search", "merge", "evaluate", "gate", "publish", "report"}

// stage is one kind of step in a run: fetching all models is one.
type stage struct {
	name          string
	state         stageState
	subject       string // of the part that runs
	done, total   int64  // of it, in unit
	unit          string
	parts, cached int // ended; those of them that the ledger had
	seconds       float64
	bytes         int64
	begun         bool
	failed        bool
	why           string          // it is unneeded
	open          map[string]bool // parts that run
}

type stageState int

const (
	waiting stageState = iota
	running
	finished
	failed
	unneeded
)

// stages puts a run's log in order, and says which of the nine is the one it is at.
func stages(r Run, scored bool) (all []stage, at int) {
	all = make([]stage, len(order))
	for i, name := range order {
		all[i] = stage{name: name, open: map[string]bool{}}
	}
	process := 0 // the one that executes it now: what an earlier one began and did not end will be begun again
	for _, e := range r.Steps {
		process = e.Process
	}
	for _, e := range r.Steps {
		i := slices.Index(order[:], strings.Replace(e.Step, "probe", "search", 1))
		if i < 0 {
			continue
		}
		all[i].take(e, e.Process == process && r.Record.State != run.Queued)
		if e.Process == process {
			at = max(at, i)
		}
	}
	over := r.Record.State.Over()
	for i := range all {
		if len(all[i].open) > 0 && !over {
			at = i // fetching data sets comes between evaluations
		}
	}
	if n := r.Now; n != nil && !over {
		if i := slices.Index(order[:], n.Step); i >= 0 && all[i].open[n.Subject] {
			all[i].subject, all[i].done, all[i].total, all[i].unit, at = n.Subject, n.Done, n.Total, n.Unit, i
		}
	}
	for i := range all {
		all[i].settle(i < at || over, r.Record, scored)
	}
	return all, at
}

func (s *stage) take(e run.Event, now bool) {
	s.begun = true
	switch e.Phase {
	case run.Started:
		if now {
			s.open[e.Subject], s.subject = true, e.Subject
		}
	case run.Failed:
		delete(s.open, e.Subject)
		s.failed = now
	case run.Finished, run.Cached:
		delete(s.open, e.Subject)
		s.parts++
		if e.Phase == run.Cached {
			s.cached++
			return
		}
		s.seconds += e.Seconds
		if e.Unit == "bytes" {
			s.bytes += e.Done
		}
	}
}

func (s *stage) settle(passed bool, r run.Record, scored bool) {
	switch {
	case s.failed:
		s.state = failed
	case len(s.open) > 0 && !r.State.Over():
		s.state = running
		if !s.open[s.subject] {
			s.subject, s.done, s.total = "", 0, 0
		}
	case s.parts > 0 || s.begun && passed: // a gate leaves only notes
		s.state = finished
	case s.name == "publish" && !r.Publish:
		s.state, s.why = unneeded, "not in this run"
	case passed, !scored && (s.name == "evaluate" || s.name == "gate" || s.name == "search"):
		s.state, s.why = unneeded, "not needed"
	}
}

// words says where a stage stands.
func (s *stage) words() string {
	switch s.state {
	case running:
		return "**running**" + s.share()
	case failed:
		return "**failed**"
	case unneeded:
		return s.why
	case waiting:
		return "waiting"
	}
	switch {
	case s.parts > 0 && s.cached == s.parts:
		return "already there"
	case s.cached > 0:
		return fmt.Sprintf("finished, %d of %d already there", s.cached, s.parts)
	}
	return "finished"
}

// share is how far the part that runs is: ", 62 % (1.9 GB of 3.1 GB)".
func (s *stage) share() string {
	if s.done <= 0 {
		return ""
	}
	amount := func(n int64) string {
		if s.unit == "bytes" {
			return report.Size(n)
		}
		return count(n)
	}
	if s.total <= 0 {
		return ", " + amount(s.done) + " " + plain(strings.Replace(s.unit, "bytes", "", 1), 20)
	}
	unit := ""
	if s.unit != "bytes" {
		unit = " " + plain(s.unit, 20)
	}
	return fmt.Sprintf(", %d %% (%s of %s%s)", s.percent(), amount(s.done), amount(s.total), unit)
}

func (s *stage) percent() int64 {
	return int64(100 * min(max(float64(s.done)/float64(s.total), 0), 1))
}

// steps is the table of a run's stages. Of a run that is over, those that it had.
func steps(r Run, scored bool) string {
	all, _ := stages(r, scored)
	t := newTable("Step", "State", ">Time", ">Bytes")
	for _, s := range all {
		if r.Record.State.Over() && !s.begun {
			continue
		}
		state, took, moved := s.words(), "", ""
		if s.state == running && s.subject != "" {
			state += ": " + span(s.subject)
		}
		if s.seconds > 0 {
			took = plain(report.Duration(s.seconds), 20)
		}
		if s.bytes > 0 {
			moved = report.Size(s.bytes)
		}
		t.row(s.name, state, took, moved)
	}
	return t.String()
}

// position is where a run is, in a few words without markup.
func position(r Run, scored bool) string {
	if r.Record.State == run.Queued {
		if r.Record.Begun > 0 {
			return "waiting to go on where it stopped"
		}
		return "waiting for its turn"
	}
	all, at := stages(r, scored)
	s := fmt.Sprintf("step %d of %d, %s", at+1, len(order), all[at].name)
	if all[at].state == running && all[at].total > 0 && all[at].done > 0 {
		s += fmt.Sprintf(", %d %%", all[at].percent())
	}
	return s
}
