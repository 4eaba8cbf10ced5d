package github

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	// tries of a read, one after the other. Whoever called can try again later, too.
	tries = 3
	// retryPause before the second try; twice that before the third.
	retryPause = 500 * time.Millisecond
)

// retry asks again when the network or the server failed. Only reads: a write may have been done although its answer
// was lost, which only its caller can find out.
type retry struct {
	next  http.RoundTripper
	pause time.Duration
}

func (r *retry) RoundTrip(req *http.Request) (*http.Response, error) {
	for n := 0; ; n++ {
		resp, err := r.next.RoundTrip(req)
		if err == nil || req.Method != http.MethodGet || !errors.Is(err, errOutage) || n == tries-1 {
			return resp, err
		}
		wait := r.pause << n
		if serr := sleep(req.Context(), wait+rand.N(wait/2+1)); serr != nil { // those that failed together do not come back together
			return nil, serr
		}
	}
}

// pace lets writes through one at a time, and not too soon after each other.
// https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
type pace struct {
	next  http.RoundTripper
	every time.Duration
	turn  chan time.Time // holds the time of the last write's end; empty while one is under way
}

func newPace(next http.RoundTripper, every time.Duration) *pace {
	p := &pace{next: next, every: every, turn: make(chan time.Time, 1)}
	p.turn <- time.Time{}
	return p
}

func (p *pace) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		return p.next.RoundTrip(req)
	}
	ctx := req.Context()
	var last time.Time
	select {
	case last = <-p.turn:
	case <-ctx.Done():
		closeBody(req)
		return nil, context.Cause(ctx)
	}
	defer func() { p.turn <- last }()
	if err := sleep(ctx, time.Until(last.Add(p.every))); err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := p.next.RoundTrip(req)
	last = time.Now()
	return resp, err
}

// sleep waits, unless the context ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
