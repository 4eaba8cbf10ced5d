package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mergebot/eval/engine"
	"mergebot/eval/engine/server/servertest"
)

// parrot answers every prompt with a text made of it.
type parrot struct{}

func (parrot) Info() engine.Info { return engine.Info{Flags: map[string]string{"context": "100"}} }

func said(prompt string) string { return strings.ToUpper(prompt) + "!" }

func (parrot) Generate(ctx context.Context, reqs []engine.Request, each func(int, engine.Completion)) ([]engine.Completion, error) {
	out := make([]engine.Completion, len(reqs))
	for i, r := range reqs {
		out[i] = engine.Completion{Text: said(r.Prompt), Finish: engine.FinishStop, PromptTokens: len(r.Prompt), Tokens: []int32{1}}
	}
	return out, ctx.Err()
}

func questions(n int) []engine.Request {
	out := make([]engine.Request, n)
	for i := range out {
		out[i] = engine.Request{ID: fmt.Sprint(i), Prompt: fmt.Sprintf("question %d", i), MaxTokens: 8}
	}
	return out
}

// tally counts what each is told, and fails the test for an item told twice.
type tally struct {
	t     *testing.T
	mu    sync.Mutex
	told  map[int]string
	count atomic.Int32
}

func newTally(t *testing.T) *tally { return &tally{t: t, told: map[int]string{}} }

func (y *tally) each(i int, c engine.Completion) {
	if !y.mu.TryLock() {
		y.t.Error("two calls of each at a time")
		y.mu.Lock()
	}
	defer y.mu.Unlock()
	if old, twice := y.told[i]; twice {
		y.t.Errorf("item %d is answered twice: %q and %q", i, old, c.Text)
	}
	y.told[i] = c.Text
	y.count.Add(1)
}

// check wants every request answered, once, with its own text.
func (y *tally) check(reqs []engine.Request, out []engine.Completion) {
	y.t.Helper()
	if len(out) != len(reqs) || len(y.told) != len(reqs) {
		y.t.Fatalf("%d completions and %d calls for %d requests", len(out), len(y.told), len(reqs))
	}
	for i, r := range reqs {
		if out[i].Text != said(r.Prompt) || y.told[i] != out[i].Text || out[i].Finish != engine.FinishStop {
			y.t.Errorf("item %d: %+v, told %q", i, out[i], y.told[i])
		}
	}
}

