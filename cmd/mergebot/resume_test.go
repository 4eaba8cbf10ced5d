//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mergebot/bot/run"
	"mergebot/hub/embedded"
)

// killedRecipe goes through every step in seconds.
const killedRecipe = `
merge_method: dppa
base_model: tiny/base
models:
  - {model: tiny/math, parameters: {density: 0.2}}
  - {model: tiny/finance, parameters: {density: 0.2}}
dtype: float16
mergebot:
  seed: 7
  search: {methods: [1, 2], ratios: {min: 0, max: 4, step: 1}, coefficient: common, coefficients: {min: 0.4, max: 1.2, step: 0.4}, limit: 15}
  domains:
    math:    {expert: tiny/math, tasks: [gsm8k, math]}
    finance: {expert: tiny/finance, tasks: [fiqa_sa, fpb]}
  evaluate:
    limit: 20
    tasks:
      gsm8k:   {revision: main, max_tokens: 48}
      math:    {revision: main, max_tokens: 48, grader: hendrycks}
      fiqa_sa: {revision: main, max_tokens: 12}
      fpb:     {revision: main, max_tokens: 12}
  gates: [{domain: finance, min_ratio: 0.1}]
  publish: {repo: acme/killed, private: false, license: apache-2.0}
`

// Several shards: a merge can be killed between two of them.
var killedArgs = []string{"run", "recipe.yaml", "--out", "out", "--publish", "--shard-size", fmt.Sprint(smallShard), "-q"}

// randomKills is how many kills lie anywhere in the run's work; the moments come on top.
const randomKills = 20

// TestKilledAndRunAgain kills a run again and again, and lets it end: it leaves the bytes of a run that nobody
// disturbed, and did nothing twice.
func TestKilledAndRunAgain(t *testing.T) {
	needEngine(t)
	seed := familySeed(t)
	faults := new(embedded.Faults)
	quiet, rough := serveHub(t, seed, nil), serveHub(t, seed, faults)

	undisturbed := newPlace(t, quiet, killedRecipe)
	began := time.Now()
	undisturbed.do(t, nil, killedArgs...)
	took, work := time.Since(began), undisturbed.ledger(t)
	t.Logf("undisturbed: %d pieces of work in %v", len(work), took)

	// The large files stop half-way for a moment, and so does the answer to the commit, so that kills find them so.
	faults.Add(embedded.Fault{Kind: embedded.FaultStall, Path: "/lfs/*", After: 1 << 20, Delay: 200 * time.Millisecond, Count: 6})
	faults.Add(embedded.Fault{Kind: embedded.FaultStall, Path: "*/commit/main", Delay: time.Minute})
	k := killer{place: newPlace(t, rough, killedRecipe), hub: rough}
	s := uint64(time.Now().UnixNano())
	if v := os.Getenv("MERGEBOT_TEST_SEED"); v != "" {
		fmt.Sscan(v, &s)
	}
	t.Logf("kills: MERGEBOT_TEST_SEED=%d", s)
	k.points = points(rand.New(rand.NewPCG(s, 0)), len(work), took)
	planned := len(k.points)
	for k.once(t) {
	}

	t.Logf("%d of %d kills and interrupts struck, %d of them while the engine ran", planned-len(k.points), planned, k.withEngine)
	if struck := planned - len(k.points); struck < planned-3 || k.withEngine < randomKills/2 { // a moment can be too short to be hit
		t.Errorf("kills that found nothing to kill: %v", k.points)
	}
	same(t, "model/", sums(t, undisturbed.path("work", "out", "model")), sums(t, k.path("work", "out", "model")))
	leftOver(t, k.path("work", "out"), "fiqa_sa", "fpb", "gsm8k", "math")
	sameWork(t, work, k.ledger(t))
	finishedOnce(t, k.place.events(t))
	if a, b := commits(t, quiet, "acme/killed"), commits(t, rough, "acme/killed"); !slices.Equal(a, b) {
		t.Errorf("history on the hub: %q, undisturbed it was %q", b, a)
	}
}

// point is when a run is killed: after wait from when due says so.
type point struct {
	name   string
	signal syscall.Signal
	wait   time.Duration
	due    func(*killer) bool
}

func (p point) String() string { return p.name }

