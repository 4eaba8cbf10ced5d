package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"mergebot/bot/change"
	"mergebot/bot/run"
	"mergebot/bot/web"
)

// everyPage are addresses that lead somewhere in the fixture.
var everyPage = []string{"/", "/?state=gated", "/?state=running", "/?recipe=ties-70-law", "/?before=" + ended, "/?state=failed&recipe=from-a-terminal", "/changes", "/changes/17", "/changes/12",
	"/changes/" + change.Key("tune/law-density"), "/recipes", "/recipes/recipes/mfl.yaml", "/recipes/recipes/law.yaml", "/recipes/recipes/broken.yaml",
	"/runs/" + running, "/runs/" + ended, "/runs/20261123-150000.000-41cf10ee", "/runs/20261123-175900.000-41cf10ee", "/runs/20261123-140000.000-41cf10ee", "/runs/20261122-090000.000-41cf10ee"}

func TestPagesShowWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t).fill().open()
	for path, wants := range map[string][]string{
		"/":                                      {"Waiting for somebody", "Math, finance and law in one model", "41cf10ee8a2b-9d2a77c1e0f3", "Running and queued", `href="/runs/` + running + `"`, "search <span", "no space left", "by ana", `datetime="2026-11-23T17:30:00Z" title="2026-11-23 17:30:00 UTC">30 minutes ago`},
		"/?state=gated":                          {"20261114-020000.000-41cf10ee"},
		"/?recipe=ties-70-law":                   {"20261123-150000.000-41cf10ee", "selected>ties-70-law"},
		"/?state=queued":                         {"20261123-175900.000-41cf10ee"},
		"/runs/" + running:                       {"taken up 2 times", "ratios of tiny/finance", fmt.Sprintf(`data-events="/runs/%s/events?after=%d"`, running, len(log(today))), "known from before", "13 GB", "What it changes", "&#43;  - {model: tiny/math", "llama2", "8b42470e3365"},
		"/runs/" + ended:                         {"Published", "acme/math-finance-law", "Open the report", "gsm8k", "unfair_tos", "<svg class=\"track\"", "✓ met", "merge_method: dppa"},
		"/changes/17":                            {"can be run", "did you mean <code>density</code>", `<span class="here"><b>  4</b>`, "/mergebot run 41cf10ee8a2b-9d2a77c1e0f3", "mallory may not command", "0011aabbccdd-ffeeddccbbaa", "✗ 1 problem"},
		"/changes/12":                            {"A first recipe &lt;b&gt;with markup&lt;/b&gt; &amp; [redacted]"},
		"/recipes":                               {"dppa-80-math-finance-law", "acme/law", "8 hours from now", "problems"},
		"/recipes/recipes/mfl.yaml":              {"<svg class=\"history\"", "tiny/law moved", "the gate", "Domain-Ratio", "gsm8k"},
		"/recipes/recipes/law.yaml":              {"skipped: nothing moved", "not been run on main yet"},
		"/recipes/recipes/broken.yaml":           {"base_model is missing"},
		"/runs/20261123-150000.000-41cf10ee/log": {"2026-11-23 15:00:01  resolve  finished  dppa-80-math-finance-law  1.4 s", "no space left on device [redacted]"},
		"/healthz":                               {"ok"}, "/readyz": {"ready"},
	} {
		page := w.get(path, http.StatusOK)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
	}
}

