package talk_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/bot/talk"
	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/eval/report"
	"mergebot/hub"
)

const (
	head  = "5b1f0c9e7d3a4f62b8c0d1e2f3a4b5c6d7e8f901"
	base  = "c0ffee0123456789abcdef0123456789abcdef01"
	id    = "41cf10ee8a2b-9d2a77c1e0f3"
	path  = "recipes/dppa-80.yaml"
	other = "recipes/dare-80.yaml"
)

var day = time.Date(2026, 11, 23, 18, 2, 0, 0, time.UTC)

const recipeText = `merge_method: dppa
base_model: tiny/base
models:
  - {model: tiny/math, parameters: {density: 0.2}}
  - {model: tiny/finance, parameters: {density: 0.2}}
dtype: float16
mergebot:
  domains:
    math:    {expert: tiny/math, tasks: [gsm8k, math]}
    finance: {expert: tiny/finance, tasks: [fiqa_sa, fpb]}
  publish: {repo: demo/tiny-dppa-80, license: apache-2.0}
`

func aPlan() *run.Plan {
	model := func(name, sha, license string) run.LockedModel {
		return run.LockedModel{Name: name, Repo: name, SHA: sha, License: license, Bytes: 13_476_838_000, Parameters: 6_738_415_616, Tensors: 291}
	}
	tiny := model("tiny/base", "37a6bc2d43bff9b143fab1708782ef1476cf7b5c", "llama2")
	tiny.Asked = "main"
	math := model("tiny/math", "296a347340e3830223f4923ad70c4c11dbf36173", "apache-2.0")
	math.Lineage = []run.Ancestor{{Repo: "tiny/base", Of: "tiny/math", License: "llama2"}, {Repo: "gone/away", Of: "tiny/math", Unread: "not there"}}
	return &run.Plan{
		ID:     "41cf10ee8a2b4b1c9a2f3e4d5c6b7a8901234567890abcdef01234567890abcd",
		Recipe: run.PlannedRecipe{Name: "dppa-80", File: path, Method: "dppa", Text: recipeText},
		Lock: run.Lock{Base: &tiny, Models: []run.LockedModel{
			math,
			model("tiny/finance", "b55227afb2944c6761aedd2a8118a6e159481749", "")},
			Datasets: []run.LockedDataset{{Task: "gsm8k", Repo: "openai/gsm8k", Asked: "main", SHA: "058b7613b29b2e42d5ac502313b63abcccc583f8", Reported: 1319},
				{Task: "fpb", Repo: "AdaptLLM/finance-tasks", SHA: "a1c9e5ae98abeb34c5dcda7fcc61105fd8f86181"}},
			Engine: &engine.Info{Engine: "llama.cpp", Version: "v0.5.0", DType: "F32"}},
		Output: run.PlannedOutput{Parameters: 6_738_415_616, Tensors: 291, DType: "float16", Bytes: 13_476_831_232, Shards: 3},
		Download: run.PlannedDownload{Bytes: 40_430_514_000, Missing: 26_953_676_000, DiskBytes: 40_430_507_232, EngineBytes: 26_953_662_464, Seconds: 540,
			Evaluation: &run.PlannedEvaluation{Items: 6_000, Seconds: 7_300}},
		License:  hub.License{ID: "llama2", Rule: "tiny/base binds its derivatives to llama2; the other parents allow that"},
		Warnings: []string{"tiny/finance states no licence: ask its owner before publishing a merge of it"},
	}
}

func aChange() *change.State {
	return &change.State{
		Change: forge.Change{ID: "17", Title: "DPPA at 80 %", Author: "octocat", URL: "https://github.com/acme/recipes/pull/17", State: forge.Open,
			Head: head, Base: base, Target: "main"},
		PlannedHead: head, PlannedBase: base, PlannedAt: day,
		Plans: []change.Plan{{Path: path, Name: "dppa-80", Target: "demo/tiny-dppa-80", ID: id, Plan: aPlan(), Seconds: 1.2, Difference: &run.Difference{
			Text: "--- main\n+++ " + path + "\n@@ -3,3 +3,3 @@\n models:\n-  - {model: tiny/math, parameters: {density: 0.1}}\n+  - {model: tiny/math, parameters: {density: 0.2}}\n   - {model: tiny/finance, parameters: {density: 0.2}}\n",
			Lock: []run.Moved{{What: "model", Name: "tiny/math", From: "1111347340e3830223f4923ad70c4c11dbf36173", To: "296a347340e3830223f4923ad70c4c11dbf36173"}},
		}}},
	}
}