// points are the kills: random ones spread over the work, and moments where a kill could do harm. What is random
// counts in finished pieces of work, since a point in time would lie elsewhere on a busier machine.
func points(r *rand.Rand, work int, took time.Duration) []point {
	piece := took / time.Duration(work)
	within := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
	var out []point
	add := func(name string, wait time.Duration, due func(*killer) bool) {
		out = append(out, point{name, syscall.SIGKILL, wait, due})
	}
	for i := range randomKills {
		from, to := (work-1)*i/randomKills, (work-1)*(i+1)/randomKills
		n := 1 + from + r.IntN(to-from)
		add(fmt.Sprintf("after %d of %d pieces of work", n, work), within(piece), finished(n))
	}
	for _, n := range []int{work / 4, work / 2} {
		out = append(out, point{"interrupt", syscall.SIGINT, within(piece), finished(n)})
	}
	add("start", within(60*time.Millisecond), func(*killer) bool { return true })
	add("fetch", within(100*time.Millisecond), says(run.Started, "fetch"))
	add("half a file", 0, func(k *killer) bool { return k.there("cache", "*", "blobs", "*.part") })
	add("measure", within(50*time.Millisecond), says(run.Started, "measure"))
	add("merge", within(20*time.Millisecond), says(run.Started, "merge"))
	add("between shards", 0, func(k *killer) bool { return k.there("work", "out", ".model.merging", "model-00002-of-*") })
	add("rename", 0, func(k *killer) bool { return k.there("work", "out", "model") })
	add("publish", within(20*time.Millisecond), says(run.Started, "publish"))
	add("commit made, nobody told", 0, func(k *killer) bool {
		// Its answer is held back, so this point comes before the end of the run.
		return says(run.Started, "publish")(k) && len(commits(k.t, k.hub, "acme/killed")) > 1
	})
	add("report", 0, says(run.Cached, "publish"))
	return out
}

// finished is due when n pieces of work lie in the ledger, one of them put there since this start.
func finished(n int) func(*killer) bool {
	return func(k *killer) bool {
		return k.entries >= n && k.entries > len(k.known)
	}
}

// says is due when the run that was started says so in its log.
func says(phase run.Phase, step string) func(*killer) bool {
	return func(k *killer) bool { return k.said[string(phase)+" "+step] }
}

// killer starts the run and kills it at the first of its points that is due.
type killer struct {
	place
	hub        *embedded.Running
	points     []point
	withEngine int

	t       *testing.T
	known   map[string]string // the ledger when the run was started
	runs    []string          // and the runs
	entries int               // of the ledger now
	events  map[string]bool   // files of the started run's log that were read
	said    map[string]bool   // what they say: phase and step
}

// once starts the run, waits and kills; it is false when the run came to its end.
func (k *killer) once(t *testing.T) bool {
	k.t = t
	k.known = k.ledger(t)
	k.runs, _ = filepath.Glob(k.path("storage", "runs", "*"))
	k.events, k.said = map[string]bool{}, map[string]bool{}
	c := k.start(t, nil, killedArgs...)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	i := -1
	for i < 0 {
		select {
		case <-c.ended:
			if !c.ProcessState.Success() {
				t.Fatalf("undisturbed at last, it failed: %v\n%s", c.ProcessState, &c.out)
			}
			k.unchanged(t)
			return false
		case <-tick.C:
			k.look()
			i = slices.IndexFunc(k.points, func(p point) bool { return p.due(k) })
		}
	}
	p := k.points[i]
	select {
	case <-time.After(p.wait):
	case <-c.ended:
	}
	withEngine := len(k.processes()) > 1
	_ = c.Process.Signal(p.signal)
	<-c.ended
	status := c.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case c.ProcessState.Success(): // too late
		k.unchanged(t)
		return false
	case p.signal == syscall.SIGKILL && status.Signaled():
	case p.signal == syscall.SIGINT && status.ExitStatus() == exitInterrupted:
		k.cancelled(t)
	default:
		t.Fatalf("%s: %v\n%s", p, c.ProcessState, &c.out)
	}
	t.Logf("%v %s, engine running: %t", p.signal, p, withEngine)
	k.points = slices.Delete(k.points, i, i+1)
	if withEngine {
		k.withEngine++
	}
	for until := time.Now().Add(10 * time.Second); len(k.processes()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%s: processes %v outlive it", p, k.processes())
		}
	}
	k.unchanged(t)
	return true
}

