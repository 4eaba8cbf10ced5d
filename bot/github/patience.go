package github

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"mergebot/bot/forge"
)

const (
	// shortestPause after a secondary limit that names no time: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
	shortestPause = time.Minute
	// longestPause bounds what an answer can ask for: windows of GitHub's limits last an hour.
	longestPause = 2 * time.Hour
	// longestOutage between two tries while GitHub cannot be reached.
	longestOutage = time.Minute
)

var (
	errOutage = errors.New("GitHub cannot be reached")
	errLimit  = errors.New("GitHub's rate limit")
)

// patience turns answers that mean "not now" into a *forge.Later: rate limits, failures of the server or the network.
// While a limit lasts nothing is sent: GitHub bans those who go on.
type patience struct {
	next  http.RoundTripper
	quota func(resource string, limit, remaining int)

	mu     sync.Mutex
	until  time.Time // nothing is sent before
	why    error
	abuses int       // secondary limits in a row that named no time
	down   time.Time // since when there was no good answer; zero: there was
}

func (p *patience) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := p.quiet(); err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := p.next.RoundTrip(req)
	switch {
	case err == nil:
		return p.judge(resp)
	case req.Context().Err() != nil, errors.Is(err, errElsewhere), errors.Is(err, errTooLong):
		return nil, err
	}
	return nil, p.outage(err)
}

// quiet is the Later that still holds, if any.
func (p *patience) quiet() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.until) {
		return &forge.Later{Until: p.until, Err: p.why}
	}
	return nil
}

// outage makes a Later whose time grows with how long it has lasted.
func (p *patience) outage(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.down.IsZero() {
		p.down = now
	}
	wait := min(max(now.Sub(p.down), time.Second), longestOutage)
	return &forge.Later{Until: now.Add(wait + rand.N(wait/4)), Err: fmt.Errorf("%w: %w", errOutage, err)}
}

// judge lets an answer pass, or makes it a Later. What it says of limits is taken out: the library would keep a count
// of its own.
func (p *patience) judge(resp *http.Response) (*http.Response, error) {
	h := resp.Header
	reset := resetIn(h)
	resource := h.Get("X-RateLimit-Resource")
	limit, lerr := strconv.Atoi(h.Get("X-RateLimit-Limit"))
	remaining, rerr := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	used := rerr == nil && remaining == 0
	if p.quota != nil && lerr == nil && rerr == nil {
		if resource == "" {
			resource = "core"
		}
		p.quota(resource, limit, remaining)
	}
	for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Used"} {
		h.Del(name)
	}
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusRequestTimeout {
		return nil, p.outage(fmt.Errorf("status %d", resp.StatusCode))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = time.Time{}
	if limited(resp, used) {
		wait := retryAfter(h)
		switch {
		case wait > 0:
		case used:
			wait = reset
		default:
			wait = shortestPause << min(p.abuses, 4)
			p.abuses++
		}
		p.hold(max(wait, time.Second), fmt.Errorf("%w (status %d)", errLimit, resp.StatusCode))
		return nil, &forge.Later{Until: p.until, Err: p.why}
	}
	if resp.StatusCode < 400 {
		p.abuses = 0
	}
	if used && (resource == "" || resource == "core") { // this was the last one
		p.hold(reset, fmt.Errorf("%w is used up", errLimit))
	}
	return resp, nil
}

// hold keeps everything back for a time. The lock is held.
func (p *patience) hold(wait time.Duration, why error) {
	if until := time.Now().Add(min(wait, longestPause)); until.After(p.until) {
		p.until, p.why = until, why
	}
}

// limited tells a rate limit from a lack of permission: both are 403.
func limited(resp *http.Response, used bool) bool {
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		return true
	case http.StatusForbidden:
	default:
		return false
	}
	if used || resp.Header.Get("Retry-After") != "" {
		return true
	}
	var words struct {
		Message string `json:"message"`
		Link    string `json:"documentation_url"`
	}
	_ = json.Unmarshal(body(resp), &words) // no JSON: no such words
	message := strings.ToLower(words.Message)
	return strings.Contains(message, "rate limit") || strings.Contains(message, "abuse detection") ||
		strings.HasSuffix(words.Link, "rate-limits") || strings.HasSuffix(words.Link, "#abuse-rate-limits")
}

// resetIn is how long the window lasts from now, by the server's own clock.
func resetIn(h http.Header) time.Duration {
	at, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64)
	if err != nil {
		return shortestPause
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(time.Unix(at, 0).Sub(now), 0)+time.Second, longestPause) // the server counts whole seconds
}

// retryAfter is the header's time; 0 when there is none.
func retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return time.Duration(min(n, int(longestPause/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
