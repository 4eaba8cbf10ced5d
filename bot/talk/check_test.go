package talk_test

import (
	"fmt"
	"strings"
	"testing"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/bot/talk"
	"mergebot/configs"
	"mergebot/eval/report"
)

// said is a check as a golden file has it.
func said(c forge.Check) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %.12s: %s\ntitle: %s\nurl: %s\n", c.Name, c.Commit, c.State, c.Title, c.URL)
	for _, a := range c.Annotations {
		fmt.Fprintf(&b, "%s:%d:%d warning %v: %s: %s\n", a.Path, a.Line, a.Column, a.Warning, a.Title, a.Message)
	}
	return b.String() + "\n" + c.Summary
}

func TestPlanCheck(t *testing.T) {
	t.Parallel()
	s := scenes(t)
	c := s["planned"]
	golden(t, "check-planned", said(talk.PlanCheck(c, c.State.Plans[1])))
	c = s["faulty"]
	golden(t, "check-faulty", said(talk.PlanCheck(c, c.State.Plans[0])))
	for i, want := range []struct {
		state       forge.CheckState
		title       string
		annotations int
	}{
		{forge.Failure, `2 problems: unknown key "densty"`, 2},
		{forge.Pending, "the Hub could not be reached; it is tried again", 0},
		{forge.Neutral, "removed: nothing to plan", 0},
	} {
		got := talk.PlanCheck(c, c.State.Plans[i])
		if got.State != want.state || got.Title != want.title || len(got.Annotations) != want.annotations || got.Commit != head || got.Name != "mergebot/plan: "+c.State.Plans[i].Path {
			t.Errorf("%s: %+v, want %+v", c.State.Plans[i].Path, got, want)
		}
	}
	if got := talk.PlanCheck(c, change.Plan{Path: path}); got.State != forge.Pending {
		t.Errorf("not planned yet: %s", got.State)
	}
	// A problem whose place is not known is said on the first line; all of them are said.
	many := change.Plan{Path: path}
	for range 130 {
		many.Problems = append(many.Problems, configs.Error{Message: "x"})
	}
	got := talk.PlanCheck(c, many)
	if len(got.Annotations) != 130 || got.Annotations[129].Line != 1 || got.Annotations[0].Column != 0 {
		t.Errorf("%d annotations, the first %+v", len(got.Annotations), got.Annotations[0])
	}
	// The run that goes on is not the plan's business: its progress must not rewrite the check.
	c = s["running"]
	if talk.PlanCheck(c, c.State.Plans[0]).Summary != talk.PlanCheck(conversation(c.State), c.State.Plans[0]).Summary {
		t.Error("the plan's check speaks of a run")
	}
}

// A warning about a model stands on the line that names it.
func TestWarningsHaveLines(t *testing.T) {
	t.Parallel()
	c := conversation(aChange())
	c.State.Plans[0].Plan.Warnings = []string{"tiny/finance states no licence", "tiny/base holds torch .bin files", "the disk is nearly full"}
	got := talk.PlanCheck(c, c.State.Plans[0])
	for i, want := range []int{5, 2, 1} {
		if a := got.Annotations[i]; a.Line != want || !a.Warning || a.Path != path {
			t.Errorf("%+v, want line %d", a, want)
		}
	}
	if got.State != forge.Success || !strings.HasSuffix(got.Title, ", 3 warnings") {
		t.Errorf("%s: %s", got.State, got.Title)
	}
}

// Two paths never share a check, however long or odd they are.
func TestCheckNames(t *testing.T) {
	t.Parallel()
	long := "recipes/" + strings.Repeat("x", 200)
	seen := map[string]string{}
	for _, p := range []string{path, other, long, long + "y", "recipes/a\tb", "recipes/a b", "recipes/a\x1bb", "recipes/ab"} {
		name := talk.PlanCheck(conversation(aChange()), change.Plan{Path: p}).Name
		if old, ok := seen[name]; ok {
			t.Errorf("%q and %q are both %q", p, old, name)
		}
		if seen[name] = p; len(name) > 120 {
			t.Errorf("%q", name)
		}
	}
}

