package bot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
)

// lookAtChange makes a change be planned, its commands carried out, and its people told. Only one goroutine looks at a
// change at a time, and only it writes the change's state.
func (d *Daemon) lookAtChange(ctx context.Context, id string) error {
	c, known, err := change.Read(ctx, d.o.Storage, change.Key(id))
	if err != nil {
		return err
	}
	if now, still := d.sight.still(id); still {
		return d.bringUp(ctx, c, known, now, true, true)
	}
	seen := d.sight.look(id)
	now, here, err := d.ofForge(ctx, id, c, known)
	if err == nil {
		err = d.bringUp(ctx, c, known, now, here, false)
	}
	if err != nil {
		d.sight.moved(id) // what was not done is done at the next look
		return err
	}
	seen(now)
	return nil
}

// bringUp makes all be what a change that looks like this asks for. here: it is open and goes to the default branch,
// and only what does is ever published. still: nothing has happened to it since it was last brought up.
func (d *Daemon) bringUp(ctx context.Context, c *change.State, known bool, now forge.Change, here, still bool) error {
	if !known && (!here || d.isAlien(now)) {
		return nil
	}
	c.Change = now
	if err := d.queueWanted(ctx, c); err != nil { // what was decided before a kill
		return err
	}
	var over bool
	var err error
	if here {
		err = d.lookAtOpen(ctx, c, known, still)
	} else {
		over, err = d.lookAtEnded(ctx, c)
	}
	if err != nil {
		return err
	}
	err = d.tellChange(ctx, c)
	if over && errors.Is(err, forge.ErrNotFound) { // nobody is left to be told
		d.o.Log.Warn("not told", "change", c.ID, "error", d.o.Redact(err.Error()))
		err = nil
	}
	if err != nil || !over {
		return err
	}
	c.Final = true // not before all has been told
	return change.Write(ctx, d.o.Storage, c)
}

// ofForge reads a change, and whether it is open and goes to the default branch.
func (d *Daemon) ofForge(ctx context.Context, id string, c *change.State, known bool) (now forge.Change, here bool, err error) {
	now, err = d.o.Forge.Change(ctx, id)
	switch {
	case errors.Is(err, forge.ErrNotFound) && known: // deleted with its repository, or no longer visible
		now = c.Change
		now.State = forge.Closed
	case errors.Is(err, forge.ErrNotFound):
		return now, false, nil
	case err != nil:
		return now, false, err
	}
	_, branch, err := d.o.Forge.Head(ctx)
	return now, now.State == forge.Open && now.Target == branch, err
}

// lookAtOpen plans an open change and, unless it stands still, carries out what was said about it.
func (d *Daemon) lookAtOpen(ctx context.Context, c *change.State, known, still bool) error {
	c.Final, c.Ended = false, time.Time{} // it may have been opened again
	d.setFinal(change.Key(c.ID), false)
	asked := d.asked(c.ID)
	if c.PlannedHead != c.Head || c.PlannedBase != c.Base || asked || d.outage(c) && time.Since(c.PlannedAt) >= patient(c.Outages) {
		if err := d.plan(ctx, c); err != nil {
			return err
		}
	}
	if !known && !d.concerned(c) { // a change without recipes leaves no trace
		d.setAlien(c.Change)
		return nil
	}
	if asked {
		// GitHub takes a check that is asked for again as open until it is written, though it says the same.
		for key := range c.Told.Checks {
			if strings.HasPrefix(key, c.Head+"/") {
				c.Told.Checks[key] = change.Check{ID: c.Told.Checks[key].ID}
			}
		}
	}
	if err := change.Write(ctx, d.o.Storage, c); err != nil {
		return err
	}
	if err := d.endStale(ctx, c); err != nil {
		return err
	}
	if !still {
		if err := d.hear(ctx, c); err != nil {
			return err
		}
	}
	var err error
	if c.Locked, err = d.locked(ctx, c); err != nil {
		return err
	}
	if err := change.Write(ctx, d.o.Storage, c); err != nil {
		return err
	}
	if d.outage(c) {
		d.queue.after(changeKey(c.ID), patient(c.Outages))
	}
	return d.queueWanted(ctx, c)
}

// patient is how long after so many outages in a row a plan is tried again.
func patient(outages int) time.Duration { return min(time.Second<<min(outages, 10), 5*time.Minute) }

// asked says, once, that somebody asked for the change to be planned anew.
func (d *Daemon) asked(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	again := d.again[id]
	delete(d.again, id)
	return again
}

