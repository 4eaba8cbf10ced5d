package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mergebot/hub"
)

// queueOne plans a recipe and queues a run of it.
func queueOne(t *testing.T, env *Env, text string) (*Plan, string) {
	t.Helper()
	p, err := Resolve(t.Context(), env, parse(t, text), nil)
	if err != nil {
		t.Fatal(err)
	}
	id := NewID(time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), p.ID)
	if want := "20260102-030405.006-" + p.ID[:8]; id != want {
		t.Fatalf("id %s, want %s", id, want)
	}
	if err := Enqueue(t.Context(), env.Storage, p, Record{ID: id, Kind: Full, Limit: 3, Origin: Origin{Change: "17"}}); err != nil {
		t.Fatal(err)
	}
	return p, id
}

func record(t *testing.T, s *Storage, id string) Record {
	t.Helper()
	r, ok, err := ReadRecord(t.Context(), s, id)
	if err != nil || !ok {
		t.Fatalf("record %s: %t, %v", id, ok, err)
	}
	return r
}

// TestQueued: a queued run is executed under its own record, published, and all that it leaves is in storage.
func TestQueued(t *testing.T) {
	t.Parallel()
	env := openFamily(t, nil).env(t)
	plan, id := queueOne(t, env, mergeRecipe)
	before := record(t, env.Storage, id)
	if before.State != Queued || before.Plan != plan.ID || before.Recipe != "r" || before.Created.IsZero() || before.Begun != 0 || before.Limit != 3 {
		t.Fatalf("%+v", before)
	}
	if err := Enqueue(t.Context(), env.Storage, &Plan{ID: "other"}, Record{ID: id}); err != nil || !reflect.DeepEqual(record(t, env.Storage, id), before) {
		t.Fatalf("queued twice: %v, %+v", err, record(t, env.Storage, id))
	}
	if err := Enqueue(t.Context(), env.Storage, plan, Record{ID: "../x"}); err == nil {
		t.Error("a run was named ../x")
	}
	kept, ok, err := ReadPlan(t.Context(), env.Storage, id)
	if err != nil || !ok || kept.ID != plan.ID || kept.recipe == nil {
		t.Fatalf("plan: %+v, %t, %v", kept, ok, err)
	}
	if again, err := kept.id(); err != nil || again != plan.ID {
		t.Errorf("a plan that was read back has the id %s, %v", again, err)
	}
	if text, _, err := env.Storage.ReadBytes(t.Context(), "runs/"+id+"/recipe.yaml"); err != nil || string(text) != mergeRecipe {
		t.Errorf("recipe.yaml: %q, %v", text, err)
	}
	fenced := 0
	out := t.TempDir()
	o := Options{Run: id, Plan: kept, Out: out, Publish: true, PublishTo: []string{"acme"}, Fence: func(context.Context) error { fenced++; return nil }}
	outcome, err := Execute(t.Context(), env, parse(t, mergeRecipe), o)
	if err != nil {
		t.Fatal(err)
	}
	after := record(t, env.Storage, id)
	if outcome.Run != id || after.State != Succeeded || after.Begun != 1 || after.Started.IsZero() || after.Ended.IsZero() || after.Out != out ||
		after.Kind != Full || after.Origin.Change != "17" || after.Result == nil || after.Result.Repo != "acme/sum" || after.Result.Commit != outcome.Published.OID || fenced == 0 {
		t.Errorf("%+v, fenced %d", after, fenced)
	}
	r, ok, err := ReadReport(t.Context(), env.Storage, id)
	if err != nil || !ok || r.Published == nil || r.Plan.ID != plan.ID {
		t.Errorf("report: %+v, %t, %v", r, ok, err)
	}
	if names, err := env.Storage.Children(t.Context(), reportFolder(id)); err != nil || fmt.Sprint(names) != "[report.html report.json report.md]" {
		t.Errorf("report's files: %v, %v", names, err)
	}
	if _, err := Execute(t.Context(), env, parse(t, mergeRecipe), o); err == nil || !strings.Contains(err.Error(), "is over: it is succeeded") {
		t.Errorf("a run that is over was begun again: %v", err)
	}
	for _, state := range []State{Cancelled, Queued, Running} {
		if err := SetState(t.Context(), env.Storage, id, state, ""); err == nil {
			t.Errorf("a run that is over became %s", state)
		}
	}
	if _, err := Execute(t.Context(), env, parse(t, mergeRecipe), Options{Run: "nobody"}); err == nil {
		t.Error("a run that is not there was begun")
	}
}

