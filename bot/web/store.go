package web

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/run"
	"mergebot/eval/report"
)

// store reads what the bot keeps, with the secrets taken out. What can no longer change is remembered.
type store struct {
	storage *run.Storage
	clean   func(string) string
	now     func() time.Time

	over    *memo[run.Record]     // runs that have ended
	scores  *memo[*report.Report] // theirs, without what the pages do not show
	settled *memo[seen]           // changes that are not open
}

// seen is a change and when it was read: a closed one can be opened again.
type seen struct {
	state *change.State
	at    time.Time
}

const settledFor = time.Minute

func newStore(s *run.Storage, clean func(string) string, now func() time.Time) *store {
	return &store{storage: s, clean: clean, now: now, over: newMemo[run.Record](8192), scores: newMemo[*report.Report](1024), settled: newMemo[seen](4096)}
}

// ids lists the runs' ids below before ("" is all), the newest first.
func (s *store) ids(ctx context.Context, before string) ([]string, error) {
	names, err := s.storage.Children(ctx, "runs/")
	if err != nil {
		return nil, err
	}
	slices.Reverse(names) // ids begin with the time
	out := names[:0]
	for _, name := range names {
		id, ok := strings.CutSuffix(name, "/")
		if ok && isRun(id) && (before == "" || id < before) {
			out = append(out, id)
		}
	}
	return out, nil
}

// record reads a run's record; false when there is none.
func (s *store) record(ctx context.Context, id string) (run.Record, bool, error) {
	if !isRun(id) {
		return run.Record{}, false, nil
	}
	if r, ok := s.over.get(id); ok {
		return r, true, nil
	}
	r, ok, err := run.ReadRecord(ctx, s.storage, id)
	if err != nil || !ok {
		return r, false, err
	}
	redacted(&r, s.clean)
	if r.State.Over() {
		s.over.put(id, r)
	}
	return r, true, nil
}

// events reads a run's kept log from its after-th event on.
func (s *store) events(ctx context.Context, id string, after int) ([]run.Event, error) {
	out, err := run.Events(ctx, s.storage, id, after)
	redacted(&out, s.clean)
	return out, err
}

// report reads what the pages show of a run's report; nil when there is none.
func (s *store) report(ctx context.Context, r run.Record) (*report.Report, error) {
	if rep, ok := s.scores.get(r.ID); ok {
		return rep, nil
	}
	full, ok, err := run.ReadReport(ctx, s.storage, r.ID)
	if err != nil || !ok {
		return nil, err
	}
	rep := &report.Report{Title: full.Title, Status: full.Status, Failure: full.Failure, Recipe: full.Recipe, Gates: full.Gates, Domains: full.Domains,
		Published: full.Published, Notes: full.Notes, Selection: full.Selection, Items: full.Items}
	for _, d := range rep.Domains {
		for i := range d.Tasks {
			d.Tasks[i].Samples = nil
			d.Tasks[i].Protocol.PromptText = ""
		}
	}
	redacted(rep, s.clean)
	if r.State.Over() {
		s.scores.put(r.ID, rep)
	}
	return rep, nil
}

// change reads a change by its key; false when the bot knows none.
func (s *store) change(ctx context.Context, key string) (*change.State, bool, error) {
	if !isChange(key) {
		return nil, false, nil
	}
	c, ok, err := change.Read(ctx, s.storage, key)
	if err != nil || !ok {
		return nil, false, err
	}
	redacted(c, s.clean)
	return c, true, nil
}

// changes reads all changes: open ones first, then the others, the newest first.
func (s *store) changes(ctx context.Context) ([]*change.State, error) {
	names, err := s.storage.List(ctx, "bot/changes/")
	if err != nil {
		return nil, err
	}
	var out []*change.State
	for _, name := range names {
		key, ok := strings.CutSuffix(strings.TrimPrefix(name, "bot/changes/"), ".json")
		if !ok {
			continue
		}
		if c, ok := s.settled.get(key); ok && s.now().Sub(c.at) < settledFor {
			out = append(out, c.state)
			continue
		}
		c, ok, err := s.change(ctx, key)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if !open(c) {
			s.settled.put(key, seen{c, s.now()})
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b *change.State) int {
		if open(a) != open(b) {
			if open(a) {
				return -1
			}
			return 1
		}
		return moved(b).Compare(moved(a))
	})
	return out, nil
}

// moved is when something last happened to a change.
func moved(c *change.State) time.Time {
	if c.Updated.After(c.PlannedAt) {
		return c.Updated
	}
	return c.PlannedAt
}

// main reads what is known of the default branch; nil when nothing is.
func (s *store) main(ctx context.Context) (*change.Main, error) {
	m, ok, err := change.ReadMain(ctx, s.storage)
	if err != nil || !ok {
		return nil, err
	}
	redacted(m, s.clean)
	return m, nil
}

// memo remembers up to size values. When it is full any of them goes.
type memo[V any] struct {
	mu   sync.Mutex
	size int
	m    map[string]V
}

func newMemo[V any](size int) *memo[V] { return &memo[V]{size: size, m: map[string]V{}} }

func (m *memo[V]) get(key string) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.m[key]
	return v, ok
}

func (m *memo[V]) put(key string, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for other := range m.m {
		if len(m.m) < m.size {
			break
		}
		delete(m.m, other)
	}
	m.m[key] = v
}
