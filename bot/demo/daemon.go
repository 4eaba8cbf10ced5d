package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"mergebot/bot"
	"mergebot/bot/change"
	"mergebot/bot/gitrepo"
	"mergebot/bot/metrics"
	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/hub"
)

// daemon is the bot at work on the demo's repository, as mergebot serve would be.
type daemon struct {
	storage *run.Storage
	page    string // its address
	log     *os.File
	cancel  context.CancelFunc
	ended   chan struct{}
	err     error // once ended is closed
}

// poll is how often the daemon looks at the repository, and the demo at what the daemon keeps.
const poll = 100 * time.Millisecond

// startDaemon starts it over the demo's own hub, storage and repository. Its log goes to daemon.log.
func startDaemon(ctx context.Context, o Options, endpoint string, storage *run.Storage) (*daemon, error) {
	recipes := filepath.Join(o.Out, "recipes.git")
	place, err := gitrepo.Open(ctx, gitrepo.Options{URL: recipes, Dir: filepath.Join(o.Out, "mirror.git")})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the page: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(o.Out, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		l.Close()
		return nil, err
	}
	b, err := bot.New(bot.Options{
		Forge: place, Storage: storage, Listener: l, Metrics: metrics.New(), Log: slog.New(slog.NewTextHandler(log, nil)), Observe: o.Env.Observe,
		Settings: configs.ServeSettings{Repo: recipes, Recipes: []string{"recipes/**"}, Poll: poll, Runs: 1, TryLimit: 20, PublishTo: []string{"demo"},
			Work: filepath.Join(o.Out, "runs"), Keep: 1000, Lease: 30 * time.Second, URL: "http://" + l.Addr().String()},
		NewEnv: func(_ bool, observe func(run.Event)) (*run.Env, error) {
			env := &run.Env{Storage: storage, Device: o.Env.Device, Engines: o.Env.Engines, ShardSize: o.Env.ShardSize, Observe: observe}
			var err error
			// Nothing of the user's own Hub is touched: an own cache, and no token.
			env.Hub, err = hub.New(hub.Options{Endpoint: endpoint, Cache: filepath.Join(o.Out, "cache"), Anonymous: true, Progress: env.HubProgress})
			return env, err
		}})
	if err != nil {
		log.Close()
		l.Close()
		return nil, err
	}
	d := &daemon{storage: storage, page: "http://" + l.Addr().String(), log: log, ended: make(chan struct{})}
	ctx, d.cancel = context.WithCancel(ctx)
	go func() {
		d.err = b.Run(ctx)
		close(d.ended)
	}()
	return d, nil
}

// stop ends it; runs that go on are suspended.
func (d *daemon) stop() error {
	d.cancel()
	<-d.ended
	return errors.Join(d.err, d.log.Close())
}

// until waits for done, while the daemon lives.
func (d *daemon) until(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-d.ended:
			return errors.Join(errors.New("the daemon ended"), d.err)
		case <-time.After(poll):
		}
	}
}

// looked waits until the daemon knows the default branch: what comes after that is what it runs.
func (d *daemon) looked(ctx context.Context) error {
	return d.until(ctx, func() (bool, error) {
		_, ok, err := change.ReadMain(ctx, d.storage)
		return ok, err
	})
}

// planned waits for the plan of a branch at a head.
func (d *daemon) planned(ctx context.Context, branch, head string) (*change.Plan, error) {
	var plan change.Plan
	err := d.until(ctx, func() (bool, error) {
		c, ok, err := change.Read(ctx, d.storage, change.Key(branch))
		if err != nil || !ok || c.PlannedHead != head || len(c.Plans) == 0 || c.Plans[0].Outage != "" {
			return false, err
		}
		plan = c.Plans[0]
		if len(plan.Problems) > 0 {
			return false, fmt.Errorf("the recipe cannot be planned: %s", plan.Problems[0].Message)
		}
		return true, nil
	})
	return &plan, err
}

// released waits for the run of a recipe as it came to the default branch, and its end.
func (d *daemon) released(ctx context.Context, file, blob string) (run.Record, error) {
	var out run.Record
	err := d.until(ctx, func() (bool, error) {
		r, err := d.latest(ctx, file, blob)
		if err != nil || r == nil {
			return false, err
		}
		if len(r.Problems) > 0 {
			return false, fmt.Errorf("the recipe cannot be used: %s", r.Problems[0].Message)
		}
		if r.Wanted.Run != "" || r.Run == "" {
			return false, nil
		}
		var ok bool
		out, ok, err = run.ReadRecord(ctx, d.storage, r.Run)
		return ok && out.State.Over(), err
	})
	return out, err
}

// latest is what the daemon knows of a recipe on the default branch with that content; nil when it does not know it.
func (d *daemon) latest(ctx context.Context, file, blob string) (*change.Recipe, error) {
	m, ok, err := change.ReadMain(ctx, d.storage)
	if err != nil || !ok {
		return nil, err
	}
	for i := range m.Recipes {
		if m.Recipes[i].Path == file && m.Recipes[i].Blob == blob {
			return &m.Recipes[i], nil
		}
	}
	return nil, nil
}
