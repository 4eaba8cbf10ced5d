//go:build linux

package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mergebot/bot/run"
)

const againRecipe = `
merge_method: dppa
base_model: tiny/base
models:
  - {model: tiny/finance, parameters: {density: 0.2}}
dtype: float16
mergebot:
  search: {methods: [1], ratios: {min: 0, max: 4, step: 1}, coefficient: common, coefficients: {min: 0.5, max: 1, step: 0.5}, limit: 5}
  domains:
    finance: {expert: tiny/finance, tasks: [fpb]}
  evaluate:
    limit: 10
    tasks:
      fpb: {revision: main, max_tokens: 12}
  gates: [{domain: finance, min_ratio: 0.1}]
  publish: {repo: acme/again, private: false, license: apache-2.0}
`

// TestRunAgain runs a recipe twice: the second run finds all done. Then it changes what judges the merge and not
// what makes it: nothing is measured, searched or merged again.
func TestRunAgain(t *testing.T) {
	needEngine(t)
	h := serveHub(t, familySeed(t), nil)
	p := newPlace(t, h, againRecipe)
	model := p.path("work", "out", "model")
	args := []string{"run", "recipe.yaml", "--out", "out", "--publish", "-q"}

	p.do(t, nil, args...)
	events, ledger, files, history := p.events(t), p.ledger(t), stats(t, model), commits(t, h, "acme/again")
	if began := steps(events, run.Started); !slices.Equal(began, []string{"evaluate", "fetch", "measure", "merge", "publish", "search"}) {
		t.Fatalf("the first run began %q", began)
	}

	for _, dir := range []string{model, filepath.Dir(model)} { // as a run that was killed while it wrote a card or a report
		if err := os.WriteFile(filepath.Join(dir, ".mergebot-tmp-1"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.do(t, nil, args...)
	leftOver(t, filepath.Dir(model), "fpb")
	second := p.events(t)[len(events):]
	if began := steps(second, run.Started); !slices.Equal(began, []string{"publish"}) { // to look at the hub
		t.Errorf("the second run began %q", began)
	}
	if cached := steps(second, run.Cached); !slices.Equal(cached, []string{"evaluate", "fetch", "measure", "merge", "publish", "search"}) {
		t.Errorf("the second run found %q done", cached)
	}
	if !maps.Equal(ledger, p.ledger(t)) {
		t.Error("the second run wrote to the ledger")
	}
	if now := stats(t, model); !maps.Equal(files, now) {
		t.Errorf("the second run touched the model's files:\n%v\nthey were\n%v", now, files)
	}
	if now := commits(t, h, "acme/again"); !slices.Equal(history, now) {
		t.Errorf("the second run published: %q", now)
	}

	events = p.events(t)
	p.write(t, strings.Replace(againRecipe, "min_ratio: 0.1", "min_ratio: 0.2", 1))
	p.do(t, nil, append(args, "--limit", "8")...)
	if began := steps(p.events(t)[len(events):], run.Started); !slices.Equal(began, []string{"evaluate", "publish"}) {
		t.Errorf("with another gate and limit it began %q", began)
	}
	for name := range p.ledger(t) {
		if _, known := ledger[name]; !known && !strings.HasPrefix(name, "evaluate/") {
			t.Errorf("with another gate and limit it did %s", name)
		}
	}
	for name, was := range files {
		if now := stats(t, model)[name]; now != was && strings.HasSuffix(name, ".safetensors") {
			t.Errorf("with another gate and limit it touched %s", name)
		}
	}
	if now := commits(t, h, "acme/again"); len(now) != len(history)+1 {
		t.Errorf("another card is another commit: %q after %q", now, history)
	}
}

// steps lists the steps that have an event of a phase, sorted.
func steps(events []runEvent, phase run.Phase) []string {
	found := map[string]bool{}
	for _, e := range events {
		if e.Phase == phase {
			found[e.Step] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// fileStat tells a file that was written again, even with the same bytes.
type fileStat struct {
	size     int64
	modified time.Time
}

func stats(t *testing.T, dir string) map[string]fileStat {
	t.Helper()
	out := map[string]fileStat{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err == nil {
			out[d.Name()] = fileStat{info.Size(), info.ModTime()}
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(out), err)
	}
	return out
}

// TestLock makes a merge again elsewhere, from what was published of it: without its ledger, and without
// a search, down to the same card.
func TestLock(t *testing.T) {
	needEngine(t)
	h := serveHub(t, familySeed(t), nil)
	p := newPlace(t, h, againRecipe)
	p.do(t, nil, "run", "recipe.yaml", "--out", "out", "-q")
	model := p.path("work", "out", "model")

	recipe, err := os.ReadFile(filepath.Join(model, "recipe.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	q := newPlace(t, h, string(recipe))
	q.do(t, nil, "run", "recipe.yaml", "--lock", filepath.Join(model, "provenance.json"), "--out", "out", "-q")
	if began := steps(q.events(t), run.Started); slices.Contains(began, "search") {
		t.Errorf("with the lock it searched: %q", began)
	}
	want, got := sums(t, model), sums(t, q.path("work", "out", "model"))
	delete(want, ".mergebot.json") // which merge it is, for the next run: the coefficients are given here
	delete(got, ".mergebot.json")
	same(t, "model/ made again from its lock", want, got)
}
