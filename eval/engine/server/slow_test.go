package server

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"mergebot/eval/engine/server/servertest"
)

// TestSlowServer asks a server that answers one request after the other, abandoned ones too, and takes longer for all that
// may be in flight than one may take: they time out, and fewer at a time do not.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	h := servertest.Handler(parrot{}, "m")
	var queue sync.Mutex
	p := servertest.Start(t, route("question", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queue.Lock()
		time.Sleep(10 * time.Millisecond)
		queue.Unlock()
		h.ServeHTTP(w, r)
	}), h))
	s := open(t, Options{URL: p.URL, Concurrency: 128, Timeout: 600 * time.Millisecond, Patience: 1200 * time.Millisecond})
	reqs, y := questions(150), newTally(t)
	out, err := s.Generate(t.Context(), reqs, y.each)
	if err != nil {
		t.Fatal(err)
	}
	y.check(reqs, out)
}

// TestFlowTimely: late answers do not raise the limit, and requests without one lower it only where answers are late too.
func TestFlowTimely(t *testing.T) {
	t.Parallel()
	late := &fault{again: true, late: true, words: "no answer within 1h"}
	f := newFlow(Options{Concurrency: 64, Timeout: time.Hour, Patience: time.Hour})
	for _, c := range []struct {
		took time.Duration
		err  error
		want float64
	}{{time.Second, nil, firstLimit + 1}, {time.Second, late, firstLimit + 1}, {30 * time.Minute, nil, firstLimit + 1}, {0, late, (firstLimit + 1) / 2.}} {
		at, err := f.start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f.end(at.Add(-c.took), c.err); f.limit != c.want {
			t.Errorf("%v, %v: limit %v, want %v", c.took, c.err, f.limit, c.want)
		}
	}
}
