package web

import (
	"sync"
	"time"

	"mergebot/bot/run"
)

// feeds watch runs for all who look at them: one subscription a run, however many readers. A reader takes what is
// newest when it has time, so that a slow one misses some progress and holds nothing up.
type feeds struct {
	watch func(id string) (<-chan run.Event, func())

	mu   sync.Mutex
	open map[string]*feed
}

// linger is how long a run is watched after the last reader has gone: a list that is loaded again finds its progress.
const linger = time.Minute

func newFeeds(watch func(string) (<-chan run.Event, func())) *feeds {
	return &feeds{watch: watch, open: map[string]*feed{}}
}

// feed is the newest progress of one run.
type feed struct {
	mu       sync.Mutex
	progress run.Event // newest
	shown    int       // progress events so far
	kept     int       // kept events so far
	over     bool      // nothing more comes
	changed  chan struct{}

	done  chan struct{} // closed when nobody looks any more
	users int           // under feeds.mu, as is:
	used  time.Time     // when somebody last looked
}

// get finds a run's feed, or begins one. The caller releases it once.
func (f *feeds) get(id string) (*feed, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.open[id]
	if x == nil {
		x = &feed{changed: make(chan struct{}), done: make(chan struct{})}
		if f.watch == nil {
			x.over = true
		} else {
			f.open[id] = x
			live, stop := f.watch(id)
			go f.follow(id, x, live, stop)
			time.AfterFunc(linger, func() { f.drop(id, x) })
		}
	}
	x.users++
	x.used = time.Now()
	return x, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		x.users--
		x.used = time.Now()
	}
}

// drop ends a feed that nobody has looked at for a while, and comes back later to one that somebody has.
func (f *feeds) drop(id string, x *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.open[id] != x: // it has ended by itself
	case x.users > 0 || time.Since(x.used) < linger:
		time.AfterFunc(linger, func() { f.drop(id, x) })
	default:
		delete(f.open, id)
		close(x.done)
	}
}

// follow takes events until there are no more, or nobody looks.
func (f *feeds) follow(id string, x *feed, live <-chan run.Event, stop func()) {
	defer stop()
	for more := true; more; {
		var e run.Event
		select {
		case e, more = <-live:
		case <-x.done:
			more = false
		}
		x.mu.Lock()
		switch {
		case !more:
			x.over = true
		case e.Phase == run.Progress:
			x.progress = e
			x.shown++
		default:
			x.kept++
		}
		close(x.changed) // tells all readers
		x.changed = make(chan struct{})
		x.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[id] == x {
		delete(f.open, id) // whoever asks next subscribes anew
	}
}

// glance is what a feed shows at one moment.
type glance struct {
	progress    run.Event
	shown, kept int
	over        bool
	changed     <-chan struct{} // closed when there is more
}

func (x *feed) look() glance {
	x.mu.Lock()
	defer x.mu.Unlock()
	return glance{x.progress, x.shown, x.kept, x.over, x.changed}
}
