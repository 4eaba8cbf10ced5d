package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// flow decides how many requests may be in flight: few at first and twice as many each round, until the server says that
// it is busy; from then on by additive increase and multiplicative decrease, never below one. The number does not grow
// while answers take a large part of the time that one may take: a server that answers one request after the other would
// let the last ones wait in vain, and many go on with requests that nobody waits for any more. The flow also keeps the
// time of the last answer, by which items are given up.
type flow struct {
	mu       sync.Mutex
	free     *sync.Cond
	most     int
	limit    float64
	inFlight int
	until    time.Time     // no request starts before: the server asked for a pause
	cut      time.Time     // when the limit was last cut
	answered time.Time     // when the server last answered
	took     time.Duration // by the last answer
	steep    bool          // nothing was cut yet
	timely   time.Duration // answers that take longer are no reason to ask for more at a time

	longest time.Duration // of a pause, whatever the server asks for
	quiet   time.Duration // without an answer before that is noted

	note      func(string)
	silent    bool      // it was noted that the server does not answer
	told      int       // the lowest limit that was noted
	toldPause time.Time // when a pause was last noted
}

// firstLimit is how many requests are in flight at first.
const firstLimit = 16

// growth is how many slots the limit gains in one round of answers, as a share of the most: back in 32 rounds.
const growth = 1. / 32

// longestPause bounds Retry-After: a server that asks for an hour is asked again sooner.
const longestPause = 2 * time.Minute

// longestQuiet is how long a server may fail before a person hears of it.
const longestQuiet = 5 * time.Second

func newFlow(o Options) *flow {
	f := &flow{most: o.Concurrency, limit: float64(min(o.Concurrency, firstLimit)), answered: time.Now(), told: o.Concurrency, note: serial(o.Note), steep: true, timely: o.Timeout / 4}
	f.quiet = min(longestQuiet, o.Patience/10)
	f.longest = min(longestPause, o.Patience/2) // so that an item is tried again before it is given up
	f.free = sync.NewCond(&f.mu)
	return f
}

// start waits for a free slot and returns the time.
func (f *flow) start(ctx context.Context) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for waits := false; ; f.free.Wait() {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		if now := time.Now(); !now.Before(f.until) && f.inFlight < max(1, int(f.limit)) {
			f.inFlight++
			return now, nil
		}
		if !waits {
			waits = true
			defer context.AfterFunc(ctx, f.wake)()
		}
	}
}

func (f *flow) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free.Broadcast()
}

// end gives the slot of a request back; err is what came of it.
func (f *flow) end(started time.Time, err error) {
	var bad *fault
	errors.As(err, &bad)
	f.mu.Lock()
	say := ""
	f.inFlight--
	now := time.Now()
	switch {
	case err == nil || bad != nil && bad.item:
		if f.silent {
			f.silent, say = false, "the server answers again"
		}
		f.answered, f.took = now, now.Sub(started)
		f.grow()
	case bad == nil:
	case bad.busy, bad.late && f.took > f.timely:
		say = f.slower(started, now, bad)
	case bad.again && !f.silent && now.Sub(f.answered) > f.quiet:
		f.silent, say = true, "the server does not answer and is tried again: "+bad.words
	}
	if f.inFlight+1 < int(f.limit) {
		f.free.Broadcast()
	} else {
		f.free.Signal()
	}
	f.mu.Unlock()
	if say != "" {
		f.note(say)
	}
}

// grow raises the limit for an answer.
func (f *flow) grow() {
	step := max(1, growth*float64(f.most)) / f.limit
	switch {
	case f.took > f.timely:
		return
	case f.steep:
		step = 1
	}
	f.limit = min(float64(f.most), f.limit+step)
}

// slower cuts the limit, once for all the requests that were in flight together, and only if the server has answered
// something since the last cut: one that answers nobody is down, not crowded, and fewer requests would not help it.
func (f *flow) slower(started, now time.Time, bad *fault) (say string) {
	if started.After(f.cut) && f.answered.After(f.cut) {
		f.cut, f.steep = now, false
		f.limit = max(1, f.limit/2)
		if n := int(f.limit); n < f.told {
			f.told = n
			say = fmt.Sprintf("the server is busy (%s): at most %d requests at a time for now", bad.words, n)
		}
	}
	pause := min(bad.after, f.longest)
	if until := now.Add(pause); pause > 0 && until.After(f.until.Add(pause/2)) { // else much the same pause
		f.until = until
		time.AfterFunc(pause, f.wake)
		if now.Sub(f.toldPause) > time.Minute {
			f.toldPause = now
			say = fmt.Sprintf("the server is busy (%s) and asks for a pause: waiting %v", bad.words, pause.Round(time.Second))
		}
	}
	return say
}

// lastAnswer is the time of the server's last answer.
func (f *flow) lastAnswer() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answered
}

// wait counts failures in a row and says how long to wait after each: exponential backoff with full jitter, so that
// the requests that failed together do not come back together.
type wait struct{ failures int }

const (
	firstWait   = 250 * time.Millisecond
	longestWait = 30 * time.Second
)

// next is the pause before the next try, where trying goes on for patience.
func (w *wait) next(patience time.Duration) time.Duration {
	most := min(firstWait, patience/100) << min(w.failures, 20)
	most = min(most, longestWait, patience/10)
	w.failures++
	return rand.N(most + 1)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
