package bot

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/forge/forgetest"
	"mergebot/bot/github"
	"mergebot/bot/metrics"
	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/hub"
	"mergebot/hub/embedded"
	"mergebot/merge/kernel"
	"mergebot/testdata/familyhub"
)

// TestMain lets the test binary be the engine's process, too.
func TestMain(m *testing.M) {
	if os.Getenv(engine.ChildEnv) == "1" {
		if err := engine.ServeChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// recipe merges two members of the tiny family, with nothing to score: it takes a second.
const recipe = `merge_method: task_arithmetic
base_model: tiny/base
models:
  - {model: tiny/math, parameters: {weight: WEIGHT}}
  - {model: tiny/law, parameters: {weight: 0.5}}
dtype: float16
mergebot:
  publish: {repo: acme/TARGET, license: apache-2.0}
`

func recipeFor(target, weight string) string {
	return strings.NewReplacer("TARGET", target, "WEIGHT", weight).Replace(recipe)
}

// bench is a daemon with all that it stands on.
type bench struct {
	t       *testing.T
	forge   *forgetest.Forge
	hub     *embedded.Running
	client  *hub.Client
	storage *run.Storage
	dir     string

	mu       sync.Mutex
	finished map[string]int // steps that were done, by key
	slow     chan struct{}  // when set, a step that begins waits for it to be closed
	asked    int            // requests to the Hub
	gone     string         // a model that the Hub denies
	cut      int            // when set, the status by which the Hub fails
	stop     func()

	daemon  *Daemon  // that was started last
	recipes []string // settings
	poll    time.Duration
	still   time.Duration // how long a change looks the same before it counts as still
}

func newBench(t *testing.T, files map[string]string) *bench {
	t.Helper()
	b := &bench{t: t, forge: forgetest.New(files), dir: t.TempDir(), finished: map[string]int{}, recipes: []string{"recipes/**"}, poll: 50 * time.Millisecond, still: stillAfter}
	b.forge.Write("maintainer")
	seed := filepath.Join(b.dir, "seed")
	if err := familyhub.WriteSeed(seed); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.hub, err = embedded.Listen(t.Context(), embedded.Options{Root: filepath.Join(b.dir, "hub")}, "127.0.0.1:0", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.hub.Close() })
	if err := b.hub.Server.Seed(t.Context(), seed); err != nil {
		t.Fatal(err)
	}
	if b.client, err = hub.New(hub.Options{Endpoint: b.hub.URL, Cache: filepath.Join(b.dir, "cache"), Anonymous: true}); err != nil {
		t.Fatal(err)
	}
	if b.storage, err = run.OpenStorage(filepath.Join(b.dir, "storage")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.storage.Close() })
	return b
}

// start starts the daemon; stop ends it, as SIGTERM does.
func (b *bench) start() {
	b.t.Helper()
	d := b.assemble()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	b.daemon = d
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("the daemon ended with %v", err)
		}
	})
	b.t.Cleanup(b.stop)
}

// startError starts a daemon that is expected to give up, and returns why.
func (b *bench) startError() error {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	return b.assemble().Run(ctx)
}

func (b *bench) assemble() *Daemon {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	d, err := New(Options{Forge: b.forge, Storage: b.storage, Listener: l, Log: slog.New(slog.NewTextHandler(b.t.Output(), nil)), Metrics: metrics.New(), Progress: 50 * time.Millisecond,
		Settings: configs.ServeSettings{Repo: "acme/recipes", Recipes: b.recipes, Poll: b.poll, Runs: 1, TryLimit: 5, PublishTo: []string{"Acme"},
			Work: filepath.Join(b.dir, "work"), Keep: 3, Lease: 5 * time.Second, URL: "https://mergebot.example"},
		NewEnv: func(anonymous bool, observe func(run.Event)) (*run.Env, error) {
			env := &run.Env{Storage: b.storage, Device: kernel.CPU(), ShardSize: 5e9, Observe: func(e run.Event) {
				b.saw(e)
				if observe != nil {
					observe(e)
				}
			}}
			var err error
			env.Hub, err = hub.New(hub.Options{Endpoint: b.hub.URL, Cache: filepath.Join(b.dir, "cache"), Anonymous: true, Progress: env.HubProgress, HTTP: &http.Client{Transport: b}})
			return env, err
		}})
	if err != nil {
		b.t.Fatal(err)
	}
	d.sight.after = b.still
	return d
}

