package hub

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gate is how many requests for content may run at once. It begins with a number, doubles it if more are wanted and
// takes that back if it did not pay, and halves it when a server says that it is too much.
type gate struct {
	mu      sync.Mutex
	limit   int
	base    int // what it began with
	ceiling int
	used    int
	queue   []chan struct{} // those who wait, in order

	wanted  bool // someone waited within the window
	since   time.Time
	moved   int64   // bytes within the window
	rate    float64 // bytes per second in the window before the number grew
	trial   int     // windows since it grew; 0 = it has not
	settled bool    // growing was tried
	quiet   time.Time
}

const (
	window    = 250 * time.Millisecond // long enough to tell a rate, short against a download
	worthIt   = 1.1                    // the gain in speed that more requests must bring
	chastened = 30 * time.Second       // how long a refusal is remembered
)

func newGate(base int) *gate { return &gate{limit: base, base: base, ceiling: 2 * base} }

// enter waits for a place until ctx ends.
func (g *gate) enter(ctx context.Context) error {
	g.mu.Lock()
	if g.used < g.limit && len(g.queue) == 0 {
		g.used++
		g.mu.Unlock()
		return nil
	}
	g.wanted = true
	turn := make(chan struct{})
	g.queue = append(g.queue, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.queue, turn); i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
	} else { // let in meanwhile
		g.used--
		g.admit()
	}
	return context.Cause(ctx)
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used--
	g.admit()
}

// admit lets in whom there is a place for.
func (g *gate) admit() {
	for g.used < g.limit && len(g.queue) > 0 {
		close(g.queue[0])
		g.queue = g.queue[1:]
		g.used++
	}
}

// count says that n bytes have come.
func (g *gate) count(n int, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moved += int64(n)
	g.wanted = g.wanted || len(g.queue) > 0
	passed := now.Sub(g.since)
	if passed < window {
		return
	}
	rate, wanted := float64(g.moved)/passed.Seconds(), g.wanted
	g.since, g.moved, g.wanted = now, 0, false
	switch {
	case now.Before(g.quiet):
		return
	case passed > 4*window: // after a pause the network may be another one
		g.trial, g.settled, g.limit = 0, false, min(g.limit, g.base)
		return
	}
	switch {
	case g.limit < g.base: // chastened, and forgiven by now
		g.limit++
	case g.trial > 0:
		if g.trial++; g.trial < 4 {
			break // new connections begin slowly
		}
		g.trial, g.settled = 0, true
		if rate < worthIt*g.rate {
			g.limit = g.base
		}
	case wanted && !g.settled:
		g.rate, g.trial, g.limit = rate, 1, g.ceiling
	}
	g.admit()
}

// refuse says that a server was asked too often.
func (g *gate) refuse(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.quiet) {
		return // the others of the same moment
	}
	g.quiet = now.Add(chastened)
	g.limit, g.trial, g.settled = max(1, g.limit/2), 0, true
}

// allowed is how many may run at the moment.
func (g *gate) allowed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit
}
