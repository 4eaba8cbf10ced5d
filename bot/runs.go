package bot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"mergebot/bot/run"
	"mergebot/eval/engine/server"
	"mergebot/hub"
)

// runs carries out the runs that are queued: the oldest first, as many at once as the settings allow, never two of one
// plan. bot/queue/<id>.json, an [entry], names a run that is not over, so that a start need not read the records of all.
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
	forget func() bool // that the run is suspended when the daemon stops
}

// entry is what is kept of a run until it is over.
type entry struct {
	// Cancel says why the run is to end. It is kept before the run hears of it: a kill does not revive what was cancelled.
	Cancel string `json:"cancel,omitempty"`
}

func newRuns(d *Daemon) *runs {
	return &runs{d: d, going: map[string]*going{}, wake: make(chan struct{}, 1)}
}

func entryKey(id string) string { return queueFolder + id + ".json" }

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
	if _, err := r.d.o.Storage.Create(ctx, entryKey(rec.ID), entry{}); err != nil {
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
	defer r.mu.Unlock() // held until storage says so: nobody begins it meanwhile
	rec, ok, err := run.ReadRecord(ctx, r.d.o.Storage, id)
	if err != nil || !ok || rec.State.Over() {
		return err
	}
	if err := r.d.o.Storage.Put(ctx, entryKey(id), entry{Cancel: why}); err != nil {
		return err
	}
	if g := r.going[id]; g != nil {
		g.cancel(errors.New(why))
		return nil
	}
	return r.drop(ctx, rec, why)
}

// drop cancels a run that does not go on. The caller holds the lock.
func (r *runs) drop(ctx context.Context, rec run.Record, why string) error {
	if err := run.SetState(ctx, r.d.o.Storage, rec.ID, run.Cancelled, why); err != nil {
		return err
	}
	r.d.o.Metrics.Ended(rec.Kind, run.Cancelled)
	r.d.watch.end(rec.ID)
	r.waiting = slices.DeleteFunc(r.waiting, func(w string) bool { return w == rec.ID })
	r.count()
	return r.d.o.Storage.Delete(ctx, entryKey(rec.ID))
}

// ends says that a run was cancelled, though it may go on for a moment.
func (r *runs) ends(ctx context.Context, id string) (bool, error) {
	var e entry
	_, err := r.d.o.Storage.Get(ctx, entryKey(id), &e)
	return e.Cancel != "", err
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
		rec, ok, err := r.due(ctx, id)
		if err != nil {
			r.d.o.Log.Warn("a run cannot be begun", "run", id, "error", r.d.o.Redact(err.Error()))
			continue
		}
		if !ok {
			r.waiting = slices.DeleteFunc(r.waiting, func(w string) bool { return w == id })
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
		r.going[id] = &going{plan: rec.Plan, cancel: cancel, forget: context.AfterFunc(ctx, func() { cancel(run.ErrSuspended) })}
		r.waiting = slices.DeleteFunc(r.waiting, func(w string) bool { return w == id })
		r.count()
		if len(r.waiting) > 0 {
			r.signal()
		}
		return id, rec, gctx, true
	}
	r.count()
	return "", run.Record{}, nil, true
}

// due reads a run that waits, and settles what a kill has left between two writes; false when there is nothing to be
// done. The caller holds the lock.
func (r *runs) due(ctx context.Context, id string) (run.Record, bool, error) {
	var e entry
	_, err := r.d.o.Storage.Get(ctx, entryKey(id), &e)
	if err != nil {
		return run.Record{}, false, err
	}
	rec, ok, err := run.ReadRecord(ctx, r.d.o.Storage, id)
	switch {
	case err != nil || !ok: // not there yet: whoever wants it queues it again
		return rec, false, err
	case !rec.State.Over() && e.Cancel != "": // cancelled, and killed before it ended
		if err := r.drop(ctx, rec, e.Cancel); err != nil {
			return rec, false, err
		}
		r.d.told(rec)
		return rec, false, nil
	case rec.State == run.RunFailed && again(rec): // killed before it was known why: it may have been the network
		return rec, true, run.SetState(ctx, r.d.o.Storage, id, run.Queued, "begun again after a failure")
	case rec.State.Over():
		return rec, false, r.d.o.Storage.Delete(ctx, entryKey(id))
	}
	return rec, true, nil
}

// finish settles a run that has ended, or was suspended. ctx is the worker's, own that of the run.
func (r *runs) finish(ctx, own context.Context, rec run.Record, err error) {
	d := r.d
	state, kerr := r.settle(ctx, own, rec.ID, err)
	wait := time.Duration(0)
	switch {
	case kerr != nil: // the disk is full, or gone: nothing is forgotten, it is looked at again
		d.o.Log.Warn("the record of a run cannot be kept", "run", rec.ID, "error", d.o.Redact(kerr.Error()))
		wait = time.Minute
	case state.Over():
		d.o.Metrics.Ended(rec.Kind, state)
		d.watch.end(rec.ID)
	case ctx.Err() == nil: // the Hub could not be reached
		wait = backoff(rec.Begun + 4)
	}
	r.mu.Lock()
	r.going[rec.ID].forget()
	delete(r.going, rec.ID)
	r.count()
	r.mu.Unlock()
	r.signal()
	if wait > 0 {
		t := time.AfterFunc(wait, func() { r.offer(rec.ID) })
		context.AfterFunc(ctx, func() { t.Stop() })
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

// again says that a run may be begun again by itself: nobody is there to ask for it.
func again(rec run.Record) bool { return rec.Kind.OnMain() && rec.Begun < maxBegun }

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
	case passing(err) && own.Err() == nil && again(rec):
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
		kerr = s.Delete(keep, entryKey(id))
	}
	return rec.State, kerr
}

// told has whoever waits for the run told.
func (d *Daemon) told(rec run.Record) {
	if rec.Origin.Change != "" {
		d.queue.add(changeKey(rec.Origin.Change))
	}
	if rec.Kind.OnMain() {
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