// unplug makes the Hub fail every request with a status of HTTP; 0 plugs it in again.
func (b *bench) unplug(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = status
}

// RoundTrip is the way to the Hub.
func (b *bench) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	cut, gone := b.cut, b.gone
	b.asked++
	b.mu.Unlock()
	switch {
	case cut != 0:
		return &http.Response{StatusCode: cut, Header: http.Header{"X-Error-Message": {"Invalid credentials in Authorization header"}}, Body: http.NoBody, Request: r}, nil
	case gone != "" && strings.Contains(r.URL.Path, "/"+gone+"/"):
		return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{"X-Error-Code": {"RepoNotFound"}}, Body: http.NoBody, Request: r}, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

// moveModel makes a new commit of a model on the Hub.
func (b *bench) moveModel(repo string) {
	b.t.Helper()
	if _, err := b.client.Upload(b.t.Context(), hub.Repo{Type: hub.Model, ID: repo}, hub.Upload{Message: "card",
		Files: []hub.LocalFile{{Path: "README.md", Data: []byte("---\nlicense: apache-2.0\n---\nmoved\n")}}}); err != nil {
		b.t.Fatal(err)
	}
}

// rerequested is GitHub's message that somebody wants the checks of a change again.
func rerequested(id string) github.Event {
	return github.Event{Delivery: "again", Name: "check_run", Action: "rerequested", Change: id}
}

func (b *bench) saw(e run.Event) {
	b.mu.Lock()
	if e.Phase == run.Finished && e.Key != "" && e.Step != "resolve" {
		b.finished[e.Step+" "+e.Subject+" "+e.Key]++
	}
	slow := b.slow
	b.mu.Unlock()
	if slow != nil && e.Phase == run.Started {
		<-slow
	}
}

// hold makes the runs wait at their next step until let go.
func (b *bench) hold() (release func()) {
	c := make(chan struct{})
	b.mu.Lock()
	b.slow = c
	b.mu.Unlock()
	return sync.OnceFunc(func() {
		b.mu.Lock()
		b.slow = nil
		b.mu.Unlock()
		close(c)
	})
}

// eventually waits for something to become true.
func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("it never came to this: %s", what)
		}
	}
}

func (b *bench) change(id string) *change.State {
	b.t.Helper()
	c, _, err := change.Read(b.t.Context(), b.storage, change.Key(id))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// planned waits for the plan of a change's newest commit, and returns the plan id that a command names.
func (b *bench) planned(id string) string {
	b.t.Helper()
	now, err := b.forge.Change(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	b.eventually("a plan of #"+id, func() bool {
		c := b.change(id)
		return c.PlannedHead == now.Head && c.PlannedBase == now.Base && len(c.Plans) > 0 && c.Plans[0].ID != ""
	})
	return b.change(id).Plans[0].ID
}

// answered waits for a command to be heard, and returns what came of it.
func (b *bench) answered(id string, comment int64) change.Command {
	b.t.Helper()
	var k change.Command
	b.eventually("an answer", func() bool {
		for _, k = range b.change(id).Commands {
			if k.Comment == comment && k.Reacted {
				return true
			}
		}
		return false
	})
	return k
}

func (b *bench) record(id string) run.Record {
	b.t.Helper()
	r, _, err := run.ReadRecord(b.t.Context(), b.storage, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// over waits for a run to end.
func (b *bench) over(id string) run.Record {
	b.t.Helper()
	b.eventually("the end of run "+id, func() bool { return b.record(id).State.Over() })
	return b.record(id)
}

// says waits for the one living comment to say something.
func (b *bench) says(id, what string) {
	b.t.Helper()
	b.eventually("the comment of #"+id+" says "+what, func() bool {
		living := b.forge.Living(id)
		return len(living) == 1 && strings.Contains(living[0], what)
	})
}

// release waits for the run that a merge brought about.
func (b *bench) release(path, commit string) run.Record {
	b.t.Helper()
	var found run.Record
	b.eventually("a run of "+path+" at "+commit, func() bool {
		m, _, err := change.ReadMain(b.t.Context(), b.storage)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, r := range m.Recipes {
			if r.Path == path && r.Run != "" {
				found = b.record(r.Run)
				return found.Origin.Commit == commit
			}
		}
		return false
	})
	return b.over(found.ID)
}
