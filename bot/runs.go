package bot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mergebot/bot/lease"
	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/eval/engine/server"
	"mergebot/hub"
)

// runs carries out the runs that are queued: the oldest first, as many at once as the settings allow, never two of one
// plan. bot/queue/<id>.json names a run that is not over, so that a start need not read the records of all.
type runs struct {
	d *Daemon

	mu      sync.Mutex
	waiting []string          // ids, oldest first
	going   map[string]*going // by id
	lastID  time.Time
	wake    chan struct{}
}

// going is a run that goes on.
type going struct {
	plan   string
	cancel context.CancelCauseFunc
}

func newRuns(d *Daemon) *runs {
	return &runs{d: d, going: map[string]*going{}, wake: make(chan struct{}, 1)}
}

const queueFolder = "bot/queue/"

// newID makes the id of a run: no two are the same, and later ones sort behind.
func (d *Daemon) newID(plan string) string {
	r := d.runs
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now().UTC().Truncate(time.Millisecond)
	if !now.After(r.lastID) {
		now = r.lastID.Add(time.Millisecond)
	}
	r.lastID = now
	return run.NewID(now, plan)
}

// restore takes up what was not over when the daemon ended.
func (r *runs) restore(ctx context.Context) error {
	names, err := r.d.o.Storage.Children(ctx, queueFolder)
	if err != nil {
		return err
	}
	for _, name := range names {
		if id, ok := strings.CutSuffix(name, ".json"); ok {
			r.offer(id)
		}
	}
	return nil
}

// enqueue keeps a run and lines it up.
func (r *runs) enqueue(ctx context.Context, p *run.Plan, rec run.Record) error {
	if err := r.d.o.Storage.Put(ctx, queueFolder+rec.ID+".json", struct{}{}); err != nil {
		return err
	}
	if err := run.Enqueue(ctx, r.d.o.Storage, p, rec); err != nil {
		return err
	}
	r.d.o.Log.Info("queued", "run", rec.ID, "kind", rec.Kind, "recipe", rec.Recipe, "change", rec.Origin.Change)
	r.offer(rec.ID)
	return nil
}

func (r *runs) offer(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.going[id] == nil && !slices.Contains(r.waiting, id) {
		r.waiting = append(r.waiting, id)
		slices.Sort(r.waiting)
	}
	r.count()
	r.signal()
}

func (r *runs) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// count tells the metrics; the caller holds the lock.
func (r *runs) count() { r.d.o.Metrics.Queue(len(r.waiting), len(r.going)) }

// cancel ends a run, or takes it out of the line, for a reason that its record keeps.
func (r *runs) cancel(ctx context.Context, id, why string) error {
	r.mu.Lock()
	if g := r.going[id]; g != nil {
		r.mu.Unlock()
		g.cancel(errors.New(why))
		return nil
	}
	// The lock is held until the record says so: nobody begins it meanwhile.
	defer r.mu.Unlock()
	rec, ok, err := run.ReadRecord(ctx, r.d.o.Storage, id)
	if err != nil || !ok || rec.State.Over() {
		return err
	}
	if err := run.SetState(ctx, r.d.o.Storage, id, run.Cancelled, why); err != nil {
		return err
	}
	r.d.o.Metrics.Ended(rec.Kind, run.Cancelled)
	r.d.watch.end(id)
	r.waiting = slices.DeleteFunc(r.waiting, func(w string) bool { return w == id })
	r.count()
	return r.d.o.Storage.Delete(ctx, queueFolder+id+".json")
}

// work carries out runs until the context is done.
func (r *runs) work(ctx context.Context) {
	for {
		id, rec, gctx, ok := r.take(ctx)
		if !ok {
			return
		}
		if id == "" {
			select {
			case <-ctx.Done():
				return
			case <-r.wake:
			case <-time.After(time.Minute): // what could not be read, or waits for a lock
			}
			continue
		}
		err := r.execute(gctx, rec)
		r.finish(ctx, gctx, rec, err)
	}
}

// take begins the oldest run that can be begun; an empty id when there is none.
func (r *runs) take(ctx context.Context) (string, run.Record, context.Context, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return "", run.Record{}, nil, false
	}
	for _, id := range slices.Clone(r.waiting) {
		rec, ok, err := run.ReadRecord(ctx, r.d.o.Storage, id)
		if err != nil {
			r.d.o.Log.Warn("reading a run failed", "run", id, "error", r.d.o.Redact(err.Error()))
			continue
		}
		if !ok || rec.State.Over() { // killed between the two writes of enqueue, or of finish
			r.waiting = slices.DeleteFunc(r.waiting, func(w string) bool { return w == id })
			if ok {
				if err := r.d.o.Storage.Delete(ctx, queueFolder+id+".json"); err != nil {
					r.d.o.Log.Warn("tidying the queue failed", "run", id, "error", r.d.o.Redact(err.Error()))
				}
			}
			continue
		}
		busy := false
		for _, g := range r.going {
			busy = busy || g.plan == rec.Plan
		}
		if busy {
			continue
		}
		gctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		context.AfterFunc(ctx, func() { cancel(run.ErrSuspended) })
		r.going[id] = &going{plan: rec.Plan, cancel: cancel}
		r.waiting = slices.DeleteFunc(r.waiting, func(w string) bool { return w == id })
		r.count()
		if len(r.waiting) > 0 {
			r.signal()
		}
		return id, rec, gctx, true
	}
	return "", run.Record{}, nil, true
}

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
	o := run.Options{Run: rec.ID, Plan: plan, Out: filepath.Join(d.o.Settings.Work, rec.Plan[:16]), Limit: rec.Limit, Publish: rec.Publish,
		PublishTo: append([]string{}, d.o.Settings.PublishTo...)}
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

