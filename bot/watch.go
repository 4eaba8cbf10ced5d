package bot

import (
	"sync"

	"mergebot/bot/run"
)

// watch hands the events of runs that go on here to whoever looks at them.
type watch struct {
	mu     sync.Mutex
	newest map[string]run.Event // progress of runs that go on
	eyes   map[string]map[chan run.Event]bool
}

func newWatch() *watch {
	return &watch{newest: map[string]run.Event{}, eyes: map[string]map[chan run.Event]bool{}}
}

// show passes an event on. Whoever is too slow misses it: a run never waits for a reader.
func (w *watch) show(id string, e run.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Phase == run.Progress {
		w.newest[id] = e
	} else {
		delete(w.newest, id)
	}
	for c := range w.eyes[id] {
		select {
		case c <- e:
		default:
		}
	}
}

// now is how far the run's step is; nil when that is not known.
func (w *watch) now(id string) *run.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.newest[id]
	if !ok {
		return nil
	}
	return &e
}

// open gives the events of a run from now on. The channel is closed when the run is over.
func (w *watch) open(id string) (<-chan run.Event, func()) {
	c := make(chan run.Event, 64)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.eyes[id] == nil {
		w.eyes[id] = map[chan run.Event]bool{}
	}
	w.eyes[id][c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.eyes[id][c] {
			delete(w.eyes[id], c)
			close(c)
		}
		if len(w.eyes[id]) == 0 {
			delete(w.eyes, id)
		}
	}
}

// end closes what looks at a run.
func (w *watch) end(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.newest, id)
	for c := range w.eyes[id] {
		close(c)
	}
	delete(w.eyes, id)
}
