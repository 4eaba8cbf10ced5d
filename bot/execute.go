package bot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mergebot/bot/run"
	"mergebot/configs"
)

// execute carries out one run.
func (r *runs) execute(ctx context.Context, rec run.Record) error {
	d := r.d
	plan, ok, err := run.ReadPlan(ctx, d.o.Storage, rec.ID)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("run %s has no plan: ask for it again", rec.ID)
	}
	recipe, err := configs.Parse(rec.Origin.Path, []byte(plan.Recipe.Text))
	if err != nil {
		return err
	}
	env, err := d.o.NewEnv(false, func(e run.Event) { d.observe(rec, e) })
	if err != nil {
		return err
	}
	o := run.Options{Run: rec.ID, Out: filepath.Join(d.o.Settings.Work, rec.Plan[:16]), Limit: rec.Limit, Publish: rec.Publish,
		PublishTo: append([]string{}, d.o.Settings.PublishTo...)}
	if rec.Kind.OnMain() {
		o.Pins = run.PinsOf(plan) // the commits count: an engine that was updated since makes it no other recipe
	} else {
		o.Plan = plan
	}
	host, _ := os.Hostname()
	for _, name := range d.locks(rec, recipe, env, host) {
		l, err := r.lock(ctx, rec, name)
		if err != nil {
			return err
		}
		defer l.Release(context.WithoutCancel(ctx))
		o.Fence = both(o.Fence, l.Check)
	}
	o.Fence = both(o.Fence, d.ready) // a daemon that lost its storage publishes nothing
	if err := d.prune(o.Out); err != nil {
		return err
	}
	d.o.Log.Info("begun", "run", rec.ID, "kind", rec.Kind, "recipe", rec.Recipe, "change", rec.Origin.Change)
	_, err = run.Execute(ctx, env, recipe, o)
	return err
}

// locks are the leases that a run needs: its target's, when it publishes, and the GPU's.
func (d *Daemon) locks(rec run.Record, recipe *configs.Recipe, env *run.Env, host string) []string {
	var names []string
	if t := target(recipe); rec.Publish && t != "" {
		names = append(names, lockName(t))
	}
	if device := deviceOf(env); device != "cpu" {
		names = append(names, "device/"+host+"/"+device)
	}
	return names
}

// deviceOf is the first word of a device's name: cpu, cuda.
func deviceOf(env *run.Env) string {
	word, _, _ := strings.Cut(env.Device.Name(), " ")
	return word
}

func both(a, b func(context.Context) error) func(context.Context) error {
	if a == nil {
		return b
	}
	return func(ctx context.Context) error {
		if err := a(ctx); err != nil {
			return err
		}
		return b(ctx)
	}
}

// prune removes the oldest merged models, so that as many as the settings say are left, the one that comes included.
func (d *Daemon) prune(next string) error {
	if err := os.MkdirAll(d.o.Settings.Work, 0o755); err != nil {
		return fmt.Errorf("folder for merged models: %w; set serve.work", err)
	}
	entries, err := os.ReadDir(d.o.Settings.Work)
	if err != nil {
		return fmt.Errorf("folder for merged models: %w", err)
	}
	inUse := map[string]bool{filepath.Base(next): true}
	d.runs.mu.Lock()
	for _, g := range d.runs.going {
		inUse[g.plan[:16]] = true
	}
	d.runs.mu.Unlock()
	type old struct {
		name string
		at   time.Time
	}
	var others []old
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !workFolder(e.Name()) || inUse[e.Name()] {
			continue
		}
		others = append(others, old{e.Name(), info.ModTime()})
	}
	slices.SortFunc(others, func(a, b old) int { return b.at.Compare(a.at) })
	for _, o := range others[min(len(others), max(d.o.Settings.Keep-len(inUse), 0)):] {
		if err := os.RemoveAll(filepath.Join(d.o.Settings.Work, o.name)); err != nil {
			return fmt.Errorf("removing an old model: %w", err)
		}
	}
	return nil
}

// workFolder says that a name is one that execute makes: nothing else in the folder is touched.
func workFolder(name string) bool {
	return len(name) == 16 && strings.Trim(name, "0123456789abcdef") == ""
}
