package githubtest

import (
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"
)

// faults are what goes wrong on demand. A request that they answer does not reach GitHub.
type faults struct {
	mu        sync.Mutex
	down      bool
	limited   time.Time // no quota is left until then
	secondary time.Duration
	times     int // how many requests are told so
	lose      []loss
	slow      time.Duration
}

type loss struct{ method, pattern string }

// Down answers everything with 502, or no longer.
func (s *Server) Down(down bool) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.down = down
}

// RateLimit has no quota left until then: 403 with what is left, nothing, and when there is more.
func (s *Server) RateLimit(until time.Time) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.limited = until
}

// Secondary answers so many requests with 403 and Retry-After.
func (s *Server) Secondary(times int, after time.Duration) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.times, s.faults.secondary = times, after
}

// LoseAnswers does what the next n requests of that method and path ask (a [path.Match] pattern), and drops the
// connection instead of answering.
func (s *Server) LoseAnswers(n int, method, pattern string) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	for range n {
		s.faults.lose = append(s.faults.lose, loss{method, pattern})
	}
}

// Lost is how many answers are still to be lost.
func (s *Server) Lost() int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return len(s.faults.lose)
}

// Slow keeps every request waiting.
func (s *Server) Slow(d time.Duration) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.slow = d
}

// before says whether the answer is to be lost, or whether the request has been answered.
func (f *faults) before(s *Server, w http.ResponseWriter, r *http.Request) (lose, done bool) {
	f.mu.Lock()
	slow := f.slow
	f.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
			return false, true
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.down:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<html><title>Unicorn! &middot; GitHub</title><p>This page is taking too long to load.</p></html>"))
		return false, true
	case time.Now().Before(f.limited):
		h := w.Header()
		h.Set("X-RateLimit-Limit", strconv.Itoa(hourly))
		h.Set("X-RateLimit-Remaining", "0")
		h.Set("X-RateLimit-Used", strconv.Itoa(hourly))
		h.Set("X-RateLimit-Reset", strconv.FormatInt(f.limited.Unix()+1, 10))
		h.Set("X-RateLimit-Resource", "core")
		refuse(w, http.StatusForbidden, "API rate limit exceeded for installation ID 815.")
		return false, true
	case f.times > 0:
		f.times--
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(f.secondary.Round(time.Second).Seconds()))))
		reply(w, http.StatusForbidden, object{
			"message":           "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
			"documentation_url": "https://docs.github.com/free-pro-team@latest/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits",
		})
		return false, true
	}
	for i, l := range f.lose {
		if ok, _ := path.Match(l.pattern, r.URL.Path); ok && l.method == r.Method {
			f.lose = append(f.lose[:i:i], f.lose[i+1:]...)
			return true, false
		}
	}
	return false, false
}

// drop ends the connection without a word.
func (*faults) drop(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			conn.Close()
		}
	}
}

// hourly is how much an installation may ask.
const hourly = 5000

// quota counts what everybody asked.
type quota struct {
	mu    sync.Mutex
	used  map[string]int
	reset time.Time
}

func (q *quota) init() {
	q.used, q.reset = map[string]int{}, time.Now().Add(time.Hour)
}

// count says what is left. What had not changed is free.
func (q *quota) count(h http.Header, login string, free bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !free {
		q.used[login]++
	}
	h.Set("X-RateLimit-Limit", strconv.Itoa(hourly))
	h.Set("X-RateLimit-Used", strconv.Itoa(q.used[login]))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, hourly-q.used[login])))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(q.reset.Unix(), 10))
	h.Set("X-RateLimit-Resource", "core")
}