// lookAtEnded ends what a change that is closed, merged, or meant for another branch now, still has going. over says
// that nothing more will come of it.
func (d *Daemon) lookAtEnded(ctx context.Context, c *change.State) (over bool, err error) {
	if c.Ended.IsZero() {
		c.Ended = time.Now().UTC()
	}
	if err := d.adopt(ctx, c); err != nil {
		return false, err
	}
	why := "#" + c.ID + " was closed"
	switch c.State {
	case forge.Merged:
		why = "#" + c.ID + " was merged: what it publishes goes on from here"
	case forge.Open:
		why = "#" + c.ID + " goes to " + c.Target + " now"
	}
	over = true
	for _, id := range c.Runs {
		r, ok, err := run.ReadRecord(ctx, d.o.Storage, id)
		if err != nil {
			return false, err
		}
		if !ok || r.State.Over() {
			continue
		}
		if !r.Kind.OnMain() {
			if err := d.runs.cancel(ctx, id, why); err != nil {
				return false, err
			}
		}
		over = false
	}
	if err := d.unlock(ctx, c); err != nil {
		return false, err
	}
	if err := d.hear(ctx, c); err != nil {
		return false, err
	}
	waits, err := d.awaited(ctx, c)
	if err != nil {
		return false, err
	}
	return over && !waits, change.Write(ctx, d.o.Storage, c)
}

// concerned says that the change has, or had, recipes: of others not a word is said.
func (d *Daemon) concerned(c *change.State) bool {
	return len(c.Plans) > 0 || c.Problem != "" || c.Told.Comment != 0 || len(c.Runs) > 0
}

// isAlien says that the change was seen to have no recipes. Nothing is kept of such changes but this, in memory.
func (d *Daemon) isAlien(c forge.Change) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.alien[c.ID] == c.Head+c.Base
}

func (d *Daemon) setAlien(c forge.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.alien[c.ID] = c.Head + c.Base
}

// outage says that a plan is missing through no fault of the recipe.
func (d *Daemon) outage(c *change.State) bool {
	return slices.ContainsFunc(c.Plans, func(p change.Plan) bool { return p.Outage != "" })
}

// endStale ends runs of commits that are no longer the change's. What an earlier merge of it releases goes on.
func (d *Daemon) endStale(ctx context.Context, c *change.State) error {
	for _, id := range c.Runs {
		r, ok, err := run.ReadRecord(ctx, d.o.Storage, id)
		if err != nil {
			return err
		}
		if ok && !r.State.Over() && !r.Kind.OnMain() && r.Origin.Commit != c.Head {
			if err := d.runs.cancel(ctx, id, "superseded by "+short(c.Head)); err != nil {
				return err
			}
		}
	}
	return nil
}

// adopt takes up the runs on the default branch that came of a merged change.
func (d *Daemon) adopt(ctx context.Context, c *change.State) error {
	m, ok, err := change.ReadMain(ctx, d.o.Storage)
	if err != nil || !ok {
		return err
	}
	ids := slices.Clone(m.Releases) // also of what another merge has overtaken
	for _, r := range m.Recipes {
		ids = append(ids, r.Run)
	}
	for _, id := range ids {
		if id == "" || slices.Contains(c.Runs, id) {
			continue
		}
		r, ok, err := run.ReadRecord(ctx, d.o.Storage, id)
		if err != nil {
			return err
		}
		if ok && r.Kind == run.Release && r.Origin.Change == c.ID {
			c.Runs = append(c.Runs, id)
		}
	}
	return nil
}

// awaited says that a merged change is still to have a run on the default branch.
func (d *Daemon) awaited(ctx context.Context, c *change.State) (bool, error) {
	m, ok, err := change.ReadMain(ctx, d.o.Storage)
	if err != nil || !ok || c.State != forge.Merged {
		return false, err
	}
	for _, p := range c.Plans {
		if p.Removed {
			continue
		}
		i := slices.IndexFunc(m.Recipes, func(r change.Recipe) bool { return r.Path == p.Path && r.Change == c.ID })
		if i >= 0 && m.Recipes[i].Wanted.Run != "" {
			return true, nil
		}
		if i < 0 && time.Since(c.Ended) < patience { // the branch has not been looked at since; or another merge came after
			return true, nil
		}
	}
	return false, nil
}

// patience is how long a merged change waits to see its recipes on the default branch.
const patience = time.Hour

func short(sha string) string { return sha[:min(len(sha), 12)] }
