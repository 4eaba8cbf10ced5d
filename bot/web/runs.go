package web

import (
	"context"
	"net/http"
	"slices"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/eval/report"
)

// How much a list shows, and how far it looks for it.
const (
	runsAPage    = 50
	runsLookedAt = 2000 // records a page with a filter reads before it offers to go on
	runsActive   = 200  // among the newest, those that are looked at for what is queued or running
)

// runsView is the list of runs.
type runsView struct {
	Active  []runRow // queued and running, on the first page
	Waiting []*approval
	Rows    []runRow
	State   string // filters
	Recipe  string
	Before  string
	Older   string // id that the next page begins below; "" when there is none
	Recipes []string
	States  []run.State
	Looked  int // records read, when a filter stopped before it had found a page
}

// Filtered says whether only some runs are asked for.
func (v runsView) Filtered() bool { return v.State != "" || v.Recipe != "" }

// runRow is a run in a list.
type runRow struct {
	run.Record
	Report *report.Report // nil before the end
	Now    now
}

// approval is an open change with a plan that somebody could approve.
type approval struct {
	*change.State
	Newest *run.Record // of its runs; nil when there is none
}

// Ready are the plans that can be run.
func (a approval) Ready() []change.Plan {
	return slices.DeleteFunc(slices.Clone(a.Plans), func(p change.Plan) bool { return p.ID == "" })
}

// Broken is how many of its recipes cannot be planned.
func (a approval) Broken() int {
	n := 0
	for _, p := range a.Plans {
		if p.ID == "" && !p.Removed {
			n++
		}
	}
	return n
}

func open(c *change.State) bool { return c.Change.State == forge.Open }

func (s *site) runs(r *http.Request) (view, error) {
	ctx, q := r.Context(), r.URL.Query()
	v := runsView{State: q.Get("state"), Recipe: q.Get("recipe"), Before: q.Get("before"),
		States: []run.State{run.Queued, run.Running, run.Succeeded, run.Gated, run.RunFailed, run.Cancelled}}
	if v.State != "" && !slices.Contains(v.States, run.State(v.State)) || v.Before != "" && !isRun(v.Before) {
		return view{}, errNotFound
	}
	ids, err := s.store.ids(ctx, v.Before)
	if err != nil {
		return view{}, err
	}
	if v.Before == "" {
		if err := s.first(ctx, ids, &v); err != nil {
			return view{}, err
		}
	}
	for i, id := range ids {
		if len(v.Rows) == runsAPage || i == runsLookedAt {
			v.Older, v.Looked = ids[i-1], i
			break
		}
		rec, ok, err := s.store.record(ctx, id)
		if err != nil {
			return view{}, err
		}
		shown := !v.Filtered() && slices.ContainsFunc(v.Active, func(r runRow) bool { return r.ID == id })
		if !ok || shown || v.State != "" && rec.State != run.State(v.State) && (v.State != string(run.Running) || rec.State != run.Planned) || v.Recipe != "" && rec.Recipe != v.Recipe {
			continue
		}
		row, err := s.row(ctx, rec)
		if err != nil {
			return view{}, err
		}
		v.Rows = append(v.Rows, row)
	}
	if m, err := s.store.main(ctx); err != nil {
		return view{}, err
	} else if m != nil {
		for _, rec := range m.Recipes {
			if rec.Name != "" {
				v.Recipes = append(v.Recipes, rec.Name)
			}
		}
	}
	if v.Recipe != "" {
		v.Recipes = append(v.Recipes, v.Recipe)
	}
	slices.Sort(v.Recipes)
	v.Recipes = slices.Compact(v.Recipes)
	return view{Template: "runs", Title: "Runs", Nav: "runs", Refresh: 5, Data: v}, nil
}

// first fills in what only the first page shows: what is queued or running, and what waits for somebody.
func (s *site) first(ctx context.Context, ids []string, v *runsView) error {
	for _, id := range ids[:min(len(ids), runsActive)] {
		rec, ok, err := s.store.record(ctx, id)
		if err != nil {
			return err
		}
		if !ok || rec.State.Over() {
			continue
		}
		row, err := s.row(ctx, rec)
		if err != nil {
			return err
		}
		v.Active = append(v.Active, row)
	}
	slices.Reverse(v.Active) // in the order in which they are taken
	slices.SortStableFunc(v.Active, func(a, b runRow) int {
		if queued := func(r runRow) int {
			if r.State == run.Queued {
				return 1
			}
			return 0
		}; queued(a) != queued(b) {
			return queued(a) - queued(b)
		}
		return 0
	})
	changes, err := s.store.changes(ctx)
	if err != nil {
		return err
	}
	for _, c := range changes {
		a := &approval{State: c}
		if !open(c) || len(a.Ready()) == 0 {
			continue
		}
		for _, id := range slices.Backward(c.Runs) {
			rec, ok, err := s.store.record(ctx, id)
			if err != nil {
				return err
			}
			if ok {
				a.Newest = &rec
				break
			}
		}
		v.Waiting = append(v.Waiting, a)
	}
	return nil
}

// row is a run with what a list says of it: what it is doing, or what came of it.
func (s *site) row(ctx context.Context, rec run.Record) (runRow, error) {
	row := runRow{Record: rec, Now: now{State: rec.State}}
	var err error
	switch rec.State {
	case run.Succeeded, run.Gated:
		row.Report, err = s.store.report(ctx, rec)
	case run.Running, run.Planned:
		var log []run.Event
		if log, err = s.store.events(ctx, rec.ID, 0); err == nil {
			row.Now = fold(log).now(rec, s.progress(rec.ID))
		}
	}
	return row, err
}

// progress is the newest progress of a run, as far as it has been watched.
func (s *site) progress(id string) run.Event {
	f, release := s.feeds.get(id)
	defer release()
	e := f.look().progress
	redacted(&e, s.store.clean)
	return e
}
