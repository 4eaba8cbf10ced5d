package github

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mergebot/bot/forge"
)

const (
	testToken = "ghp_secretSECRETsecret0123456789"
	shaA      = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	shaB      = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	shaC      = "cccccccccccccccccccccccccccccccccccccccc"
	repoPath  = "/repos/acme/recipes"
)

// fake is a GitHub that answers what a test says, and nothing else.
type fake struct {
	t    *testing.T
	mux  *http.ServeMux
	http *httptest.Server

	mu  sync.Mutex
	log []string // "POST /repos/…"
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, mux: http.NewServeMux()}
	f.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.log = append(f.log, r.Method+" "+r.URL.Path)
		f.mu.Unlock()
		f.mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.http.Close)
	f.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("not expected: %s %s", r.Method, r.URL)
		http.Error(w, `{"message":"not expected"}`, http.StatusTeapot)
	})
	return f
}

// on answers a route below the repository, or one that begins with a slash.
func (f *fake) on(method, path string, h http.HandlerFunc) {
	if !strings.HasPrefix(path, "/") {
		path = strings.TrimSuffix(repoPath+"/"+path, "/")
	}
	f.mux.HandleFunc(method+" "+path, h)
}

// json answers with one value.
func (f *fake) json(method, path string, v any) { f.on(method, path, answers(http.StatusOK, v)) }

// fails answers with GitHub's kind of error.
func (f *fake) fails(method, path string, status int) {
	f.on(method, path, answers(status, obj{"message": http.StatusText(status)}))
}

type obj = map[string]any

func answers(status int, v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { write(w, status, v) }
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// read decodes a request's body.
func read[T any](t *testing.T, r *http.Request) (v T) {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Errorf("%s %s: %v: %s", r.Method, r.URL, err, b)
	}
	return v
}

// hangUp closes the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// count of requests whose method and path begin so.
func (f *fake) count(prefix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, l := range f.log {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

func (f *fake) writes() int {
	return f.count("POST") + f.count("PATCH") + f.count("DELETE") + f.count("PUT")
}

func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// client talks to the fake with a token; the first change may be to an app.
func (f *fake) client(changes ...func(*Options)) *Client {
	f.t.Helper()
	o := Options{
		API: f.http.URL, Owner: "acme", Name: "recipes", Token: testToken,
		WriteEvery: time.Nanosecond, Base: f.http.Client().Transport, pause: time.Millisecond,
	}
	for _, c := range changes {
		c(&o)
	}
	c, err := assemble(o)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// me says whose the token is.
func (f *fake) me(login string) { f.json("GET", "/user", obj{"login": login, "type": "User"}) }

func wantErr(t *testing.T, err, target error, words ...string) {
	t.Helper()
	if err == nil || target != nil && !errors.Is(err, target) {
		t.Fatalf("error %v, want %v", err, target)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func wantLater(t *testing.T, err error) *forge.Later {
	t.Helper()
	var later *forge.Later
	if !errors.As(err, &later) {
		t.Fatalf("error %v, want one that says when to try again", err)
	}
	if !later.Until.After(time.Now().Add(-time.Minute)) {
		t.Errorf("again at %s, long ago", later.Until)
	}
	return later
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var bg = context.Background()

var errStop = errors.New("told to stop")

func newContext() (context.Context, context.CancelCauseFunc) { return context.WithCancelCause(bg) }
