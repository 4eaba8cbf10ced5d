package hub

import (
	"context"
	"sync"
	"testing"
	"time"
)

// crowd fills the gate and has one more wait outside.
func crowd(t *testing.T, g *gate) {
	t.Helper()
	for range g.allowed() {
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if g.enter(ctx) == nil {
			g.leave()
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
	for {
		g.mu.Lock()
		waiting := len(g.queue)
		g.mu.Unlock()
		if waiting > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestGateGrows: more requests are made where they bring more, and not kept where they do not.
func TestGateGrows(t *testing.T) {
	t.Parallel()
	for what, tc := range map[string]struct {
		before, after int // bytes a window
		want          int
	}{
		"faster with more":    {1000, 1900, 8},
		"no faster with more": {1000, 1050, 4},
	} {
		g := newGate(4)
		now := time.Unix(1000, 0)
		tick := func(n int) { now = now.Add(window); g.count(n, now) }
		tick(0) // begins the first window
		crowd(t, g)
		tick(tc.before)
		if g.allowed() != 8 {
			t.Errorf("%s: %d allowed while trying, want 8", what, g.allowed())
		}
		for range 4 {
			tick(tc.after)
		}
		if g.allowed() != tc.want {
			t.Errorf("%s: %d allowed, want %d", what, g.allowed(), tc.want)
		}
	}
}

// TestGateStays: nobody waits, so nothing would be gained.
func TestGateStays(t *testing.T) {
	t.Parallel()
	g := newGate(4)
	now := time.Unix(1000, 0)
	for range 10 {
		now = now.Add(window)
		g.count(1000, now)
	}
	if g.allowed() != 4 {
		t.Errorf("%d allowed", g.allowed())
	}
}

// TestGateRefused: a server that is asked too often is asked by fewer, and slowly by as many again.
func TestGateRefused(t *testing.T) {
	t.Parallel()
	g := newGate(8)
	now := time.Unix(1000, 0)
	g.refuse(now)
	g.refuse(now.Add(time.Second)) // the same moment, as another request met it
	if g.allowed() != 4 {
		t.Errorf("%d allowed, want 4", g.allowed())
	}
	for range 10 * int(time.Second/window) {
		now = now.Add(window)
		g.count(1000, now)
	}
	if g.allowed() != 4 {
		t.Errorf("%d allowed too soon", g.allowed())
	}
	for range 30 * int(time.Second/window) {
		now = now.Add(window)
		g.count(1000, now)
	}
	if g.allowed() != 8 {
		t.Errorf("%d allowed after a while, want 8", g.allowed())
	}
}

func TestGateEndsWithTheContext(t *testing.T) {
	t.Parallel()
	g := newGate(1)
	if err := g.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.enter(ctx); err == nil {
		t.Error("let in though full and cancelled")
	}
	g.leave()
	if err := g.enter(t.Context()); err != nil || g.used != 1 {
		t.Errorf("%v, %d in use", err, g.used)
	}
}

// TestThrottle: bytes that are taken at once are paid for by those that come after.
func TestThrottle(t *testing.T) {
	t.Parallel()
	limit := throttle{rate: 10_000_000}
	start := time.Now()
	for range 5 {
		if err := limit.take(t.Context(), 500_000); err != nil {
			t.Fatal(err)
		}
	}
	if passed := time.Since(start); passed < 195*time.Millisecond {
		t.Errorf("2.5 MB at 10 MB/s, the last 0.5 not waited for, took %s", passed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if limit.take(ctx, 1) == nil {
		t.Error("no error after the end of the context")
	}
}