func TestRunCheck(t *testing.T) {
	t.Parallel()
	of := func(kind run.Kind, state run.State, path string) talk.Run {
		r := talk.Run{Record: aRecord(kind, state)}
		r.Record.Origin.Path = path
		if state == run.RunFailed {
			r.Record.Error = "disk full"
		}
		return r
	}
	gated := ended(t, run.Full, run.Gated)
	published := of(run.Release, run.Succeeded, path)
	published.Record.Result = &report.Published{Repo: "acme/x", Commit: "1"}
	cancelled := of(run.Full, run.Cancelled, path)
	cancelled.Record.Error = "superseded by a push"
	for name, test := range map[string]struct {
		runs  []talk.Run
		state forge.CheckState
		title string
	}{
		"queued":                   {[]talk.Run{of(run.Full, run.Queued, path)}, forge.Pending, "waiting for its turn"},
		"running":                  {[]talk.Run{of(run.Full, run.Running, path)}, forge.Pending, "step 1 of 9, resolve"},
		"succeeded":                {[]talk.Run{of(run.Full, run.Succeeded, path)}, forge.Success, "done"},
		"gates met":                {[]talk.Run{ended(t, run.Full, run.Succeeded)}, forge.Success, "2 gates met"},
		"gated":                    {[]talk.Run{gated}, forge.Failure, "gate not met: math 68.9 %, at least 90.0 %"},
		"failed":                   {[]talk.Run{of(run.Full, run.RunFailed, path)}, forge.Failure, "failed: disk full"},
		"cancelled":                {[]talk.Run{cancelled}, forge.Neutral, "cancelled: superseded by a push"},
		"published":                {[]talk.Run{published}, forge.Success, "published as acme/x"},
		"tried":                    {[]talk.Run{of(run.Try, run.Succeeded, path)}, forge.Neutral, "tried on at most 8 rows a task"},
		"a try after a run":        {[]talk.Run{of(run.Full, run.Succeeded, path), of(run.Try, run.Succeeded, path)}, forge.Success, "done"},
		"a failed try after a run": {[]talk.Run{of(run.Full, run.Succeeded, path), of(run.Try, run.RunFailed, path)}, forge.Success, "done"},
		"again, after a failure":   {[]talk.Run{of(run.Full, run.RunFailed, path), of(run.Full, run.Succeeded, path)}, forge.Success, "done"},
		"cancelled after a gate":   {[]talk.Run{gated, cancelled}, forge.Failure, "gate not met: math 68.9 %, at least 90.0 %"},
		"again, running":           {[]talk.Run{gated, of(run.Full, run.Running, path)}, forge.Pending, "step 1 of 9, resolve"},
		"the worst of two": {[]talk.Run{of(run.Full, run.Succeeded, path), of(run.Full, run.RunFailed, other)}, forge.Failure,
			other + ": failed: disk full; " + path + ": done"},
		"one runs":                           {[]talk.Run{of(run.Full, run.Succeeded, path), of(run.Full, run.Running, other)}, forge.Pending, other + ": step 1 of 9, resolve; " + path + ": done"},
		"a failure is known before the rest": {[]talk.Run{of(run.Full, run.Running, path), of(run.Full, run.RunFailed, other)}, forge.Failure, other + ": failed: disk full; " + path + ": step 1 of 9, resolve"},
		"one tried":                          {[]talk.Run{of(run.Full, run.Succeeded, path), of(run.Try, run.Succeeded, other)}, forge.Neutral, other + ": tried on at most 8 rows a task; " + path + ": done"},
		"none":                               {nil, forge.Neutral, "nothing was run"},
	} {
		got := talk.RunCheck(head, "https://bot.acme.example/", test.runs)
		if got.State != test.state || got.Title != test.title || got.Name != "mergebot/run" || got.Commit != head {
			t.Errorf("%s: %s %q, want %s %q", name, got.State, got.Title, test.state, test.title)
		}
	}
	got := talk.RunCheck(head, "https://bot.acme.example/", []talk.Run{gated})
	golden(t, "check-gated", said(got))
	if got.URL != "https://bot.acme.example/runs/"+gated.Record.ID {
		t.Error(got.URL)
	}
}

// Whatever becomes of it, a try never makes the check a success.
func TestATryIsNoSuccess(t *testing.T) {
	t.Parallel()
	for _, state := range []run.State{run.Queued, run.Planned, run.Running, run.Succeeded, run.Gated, run.RunFailed, run.Cancelled} {
		if got := talk.RunCheck(head, "", []talk.Run{{Record: aRecord(run.Try, state)}}); got.State == forge.Success {
			t.Errorf("%s: %s", state, got.Title)
		}
	}
}

func TestIssue(t *testing.T) {
	t.Parallel()
	before, after := aRecord(run.Scheduled, run.Succeeded), aRecord(run.Scheduled, run.Succeeded)
	after.ID = "20261124-020000.000-52df21ff"
	after.Plan = "52df21ff" + after.Plan[8:]
	items := func(n int) []report.PairedItem { return make([]report.PairedItem, n) }
	p := &report.Paired{Tasks: []report.PairedTask{
		{Name: "gsm8k", N: 200, A: 0.64, B: 0.56, Difference: report.Interval{Value: -0.08, Low: -0.13, High: -0.03}, Gained: items(4), Lost: items(20), P: 0.0015, Words: report.PairedWords(4, 20, 0.0015)},
		{Name: "fpb", N: 20, A: 0.5, B: 0.7, Difference: report.Interval{Value: 0.2, Low: -0.1, High: 0.4}, Gained: items(6), Lost: items(2), P: 0.29, Words: report.PairedWords(6, 2, 0.29)},
	}, Warnings: []string{"scotus: only B has it."}}
	marker, title, body := talk.Issue(path, before, after, p, "https://bot.acme.example", run.Moved{What: "model", Name: "tiny/math", From: base, To: head})
	golden(t, "issue", title+"\n\n"+body)
	if !strings.HasPrefix(body, marker+"\n") || strings.Count(body, "<!--") != 1 {
		t.Errorf("the marker %s does not begin the body", marker)
	}
	for name, other := range map[string]func() string{
		"runs":   func() string { m, _, _ := talk.Issue(path, after, before, p, ""); return m },
		"recipe": func() string { m, _, _ := talk.Issue(other, before, after, p, ""); return m },
	} {
		if other() == marker {
			t.Errorf("another %s has the same marker", name)
		}
	}
	if _, title, body := talk.Issue(path, before, after, nil, ""); !strings.Contains(body, "cannot be compared") || title != path+": scores have moved" {
		t.Errorf("%s\n%s", title, body)
	}
}
