package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mergebot/bot/run"
)

// timeline is a run's log folded into stages: fetch, measure, search, … each with what it was done to.
type timeline struct {
	Stages []*stage
	Lines  []string // the log, a line an event
	count  int      // events so far
}

// stage is all that one kind of step did.
type stage struct {
	Name    string
	Items   []*item
	Notes   []string
	Cached  int // taken from the ledger or the Hub client's cache
	Ended   int // finished, taken or failed
	Seconds float64
	Bytes   int64
	Failed  bool
}

// item is one step.
type item struct {
	Subject string
	Phase   run.Phase // Started, Finished, Cached or Failed
	Began   time.Time
	Seconds float64
	Bytes   int64
	Text    string
}

// Running says whether a step of the stage has begun and not ended.
func (s *stage) Running() bool {
	return slices.ContainsFunc(s.Items, func(i *item) bool { return i.Phase == run.Started })
}

func fold(events []run.Event) *timeline {
	t := new(timeline)
	for _, e := range events {
		t.add(e)
	}
	return t
}

// add takes a kept event in.
func (t *timeline) add(e run.Event) {
	t.count++
	t.Lines = append(t.Lines, logLine(e))
	s := t.stage(e.Step)
	if e.Phase == run.Note {
		if e.Text != "" {
			s.Notes = append(s.Notes, e.Text)
		}
		return
	}
	at := slices.IndexFunc(s.Items, func(i *item) bool { return i.Subject == e.Subject })
	if at < 0 {
		at = len(s.Items)
		s.Items = append(s.Items, &item{Subject: e.Subject})
	}
	i := s.Items[at]
	if i.Phase == run.Finished && e.Phase == run.Cached { // done before a restart, found again after it
		return
	}
	i.Phase, i.Text = e.Phase, e.Text
	switch e.Phase {
	case run.Started:
		i.Began = e.Time
	case run.Finished, run.Failed:
		i.Seconds = e.Seconds
		if e.Unit == "bytes" {
			i.Bytes = e.Done
		}
	}
	s.sum()
}

func (s *stage) sum() {
	s.Cached, s.Ended, s.Seconds, s.Bytes, s.Failed = 0, 0, 0, 0, false
	for _, i := range s.Items {
		switch i.Phase {
		case run.Started:
			continue
		case run.Cached:
			s.Cached++
		case run.Failed:
			s.Failed = true
		}
		s.Ended++
		s.Seconds += i.Seconds
		s.Bytes += i.Bytes
	}
}

// stage finds a stage by its step's name. Stages come in the order in which they begin.
func (t *timeline) stage(name string) *stage {
	for _, s := range t.Stages {
		if s.Name == name {
			return s
		}
	}
	t.Stages = append(t.Stages, &stage{Name: name})
	return t.Stages[len(t.Stages)-1]
}

// now is what a run is doing.
type now struct {
	State   run.State
	Step    string
	Subject string
	Since   time.Time
	Done    int64
	Total   int64 // 0: not known
	Unit    string
}

// now says which step is being done, with the newest progress where it is of that step. A run that waits, or that
// has ended, does nothing.
func (t *timeline) now(r run.Record, progress run.Event) now {
	n := now{State: r.State}
	if r.State != run.Running && r.State != run.Planned {
		return n
	}
	for _, s := range t.Stages {
		for _, i := range s.Items {
			if i.Phase != run.Started {
				continue
			}
			same := s.Name == progress.Step && i.Subject == progress.Subject
			if same || !i.Began.Before(n.Since) {
				n.Step, n.Subject, n.Since = s.Name, i.Subject, i.Began
			}
			if same {
				n.Done, n.Total, n.Unit = progress.Done, progress.Total, progress.Unit
				return n
			}
		}
	}
	// A transfer may report before its step is kept, and publishing outside of one.
	if n.Step == "" && progress.Step != "" && progress.Done < progress.Total {
		n.Step, n.Subject, n.Done, n.Total, n.Unit, n.Since = progress.Step, progress.Subject, progress.Done, progress.Total, progress.Unit, progress.Time
	}
	return n
}

// Percent is how far the step is, 0 to 100.
func (n now) Percent() int64 {
	if n.Total <= 0 {
		return 0
	}
	return max(0, min(100, n.Done*100/n.Total))
}

// Amount says how far the step is, in its unit.
func (n now) Amount() string {
	switch {
	case n.Unit == "bytes" && n.Total > 0:
		return size(n.Done) + " of " + size(n.Total)
	case n.Unit == "bytes" && n.Done > 0:
		return size(n.Done)
	case n.Total > 0:
		return fmt.Sprintf("%s of %s %s", count(n.Done), count(n.Total), n.Unit)
	case n.Done > 0:
		return fmt.Sprintf("%s %s", count(n.Done), n.Unit)
	}
	return ""
}

// logLine is an event as a line of the log.
func logLine(e run.Event) string {
	parts := []string{e.Time.UTC().Format(time.DateTime), fmt.Sprintf("%-8s %-8s", e.Step, e.Phase)}
	if e.Subject != "" {
		parts = append(parts, e.Subject)
	}
	if e.Phase == run.Finished && e.Unit == "bytes" && e.Done > 0 {
		parts = append(parts, size(e.Done))
	}
	if e.Seconds > 0 && e.Phase != run.Cached {
		parts = append(parts, duration(e.Seconds))
	}
	if e.Text != "" {
		parts = append(parts, oneLine(e.Text))
	}
	return strings.TrimRight(strings.Join(parts, "  "), " ")
}