func TestPagesAreSound(t *testing.T) {
	t.Parallel()
	w := newWorld(t).fill().open()
	for _, path := range everyPage {
		page := w.get(path, http.StatusOK)
		if strings.Contains(page, "s3cr") {
			t.Errorf("%s shows the secret", path)
		}
		for _, bad := range []string{"ZgotmplZ", "%!", "&lt;nil&gt;", "NaN"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
		root, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for n := range root.Descendants() {
			for _, a := range n.Attr {
				switch {
				case a.Key == "id" && ids[a.Val]:
					t.Errorf("%s has two elements with id %s", path, a.Val)
				case a.Key == "id":
					ids[a.Val] = true
				case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
					t.Errorf("%s has an attribute %s, which the policy rules out", path, a.Key)
				case a.Key == "href" && strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "/assets/"):
					w.get(a.Val, http.StatusOK)
				case a.Key == "src" && !strings.HasPrefix(a.Val, "/assets/"):
					t.Errorf("%s loads %s", path, a.Val)
				}
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t).fill().open()
	for _, path := range append(everyPage, "/nothing", "/assets/page.css", "/healthz", "/runs/"+ended+"/report/report.html") {
		for _, method := range []string{"GET", "HEAD"} {
			req, err := http.NewRequest(method, w.server.URL+path, nil)
			w.must(err)
			r, err := http.DefaultClient.Do(req)
			w.must(err)
			r.Body.Close()
			for name, want := range map[string]string{"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
				if !strings.Contains(r.Header.Get(name), want) {
					t.Errorf("%s %s: %s is %q, want %q in it", method, path, name, r.Header.Get(name), want)
				}
			}
			if !strings.Contains(r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || len(r.Cookies()) > 0 {
				t.Errorf("%s %s can be framed, or sets cookies", method, path)
			}
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			req, err := http.NewRequest(method, w.server.URL+path, nil)
			w.must(err)
			r, err := http.DefaultClient.Do(req)
			w.must(err)
			r.Body.Close()
			if r.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: status %d", method, path, r.StatusCode)
			}
		}
	}
}

func TestReportIsBoxedIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t).fill().open()
	w.must(w.storage.WriteBytes(context.Background(), "runs/"+ended+"/report/items/evil-1.html", []byte(`<meta http-equiv="Content-Security-Policy" content="script-src *"><script>1</script>`)))
	w.must(w.storage.WriteBytes(context.Background(), "runs/"+ended+"/report/items/none-1.html", []byte(`<script>1</script>`)))
	for name, want := range map[string]string{"report.html": "sandbox allow-downloads; default-src 'none'; style-src 'sha256-", "items.html": "sandbox allow-scripts allow-downloads; default-src 'none'; style-src 'sha256-",
		"items/gsm8k-1.html": "sandbox allow-downloads; ", "items/evil-1.html": "sandbox; default-src 'none'; style-src 'unsafe-inline';", "items/none-1.html": "sandbox; default-src 'none'; "} {
		r, err := http.Get(w.server.URL + "/runs/" + ended + "/report/" + name)
		w.must(err)
		r.Body.Close()
		got := r.Header.Get("Content-Security-Policy")
		if r.StatusCode != http.StatusOK || !strings.HasPrefix(got, want) || strings.Contains(got, "allow-same-origin") || strings.Contains(got, "*") {
			t.Errorf("%s: status %d, policy %s", name, r.StatusCode, got)
		}
		if strings.Contains(got, "script-src") != (name == "items.html") {
			t.Errorf("%s: policy %s", name, got)
		}
	}
	for name, kind := range map[string]string{"report.md": "text/plain", "report.json": "application/json", "items/gsm8k.jsonl": "application/jsonl"} {
		r, err := http.Get(w.server.URL + "/runs/" + ended + "/report/" + name)
		w.must(err)
		r.Body.Close()
		if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), kind) {
			t.Errorf("%s: status %d, %s", name, r.StatusCode, r.Header.Get("Content-Type"))
		}
	}
}

func TestNothingElseIsReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t).fill()
	w.put("runs/secret.json", "x")
	w.put("runs/UPPER/run.json", run.Record{ID: "UPPER", Recipe: "found"}) // ours are named otherwise
	w.put("runs/x/y/run.json", run.Record{ID: "x/y", Recipe: "found"})
	w.put("other.json", map[string]string{"id": "found"})
	h := web.New(w.options)
	for _, path := range []string{"/runs/..", "/runs/../bot", "/runs/%2e%2e", "/runs/..%2f..%2fother.json", "/runs/x%2fy", "/runs/UPPER", "/runs/" + strings.Repeat("a", 200), "/runs/a..b", "/runs/" + ended + "x",
		"/changes/..", "/changes/..%2fmain", "/changes/17%2f..%2f17", "/changes/17.json", "/recipes/../main", "/recipes/nothing", "/runs/" + ended + "/report/", "/runs/" + ended + "/report/run.json",
		"/runs/" + ended + "/report/..%2frun.json", "/runs/" + ended + "/report/items/..%2f..%2frun.json", "/runs/" + ended + "/report/items/a..html", "/runs/x/report/report.html", "/runs/x/events", "/runs/x/log", "/assets/..%2fweb.go", "/assets/none.css", "/?state=nonsense", "/?before=..", "/nothing", "/runs/", "/runs"} {
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest("GET", "http://bot"+path, nil))
		if r.Code != http.StatusNotFound && r.Code != http.StatusTemporaryRedirect && r.Code != http.StatusMovedPermanently {
			t.Errorf("%s: status %d", path, r.Code)
		}
		if r.Code == http.StatusNotFound && !strings.Contains(r.Body.String(), "All runs") {
			t.Errorf("%s: not the page for what is not there", path)
		}
	}
}

// FuzzRoutes holds that no address makes an error of the server, shows the secret, or leaves storage.
func FuzzRoutes(f *testing.F) {
	w := newWorld(f).fill()
	h := web.New(w.options)
	for _, path := range append(everyPage, "/runs/../x", "/runs/%00", "/changes/~", "/runs/"+ended+"/report/items/x.html", "/recipes//", "/assets/x") {
		f.Add(path, "a=b&before=x")
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		if strings.HasSuffix(path, "/events") {
			return
		}
		r := httptest.NewRequest("GET", "http://bot/", nil)
		r.URL.Path, r.URL.RawQuery = path, query
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)
		if got.Code >= 500 || strings.Contains(got.Body.String(), "s3cr") {
			t.Errorf("%q: status %d\n%.300s", path, got.Code, got.Body)
		}
	})
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	w := newWorld(t).open()
	for path, want := range map[string]string{"/": "Push a recipe to <code>recipes/</code>", "/changes": "Push a recipe to <code>recipes/</code>", "/recipes": "has not been looked at yet"} {
		if page := w.get(path, http.StatusOK); !strings.Contains(page, want) {
			t.Errorf("%s does not say what to do", path)
		}
	}
	w.get("/recipes/x", http.StatusNotFound)
}

func TestReadyAndBroken(t *testing.T) {
	t.Parallel()
	w := newWorld(t).fill()
	w.options.Ready = func(context.Context) error { return errors.New("the lease is another's, " + secret) }
	w.must(w.storage.WriteBytes(context.Background(), "runs/20261123-999999.000-41cf10ee/run.json", []byte("{torn")))
	w.open()
	if text := w.get("/readyz", http.StatusServiceUnavailable); !strings.Contains(text, "the lease is another's, [redacted]") {
		t.Errorf("readyz says %q", text)
	}
	w.get("/healthz", http.StatusOK)
	if page := w.get("/runs/20261123-999999.000-41cf10ee", http.StatusInternalServerError); !strings.Contains(page, "could not be made") || strings.Contains(page, "invalid character") {
		t.Errorf("the page for errors says %s", page)
	}
}

// reader reads server-sent events.
type reader struct {
	testing.TB
	body io.ReadCloser
	rest string
}

type sent struct{ name, id, data string }

func (w *world) listen(path, last string) *reader {
	w.Helper()
	req, err := http.NewRequest("GET", w.server.URL+path, nil)
	w.must(err)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	r, err := http.DefaultClient.Do(req)
	w.must(err)
	w.Cleanup(func() { r.Body.Close() })
	return &reader{TB: w.TB, body: r.Body}
}

// next waits for an event; a comment is none.
func (r *reader) next() sent {
	r.Helper()
	for {
		if text, rest, ok := strings.Cut(r.rest, "\n\n"); ok {
			r.rest = rest
			var s sent
			for l := range strings.SplitSeq(text, "\n") {
				name, value, _ := strings.Cut(l, ": ")
				switch name {
				case "event":
					s.name = value
				case "id":
					s.id = value
				case "data":
					s.data = value
				}
			}
			if s.name != "" {
				return s
			}
			continue
		}
		b := make([]byte, 1<<16)
		n, err := r.body.Read(b)
		r.rest += string(b[:n])
		if err != nil && n == 0 {
			r.Fatalf("the events end: %v", err)
		}
	}
}

