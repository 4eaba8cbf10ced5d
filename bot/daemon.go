// Package bot is the daemon that a team lives with: it watches the repository of recipes, plans every change, runs what
// it is asked to, publishes what is merged, and says how it went.
//
// It works by levels, not by edges: webhooks, polls and restarts only say "look at this change". Looking compares what
// the forge shows with what storage knows and does what is missing, so that a message lost, doubled or late, and a kill
// at any moment, change nothing in how it ends. State is written before anybody is told of it.
package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/lease"
	"mergebot/bot/metrics"
	"mergebot/bot/run"
	"mergebot/configs"
)

// Options of a daemon.
type Options struct {
	Settings configs.ServeSettings
	Forge    forge.Forge // where people talk it is a forge.Talker, too
	Storage  *run.Storage
	// NewEnv makes what plans and runs stand on, over Storage; anonymous: without any token of the Hub.
	NewEnv func(anonymous bool, observe func(run.Event)) (*run.Env, error)
	// WebhookSecret of GitHub; without it nothing is taken at /webhook, and the repository is polled.
	WebhookSecret []byte
	Listener      net.Listener // of the page
	Log           *slog.Logger
	Redact        func(string) string
	Metrics       *metrics.Metrics
	// Observe sees every event of every run; may be nil.
	Observe func(run.Event)
	// Progress is the least time between two reports of a run's progress; 0 is 15 s.
	Progress time.Duration
	// Abort ends the process at once: the lease is lost, and another daemon writes where this one would. nil: runs are
	// suspended, and Run returns.
	Abort func(error)
}

// Daemon is a running bot.
type Daemon struct {
	o      Options
	talker forge.Talker // nil where nobody is to be talked to
	queue  *queue
	runs   *runs
	watch  *watch
	sight  *sight

	trusted, anonymous *run.Env // for plans

	mu     sync.Mutex
	lease  *lease.Lease      // of the storage; nil until it is held
	tidied time.Time         // when old deliveries were last removed
	alien  map[string]string // changes without recipes → head and base that they were seen at
	again  map[string]bool   // changes to be planned anew
	final  map[string]bool   // keys of changes that are done with
}

// New makes a daemon, which does nothing before Run.
func New(o Options) (*Daemon, error) {
	if o.Progress == 0 {
		o.Progress = 15 * time.Second
	}
	if o.Redact == nil {
		o.Redact = func(s string) string { return s }
	}
	d := &Daemon{o: o, queue: newQueue(), watch: newWatch(), sight: newSight(), alien: map[string]string{}, again: map[string]bool{}, final: map[string]bool{}}
	d.talker, _ = o.Forge.(forge.Talker)
	d.runs = newRuns(d)
	var err error
	if d.trusted, err = o.NewEnv(false, nil); err != nil {
		return nil, err
	}
	if d.anonymous, err = o.NewEnv(true, nil); err != nil {
		return nil, err
	}
	return d, nil
}

const (
	mainKey = "main"
	// reconcilers is how many changes are looked at at once.
	reconcilers = 4
)

func changeKey(id string) string { return "change " + id }

// Run serves until the context is done; then runs are suspended, to go on after the next start, and the lease is given
// back. It returns an error when the lease is lost or the page cannot be served.
func (d *Daemon) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.serve(ctx) })
	g.Go(func() error {
		l, err := d.acquire(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		err = d.work(ctx, l)
		if rerr := l.Release(context.WithoutCancel(ctx)); err == nil && rerr != nil && !errors.Is(rerr, lease.ErrLost) {
			err = rerr
		}
		return err
	})
	return g.Wait()
}

// acquire waits until no other daemon works on the storage.
func (d *Daemon) acquire(ctx context.Context) (*lease.Lease, error) {
	host, _ := os.Hostname()
	owner := fmt.Sprintf("%s, process %d, %s", host, os.Getpid(), time.Now().UTC().Format(time.RFC3339Nano))
	said := false
	for {
		l, err := lease.Acquire(ctx, d.o.Storage, "daemon", lease.Options{Owner: owner, TTL: d.o.Settings.Lease, Keep: true})
		var held *lease.Held
		if !errors.As(err, &held) {
			if err == nil {
				d.mu.Lock()
				d.lease = l
				d.mu.Unlock()
			}
			return l, err
		}
		if !said {
			d.o.Log.Info("another daemon works on this storage: waiting for it to end", "holder", held.Owner, "until", held.Until)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(min(max(time.Until(held.Until), 50*time.Millisecond), d.o.Settings.Lease/4)):
		}
	}
}