// TestSuspended: a run that is suspended is queued again, goes on under the same record and log, and does nothing twice.
func TestSuspended(t *testing.T) {
	t.Parallel()
	env := openFamily(t, nil).env(t)
	plan, id := queueOne(t, env, strings.NewReplacer("task_arithmetic", "dppa", "weight: 1", "density: 0.2").Replace(mergeRecipe))
	recipe := parse(t, plan.Recipe.Text)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	env.Observe = func(e Event) {
		if e.Step == stepMeasure.Name && e.Phase == Finished {
			cancel(fmt.Errorf("the daemon ends: %w", ErrSuspended))
		}
	}
	o := Options{Run: id, Plan: plan, Out: t.TempDir()}
	if _, err := Execute(ctx, env, recipe, o); !errors.Is(err, ErrSuspended) {
		t.Fatal(err)
	}
	r := record(t, env.Storage, id)
	if r.State != Queued || r.Error != "" || !r.Ended.IsZero() || r.Begun != 1 || r.Started.IsZero() {
		t.Fatalf("%+v", r)
	}
	first, err := Events(t.Context(), env.Storage, id, 0)
	if err != nil || !strings.Contains(first[len(first)-1].Text, "suspended") {
		t.Fatalf("%+v, %v", first, err)
	}
	env.Observe = nil
	outcome, err := Execute(t.Context(), env, recipe, o)
	if err != nil {
		t.Fatal(err)
	}
	done := record(t, env.Storage, id)
	if done.State != Succeeded || done.Begun != 2 || !done.Started.Equal(r.Started) {
		t.Errorf("%+v", done)
	}
	all, err := Events(t.Context(), env.Storage, id, 0)
	if err != nil || len(all) <= len(first) || !reflect.DeepEqual(all[:len(first)], first) {
		t.Fatalf("the log was not gone on with: %d events, %d before, %v", len(all), len(first), err)
	}
	if e := all[len(first)]; !strings.Contains(e.Text, "begun again") {
		t.Errorf("%+v", e)
	}
	times, measured := 0, 0
	for _, e := range all {
		if e.Step == stepMeasure.Name && e.Phase == Finished {
			times++
		}
	}
	for _, s := range outcome.Report.Steps {
		if s.Name == stepMeasure.Name {
			measured++
		}
	}
	if times != 1 || measured != 1 {
		t.Errorf("measured %d times, %d lines in the report", times, measured)
	}
}

