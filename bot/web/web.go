// Package web is the page that people look at: runs, changes and recipes, read from storage and drawn on the server.
//
// It promises that
//
//   - nothing is changed by looking: only GET and HEAD are answered;
//   - no text of a record, a recipe or a model becomes markup or turns the direction of writing, and secrets are redacted
//     before anything is drawn;
//   - a page asks nothing of any other place, and works without scripts by being loaded again;
//   - what an address names is checked before it becomes a path in storage;
//   - a reader who is slow never holds up a run.
package web

import (
	"context"
	"net/http"
	"time"

	"mergebot/bot/run"
	"mergebot/eval/report"
)

// Options of the page.
type Options struct {
	Storage *run.Storage
	Repo    string // of the recipes, for the head of the page
	URL     string // of that repo; may be ""
	Version string // of the program
	// Link is the address of a file at a commit, for people; "" where there is none. It may be nil.
	Link func(commit, path string) string
	// Watch gives the live events of a run, progress too, from now on; the channel is closed when the run is over.
	// It may be nil: then the page shows what storage has.
	Watch func(id string) (<-chan run.Event, func())
	// Ready says whether the bot can do its work; nil is always.
	Ready   func(ctx context.Context) error
	Metrics http.Handler // may be nil
	// Redact takes the secrets out of a text. It may be nil.
	Redact func(string) string
	Now    func() time.Time // nil: time.Now
}

// site answers all requests.
type site struct {
	Options
	store *store
	feeds *feeds
	pages pages
}

// New makes the handler of all pages.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Link == nil {
		o.Link = func(string, string) string { return "" }
	}
	if o.Redact == nil {
		o.Redact = func(s string) string { return s }
	}
	o.Repo, o.URL = o.Redact(o.Repo), o.Redact(o.URL)
	// Characters that turn the direction of writing can make a recipe read otherwise than it is.
	clean := func(text string) string { return report.Visible(o.Redact(text)) }
	s := &site{Options: o, store: newStore(o.Storage, clean, o.Now), feeds: newFeeds(o.Watch)}
	s.pages = parsePages(s.words())

	mux := http.NewServeMux()
	page := func(pattern string, show func(*http.Request) (view, error)) {
		mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := show(r)
			if err != nil {
				s.fail(w, r, err)
				return
			}
			s.write(w, r, http.StatusOK, v)
		})
	}
	page("/{$}", s.runs)
	page("/runs/{id}", s.run)
	page("/changes", s.changes)
	page("/changes/{key}", s.change)
	page("/recipes", s.recipes)
	page("/recipes/{path...}", s.recipe)
	page("/", func(*http.Request) (view, error) { return view{}, errNotFound })
	mux.HandleFunc("GET /runs/{id}/log", s.log)
	mux.HandleFunc("GET /runs/{id}/events", s.events)
	mux.HandleFunc("GET /runs/{id}/report/{file...}", s.reportFile)
	mux.HandleFunc("GET /assets/{name}", s.asset)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.ready)
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	return guarded(mux)
}

// policy lets a page use this site's style sheet, script and pictures, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guarded sets what every answer says to the browser. A handler may tighten it.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (s *site) ready(w http.ResponseWriter, r *http.Request) {
	if s.Ready == nil {
		plain(w, http.StatusOK, "ready\n")
		return
	}
	if err := s.Ready(r.Context()); err != nil {
		plain(w, http.StatusServiceUnavailable, "not ready: "+s.Redact(err.Error())+"\n")
		return
	}
	plain(w, http.StatusOK, "ready\n")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // whoever asked has gone away
}
