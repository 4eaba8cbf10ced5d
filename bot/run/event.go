package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Phase says what an event reports of a step.
type Phase string

// The phases of a step. Cached means that the ledger, or the cache of the Hub client, already had the result.
const (
	Started  Phase = "started"
	Progress Phase = "progress"
	Finished Phase = "finished"
	Cached   Phase = "cached"
	Failed   Phase = "failed"
	Note     Phase = "note"
)

// Event is one line of a run's log. Progress events are for the eyes only; the others are kept.
type Event struct {
	Time    time.Time `json:"time"`
	Phase   Phase     `json:"phase"`
	Step    string    `json:"step"`
	Subject string    `json:"subject,omitempty"` // a model, a task, a repo
	Key     string    `json:"key,omitempty"`     // the step's address in the ledger
	Done    int64     `json:"done,omitempty"`
	Total   int64     `json:"total,omitempty"` // 0: not known
	Unit    string    `json:"unit,omitempty"`  // bytes, items, probes
	Seconds float64   `json:"seconds,omitempty"`
	Text    string    `json:"text,omitempty"`
	Process int       `json:"process,omitempty"`
}

// journal keeps a run's record and events, and shows them to whoever watches.
type journal struct {
	storage *Storage // nil: nothing is kept
	observe func(Event)
	redact  func(string) string
	process int

	mu     sync.Mutex
	record Record
	next   int
	last   map[string]time.Time // when progress of a step was last shown
	kept   []Event
}

func newJournal(s *Storage, r Record) *journal {
	return &journal{storage: s, record: r, observe: func(Event) {}, redact: func(s string) string { return s }, process: os.Getpid(), last: map[string]time.Time{}}
}

// shownBy has events shown to an environment's watcher, without its secrets.
func (j *journal) shownBy(env *Env) *journal {
	if env.Observe != nil {
		j.observe = env.Observe
	}
	if env.Redact != nil {
		j.redact = env.Redact
	}
	return j
}

func (j *journal) dir() string { return j.record.Path() }

// emit shows an event and, unless it is mere progress, keeps it as runs/<id>/events/<n>.json.
// An event a blob: a kill can lose the newest, never tear the log.
func (j *journal) emit(ctx context.Context, e Event) error {
	e.Time, e.Process = time.Now().UTC(), j.process
	e.Subject, e.Text = j.redact(e.Subject), j.redact(e.Text)
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.Phase == Progress {
		key := e.Step + "\x00" + e.Subject
		if e.Done < e.Total && e.Time.Sub(j.last[key]) < 100*time.Millisecond {
			return nil
		}
		j.last[key] = e.Time
		j.observe(e)
		return nil
	}
	j.next++
	if j.storage != nil { // an inspection leaves no record
		// What has happened is kept, whatever has ended meanwhile.
		if err := j.storage.Put(context.WithoutCancel(ctx), fmt.Sprintf("%sevents/%06d.json", j.dir(), j.next), e); err != nil {
			return err
		}
	}
	j.kept = append(j.kept, e)
	j.observe(e)
	return nil
}

// state moves the record on; err says why.
func (j *journal) state(ctx context.Context, s State, err error) error {
	return j.write(ctx, func(r *Record) {
		r.State, r.Error, r.Ended = s, "", time.Time{}
		if err != nil {
			r.Error = j.redact(err.Error())
		}
		if s.Over() {
			r.Ended = time.Now().UTC()
		}
	})
}

// write changes the record.
func (j *journal) write(ctx context.Context, change func(*Record)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.record)
	return j.storage.Put(ctx, j.dir()+"run.json", j.record)
}

// end closes the record by how the run came out, and returns the error that the caller is told. A run that can go on
// later is put back into the queue when it was suspended.
func (j *journal) end(ctx context.Context, err error, queued bool) (State, error) {
	state, why := RunFailed, err
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		state = Succeeded
	case errors.Is(err, ErrGate):
		state = Gated
	case queued && errors.Is(cause, ErrSuspended):
		state, why, err = Queued, nil, fmt.Errorf("run %s: %w", j.record.ID, cause)
		j.emit(context.WithoutCancel(ctx), Event{Phase: Note, Step: stepRun, Text: cause.Error() + ": it goes on later where it was"})
	case cause != nil:
		state = Cancelled
		if cause != context.Canceled {
			why, err = cause, fmt.Errorf("%w: %w", cause, err)
		}
	}
	if serr := j.state(context.WithoutCancel(ctx), state, why); serr != nil {
		err = errors.Join(err, serr)
	}
	return state, err
}

// events returns what has been kept so far.
func (j *journal) events() []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Event(nil), j.kept...)
}
