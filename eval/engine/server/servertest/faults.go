package servertest

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"
)

// Fault is a way in which a request fails.
type Fault string

// Faults of completions.
const (
	Busy        Fault = "429"
	BusySeconds Fault = "429 with Retry-After in seconds"
	BusyDate    Fault = "429 with Retry-After as a date" // two seconds on, less the fraction that a date has not
	Unavailable Fault = "503"
	BadGateway  Fault = "502 with a page in HTML"
	Page        Fault = "200 with a page in HTML"
	Reset       Fault = "connection reset"
	HangUp      Fault = "connection closed without an answer"
	Stall       Fault = "no answer"
	StallBody   Fault = "half an answer, then nothing"
	CutBody     Fault = "half an answer, then the connection is closed"
	CutJSON     Fault = "half an answer, as if it were whole"
	NoChoices   Fault = "an answer without a completion"
)

// AllFaults are the faults of NewFaults.
func AllFaults() []Fault {
	return []Fault{Busy, BusySeconds, BusyDate, Unavailable, BadGateway, Page, Reset, HangUp, Stall, StallBody, CutBody, CutJSON, NoChoices}
}

// Faults is a proxy that breaks completions on their way. Which fault a prompt meets at which of its tries is decided by
// the seed, the prompt and the number of the try alone, so that the order of requests changes nothing, except that a
// 429 is a burst: the next few requests get one too.
type Faults struct {
	next   http.Handler
	seed   uint64
	rate   float64
	kinds  []Fault
	stall  time.Duration
	mu     sync.Mutex
	burst  int // requests that still get a 429
	tries  map[string]int
	counts map[Fault]int
	passed map[string]int
}

// burstLength is how many requests a 429 hits besides its own.
const burstLength = 8

// NewFaults breaks the share rate (below 1) of the requests for completions to next by one of kinds, all if there are
// none. Stalls last for stall, or until the client gives up.
func NewFaults(next http.Handler, seed uint64, rate float64, stall time.Duration, kinds ...Fault) *Faults {
	if len(kinds) == 0 {
		kinds = AllFaults()
	}
	return &Faults{next: next, seed: seed, rate: rate, kinds: kinds, stall: stall, tries: map[string]int{}, counts: map[Fault]int{}, passed: map[string]int{}}
}

// Counts tells how often each fault happened.
func (f *Faults) Counts() map[Fault]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[Fault]int{}
	for k, n := range f.counts {
		out[k] = n
	}
	return out
}

// Passed tells how many whole answers a prompt got.
func (f *Faults) Passed(prompt string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.passed[prompt]
}

// choose decides what happens to a request, "" for nothing.
func (f *Faults) choose(prompt string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := fnv.New64a()
	_, _ = io.WriteString(h, prompt)
	r := rand.New(rand.NewPCG(f.seed^h.Sum64(), uint64(f.tries[prompt])))
	f.tries[prompt]++
	var kind Fault
	switch {
	case f.burst > 0:
		f.burst--
		kind = Busy
	case r.Float64() < f.rate:
		kind = f.kinds[r.IntN(len(f.kinds))]
		if kind == Busy {
			f.burst = burstLength
		}
	default:
		f.passed[prompt]++
		return ""
	}
	f.counts[kind]++
	return kind
}

func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		f.next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var in struct{ Prompt string }
	_ = json.Unmarshal(body, &in) // a list of prompts is one prompt ""
	switch kind := f.choose(in.Prompt); kind {
	case "":
		f.next.ServeHTTP(w, r)
	case Busy:
		writeError(w, http.StatusTooManyRequests, "rate_limit_exceeded", "too many requests")
	case BusySeconds:
		w.Header().Set("Retry-After", "1")
		writeError(w, http.StatusTooManyRequests, "rate_limit_exceeded", "too many requests")
	case BusyDate:
		w.Header().Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
		writeError(w, http.StatusTooManyRequests, "rate_limit_exceeded", "too many requests")
	case Unavailable:
		writeError(w, http.StatusServiceUnavailable, "unavailable", "loading model")
	case BadGateway, Page:
		w.Header().Set("Content-Type", "text/html")
		if kind == BadGateway {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = io.WriteString(w, "<html><body>an error of the proxy</body></html>")
	case NoChoices:
		writeJSON(w, http.StatusOK, completionResponse{Choices: []choice{}})
	case Reset, HangUp:
		hangUp(w, kind == Reset)
	case Stall:
		f.wait(r)
		hangUp(w, false)
	default:
		f.half(kind, w, r)
	}
}

// half answers with half of what the server says.
func (f *Faults) half(kind Fault, w http.ResponseWriter, r *http.Request) {
	whole := httptest.NewRecorder()
	f.next.ServeHTTP(whole, r)
	body := whole.Body.Bytes()
	w.Header().Set("Content-Type", "application/json")
	half := body[:len(body)/2]
	if kind != CutJSON {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	_, _ = w.Write(half)
	if kind == StallBody {
		_ = http.NewResponseController(w).Flush()
		f.wait(r)
	}
}

func (f *Faults) wait(r *http.Request) {
	t := time.NewTimer(f.stall)
	defer t.Stop()
	select {
	case <-r.Context().Done():
	case <-t.C:
	}
}

// hangUp closes the connection, with a reset if it is to be rude.
func hangUp(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