func open(t *testing.T, o Options) *Session {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// route sends completions of prompts that contain part to one handler, everything else to another.
func route(part string, to, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.Contains(string(body), part) {
			to.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

// TestFaults breaks half of all requests in every way there is (pauses that the server asks for have a test of their
// own): no item is lost, none answered twice. A request's timeout is short; MERGEBOT_TEST_STALL sets another, such as 30s.
func TestFaults(t *testing.T) {
	t.Parallel()
	stall := 300 * time.Millisecond
	if v := os.Getenv("MERGEBOT_TEST_STALL"); v != "" {
		var err error
		if stall, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	h := servertest.Handler(parrot{}, "m")
	kinds := slices.DeleteFunc(servertest.AllFaults(), func(f servertest.Fault) bool { return f == servertest.BusySeconds || f == servertest.BusyDate })
	faults := servertest.NewFaults(h, 1, 0.5, 10*stall, kinds...)
	p := servertest.Start(t, route("question", faults, h))
	s := open(t, Options{URL: p.URL, Concurrency: 32, Timeout: stall, Patience: max(10*time.Second, 10*stall)})
	reqs, y := questions(120), newTally(t)
	out, err := s.Generate(t.Context(), reqs, y.each)
	if err != nil {
		t.Fatal(err)
	}
	y.check(reqs, out)
	counts := faults.Counts()
	for _, kind := range kinds {
		if counts[kind] == 0 {
			t.Errorf("%s never happened: %v", kind, counts)
		}
	}
	t.Log(counts)
}

func TestServerDiesAndComesBack(t *testing.T) {
	t.Parallel()
	h := servertest.Handler(parrot{}, "m")
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(5 * time.Millisecond)
		h.ServeHTTP(w, r)
	})
	p := servertest.Start(t, slow)
	var mu sync.Mutex
	var notes []string
	s := open(t, Options{URL: p.URL + "/v1/", Concurrency: 8, Patience: time.Minute, Note: func(n string) {
		mu.Lock()
		defer mu.Unlock()
		notes = append(notes, n)
	}})
	s.flow.quiet = 0
	reqs, y := questions(300), newTally(t)
	back := make(chan struct{})
	out, err := s.Generate(t.Context(), reqs, func(i int, c engine.Completion) {
		y.each(i, c)
		if y.count.Load() == 100 {
			p.Die()
			go func() {
				time.Sleep(500 * time.Millisecond)
				p.ComeBack()
				close(back)
			}()
		}
	})
	<-back
	if err != nil {
		t.Fatal(err)
	}
	y.check(reqs, out)
	mu.Lock()
	defer mu.Unlock()
	if all := strings.Join(notes, "\n"); !strings.Contains(all, "does not answer") || !strings.Contains(all, "answers again") {
		t.Errorf("notes: %q", all)
	}
}

// TestServerDies: what was answered is kept, the call ends after Patience and says why.
func TestServerDies(t *testing.T) {
	t.Parallel()
	p := servertest.Start(t, servertest.Handler(parrot{}, "m"))
	s := open(t, Options{URL: p.URL, Concurrency: 4, Patience: 300 * time.Millisecond})
	y := newTally(t)
	_, err := s.Generate(t.Context(), questions(100), func(i int, c engine.Completion) {
		y.each(i, c)
		if y.count.Load() == 20 {
			p.Die()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "answered nothing for 300ms") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %v", err)
	}
	if n := y.count.Load(); n < 20 || n > 24 {
		t.Errorf("%d items were told", n)
	}
}

// TestPoison: a prompt on which the server always fails is given up alone.
func TestPoison(t *testing.T) {
	t.Parallel()
	h := servertest.Handler(parrot{}, "m")
	faults := servertest.NewFaults(h, 1, 1, 0, servertest.HangUp)
	p := servertest.Start(t, route("poison", faults, h))
	s := open(t, Options{URL: p.URL, Concurrency: 4, Patience: 500 * time.Millisecond})
	reqs := questions(50)
	reqs[7].Prompt = strings.Repeat("poison ", 30)
	y := newTally(t)
	out, err := s.Generate(t.Context(), reqs, y.each)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range out {
		if (i == 7) != (c.Finish == engine.FinishError) {
			t.Errorf("item %d: %+v", i, c)
		}
	}
	if !strings.Contains(out[7].Error, "again and again") || y.count.Load() != 50 {
		t.Errorf("%d told, %+v", y.count.Load(), out[7])
	}
}

// TestPatience: an item is tried for as long as others are answered, however long it takes.
func TestPatience(t *testing.T) {
	t.Parallel()
	h := servertest.Handler(parrot{}, "m")
	var answered atomic.Int32
	p := servertest.Start(t, route(said("stubborn"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answered.Load() < 80 {
			http.Error(w, "not yet", http.StatusInternalServerError)
			return
		}
		h.ServeHTTP(w, r)
	}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		answered.Add(1)
		h.ServeHTTP(w, r)
	})))
	s := open(t, Options{URL: p.URL, Concurrency: 2, Patience: 500 * time.Millisecond})
	reqs, y := questions(90), newTally(t)
	reqs[0].Prompt = said("stubborn")
	out, err := s.Generate(t.Context(), reqs, y.each)
	if err != nil {
		t.Fatal(err)
	}
	y.check(reqs, out)
}

// TestRefused: a request that no server would take ends the whole call, at once.
func TestRefused(t *testing.T) {
	t.Parallel()
	h := servertest.Handler(parrot{}, "m")
	p := servertest.Start(t, route("question", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"error":{"message":"stop: not supported"}}`, http.StatusBadRequest)
	}), h))
	s := open(t, Options{URL: p.URL})
	if _, err := s.Generate(t.Context(), questions(3), nil); err == nil || !strings.Contains(err.Error(), "HTTP 400: stop: not supported") {
		t.Errorf("error %v", err)
	}
}

// TestCrowded has a server that takes four requests at a time and refuses the others.
func TestCrowded(t *testing.T) {
	t.Parallel()
	h := servertest.Handler(parrot{}, "m")
	var inFlight, refused atomic.Int32
	p := servertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer inFlight.Add(-1)
		if inFlight.Add(1) > 4 {
			refused.Add(1)
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		time.Sleep(2 * time.Millisecond)
		h.ServeHTTP(w, r)
	}))
	s := open(t, Options{URL: p.URL, Concurrency: 64, Patience: time.Minute})
	reqs, y := questions(600), newTally(t)
	out, err := s.Generate(t.Context(), reqs, y.each)
	if err != nil {
		t.Fatal(err)
	}
	y.check(reqs, out)
	if n := refused.Load(); n == 0 || n > 600 {
		t.Errorf("%d requests were refused of 600", n)
	}
}

func TestFlow(t *testing.T) {
	t.Parallel()
	var notes []string
	f := newFlow(Options{Concurrency: 64, Timeout: time.Hour, Patience: time.Minute, Note: func(n string) { notes = append(notes, n) }})
	busy := &fault{again: true, busy: true, words: "HTTP 429"}
	take := func() time.Time {
		t.Helper()
		at, err := f.start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for f.limit < 64 {
		f.end(take(), nil)
	}
	a, b, c := take(), take(), take()
	f.end(a, busy)
	f.end(b, nil)
	f.end(c, busy) // of the same burst
	if f.limit < 32 || f.limit > 33 {
		t.Errorf("limit %v after a burst", f.limit)
	}
	f.end(take(), busy)
	low := f.limit
	f.end(take(), busy) // nothing was answered in between: the server is down, not crowded
	if f.limit != low {
		t.Errorf("limit %v of a server that is down", f.limit)
	}
	for range 20 {
		f.end(take(), nil)
		f.end(take(), busy)
	}
	if f.limit < 1 || f.limit > 3 {
		t.Errorf("limit %v, want 1 or little more", f.limit)
	}
	low = f.limit
	f.end(take(), nil)
	if f.limit <= low {
		t.Error("the limit does not grow")
	}
	for range 64 * 64 {
		f.end(take(), nil)
	}
	if f.limit != 64 {
		t.Errorf("limit %v after many answers", f.limit)
	}
	if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "at most 32 requests") }) || len(notes) > 7 {
		t.Errorf("notes %q", notes)
	}
	f.end(take(), &fault{again: true, busy: true, after: time.Hour})
	if pause := time.Until(f.until); pause > 30*time.Second || pause < 20*time.Second {
		t.Errorf("a pause of %v: want half of the patience", pause)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := f.start(ctx); err == nil {
		t.Error("a request started during the pause")
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "0.5": 500 * time.Millisecond, "-1": 0, "NaN": 0, "soon": 0, "1e99": (1<<31 - 1) * time.Second,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:01 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// TestPause: nobody asks before the server wants to be asked.
func TestPause(t *testing.T) {
	t.Parallel()
	h := servertest.Handler(parrot{}, "m")
	for kind, want := range map[servertest.Fault]time.Duration{servertest.BusySeconds: time.Second, servertest.BusyDate: time.Second} {
		faults := servertest.NewFaults(h, 1, 1, 0, kind)
		var first, second atomic.Int64
		p := servertest.Start(t, route("question", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if first.CompareAndSwap(0, time.Now().UnixNano()) {
				faults.ServeHTTP(w, r)
				return
			}
			second.CompareAndSwap(0, time.Now().UnixNano())
			h.ServeHTTP(w, r)
		}), h))
		s := open(t, Options{URL: p.URL})
		if _, err := s.Generate(t.Context(), questions(1), nil); err != nil {
			t.Fatal(err)
		}
		if pause := time.Duration(second.Load() - first.Load()); pause < want {
			t.Errorf("%s: asked again after %v", kind, pause)
		}
	}
}