// until skips progress.
func (r *reader) until(name string) sent {
	r.Helper()
	for {
		if s := r.next(); s.name == name {
			return s
		} else if s.name == "end" {
			r.Fatalf("the end before %s: %+v", name, s)
		}
	}
}

func TestEventsKeptThenLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t).fill().open()
	total := len(log(today))
	all, later := w.listen("/runs/"+running+"/events", ""), w.listen("/runs/"+running+"/events?after=3", fmt.Sprint(total-2))
	for n := 1; n <= total; n++ {
		if s := all.until("kept"); s.id != fmt.Sprint(n) || strings.Contains(s.data, `"parts"`) != (n == total) {
			t.Fatalf("event %d: %+v", n, s)
		}
	}
	for n := total - 1; n <= total; n++ {
		if s := later.until("kept"); s.id != fmt.Sprint(n) {
			t.Fatalf("from the last id on, event %d: %+v", n, s)
		}
	}
	w.live.show(running, run.Event{Phase: run.Progress, Step: "search", Subject: "ratios of tiny/finance", Done: 12, Total: 40, Unit: "candidates"})
	for _, r := range []*reader{all, later} {
		for s := r.next(); !strings.Contains(s.data, "12 of 40 candidates"); s = r.next() {
			if s.name != "progress" || s.id != "" {
				t.Fatalf("not progress: %+v", s)
			}
		}
	}
	// The bot shows an event before it keeps it.
	e := run.Event{Time: today, Phase: run.Finished, Step: "search", Subject: "ratios of tiny/finance", Seconds: 9, Text: secret}
	w.live.show(running, e)
	w.keep(running, e)
	for _, r := range []*reader{all, later} {
		if s := r.until("kept"); s.id != fmt.Sprint(total+1) || !strings.Contains(s.data, `"steps"`) || strings.Contains(s.data, "s3cr") {
			t.Errorf("the new event: %+v", s)
		}
	}
	if n := w.live.watchers(running); n != 1 {
		t.Errorf("%d subscriptions for two readers", n)
	}
	rec, _, err := run.ReadRecord(context.Background(), w.storage, running)
	w.must(err)
	w.keep(running, run.Event{Time: today, Phase: run.Finished, Step: "report"})
	rec.State, rec.Ended = run.Succeeded, today
	w.record(rec)
	w.live.end(running)
	for _, r := range []*reader{all, later} {
		if s := r.until("kept"); s.id != fmt.Sprint(total+2) {
			t.Errorf("the last event: %+v", s)
		}
		if s := r.next(); s.name != "end" || s.data != `{"state":"succeeded"}` {
			t.Errorf("the end: %+v", s)
		}
		if _, err := r.body.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
	}
}

// A run of another process is followed by what it keeps.
func TestEventsOfAnotherProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t).fill()
	w.options.Watch = nil
	w.open()
	r := w.listen("/runs/"+running+"/events", fmt.Sprint(len(log(today))))
	w.keep(running, run.Event{Time: today, Phase: run.Started, Step: "merge", Subject: "x"})
	if s := r.until("kept"); !strings.Contains(s.data, "merge") {
		t.Errorf("got %+v", s)
	}
	over := w.listen("/runs/"+ended+"/events?after=1000", "")
	if s := over.next(); s.name != "end" {
		t.Errorf("of a run that is over: %+v", s)
	}
}

// A reader who takes nothing holds nobody up.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	w := newWorld(t).fill().open()
	slow := w.listen("/runs/"+running+"/events", "")
	slow.until("kept")
	done := make(chan bool)
	go func() {
		defer close(done)
		text := strings.Repeat("x", 1<<20)
		for i := range 200 {
			w.live.show(running, run.Event{Phase: run.Progress, Step: "search", Subject: text, Done: int64(i), Total: 200})
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("a run waits for a reader")
	}
}