// lock takes a lease for a run. A change's claim on a target ends here: what is merged goes first, and the change's
// plan is stale by then.
func (r *runs) lock(ctx context.Context, rec run.Record, name string) (*lease.Lease, error) {
	for {
		l, err := lease.Acquire(ctx, r.d.o.Storage, name, lease.Options{Owner: "run " + rec.ID, TTL: r.d.o.Settings.Lease, Keep: true})
		var held *lease.Held
		if !errors.As(err, &held) {
			return l, err
		}
		if strings.HasPrefix(held.Owner, "#") {
			if err := lease.Break(ctx, r.d.o.Storage, name); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(min(max(time.Until(held.Until), 50*time.Millisecond), r.d.o.Settings.Lease/4)):
		}
	}
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

// finish settles a run that has ended, or was suspended. ctx is the worker's, own that of the run.
func (r *runs) finish(ctx, own context.Context, rec run.Record, err error) {
	d := r.d
	state, kerr := r.settle(ctx, own, rec.ID, err)
	again := time.Duration(0)
	switch {
	case kerr != nil: // the disk is full, or gone: nothing is forgotten, it is looked at again
		d.o.Log.Warn("the record of a run cannot be kept", "run", rec.ID, "error", d.o.Redact(kerr.Error()))
		again = time.Minute
	case state.Over():
		d.o.Metrics.Ended(rec.Kind, state)
		d.watch.end(rec.ID)
	case ctx.Err() == nil: // the Hub could not be reached
		again = backoff(rec.Begun + 4)
	}
	r.mu.Lock()
	delete(r.going, rec.ID)
	r.count()
	r.mu.Unlock()
	r.signal()
	if again > 0 {
		time.AfterFunc(again, func() { r.offer(rec.ID) })
	}
	text := ""
	if err != nil {
		text = d.o.Redact(err.Error())
	}
	d.o.Log.Info("ended", "run", rec.ID, "state", state, "error", text)
	d.told(rec)
}

// maxBegun is how often a run is begun while the Hub cannot be reached.
const maxBegun = 8

// passing says that a run failed for want of the network, which may come back.
func passing(err error) bool {
	return errors.Is(err, hub.ErrNetwork) || errors.Is(err, hub.ErrRateLimited) || errors.Is(err, server.ErrUnavailable)
}

// settle makes the record say what came of a run, where its execution did not, and takes it out of the kept queue once
// it is over.
func (r *runs) settle(ctx, own context.Context, id string, err error) (run.State, error) {
	s, keep := r.d.o.Storage, context.WithoutCancel(ctx)
	rec, ok, kerr := run.ReadRecord(keep, s, id)
	if kerr != nil || !ok {
		return run.RunFailed, kerr
	}
	switch {
	case passing(err) && own.Err() == nil && rec.Begun < maxBegun && (rec.Kind == run.Release || rec.Kind == run.Scheduled):
		// Nobody is there to ask for it again.
		rec.State, kerr = run.Queued, run.SetState(keep, s, id, run.Queued, r.d.o.Redact(err.Error()))
	case rec.State.Over():
	case errors.Is(context.Cause(own), run.ErrSuspended):
		return rec.State, nil
	case own.Err() != nil: // before its first step
		rec.State, kerr = run.Cancelled, run.SetState(keep, s, id, run.Cancelled, context.Cause(own).Error())
	default: // no plan, no engine, a lock that was lost
		why := "ended before it began"
		if err != nil {
			why = r.d.o.Redact(err.Error())
		}
		rec.State, kerr = run.RunFailed, run.SetState(keep, s, id, run.RunFailed, why)
	}
	if kerr == nil && rec.State.Over() {
		kerr = s.Delete(keep, queueFolder+id+".json")
	}
	return rec.State, kerr
}

// told has whoever waits for the run told.
func (d *Daemon) told(rec run.Record) {
	if rec.Origin.Change != "" {
		d.queue.add(changeKey(rec.Origin.Change))
	}
	if rec.Kind == run.Release || rec.Kind == run.Scheduled {
		d.queue.add(mainKey)
	}
}

// observe passes a run's event on.
func (d *Daemon) observe(rec run.Record, e run.Event) {
	d.watch.show(rec.ID, e)
	d.o.Metrics.Observe(deviceOf(d.trusted), e)
	if d.o.Observe != nil {
		d.o.Observe(e)
	}
	if d.talker != nil && rec.Origin.Change != "" {
		d.queue.after(changeKey(rec.Origin.Change), d.o.Progress)
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
