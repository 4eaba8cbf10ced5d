package talk_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"mergebot/bot/run"
	"mergebot/bot/talk"
)

// states reads the steps' table of a comment.
func states(t *testing.T, r talk.Run) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z]+) \| ([^|]+) \| [^|]* \| [^|]* \|$`).FindAllStringSubmatch(talk.Comment(conversation(aChange(), r)), -1) {
		out[m[1]] = m[2]
	}
	return out
}

func TestSteps(t *testing.T) {
	t.Parallel()
	at := func(p run.Phase, step, subject string, process int) run.Event {
		return run.Event{Phase: p, Step: step, Subject: subject, Process: process}
	}
	now := &run.Event{Phase: run.Progress, Step: "fetch", Subject: "b", Done: 1_900_000_000, Total: 3_100_000_000, Unit: "bytes"}
	for name, test := range map[string]struct {
		run  talk.Run
		want map[string]string
	}{
		"begun": {talk.Run{Steps: []run.Event{at(run.Finished, "resolve", "", 1), at(run.Started, "fetch", "a", 1), at(run.Started, "fetch", "b", 1)}, Now: now},
			map[string]string{"resolve": "finished", "fetch": "**running**, 61 % (1.9 GB of 3.1 GB): `b`", "measure": "waiting", "publish": "not in this run", "report": "waiting"}},
		"progress of what is over": {talk.Run{Steps: []run.Event{at(run.Started, "fetch", "b", 1), at(run.Finished, "fetch", "b", 1), at(run.Started, "merge", "x", 1)}, Now: now},
			map[string]string{"fetch": "finished", "merge": "**running**: `x`", "measure": "not needed", "search": "not needed"}},
		// What a killed process began and nobody has begun again does not run.
		"killed": {talk.Run{Steps: []run.Event{at(run.Started, "fetch", "a", 1), at(run.Started, "merge", "x", 1), at(run.Cached, "fetch", "a", 2), at(run.Started, "measure", "y", 2)}},
			map[string]string{"fetch": "already there", "measure": "**running**: `y`", "merge": "waiting"}},
		"no total": {talk.Run{Steps: []run.Event{at(run.Started, "search", "m", 1)}, Now: &run.Event{Phase: run.Progress, Step: "search", Subject: "m", Done: 7, Unit: "candidates"}},
			map[string]string{"search": "**running**, 7 candidates: `m`"}},
		"more than all": {talk.Run{Steps: []run.Event{at(run.Started, "search", "m", 1)}, Now: &run.Event{Phase: run.Progress, Step: "search", Subject: "m", Done: 9, Total: 7, Unit: "candidates"}},
			map[string]string{"search": "**running**, 100 % (9 of 7 candidates): `m`"}},
		"data sets between scores": {talk.Run{Steps: []run.Event{at(run.Finished, "evaluate", "x", 1), at(run.Started, "fetch", "d", 1)}},
			map[string]string{"fetch": "**running**: `d`", "evaluate": "finished", "gate": "waiting"}},
	} {
		test.run.Record = aRecord(run.Full, run.Running)
		got := states(t, test.run)
		for step, want := range test.want {
			if got[step] != want {
				t.Errorf("%s: %s is %q, want %q", name, step, got[step], want)
			}
		}
	}
}

// A recipe without tasks is neither searched nor scored.
func TestStepsWithoutTasks(t *testing.T) {
	t.Parallel()
	s := aChange()
	s.Plans[0].Plan.Lock.Datasets = nil
	got := talk.Comment(conversation(s, talk.Run{Record: aRecord(run.Full, run.Running)}))
	for _, step := range []string{"search", "evaluate", "gate"} {
		if !strings.Contains(got, "| "+step+" | not needed |") {
			t.Errorf("%s should not be waited for", step)
		}
	}
}

// After a push, earlier runs are history: their results say nothing of the new plan.
func TestOldRunsAreHistory(t *testing.T) {
	t.Parallel()
	old := ended(t, run.Full, run.Succeeded)
	old.Record.Origin.Bound = "aaaaaaaaaaaa-bbbbbbbbbbbb"
	got := talk.Comment(conversation(aChange(), old))
	if !strings.Contains(got, "\n**Planned.** ") || strings.Contains(got, "Task | n") || !strings.Contains(got, "History: 1 run<") {
		t.Error(got)
	}
}

// While a new head is planned, nobody is told to run the old one's plan.
func TestNewHead(t *testing.T) {
	t.Parallel()
	s := aChange()
	s.Head = base
	if got := talk.Comment(conversation(s)); !strings.Contains(got, "**Planning** commit") || strings.Contains(got, "/mergebot run "+id) || !strings.Contains(got, "no longer hold") {
		t.Error(got)
	}
	s = aChange()
	s.Base = head
	if got := talk.Comment(conversation(s)); !strings.Contains(got, "**Planning again,**") {
		t.Error(got)
	}
}

// A suspended run waits, and says that it had begun.
func TestSuspended(t *testing.T) {
	t.Parallel()
	r := talk.Run{Record: aRecord(run.Full, run.Queued), Steps: aLog()}
	r.Record.Begun, r.Record.Ended = 1, time.Time{}
	if got := talk.Comment(conversation(aChange(), r)); !strings.Contains(got, "waiting to go on where it stopped") || strings.Contains(got, "**running**") {
		t.Error(got)
	}
}
