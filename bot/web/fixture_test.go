package web_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/bot/web"
	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/eval/report"
	"mergebot/hub"
)

// today is the fixture's clock.
var today = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

// secret is what must appear nowhere. Escaping changes it, so that only what is redacted before can be right.
const secret = `hf_s3cr+t"<&>'token`

const recipe = `merge_method: dppa
base_model: tiny/base
models:
  - {model: tiny/math,    parameters: {density: 0.2}}
  - {model: tiny/finance, parameters: {density: 0.2}}
  - {model: tiny/law,     parameters: {density: 0.2}}
dtype: float16
mergebot:
  domains:
    math:    {expert: tiny/math,    tasks: [gsm8k, math]}
    finance: {expert: tiny/finance, tasks: [fiqa_sa, fpb]}
    law:     {expert: tiny/law,     tasks: [scotus, unfair_tos]}
  gates: [{domain: math, min_ratio: 0.9}]
  publish: {repo: acme/math-finance-law, license: apache-2.0}
  schedule: "0 2 * * *"
`

// world is a storage with everything in it, and a page on it.
type world struct {
	testing.TB
	storage *run.Storage
	live    *live
	options web.Options
	server  *httptest.Server
}

func newWorld(t testing.TB) *world {
	t.Helper()
	s, err := run.OpenStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, storage: s, live: &live{eyes: map[string][]chan run.Event{}}}
	w.options = web.Options{Storage: s, Repo: "acme/recipes", URL: "https://github.com/acme/recipes", Version: "0.1.0",
		Link: func(commit, path string) string {
			if path == "" {
				return "https://github.com/acme/recipes/commit/" + commit
			}
			return "https://github.com/acme/recipes/blob/" + commit + "/" + path
		},
		Watch:  w.live.watch,
		Redact: func(s string) string { return strings.ReplaceAll(s, secret, "[redacted]") },
		Now:    func() time.Time { return today }}
	t.Cleanup(func() {
		if w.server != nil {
			w.server.Close()
		}
		s.Close()
	})
	return w
}

// open serves the page.
func (w *world) open() *world {
	w.server = httptest.NewServer(web.New(w.options))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) put(key string, v any) {
	w.Helper()
	w.must(w.storage.Put(context.Background(), key, v))
}

func (w *world) record(r run.Record) { w.Helper(); w.put(r.Path()+"run.json", r) }

// keep appends events to a run's log.
func (w *world) keep(id string, events ...run.Event) {
	w.Helper()
	old, err := w.storage.List(context.Background(), "runs/"+id+"/events/")
	w.must(err)
	for i, e := range events {
		w.put(fmt.Sprintf("runs/%s/events/%06d.json", id, len(old)+i+1), e)
	}
}

// get asks for a page and holds it to a status.
func (w *world) get(path string, status int) string {
	w.Helper()
	r, err := http.Get(w.server.URL + path)
	w.must(err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	w.must(err)
	if r.StatusCode != status {
		w.Errorf("GET %s: status %d, want %d\n%.400s", path, r.StatusCode, status, b)
	}
	return string(b)
}

// live hands events to whoever watches, and waits for them, which the bot does not: so a page that does not take its
// events shows.
type live struct {
	mu   sync.Mutex
	eyes map[string][]chan run.Event
}

func (l *live) watch(id string) (<-chan run.Event, func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan run.Event)
	l.eyes[id] = append(l.eyes[id], c)
	return c, func() {}
}

// watchers is how many look at a run.
func (l *live) watchers(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.eyes[id])
}

func (l *live) show(id string, e run.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.eyes[id] {
		c <- e
	}
}

func (l *live) end(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.eyes[id] {
		close(c)
	}
	delete(l.eyes, id)
}

