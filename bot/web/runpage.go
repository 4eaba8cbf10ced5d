package web

import (
	"context"
	"net/http"
	"strings"

	"mergebot/bot/change"
	"mergebot/bot/run"
	"mergebot/eval/report"
)

// runView is one run.
type runView struct {
	run.Record
	Plan       *run.Plan // nil when it is not kept
	Difference *run.Difference
	Change     *change.State // that it belongs to; nil when none is known
	Report     *report.Report
	Now        now
	Steps      stepsView
	Log        string
	Count      int    // events in the log
	Text       string // of the recipe
	Files      bool   // the report's pages are kept
}

// stepsView is the table of a run's steps.
type stepsView struct {
	Stages []*stage
	State  run.State
}

// Models are the base and the others, in the recipe's order, each before its adapter.
func (v runView) Models() []run.LockedModel {
	if v.Plan == nil {
		return nil
	}
	return lockedModels(v.Plan)
}

func lockedModels(p *run.Plan) []run.LockedModel {
	var out []run.LockedModel
	add := func(m run.LockedModel) {
		if out = append(out, m); m.Adapter != nil {
			out = append(out, *m.Adapter)
		}
	}
	if p.Lock.Base != nil {
		add(*p.Lock.Base)
	}
	for _, m := range p.Lock.Models {
		add(m)
	}
	return out
}

func (s *site) run(r *http.Request) (view, error) {
	ctx := r.Context()
	rec, ok, err := s.store.record(ctx, r.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	if !ok {
		return view{}, errNotFound
	}
	log, err := s.store.events(ctx, rec.ID, 0)
	if err != nil {
		return view{}, err
	}
	t := fold(log)
	v := runView{Record: rec, Now: t.now(rec, s.progressOf(rec)), Steps: stepsView{t.Stages, rec.State}, Log: strings.Join(t.Lines, "\n"), Count: t.count}
	if v.Plan, err = s.plan(ctx, rec.ID); err != nil {
		return view{}, err
	}
	if v.Plan != nil {
		v.Text = v.Plan.Recipe.Text
	}
	if v.Report, err = s.store.report(ctx, rec); err != nil {
		return view{}, err
	}
	if _, v.Files, err = s.Storage.ReadBytes(ctx, rec.Path()+"report/report.html"); err != nil {
		return view{}, err
	}
	if rec.Origin.Change != "" {
		if v.Change, _, err = s.store.change(ctx, change.Key(rec.Origin.Change)); err != nil {
			return view{}, err
		}
	}
	v.Difference = difference(v.Change, rec)
	return view{Template: "run", Title: rec.Recipe, Nav: "runs", Data: v}, nil
}

func (s *site) progressOf(rec run.Record) run.Event {
	if rec.State.Over() {
		return run.Event{}
	}
	return s.progress(rec.ID)
}

// plan reads a run's plan; nil when it is not kept.
func (s *site) plan(ctx context.Context, id string) (*run.Plan, error) {
	var p run.Plan
	ok, err := s.Storage.Get(ctx, "runs/"+id+"/plan.json", &p)
	if err != nil || !ok {
		return nil, err
	}
	redacted(&p, s.store.clean)
	return &p, nil
}

// difference is what the run's plan changes, where the change still has that plan.
func difference(c *change.State, rec run.Record) *run.Difference {
	if c == nil {
		return nil
	}
	for _, p := range c.Plans {
		if p.Plan != nil && p.Plan.ID == rec.Plan && p.Path == rec.Origin.Path {
			return p.Difference
		}
	}
	return nil
}

// log sends a run's kept events as lines of text.
func (s *site) log(w http.ResponseWriter, r *http.Request) {
	rec, ok, err := s.store.record(r.Context(), r.PathValue("id"))
	if err == nil && !ok {
		err = errNotFound
	}
	var log []run.Event
	if err == nil {
		log, err = s.store.events(r.Context(), rec.ID, 0)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	plain(w, http.StatusOK, strings.Join(append(fold(log).Lines, ""), "\n"))
}
