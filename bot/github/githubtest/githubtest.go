// Package githubtest is a GitHub for tests: the emulator of npm, which knows repositories, pull requests, comments and
// checks, behind a proxy that supplies what it lacks, answers as GitHub does where it does not, holds every request and
// every answer to GitHub's own description of its API, and fails on demand.
//
// What the proxy promises beyond the emulator: compare by commits; commit statuses; reactions; permissions and teams;
// pull requests whose head follows their branch, and that are merged onto the tip of their target; checks that keep
// their annotations and their app; conditional requests; quotas; tokens that expire; webhooks whose bodies, headers and
// signatures are GitHub's. Times have no fractions of a second, as there.
//
// setup.sh beside this file installs the emulator and the description into a folder; MERGEBOT_GITHUB_EMULATOR names it.
// Without it tests are skipped, unless MERGEBOT_REQUIRE_GITHUB=1.
package githubtest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// Role is what a person may do with the repository.
type Role string

// The roles. Anyone else is a stranger who may read and comment, since the repository is public.
const (
	Admin Role = "admin"
	Write Role = "write"
	Read  Role = "read"
)

// Options say who and what is there at the beginning.
type Options struct {
	Owner, Name string            // of the repository; "" are acme, an organisation, and recipes
	People      map[string]Role   // who is there besides the owner
	Team        []string          // members of the owner's team named Team
	Files       map[string]string // the first commit; nil is a README
}

// TeamName is the team that [Options.Team] are members of.
const TeamName = "merge-masters"

// Server is a GitHub that runs.
type Server struct {
	URL         string // of the API, with no slash at the end
	Owner, Name string
	App         App

	t           testing.TB
	o           Options
	description *description
	emulator    string // its address
	client      *http.Client
	mux         *http.ServeMux
	objects     objects
	hooks       hooks
	faults      faults

	checking sync.RWMutex // a check is seen with its annotations, which are kept elsewhere, or not at all

	mu        sync.Mutex
	requests  []Request
	written   int // of them
	before    func(Request)
	turn      int               // which of a person's tokens of the emulator is used next
	tokens    map[string]caller // of people and installations
	quota     quota
	heads     map[string]string // acme:feature → SHA
	pulls     map[int]*pull
	edited    map[int64]bool // comments
	reactions map[int64][]reaction
	statuses  map[string][]status // by SHA, the newest first
	checks    map[int64]*check
	ids       int64 // of what the proxy itself keeps
	over      bool
}

// Start runs a GitHub until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	dir := os.Getenv("MERGEBOT_GITHUB_EMULATOR")
	if dir == "" {
		if os.Getenv("MERGEBOT_REQUIRE_GITHUB") == "1" {
			t.Fatal("MERGEBOT_GITHUB_EMULATOR is not set: run bot/github/githubtest/setup.sh DIR and set it to DIR")
		}
		t.Skip("MERGEBOT_GITHUB_EMULATOR is not set")
	}
	d, err := readDescription(dir)
	if err != nil {
		t.Fatal(err)
	}
	if o.Owner == "" {
		o.Owner, o.Name = "acme", "recipes"
	}
	if o.Files == nil {
		o.Files = map[string]string{"README.md": "# Recipes\n"}
	}
	s := &Server{
		Owner: o.Owner, Name: o.Name, t: t, o: o, description: d,
		client:    &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: time.Minute},
		tokens:    map[string]caller{},
		heads:     map[string]string{},
		pulls:     map[int]*pull{},
		edited:    map[int64]bool{},
		reactions: map[int64][]reaction{},
		statuses:  map[string][]status{},
		checks:    map[int64]*check{},
		ids:       1 << 20,
	}
	s.objects.init()
	s.quota.init()
	s.App = newApp(t)
	for login := range o.People {
		s.tokens[tokenOf(login)] = caller{login: login}
	}
	s.routes()
	api := httptest.NewServer(s)
	s.URL = api.URL
	receiver := httptest.NewServer(http.HandlerFunc(s.receive))
	stop := s.startEmulator(dir, receiver.URL)
	s.hooks.start(s)
	t.Cleanup(func() {
		s.mu.Lock()
		s.over = true // a violation that comes now has no test to fail
		s.mu.Unlock()
		s.hooks.stop()
		api.CloseClientConnections()
		api.Close()
		stop()
		receiver.CloseClientConnections()
		receiver.Close()
		s.client.CloseIdleConnections()
	})
	s.Push(s.someone(), "main", o.Files)
	s.hooks.forget()
	return s
}

// Repo is the repository's full name.
func (s *Server) Repo() string { return s.Owner + "/" + s.Name }

// Bot is the app's login.
func (s *Server) Bot() string { return s.App.Slug + "[bot]" }

// Token is a person's personal access token.
func (s *Server) Token(login string) string {
	if _, ok := s.o.People[login]; !ok {
		s.t.Fatalf("nobody here is named %q", login)
	}
	return tokenOf(login)
}

func tokenOf(login string) string { return fmt.Sprintf("ghp_%036x", login) }

// someone is a person who may write; the one whose name comes first.
func (s *Server) someone() string {
	for _, login := range slices.Sorted(maps.Keys(s.o.People)) {
		if r := s.o.People[login]; r == Admin || r == Write {
			return login
		}
	}
	s.t.Fatal("nobody here may write: Options.People needs an Admin")
	return ""
}

// failed fails the test that a violation happened in, while it runs.
func (s *Server) failed(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.t.Errorf(format, args...)
	}
}

// nextID numbers what the proxy keeps.
func (s *Server) nextID() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids++
	return s.ids
}

func background() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}