// scores is the golden report of eval/report, with every ratio moved a little.
func scores(t testing.TB, night int) report.Report {
	t.Helper()
	f, err := os.Open("../../eval/report/testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := report.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	r.Title = "dppa-80-math-finance-law"
	move := func(i *report.Interval, k int) {
		by := 0.035 * math.Sin(float64(night*(k+2))*0.9+float64(k))
		i.Value, i.Low, i.High = i.Value+by, i.Low+by, i.High+by
	}
	for k := range r.Domains {
		if r.Domains[k].Ratio != nil {
			move(r.Domains[k].Ratio, k)
		}
		for j := range r.Domains[k].Tasks {
			for i := range r.Domains[k].Tasks[j].Scores {
				if s := &r.Domains[k].Tasks[j].Scores[i]; s.Role == report.Merged {
					x := report.Interval{Value: s.Accuracy, Low: s.Low, High: s.High}
					move(&x, k+j)
					s.Accuracy, s.Low, s.High = min(1, max(0, x.Value)), max(0, x.Low), min(1, x.High)
				}
			}
		}
	}
	return r
}

// report puts a run's report into storage, with item pages.
func (w *world) report(id string, r report.Report) {
	w.Helper()
	var items []report.TaskItems
	for _, d := range r.Domains {
		for _, t := range d.Tasks {
			x := report.TaskItems{Domain: d.Name, Task: t.Name}
			for i := range 12 {
				x.Items = append(x.Items, report.Item{ID: fmt.Sprintf("%s/%d", t.Name, i), Prompt: "What is it?", Gold: "yes", Answers: []report.Answer{
					{Role: report.Expert, Model: "tiny/expert", Output: "yes", Extracted: "yes", Correct: true},
					{Role: report.Merged, Model: "merged", Output: "yes", Extracted: "yes", Correct: i%3 > 0}}})
			}
			items = append(items, x)
			r.Items += len(x.Items)
		}
	}
	dir := w.TempDir()
	w.must(report.WriteItems(dir, r, items))
	for name, write := range map[string]func(io.Writer, report.Report) error{"report.html": report.HTML, "report.md": report.Markdown, "report.json": report.JSON} {
		var b bytes.Buffer
		w.must(write(&b, r))
		w.must(os.WriteFile(dir+"/"+name, b.Bytes(), 0o644))
	}
	fsys := os.DirFS(dir)
	for _, folder := range []string{".", "items"} {
		entries, err := os.ReadDir(dir + "/" + folder)
		w.must(err)
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			name := strings.TrimPrefix(folder+"/"+e.Name(), "./")
			f, err := fsys.Open(name)
			w.must(err)
			b, err := io.ReadAll(f)
			w.must(err)
			f.Close()
			w.must(w.storage.WriteBytes(context.Background(), "runs/"+id+"/report/"+name, b))
		}
	}
}

func planned(text string) *run.Plan {
	model := func(name, license string) run.LockedModel {
		return run.LockedModel{Name: name, Repo: name, SHA: "37a6bc2d43bf11aa22bb33cc44dd55ee66ff7788", License: license, Digest: "d", Bytes: 13476839424, Parameters: 6738415616, Tensors: 291}
	}
	base := model("tiny/base", "llama2")
	return &run.Plan{ID: "41cf10ee8a2b64879f7d6b960a01909762d911a32d4582c20010c5641ee90278", Recipe: run.PlannedRecipe{Name: "dppa-80-math-finance-law", File: "recipes/mfl.yaml", Method: "dppa", Hash: "h", Text: text},
		Lock: run.Lock{Base: &base, Models: []run.LockedModel{model("tiny/math", "llama2"), model("tiny/finance", ""), model("tiny/law", "apache-2.0")},
			Datasets: []run.LockedDataset{{Task: "gsm8k", Repo: "openai/gsm8k", SHA: "058b7613b29bcc"}, {Task: "fpb", Repo: "AdaptLLM/finance-tasks", SHA: "a1c9e5ae98abcc"}},
			Engine:   &engine.Info{Engine: "llama.cpp", Version: "b9180"}},
		Output:   run.PlannedOutput{Parameters: 6738415616, Tensors: 291, DType: "float16", Bytes: 13476839424, Shards: 3},
		Download: run.PlannedDownload{Bytes: 53907357696, Missing: 13476839424, DiskBytes: 26953678848, EngineBytes: 26953662464, Seconds: 1700},
		License:  hub.License{ID: "llama2"}, Warnings: []string{"tiny/finance states no licence"}}
}

// log are the kept events of a run up to the merge.
func log(begin time.Time) []run.Event {
	at := begin
	var out []run.Event
	add := func(p run.Phase, step, subject string, seconds float64, bytes int64, text string) {
		at = at.Add(time.Duration(seconds * float64(time.Second)))
		e := run.Event{Time: at, Phase: p, Step: step, Subject: subject, Seconds: seconds, Text: text}
		if bytes > 0 {
			e.Done, e.Total, e.Unit = bytes, bytes, "bytes"
		}
		out = append(out, e)
	}
	add(run.Finished, "resolve", "dppa-80-math-finance-law", 1.4, 0, "")
	for _, m := range []string{"tiny/base@37a6bc2d43bf", "tiny/math@296a347340e3", "tiny/finance@b55227afb294"} {
		add(run.Cached, "fetch", m, 0, 0, "")
	}
	add(run.Started, "fetch", "tiny/law@8b42470e3365", 0, 0, "")
	add(run.Finished, "fetch", "tiny/law@8b42470e3365", 132.4, 13476839424, "")
	for _, m := range []string{"tiny/math", "tiny/finance", "tiny/law"} {
		add(run.Started, "measure", m, 0, 0, "")
		add(run.Finished, "measure", m, 48.2, 13476839424, "")
	}
	add(run.Note, "evaluate", "", 0, 0, "gsm8k: 80 of 200 rows of openai/gsm8k (main), validation split, a sample of 80 of 200 (seed 0)")
	add(run.Cached, "evaluate", "tiny/math on gsm8k (selection)", 0, 0, "")
	add(run.Started, "search", "ratios of tiny/math", 0, 0, "")
	add(run.Finished, "search", "ratios of tiny/math", 911.5, 0, "")
	add(run.Started, "search", "ratios of tiny/finance", 0, 0, "")
	return out
}