func conversation(s *change.State, runs ...talk.Run) talk.Conversation {
	return talk.Conversation{State: s, Runs: runs, Page: "https://bot.acme.example", Target: "main", Hub: "https://huggingface.co",
		Link: func(commit, path string) string {
			if path == "" {
				return "https://github.com/acme/recipes/commit/" + commit
			}
			return "https://github.com/acme/recipes/blob/" + commit + "/" + path
		}}
}

func aRecord(kind run.Kind, state run.State) run.Record {
	r := run.Record{ID: "20261123-180310.001-41cf10ee", Plan: aPlan().ID, Recipe: "dppa-80", State: state, Created: day.Add(time.Minute), Started: day.Add(2 * time.Minute),
		Kind: kind, Begun: 1, Origin: run.Origin{Change: "17", Commit: head, Path: path, By: "hubot", Bound: id}}
	if state.Over() {
		r.Ended = day.Add(20 * time.Minute)
	}
	if state == run.Queued {
		r.Begun = 0
	}
	if kind == run.Try {
		r.Limit = 8
	}
	return r
}

// aLog is a run's log up to its search.
func aLog() []run.Event {
	e := func(p run.Phase, step, subject string, n int64, seconds float64) run.Event {
		v := run.Event{Time: day, Phase: p, Step: step, Subject: subject, Seconds: seconds, Process: 7}
		if n > 0 {
			v.Done, v.Total, v.Unit = n, n, "bytes"
		}
		return v
	}
	return []run.Event{
		e(run.Note, "resolve", "", 0, 0), e(run.Finished, "resolve", "dppa-80", 0, 0.8),
		e(run.Started, "fetch", "tiny/math@296a347340e3", 0, 0), e(run.Cached, "fetch", "tiny/base@37a6bc2d43bf", 0, 0),
		e(run.Finished, "fetch", "tiny/math@296a347340e3", 13_476_838_000, 312), e(run.Cached, "measure", "tiny/math", 0, 41), e(run.Cached, "measure", "tiny/finance", 0, 40),
		e(run.Started, "search", "math", 0, 0),
	}
}

