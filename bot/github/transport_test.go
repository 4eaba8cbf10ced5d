package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mergebot/bot/forge"
)

// pull is what GitHub says of an open pull request.
func pull(n int, head string) obj {
	repo := obj{"id": 1, "full_name": "acme/recipes"}
	return obj{
		"number": n, "title": "a recipe", "state": "open", "user": obj{"login": "ann"}, "html_url": "https://github.com/acme/recipes/pull/" + strconv.Itoa(n),
		"head": obj{"sha": head, "ref": "topic", "repo": repo}, "base": obj{"sha": shaC, "ref": "main", "repo": repo},
		"merge_commit_sha": shaC,
	}
}

func ref(sha string) obj {
	return obj{"ref": "refs/heads/main", "object": obj{"type": "commit", "sha": sha}}
}

func TestETagsAreAskedEveryTime(t *testing.T) {
	f := newFake(t)
	head, full, same := shaA, 0, 0
	f.on("GET", "pulls/7", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `W/"`+head+`"`)
		w.Header().Set("Cache-Control", "private, max-age=60, s-maxage=60")
		w.Header().Set("X-RateLimit-Limit", "5000")
		w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(4999-full))
		if r.Header.Get("If-None-Match") == `W/"`+head+`"` {
			same++
			w.WriteHeader(http.StatusNotModified)
			return
		}
		full++
		write(w, 200, pull(7, head))
	})
	f.json("GET", "git/ref/heads/main", ref(shaB))
	var left atomic.Int64
	c := f.client(func(o *Options) {
		o.Quota = func(resource string, limit, remaining int) {
			if resource != "core" || limit != 5000 {
				t.Errorf("quota of %s: %d", resource, limit)
			}
			left.Store(int64(remaining))
		}
	})
	for i := range 3 {
		got, err := c.Change(bg, "7")
		ok(t, err)
		if got.Head != shaA || full != 1 || same != i {
			t.Fatalf("look %d: head %s, %d answers in full, %d the same", i, got.Head, full, same)
		}
	}
	if left.Load() != 4998 {
		t.Errorf("quota says %d", left.Load())
	}
	head = shaB // within the minute of max-age
	got, err := c.Change(bg, "7")
	ok(t, err)
	if got.Head != shaB || full != 2 {
		t.Errorf("an old pull request was shown: head %s, %d answers in full", got.Head, full)
	}
}