// work goes on while the lease is held.
func (d *Daemon) work(ctx context.Context, l *lease.Lease) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lost := make(chan struct{})
	go func() {
		select {
		case <-l.Lost():
			if d.o.Abort != nil {
				d.o.Abort(fmt.Errorf("another daemon took over the storage %s: %w", d.o.Storage.URL(), lease.ErrLost))
			}
			close(lost)
			cancel(lease.ErrLost)
		case <-ctx.Done():
		}
	}()
	defer d.queue.stop()
	if err := d.ours(ctx); err != nil {
		return err
	}
	d.o.Log.Info("watching", "repo", d.o.Forge.Repo(), "recipes", strings.Join(d.o.Settings.Recipes, " "))
	if err := d.runs.restore(ctx); err != nil {
		return err
	}
	var g errgroup.Group
	for range reconcilers {
		g.Go(func() error { d.reconcile(ctx); return nil })
	}
	for range d.o.Settings.Runs {
		g.Go(func() error { d.runs.work(ctx); return nil })
	}
	g.Go(func() error { d.poll(ctx); return nil })
	err := g.Wait()
	select {
	case <-lost:
		return fmt.Errorf("another daemon took over the storage %s: %w", d.o.Storage.URL(), lease.ErrLost)
	default:
		return err
	}
}

// ours refuses a storage that is about another repository: all that is new there would be run and published here.
func (d *Daemon) ours(ctx context.Context) error {
	m, _, err := change.ReadMain(ctx, d.o.Storage)
	if err != nil || m.Repo == "" || strings.EqualFold(m.Repo, d.o.Forge.Repo()) {
		return err
	}
	return fmt.Errorf("the storage %s is that of %s: give %s one of its own (setting storage); if it is the same repository under another name, put that name into bot/main.json there",
		d.o.Storage.URL(), m.Repo, d.o.Forge.Repo())
}

// poll looks at everything now and then, whatever webhooks said.
func (d *Daemon) poll(ctx context.Context) {
	for {
		d.queue.add(mainKey)
		wait := d.o.Settings.Poll
		if err := d.lookAround(ctx); err != nil && ctx.Err() == nil {
			var later *forge.Later
			if errors.As(err, &later) { // the forge asks for it, or is down
				wait = max(wait, time.Until(later.Until))
			}
			d.o.Log.Warn("looking for changes failed", "again in", wait.Round(time.Second), "error", d.o.Redact(err.Error()))
		}
		if err := d.forgetDeliveries(ctx); err != nil && ctx.Err() == nil {
			d.o.Log.Warn("removing old deliveries failed", "error", d.o.Redact(err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// lookAround puts in line every open change, and those that were open when last looked at.
func (d *Daemon) lookAround(ctx context.Context) error {
	open, err := d.o.Forge.Open(ctx)
	if err != nil {
		return err
	}
	d.sight.list(open)
	for _, c := range open {
		d.queue.add(changeKey(c.ID))
	}
	keys, err := change.Keys(ctx, d.o.Storage)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if d.isFinal(key) {
			continue
		}
		c, ok, err := change.Read(ctx, d.o.Storage, key)
		switch {
		case err != nil:
			return err
		case ok && c.Final:
			d.setFinal(key, true)
		case ok:
			d.queue.add(changeKey(c.ID))
		}
	}
	return nil
}

func (d *Daemon) isFinal(key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.final[key]
}

func (d *Daemon) setFinal(key string, final bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.final[key] = final
}

// reconcile works through the queue.
func (d *Daemon) reconcile(ctx context.Context) {
	for {
		key, ok := d.queue.next(ctx)
		if !ok {
			return
		}
		begin := time.Now()
		err := d.look(ctx, key)
		if ctx.Err() != nil {
			return
		}
		what, _, _ := strings.Cut(key, " ")
		d.o.Metrics.Reconciled(what, time.Since(begin).Seconds(), err)
		if n := d.queue.done(key, err); n > 0 {
			wait := backoff(n)
			var later *forge.Later
			if errors.As(err, &later) {
				wait = max(time.Until(later.Until), time.Second)
			}
			d.o.Log.Warn("will be tried again", "what", key, "in", wait.Round(time.Millisecond), "error", d.o.Redact(err.Error()))
			d.queue.after(key, wait)
		}
	}
}

func (d *Daemon) look(ctx context.Context, key string) error {
	if id, ok := strings.CutPrefix(key, changeKey("")); ok {
		return d.lookAtChange(ctx, id)
	}
	return d.lookAtMain(ctx)
}

// backoff grows from a second to five minutes, spread so that many do not come back at once.
func backoff(failures int) time.Duration {
	wait := min(time.Second<<min(failures-1, 10), 5*time.Minute)
	return wait/2 + rand.N(wait/2)
}

// ready says whether the daemon does its work.
func (d *Daemon) ready(ctx context.Context) error {
	d.mu.Lock()
	l := d.lease
	d.mu.Unlock()
	if l == nil {
		return errors.New("waiting for another daemon to give the storage free")
	}
	return l.Check(ctx)
}