// unchanged makes sure that what was in the ledger is there still, byte for byte.
func (k *killer) unchanged(t *testing.T) {
	t.Helper()
	now := k.ledger(t)
	for name, entry := range k.known {
		if now[name] != entry {
			t.Errorf("%s was written again:\n%s\nit was\n%s", name, now[name], entry)
		}
	}
}

// cancelled makes sure that the run which was interrupted says so.
func (k *killer) cancelled(t *testing.T) {
	t.Helper()
	for _, dir := range k.newRuns() {
		var r run.Record
		readJSON(t, filepath.Join(dir, "run.json"), &r)
		if r.State != run.Cancelled || r.Ended.IsZero() {
			t.Errorf("interrupted, the run's record says %+v", r)
		}
	}
}

// newRuns are the folders of runs since the start.
func (k *killer) newRuns() []string {
	all, _ := filepath.Glob(k.path("storage", "runs", "*"))
	return slices.DeleteFunc(all, func(dir string) bool { return slices.Contains(k.runs, dir) })
}

// look sees how far the started run is.
func (k *killer) look() {
	entries, _ := filepath.Glob(k.path("storage", "ledger", "*", "*.json"))
	k.entries = len(entries)
	for _, dir := range k.newRuns() {
		files, _ := filepath.Glob(filepath.Join(dir, "events", "*.json"))
		for _, f := range files {
			if k.events[f] {
				continue
			}
			var e run.Event
			readJSON(k.t, f, &e)
			k.events[f], k.said[string(e.Phase)+" "+e.Step] = true, true
		}
	}
}

// there says whether a file or folder that is not empty matches.
func (k *killer) there(pattern ...string) bool {
	found, _ := filepath.Glob(k.path(pattern...))
	return slices.ContainsFunc(found, func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && info.Size() > 0
	})
}

// leftOver makes sure that an output folder holds the model, the report and nothing else.
func leftOver(t *testing.T, out string, tasks ...string) {
	t.Helper()
	var items []string
	for _, name := range tasks {
		items = append(items, name+"-1.html", name+".jsonl")
	}
	for dir, want := range map[string][]string{"": {"items", "items.html", "model", "report.html", "report.json", "report.md"}, "items": items} {
		var got []string
		entries, err := os.ReadDir(filepath.Join(out, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if !slices.Equal(got, want) {
			t.Errorf("the output folder's %q holds %q, want %q", dir, got, want)
		}
	}
}

// sameWork makes sure that two ledgers hold the same work with the same results; only a score holds its seconds.
func sameWork(t *testing.T, want, got map[string]string) {
	t.Helper()
	result := func(entry string) map[string]any {
		var e struct{ Result map[string]any }
		if err := json.Unmarshal([]byte(entry), &e); err != nil {
			t.Fatal(err)
		}
		delete(e.Result, "Seconds")
		delete(e.Result, "seconds")
		delete(e.Result, "recalled")
		return e.Result
	}
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch w, g := want[name], got[name]; {
		case w == "":
			t.Errorf("%s was never asked for by an undisturbed run", name)
		case g == "":
			t.Errorf("%s was not done", name)
		default:
			undisturbed, killed := result(w), result(g)
			for field := range undisturbed {
				if !reflect.DeepEqual(undisturbed[field], killed[field]) {
					t.Errorf("%s has another %s:\n%v\nundisturbed\n%v", name, field, killed[field], undisturbed[field])
				}
			}
			if len(undisturbed) != len(killed) {
				t.Errorf("%s has %d fields, undisturbed it has %d", name, len(killed), len(undisturbed))
			}
		}
	}
}

// finishedOnce counts, over all runs, how often each piece of work was finished.
func finishedOnce(t *testing.T, events []runEvent) {
	t.Helper()
	where := map[string][]string{}
	for _, e := range events {
		if e.Phase != run.Finished || e.Step == "resolve" || e.Step == "report" { // these belong to every run
			continue
		}
		work := e.Step + " " + e.Key
		if e.Key == "" {
			work = e.Step + " " + e.Subject
		}
		where[work] = append(where[work], e.file)
	}
	if len(where) < 20 {
		t.Errorf("only %d pieces of work in the logs", len(where))
	}
	for work, files := range where {
		if len(files) > 1 {
			t.Errorf("%s was finished %d times:\n%s", work, len(files), strings.Join(files, "\n"))
		}
	}
}