// fill puts something of everything into storage: all states, a pull request with a good and a bad recipe, recipes with
// a history of nights.
func (w *world) fill() *world {
	w.Helper()
	at := func(h float64) time.Time { return today.Add(-time.Duration(h * float64(time.Hour))) }
	plan := planned(recipe)
	origin := func(by string) run.Origin {
		return run.Origin{Change: "17", Commit: "8c1f0d6e5b4a39281706f5e4d3c2b1a098765432", Path: "recipes/mfl.yaml", By: by, Bound: "41cf10ee8a2b-9d2a77c1e0f3"}
	}
	one := func(id string, r run.Record) {
		r.ID, r.Plan = id, plan.ID
		if r.Recipe == "" {
			r.Recipe = plan.Recipe.Name
		}
		w.record(r)
		w.put(r.Path()+"plan.json", plan)
	}
	one("20261123-175900.000-41cf10ee", run.Record{State: run.Queued, Kind: run.Try, Limit: 20, Created: at(0.02), Recipe: "ties-70-law", Origin: run.Origin{Change: "tune/law-density", Path: "recipes/law.yaml", By: "bo"}})
	one(running, run.Record{State: run.Running, Kind: run.Full, Created: at(0.5), Started: at(0.4), Begun: 2, Origin: origin("ana")})
	w.keep(running, log(at(0.4))...)
	one("20261123-150000.000-41cf10ee", run.Record{State: run.RunFailed, Kind: run.Try, Limit: 20, Created: at(3), Started: at(3), Ended: at(2.9), Origin: origin("ana"), Recipe: "ties-70-law",
		Error: "fetch tiny/law@8b42470e3365: https://user:" + secret + "@hub/tiny/law: no space left on device: free some space, or set cache to a folder on another disk"})
	w.keep("20261123-150000.000-41cf10ee", append(log(at(3))[:5], run.Event{Time: at(2.9), Phase: run.Failed, Step: "fetch", Subject: "tiny/law@8b42470e3365", Text: "no space left on device " + secret})...)
	one("20261123-140000.000-41cf10ee", run.Record{State: run.Cancelled, Kind: run.Full, Created: at(4), Started: at(4), Ended: at(3.8), Origin: origin("ana"), Error: "cancelled by ana"})
	one("20261122-090000.000-41cf10ee", run.Record{State: run.Succeeded, Created: at(33), Started: at(33), Ended: at(32.4), Recipe: "from-a-terminal"})
	for n := range 14 {
		state := run.Succeeded
		if n == 4 || n == 5 {
			state = run.Gated
		}
		begin := at(float64(16 + 24*(13-n)))
		id := begin.Format("20060102-150405.000") + "-41cf10ee"
		r := run.Record{State: state, Kind: run.Scheduled, Publish: true, Created: begin, Started: begin, Ended: begin.Add(37 * time.Minute), Origin: run.Origin{Commit: origin("").Commit, Path: "recipes/mfl.yaml"}}
		if n == 0 {
			r.Kind = run.Release
		}
		s := scores(w, n)
		if state == run.Succeeded {
			r.Result = &report.Published{Repo: "acme/math-finance-law", URL: "https://huggingface.co/acme/math-finance-law", Commit: "5f0c1d2e3b4a"}
			s.Status, s.Published = report.Succeeded, r.Result
			for i := range s.Gates {
				s.Gates[i].Passed = true
			}
		} else {
			r.Error = "gate not met: see the report"
		}
		one(id, r)
		if n == 13 {
			w.keep(id, finished(begin)...)
			w.report(id, s)
		} else {
			w.put("runs/"+id+"/report/report.json", func() report.Report { s.SchemaVersion = report.SchemaVersion; return s }())
		}
	}
	w.changes(plan, at)
	return w
}