// reportJSON is what every scene's report is read from, with less than a pull request shows left in it.
var reportJSON = sync.OnceValues(func() ([]byte, error) {
	b, err := os.ReadFile("../../eval/report/testdata/report.json")
	if err != nil {
		return nil, err
	}
	r, err := report.Read(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r.Search, r.Measurements, r.Steps, r.Files, r.Plan.Lock = nil, nil, nil, nil, nil
	for i := range r.Domains {
		for k := range r.Domains[i].Tasks {
			r.Domains[i].Tasks[k].Samples = nil
		}
	}
	var out bytes.Buffer
	err = report.JSON(&out, r)
	return out.Bytes(), err
})

func aReport(t testing.TB) *report.Report {
	t.Helper()
	b, err := reportJSON()
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

// ended is a run with its report and its whole log.
func ended(t testing.TB, kind run.Kind, state run.State) talk.Run {
	r := talk.Run{Record: aRecord(kind, state), Report: aReport(t), Steps: append(aLog(),
		run.Event{Phase: run.Finished, Step: "search", Subject: "math", Seconds: 48.5, Process: 7},
		run.Event{Phase: run.Finished, Step: "merge", Subject: "dppa-80", Seconds: 95, Done: 13_476_831_232, Unit: "bytes", Process: 7},
		run.Event{Phase: run.Finished, Step: "evaluate", Subject: "merged on gsm8k", Seconds: 260, Process: 7},
		run.Event{Phase: run.Note, Step: "gate", Text: "gate math: 0.93 on 80 items", Process: 7},
		run.Event{Phase: run.Finished, Step: "report", Process: 7})}
	r.Report.Published = nil
	if state != run.Gated {
		for i := range r.Report.Gates {
			r.Report.Gates[i].Passed, r.Report.Gates[i].MinRatio = true, 0.5
		}
	}
	if state == run.Succeeded && kind == run.Release {
		r.Record.Result = &report.Published{Repo: "demo/tiny-dppa-80", URL: "https://huggingface.co/demo/tiny-dppa-80", Commit: "b5e67015bdaa4f62b8c0d1e2f3a4b5c6d7e8f901", Private: true}
		r.Report.Published = r.Record.Result
	}
	return r
}

// scenes are the typical states of a change.
func scenes(t testing.TB) map[string]talk.Conversation {
	planned := aChange()
	planned.Plans = append([]change.Plan{{Path: other, Name: "dare-80", ID: "0192031d4f2d-9d2a77c1e0f4", Plan: aPlan()}}, planned.Plans...)
	planned.Plans[0].Plan.Warnings = nil

	faulty := aChange()
	faulty.Plans = []change.Plan{
		{Path: path, Problems: []configs.Error{
			{File: path, Position: configs.Position{Line: 4, Column: 12}, Message: `unknown key "densty"`, Suggestion: "density"},
			{File: path, Position: configs.Position{Line: 9, Column: 5}, Message: "tiny/math@v9: there is no such revision; name a branch, a tag or a commit of it"}}},
		{Path: other, Outage: "GET /api/models/tiny/math: 503 Service Unavailable"},
		{Path: "recipes/old.yaml", Removed: true},
	}

	fork := aChange()
	fork.Fork, fork.Author = true, "stranger"
	fork.Commands = []change.Command{{Comment: 1, By: "stranger", Text: "run " + id, At: day, Refused: true, React: forge.ThumbsDown, Answer: "only people who may write to this repository can ask for a run"}}

	running := aChange()
	running.Commands = []change.Command{{Comment: 2, By: "hubot", Text: "run " + id, At: day.Add(time.Minute), Answer: "the run is queued", Run: aRecord(run.Full, run.Queued).ID, React: forge.ThumbsUp}}
	active := talk.Run{Record: aRecord(run.Full, run.Running), Steps: aLog(), Now: &run.Event{Time: day, Phase: run.Progress, Step: "search", Subject: "math", Done: 18, Total: 29, Unit: "candidates"}}

	merged := aChange()
	merged.State, merged.MergeCommit = forge.Merged, base
	merged.Commands = running.Commands
	merged.Past = []change.Past{{Head: "0000000e7d3a4f62b8c0d1e2f3a4b5c6d7e8f901", Base: base, At: day.Add(-time.Hour), IDs: []string{"222222222222-333333333333"}}}
	release := ended(t, run.Release, run.Succeeded)
	release.Record.ID, release.Record.Origin.By, release.Record.Origin.Bound = "20261123-190310.001-41cf10ee", "", ""

	failed := aChange()
	broken := talk.Run{Record: aRecord(run.Full, run.RunFailed), Steps: append(aLog(), run.Event{Phase: run.Failed, Step: "search", Subject: "math", Process: 7})}
	broken.Record.Error = "search math: evaluate tiny/math on gsm8k: the engine ended by itself (signal: killed): give the machine 27 GB of memory, or use engine vllm"
	tried := ended(t, run.Try, run.Succeeded)
	tried.Report.Selection = report.SelectionTest

	confused := aChange()
	confused.Commands = []change.Command{{Comment: 3, By: "hubot", At: day, Refused: true, React: forge.Confused, Answer: "there is no command \"pln\"; did you mean /mergebot plan?"}}
	locked := conversation(aChange())
	locked.Locks = map[string]string{"demo/tiny-dppa-80": "#12"}
	closed := aChange()
	closed.State = forge.Closed
	return map[string]talk.Conversation{
		"planned": conversation(planned), "faulty": conversation(faulty), "fork": conversation(fork), "locked": locked, "closed": conversation(closed),
		"running": conversation(running, active), "tried": conversation(aChange(), tried), "failed": conversation(failed, broken),
		"passed":    conversation(running, tried, ended(t, run.Full, run.Succeeded)),
		"gated":     conversation(running, ended(t, run.Full, run.Gated)),
		"published": conversation(merged, ended(t, run.Full, run.Succeeded), release),
		"confused":  conversation(confused),
		"nothing":   {State: &change.State{Change: forge.Change{ID: "18", Head: head, State: forge.Open}}},
	}
}

// crowd is a change with n recipes, each with a finished run.
func crowd(t testing.TB, n int) talk.Conversation {
	c := scenes(t)["gated"]
	s := *c.State
	p, r := s.Plans[0], c.Runs[0]
	s.Plans, c.Runs = nil, nil
	for i := range n {
		p.Path, p.ID = fmt.Sprintf("recipes/%03d.yaml", i), fmt.Sprintf("%012x-%012x", i, i)
		p.Difference = &run.Difference{Text: "@@ -1 +1 @@\n" + strings.Repeat("+ a: 1\n", 4000)}
		r.Record.Origin.Path, r.Record.Origin.Bound = p.Path, p.ID
		s.Plans, c.Runs = append(s.Plans, p), append(c.Runs, r)
	}
	c.State = &s
	return c
}
