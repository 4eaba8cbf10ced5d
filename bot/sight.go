package bot

import (
	"sync"
	"time"

	"mergebot/bot/forge"
)

// stillAfter is how long a change has to look the same before it is taken for still: a forge's times are whole seconds,
// and its lists lag behind.
const stillAfter = time.Minute

// sight remembers how the forge shows changes, so that a poll of hundreds that have not moved asks nothing about them:
// the list of open changes says by their commits and times which have.
type sight struct {
	after  time.Duration
	mu     sync.Mutex
	listed map[string]forge.Change // open ones, by the newest list
	looked map[string]glance       // by what was last read of each alone, as long as nothing was said of it since
}

// glance is how a change looked, and since when.
type glance struct {
	forge.Change
	since time.Time
}

func newSight() *sight {
	return &sight{after: stillAfter, listed: map[string]forge.Change{}, looked: map[string]glance{}}
}

// list takes note of all open changes.
func (s *sight) list(open []forge.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.listed)
	for _, c := range open {
		s.listed[c.ID] = c
	}
	for id := range s.looked {
		if _, ok := s.listed[id]; !ok {
			delete(s.looked, id)
		}
	}
}

// moved says that something happened to a change: it is to be read.
func (s *sight) moved(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.looked, id)
}

// still returns an open change that need not be read, since it looks as it has looked for a while.
func (s *sight) still(id string) (forge.Change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, ok := s.listed[id]
	last, seen := s.looked[id]
	return now, ok && seen && same(now, last.Change) && time.Since(last.since) >= s.after
}

// look is called before a change is read; keep, once all that it asks for is done, with what it looked like.
func (s *sight) look(id string) (keep func(forge.Change)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, seen := s.looked[id]
	mark := glance{since: time.Now()}
	s.looked[id] = mark // who says meanwhile that it moved takes this away
	return func(c forge.Change) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if now, ok := s.looked[id]; !ok || now.since != mark.since {
			return
		}
		if seen && same(c, before.Change) {
			mark.since = before.since
		}
		mark.Change = c
		s.looked[id] = mark
	}
}

func same(a, b forge.Change) bool {
	at := a.Updated.Equal(b.Updated)
	a.Updated, b.Updated = time.Time{}, time.Time{}
	return at && a == b
}