// running is the run that goes on, ended the newest that is over.
const (
	running = "20261123-173000.000-41cf10ee"
	ended   = "20261123-020000.000-41cf10ee"
)

func finished(begin time.Time) []run.Event {
	out := log(begin)
	at := out[len(out)-1].Time
	for _, x := range []string{"search ratios of tiny/finance", "search coefficient", "merge dppa-80-math-finance-law", "evaluate merged on gsm8k", "evaluate merged on fpb", "gate all", "publish acme/math-finance-law", "report dppa-80-math-finance-law"} {
		step, subject, _ := strings.Cut(x, " ")
		at = at.Add(90 * time.Second)
		out = append(out, run.Event{Time: at, Phase: run.Finished, Step: step, Subject: subject, Seconds: 90})
	}
	return out
}

func (w *world) changes(plan *run.Plan, at func(float64) time.Time) {
	w.Helper()
	head, base := "8c1f0d6e5b4a39281706f5e4d3c2b1a098765432", "0d6e5b4a39281706f5e4d3c2b1a0987654328c1f"
	w.must(change.Write(context.Background(), w.storage, &change.State{
		Change:      forge.Change{ID: "17", Title: "Math, finance and law in one model", Author: "ana", URL: "https://github.com/acme/recipes/pull/17", State: forge.Open, Head: head, Base: base, Target: "main", Updated: at(1)},
		PlannedHead: head, PlannedBase: base, PlannedAt: at(0.9), Plans: []change.Plan{
			{Path: "recipes/law.yaml", Text: strings.Replace(recipe, "density", "desnity", 1), Problems: []configs.Error{{File: "recipes/law.yaml", Position: configs.Position{Line: 4, Column: 44}, Message: `unknown key "desnity"`, Suggestion: "density"}}},
			{Path: "recipes/mfl.yaml", Name: plan.Recipe.Name, ID: "41cf10ee8a2b-9d2a77c1e0f3", Plan: plan, Difference: &run.Difference{Text: "--- recipes/mfl.yaml\n+++ recipes/mfl.yaml\n@@ -3,2 +3,2 @@\n models:\n-  - {model: tiny/math,    parameters: {density: 0.1}}\n+  - {model: tiny/math,    parameters: {density: 0.2}}\n",
				Lock: []run.Moved{{What: "model", Name: "tiny/law", From: "1122334455667788", To: "8b42470e3365aabb"}}}},
		},
		Past: []change.Past{{Head: base, Base: base, At: at(20), IDs: []string{"0011aabbccdd-ffeeddccbbaa"}}},
		Commands: []change.Command{
			{By: "mallory", Text: "try 41cf10ee8a2b-9d2a77c1e0f3", At: at(0.8), Refused: true, Answer: "mallory may not command: write access to acme/recipes is needed."},
			{By: "ana", Text: "run 41cf10ee8a2b-9d2a77c1e0f3", At: at(0.5), Answer: "Queued.", Run: running}},
		Runs: []string{"20261123-140000.000-41cf10ee", "20261123-150000.000-41cf10ee", running}}))
	w.must(change.Write(context.Background(), w.storage, &change.State{Change: forge.Change{ID: "tune/law-density", Title: "", Author: "bo", State: forge.Open, Head: head, Base: base, Target: "main"},
		PlannedHead: head, PlannedAt: at(2), Plans: []change.Plan{{Path: "recipes/law.yaml", Name: "ties-70-law", ID: "99aa10ee8a2b-112233445566", Plan: plan}}}))
	w.must(change.Write(context.Background(), w.storage, &change.State{Change: forge.Change{ID: "12", Title: "A first recipe <b>with markup</b> & " + secret, Author: "bo", State: forge.Merged, Head: head, Base: base, Target: "main", Fork: true, MergeCommit: base}, PlannedHead: head, PlannedAt: at(330)}))
	w.must(change.WriteMain(context.Background(), w.storage, &change.Main{Branch: "main", Head: base, Recipes: []change.Recipe{
		{Path: "recipes/broken.yaml", Commit: base, Problems: []configs.Error{{Position: configs.Position{Line: 2, Column: 1}, Message: "base_model is missing"}}},
		{Path: "recipes/law.yaml", Commit: base, Name: "ties-70-law", Method: "ties", Target: "acme/law", Schedule: "0 4 * * 1", Ticked: at(40), Note: "skipped: nothing moved since the run of 16 November"},
		{Path: "recipes/mfl.yaml", Commit: base, Name: plan.Recipe.Name, Method: "dppa", Target: "acme/math-finance-law", Schedule: "0 2 * * *", Run: ended, Change: "12", Ticked: at(16), Note: "run: tiny/law moved to 8b42470e3365"},
	}}))
}