func TestCacheIsBounded(t *testing.T) {
	body := strings.Repeat("x", cacheEntry)
	c := newCache(roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.Header().Set("ETag", `"1"`)
		_, _ = w.WriteString(body)
		return w.Result(), nil
	}))
	get := func(n int) {
		resp, err := c.RoundTrip(httptest.NewRequest("GET", fmt.Sprintf("http://x/%d", n), nil))
		ok(t, err)
		resp.Body.Close()
	}
	for n := range 20 {
		get(n)
	}
	if c.size > cacheBytes || c.size < cacheBytes/2 || len(c.entries) != c.recent.Len() || len(c.entries) != cacheBytes/cacheEntry {
		t.Errorf("%d bytes in %d entries", c.size, len(c.entries))
	}
	body += "x" // too large for one
	get(19)
	if len(c.entries) != cacheBytes/cacheEntry-1 {
		t.Errorf("%d entries", len(c.entries))
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRateLimits(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }
	for name, c := range map[string]struct {
		status   int
		header   map[string]string
		body     obj
		min, max time.Duration // of waiting; 0: no limit at all
	}{
		"primary":                   {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at(20 * time.Minute)}, obj{"message": "API rate limit exceeded"}, 19 * time.Minute, 21 * time.Minute},
		"primary, 429":              {429, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at(20 * time.Minute)}, nil, 19 * time.Minute, 21 * time.Minute},
		"by the server's clock":     {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at(-10 * time.Minute), "Date": now.Add(-30 * time.Minute).UTC().Format(http.TimeFormat)}, nil, 19 * time.Minute, 21 * time.Minute},
		"a reset that has been":     {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at(-time.Hour)}, nil, time.Millisecond, 5 * time.Second},
		"a reset in a year":         {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at(9000 * time.Hour)}, nil, time.Hour, longestPause},
		"secondary":                 {403, map[string]string{"Retry-After": "180", "X-RateLimit-Remaining": "4000"}, obj{"message": "You have exceeded a secondary rate limit"}, 2 * time.Minute, 181 * time.Second},
		"secondary, 429":            {429, map[string]string{"Retry-After": "180"}, nil, 2 * time.Minute, 181 * time.Second},
		"secondary without a time":  {403, nil, obj{"message": "You have exceeded a secondary rate limit. Please wait a few minutes"}, 59 * time.Second, 61 * time.Second},
		"until a day next year":     {429, map[string]string{"Retry-After": now.Add(9000 * time.Hour).UTC().Format(http.TimeFormat)}, nil, time.Hour, longestPause},
		"abuse, the old words":      {403, nil, obj{"message": "You have triggered an abuse detection mechanism"}, 59 * time.Second, 61 * time.Second},
		"by its documentation":      {403, nil, obj{"message": "no", "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}, 59 * time.Second, 61 * time.Second},
		"no permission":             {403, map[string]string{"X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": at(time.Hour)}, obj{"message": "Resource not accessible by integration"}, 0, 0},
		"no permission, not JSON":   {403, nil, nil, 0, 0},
		"not there":                 {404, map[string]string{"X-RateLimit-Remaining": "4000"}, obj{"message": "Not Found"}, 0, 0},
		"the last one of the quota": {200, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at(20 * time.Minute)}, obj{"login": "x"}, 19 * time.Minute, 21 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.on("GET", "/user", func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				if c.body == nil {
					w.WriteHeader(c.status)
					return
				}
				write(w, c.status, c.body)
			})
			f.fails("GET", "pulls/7", 404)
			client := f.client()
			_, err := client.whoami(bg)
			if c.status == 200 {
				ok(t, err)
			}
			_, after := client.Change(bg, "7") // anything else
			if c.max == 0 {
				var later *forge.Later
				if errors.As(err, &later) || errors.As(after, &later) {
					t.Fatalf("taken for a rate limit: %v, %v", err, after)
				}
				return
			}
			later := wantLater(t, after)
			if c.status != 200 {
				later = wantLater(t, err)
				wantErr(t, err, errLimit)
			}
			if wait := later.Until.Sub(now); wait < c.min || wait > c.max+2*time.Second {
				t.Errorf("to wait %s, want %s to %s", wait, c.min, c.max)
			}
			if n := len(f.requests()); n != 1 {
				t.Errorf("%d requests: GitHub was asked on", n)
			}
		})
	}
}

func TestLimitsWithoutATimeGrow(t *testing.T) {
	f := newFake(t)
	f.fails("GET", "/user", 429)
	c := f.client()
	var last time.Duration
	for range 6 {
		_, err := c.whoami(bg)
		later := wantLater(t, err)
		wait := time.Until(later.Until)
		if wait < last {
			t.Errorf("%s after %s", wait, last)
		}
		last = wait - time.Minute
		limits(c).until = time.Time{} // the time has passed
	}
	if last < 10*time.Minute {
		t.Errorf("only %s in the end", last)
	}
}

// limits finds the client's transport of that kind.
func limits(c *Client) *patience {
	chain := c.gh.Client().Transport.(*pace).next.(*retry).next.(*cache).next.(*auth)
	return chain.next.(*patience)
}

