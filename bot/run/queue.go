package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"mergebot/configs"
)

// ErrSuspended, as the cause of the end of Execute's context, puts a run back into the queue: it goes on later where it
// was. Execute then returns an error that wraps it.
var ErrSuspended = errors.New("suspended")

// stepRun names events about a run as a whole.
const stepRun = "run"

var plainID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// NewID names a run by its time and its plan. The names sort by time.
func NewID(t time.Time, plan string) string {
	return t.UTC().Format("20060102-150405.000") + "-" + plan[:min(len(plan), 8)]
}

// Enqueue keeps a run that is to be executed later, by [Execute] with its id in Options.Run: the plan and the recipe, then
// the record, whose id the caller gives. Done twice, it does what once does: a record that is there is left alone.
func Enqueue(ctx context.Context, s *Storage, p *Plan, r Record) error {
	if !plainID.MatchString(r.ID) {
		return fmt.Errorf("%q cannot name a run: use NewID", r.ID)
	}
	if _, ok, err := ReadRecord(ctx, s, r.ID); err != nil || ok {
		return err
	}
	if err := keepPlan(ctx, s, r, p); err != nil {
		return err
	}
	r.State, r.Plan, r.Recipe = Queued, p.ID, cmp.Or(r.Recipe, p.Recipe.Name)
	if r.Created.IsZero() {
		r.Created = now().UTC()
	}
	_, err := s.Create(ctx, r.Path()+"run.json", r)
	return err
}

// Refuse keeps a run that cannot even be planned: a record that has failed, and why in its log. Like [Enqueue] it leaves
// a record alone that is there; why must hold no secret.
func Refuse(ctx context.Context, s *Storage, r Record, why string) error {
	if !plainID.MatchString(r.ID) {
		return fmt.Errorf("%q cannot name a run: use NewID", r.ID)
	}
	if _, ok, err := ReadRecord(ctx, s, r.ID); err != nil || ok {
		return err
	}
	if r.Created.IsZero() {
		r.Created = now().UTC()
	}
	j := newJournal(s, r)
	if err := j.emit(ctx, Event{Phase: Failed, Step: stepResolve.Name, Subject: r.Recipe, Text: why}); err != nil {
		return err
	}
	return j.state(ctx, RunFailed, errors.New(why))
}

// keepPlan writes what a run is to do beside its record.
func keepPlan(ctx context.Context, s *Storage, r Record, p *Plan) error {
	if err := s.Put(ctx, r.Path()+"plan.json", p); err != nil || p.Recipe.Text == "" {
		return err
	}
	return s.WriteBytes(ctx, r.Path()+"recipe.yaml", []byte(p.Recipe.Text))
}

// ReadPlan reads the plan of a run; false where it has none. It may be given to [Execute] as Options.Plan.
func ReadPlan(ctx context.Context, s *Storage, id string) (*Plan, bool, error) {
	p := new(Plan)
	ok, err := s.Get(ctx, Record{ID: id}.Path()+"plan.json", p)
	if err != nil || !ok {
		return nil, false, err
	}
	if r, err := configs.Parse(p.Recipe.File, []byte(p.Recipe.Text)); err == nil { // an evaluation has no recipe
		p.recipe = r
	}
	return p, true, nil
}

// SetState moves a run on that no process executes: it cancels a queued one, or puts back into the queue what a kill left
// running or what failed. why goes into the log, and into the record of a run that is over by it; it must hold no secret.
// A run that is over in another way stays as it is, which is an error unless it is in that state already.
func SetState(ctx context.Context, s *Storage, id string, state State, why string) error {
	r, ok, err := ReadRecord(ctx, s, id)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("there is no run %s", id)
	case r.State == state:
		return nil
	case r.State.Over() && (r.State != RunFailed || state != Queued):
		return fmt.Errorf("run %s is over: it is %s and cannot become %s", id, r.State, state)
	}
	j, err := reopen(ctx, s, r)
	if err != nil {
		return err
	}
	text := string(state)
	if why != "" {
		text += ": " + why
	}
	if err := j.emit(ctx, Event{Phase: Note, Step: stepRun, Text: text}); err != nil {
		return err
	}
	var reason error
	if state.Over() && why != "" {
		reason = errors.New(why)
	}
	return j.state(ctx, state, reason)
}

// reopen is the journal of a run that has one already: events are numbered on from what is there.
func reopen(ctx context.Context, s *Storage, r Record) (*journal, error) {
	j := newJournal(s, r)
	names, err := s.List(ctx, r.Path()+"events/")
	if err != nil || len(names) == 0 {
		return j, err
	}
	if _, err := fmt.Sscanf(names[len(names)-1], r.Path()+"events/%06d.json", &j.next); err != nil {
		return nil, fmt.Errorf("%w: %s is not an event's name: %w", ErrStorage, names[len(names)-1], err)
	}
	j.kept, err = Events(ctx, s, r.ID, 0)
	return j, err
}
