package run

import (
	"context"
	"fmt"
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
	storage *Storage
	observe func(Event)
	process int

	mu     sync.Mutex
	record Record
	next   int
	last   map[string]time.Time // when progress of a step was last shown
	kept   []Event
}

func (j *journal) dir() string { return "runs/" + j.record.ID + "/" }

// emit shows an event and, unless it is mere progress, keeps it as runs/<id>/events/<n>.json.
// An event a blob: a kill can lose the newest, never tear the log.
func (j *journal) emit(ctx context.Context, e Event) error {
	e.Time, e.Process = time.Now().UTC(), j.process
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
	j.observe(e)
	j.kept = append(j.kept, e)
	j.next++
	if j.storage == nil { // an inspection leaves no record
		return nil
	}
	return j.storage.Put(ctx, fmt.Sprintf("%sevents/%06d.json", j.dir(), j.next), e)
}

// state moves the record on.
func (j *journal) state(ctx context.Context, s State, err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.record.State = s
	if err != nil {
		j.record.Error = err.Error()
	}
	if s != Running && s != Planned {
		j.record.Ended = time.Now().UTC()
	}
	return j.storage.Put(ctx, j.dir()+"run.json", j.record)
}

// events returns what has been kept so far.
func (j *journal) events() []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Event(nil), j.kept...)
}