func TestReadsAreTriedAgain(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{"502": answers(502, nil), "hung up": hangUp, "cut short": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"login":`))
	}} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			var faults atomic.Int64
			faults.Store(2)
			f.on("GET", "/user", func(w http.ResponseWriter, r *http.Request) {
				if faults.Add(-1) >= 0 {
					fault(w, r)
					return
				}
				write(w, 200, obj{"login": "ann"})
			})
			me, err := f.client().whoami(bg)
			ok(t, err)
			if n := f.count("GET /user"); me.login != "ann" || n < 3 {
				t.Errorf("%+v after %d requests", me, n)
			}

			faults.Store(100)
			_, err = f.client().whoami(bg)
			later := wantLater(t, err)
			wantErr(t, err, errOutage, "GitHub cannot be reached")
			if wait := time.Until(later.Until); wait > longestOutage {
				t.Errorf("again only in %s", wait)
			}
			if n := f.count("GET /user"); n < 3+tries || n > 3+2*tries { // net/http itself asks again when a kept connection ends

				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestWritesAreNotTriedAgain(t *testing.T) {
	f := newFake(t)
	f.on("POST", "issues/comments/5/reactions", hangUp)
	wantLater(t, f.client().React(bg, 5, forge.ThumbsUp))
	if n := f.count("POST"); n != 1 {
		t.Errorf("written %d times", n)
	}
}

func TestWritesGoOneAtATime(t *testing.T) {
	f := newFake(t)
	const every = 20 * time.Millisecond
	var mu sync.Mutex
	var ends []time.Time
	var under atomic.Int64
	f.on("POST", "issues/comments/{id}/reactions", func(w http.ResponseWriter, _ *http.Request) {
		if under.Add(1) != 1 {
			t.Error("two writes at once")
		}
		mu.Lock()
		if n := len(ends); n > 0 && time.Since(ends[n-1]) < every {
			t.Errorf("a write %s after another", time.Since(ends[n-1]))
		}
		ends = append(ends, time.Now())
		mu.Unlock()
		under.Add(-1)
		write(w, 201, obj{"id": 1, "content": "+1"})
	})
	c := f.client(func(o *Options) { o.WriteEvery = every })
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			if err := c.React(bg, int64(i+1), forge.ThumbsUp); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(ends) != 5 {
		t.Errorf("%d writes", len(ends))
	}
}

func TestContextEndsACall(t *testing.T) {
	f := newFake(t)
	came := make(chan struct{}, 10)
	f.on("GET", "/user", func(_ http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		<-r.Context().Done()
	})
	f.on("POST", "issues/comments/5/reactions", func(_ http.ResponseWriter, r *http.Request) {
		read[obj](t, r) // else the server does not see that its client has gone
		came <- struct{}{}
		<-r.Context().Done()
	})
	c := f.client()
	for _, call := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := c.whoami(ctx); return err },
		func(ctx context.Context) error { return c.React(ctx, 5, forge.ThumbsUp) },
	} {
		ctx, cancel := newContext()
		done := make(chan error)
		go func() { done <- call(ctx) }()
		<-came
		cancel(errStop)
		err := <-done
		wantErr(t, err, errStop)
		var later *forge.Later
		if errors.As(err, &later) {
			t.Errorf("%v: an end is no outage", err)
		}
	}
}

func TestASilentServerIsAnOutage(t *testing.T) {
	f := newFake(t)
	f.on("GET", "/user", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, err := f.client(func(o *Options) { o.timeout = 20 * time.Millisecond }).whoami(bg)
	wantLater(t, err)
	wantErr(t, err, errOutage, "no answer within")
}

func TestRedirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was asked: %s, Authorization %q", r.URL, r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()

	f := newFake(t)
	to := func(status int, base, path string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, base+path, status) }
	}
	f.on("GET", "pulls/7", to(301, f.http.URL, "/repositories/1/pulls/7"))
	f.on("GET", "/repositories/1/pulls/7", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+testToken {
			t.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
		write(w, 200, pull(7, shaA))
	})
	f.json("GET", "git/ref/heads/main", ref(shaB))
	c := f.client()
	got, err := c.Change(bg, "7")
	ok(t, err)
	if got.Head != shaA {
		t.Errorf("%+v", got)
	}

	f.on("GET", "pulls/8", to(301, elsewhere.URL, "/repos/acme/recipes/pulls/8"))
	_, err = c.Change(bg, "8")
	wantErr(t, err, errElsewhere)
	f.on("GET", "pulls/9", to(302, strings.Replace(f.http.URL, "http://", "https://", 1), "/repos/acme/recipes/pulls/9"))
	_, err = c.Change(bg, "9")
	wantErr(t, err, errElsewhere)
	f.on("GET", "pulls/10", to(301, f.http.URL, "/repos/acme/recipes/pulls/10"))
	_, err = c.Change(bg, "10")
	wantErr(t, err, nil, "too many redirects")

	f.on("POST", "issues/comments/5/reactions", to(307, f.http.URL, "/repositories/1/issues/comments/5/reactions"))
	f.on("POST", "/repositories/1/issues/comments/5/reactions", func(w http.ResponseWriter, r *http.Request) {
		if got := read[obj](t, r)["content"]; got != "-1" {
			t.Errorf("content %v", got)
		}
		write(w, 201, obj{"id": 1})
	})
	ok(t, c.React(bg, 5, forge.ThumbsDown))
	f.on("POST", "issues/comments/6/reactions", to(302, f.http.URL, "/repositories/1/issues/comments/6/reactions"))
	wantErr(t, c.React(bg, 6, forge.ThumbsDown), nil, "lose what is written")
	f.on("POST", "issues/comments/7/reactions", to(307, elsewhere.URL, "/repositories/1/issues/comments/7/reactions"))
	wantErr(t, c.React(bg, 7, forge.ThumbsDown), errElsewhere)
}