// TestNotFinished: how a run ends is in its record, by the reason that it was ended for.
func TestNotFinished(t *testing.T) {
	t.Parallel()
	family := openFamily(t, nil)
	fence := errors.New("the lock on acme/sum was lost: key-s3cret")
	for name, c := range map[string]struct {
		cause error // of the context's end, once the merge has begun
		o     Options
		state State
		says  string // in the record
	}{
		"cancelled":       {context.Canceled, Options{}, Cancelled, ""},
		"by somebody":     {errors.New("cancelled by @ann"), Options{}, Cancelled, "cancelled by @ann"},
		"fence":           {nil, Options{Publish: true, Fence: func(context.Context) error { return fence }}, RunFailed, "publish acme/sum: the lock on acme/sum was lost: key-[gone]"},
		"not allowed":     {nil, Options{Publish: true, PublishTo: []string{"others"}}, RunFailed, "publishing to acme/sum is not allowed by the setting serve.publish_to: it allows others"},
		"another recipe":  {nil, Options{Plan: &Plan{}}, RunFailed, "the plan is stale: the recipe was changed"},
		"no engine":       {nil, Options{}, RunFailed, "mergebot engine install"},
		"the folder":      {nil, Options{}, RunFailed, "mergebot did not write it"},
		"no longer there": {hub.ErrRepoNotFound, Options{}, RunFailed, "repository not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := family.env(t)
			_, id := queueOne(t, env, mergeRecipe)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			env.Redact = func(s string) string { return strings.ReplaceAll(s, "s3cret", "[gone]") }
			env.Observe = func(e Event) {
				if strings.Contains(e.Text, "s3cret") {
					t.Errorf("shown: %+v", e)
				}
				if e.Step == stepFetch.Name && c.cause != nil {
					cancel(c.cause)
				}
			}
			recipe := parse(t, mergeRecipe)
			if errors.Is(c.cause, hub.ErrRepoNotFound) {
				recipe, c.cause = parse(t, strings.Replace(mergeRecipe, "tiny/math", "tiny/maths", 1)), nil
			}
			if name == "no engine" {
				env.Engines.Llama.LibDir = t.TempDir()
				recipe = parse(t, mergeRecipe+"  domains: {m: {expert: tiny/math, tasks: [gsm8k]}}\n  evaluate: {tasks: {gsm8k: {revision: main}}}\n")
			}
			o := c.o
			o.Run, o.Out = id, t.TempDir()
			if name == "the folder" {
				if err := os.MkdirAll(filepath.Join(o.Out, "model", "mine"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Execute(ctx, env, recipe, o)
			if err == nil || c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("error %v", err)
			}
			r := record(t, env.Storage, id)
			if r.State != c.state || !strings.Contains(r.Error, c.says) || r.Ended.IsZero() {
				t.Errorf("%s %q, want %s %q", r.State, r.Error, c.state, c.says)
			}
			log, err := env.Storage.List(t.Context(), "runs/")
			if err != nil {
				t.Fatal(err)
			}
			fetched := false
			for _, key := range log {
				b, _, err := env.Storage.ReadBytes(t.Context(), key)
				if err != nil || strings.Contains(string(b), "s3cret") {
					t.Errorf("%s: %v\n%s", key, err, b)
				}
				fetched = fetched || strings.Contains(string(b), `"step": "fetch"`)
			}
			if name == "not allowed" && fetched {
				t.Error("it was fetched before it was refused")
			}
			if info, err := env.Hub.Info(t.Context(), hub.Repo{Type: hub.Model, ID: "acme/sum"}, ""); err == nil {
				t.Errorf("published: %+v", info)
			}
		})
	}
}

// TestSetState: a queued run is cancelled without being executed; what a kill left running is queued again.
func TestSetState(t *testing.T) {
	t.Parallel()
	env := openFamily(t, nil).env(t)
	plan, id := queueOne(t, env, mergeRecipe)
	if _, err := takeUp(t.Context(), env, id); err != nil { // and killed
		t.Fatal(err)
	}
	for _, step := range []struct {
		to  State
		why string
	}{{Queued, "found running"}, {RunFailed, "no engine"}, {Queued, "the hub is back"}, {Cancelled, "the change was closed"}, {Cancelled, "again"}} {
		if err := SetState(t.Context(), env.Storage, id, step.to, step.why); err != nil {
			t.Fatal(err)
		}
		r := record(t, env.Storage, id)
		if r.State != step.to || r.State.Over() == r.Ended.IsZero() || r.State == Queued && r.Error != "" || r.Begun != 1 {
			t.Errorf("%+v after %+v", r, step)
		}
	}
	if r := record(t, env.Storage, id); r.Error != "the change was closed" {
		t.Errorf("%q", r.Error)
	}
	events, err := Events(t.Context(), env.Storage, id, 0)
	if err != nil || len(events) != 4 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if _, err := Execute(t.Context(), env, parse(t, plan.Recipe.Text), Options{Run: id}); err == nil {
		t.Error("a cancelled run was executed")
	}
	if err := SetState(t.Context(), env.Storage, "nobody", Cancelled, ""); err == nil {
		t.Error("a run that is not there was cancelled")
	}
}

// TestPlannedCommits: a plan's commits are used whatever the branches hold by then, and a search would still run.
func TestPlannedCommits(t *testing.T) {
	t.Parallel()
	family := openFamily(t, nil)
	env := family.env(t)
	recipe := parse(t, mergeRecipe)
	plan, err := Resolve(t.Context(), env, recipe, nil)
	if err != nil {
		t.Fatal(err)
	}
	expert := hub.Repo{Type: hub.Model, ID: "tiny/math"}
	if _, err := env.Hub.Upload(t.Context(), expert, hub.Upload{Message: "m", Files: []hub.LocalFile{{Path: "config.json", Data: []byte(`{"x": 1}`)}}}); err != nil {
		t.Fatal(err)
	}
	moved, err := Resolve(t.Context(), env, recipe, nil)
	if err != nil || moved.ID == plan.ID {
		t.Fatalf("the branch did not move: %v", err)
	}
	d := Diff(plan, moved)
	if len(d.Lock) != 1 || d.Text != "" || d.Lock[0] != (Moved{"model", "tiny/math", plan.Lock.Models[0].SHA, moved.Lock.Models[0].SHA}) {
		t.Errorf("%+v", d)
	}
	out := t.TempDir()
	first, err := Execute(t.Context(), env, recipe, Options{Out: out, Plan: plan})
	if err != nil || first.Plan.ID != plan.ID {
		t.Fatalf("%+v, %v", first, err)
	}
	if r := record(t, env.Storage, first.Run); r.Created.IsZero() || r.Begun != 1 {
		t.Errorf("%+v", r)
	}
	if PinsOf(plan).treated() || !must(ReadPins(filepath.Join(out, "model", provenanceFile))).treated() {
		t.Error("a plan's pins keep searches from running, or a provenance's do not")
	}
	stale := *plan
	stale.ID = "0000" + plan.ID[4:]
	if _, err := Execute(t.Context(), env, recipe, Options{Out: out, Plan: &stale}); !errors.Is(err, ErrStale) {
		t.Errorf("another id: %v", err)
	}
	if p, outage := Problems(recipe, fmt.Errorf("%w: x", ErrStale)); len(p) != 1 || outage {
		t.Errorf("%v, %t", p, outage)
	}
}

// A run that cannot be planned is kept as one that failed, once.
func TestRefuse(t *testing.T) {
	t.Parallel()
	s, err := OpenStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := Record{ID: "20260102-030405.006-abc", Recipe: "a", Kind: Release, Origin: Origin{Path: "recipes/a.yaml"}}
	for _, why := range []string{"tiny/nobody is not there", "another reason"} {
		if err := Refuse(t.Context(), s, r, why); err != nil {
			t.Fatal(err)
		}
	}
	got, _, err := ReadRecord(t.Context(), s, r.ID)
	if err != nil || got.State != RunFailed || got.Error != "tiny/nobody is not there" || got.Ended.IsZero() || got.Origin != r.Origin {
		t.Errorf("%+v, %v", got, err)
	}
	if log, err := Events(t.Context(), s, r.ID, 0); err != nil || len(log) != 1 || log[0].Text != got.Error {
		t.Errorf("log: %+v, %v", log, err)
	}
	if err := Refuse(t.Context(), s, Record{ID: "../x"}, "no"); err == nil {
		t.Error("a name that leaves the folder is taken")
	}
}
