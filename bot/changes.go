package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/lease"
	"mergebot/bot/run"
)

// lookAtChange makes a change be planned, its commands carried out, and its people told. Only one goroutine looks at a
// change at a time, and only it writes the change's state.
func (d *Daemon) lookAtChange(ctx context.Context, id string) error {
	c, known, err := change.Read(ctx, d.o.Storage, change.Key(id))
	if err != nil {
		return err
	}
	now, err := d.o.Forge.Change(ctx, id)
	switch {
	case errors.Is(err, forge.ErrNotFound) && known: // deleted with its repository, or no longer visible
		now = c.Change
		now.State = forge.Closed
	case errors.Is(err, forge.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	_, branch, err := d.o.Forge.Head(ctx)
	if err != nil {
		return err
	}
	here := now.State == forge.Open && now.Target == branch // only what goes to the default branch is published
	if !known && !here {
		return nil
	}
	if !known && d.isAlien(now) {
		return nil
	}
	c.Change = now
	if err := d.queueWanted(ctx, c); err != nil { // what was decided before a kill
		return err
	}
	if here {
		err = d.lookAtOpen(ctx, c)
	} else {
		err = d.lookAtEnded(ctx, c)
	}
	if err != nil {
		return err
	}
	return d.tellChange(ctx, c)
}

// lookAtOpen plans an open change and carries out what was said about it.
func (d *Daemon) lookAtOpen(ctx context.Context, c *change.State) error {
	c.Final, c.Ended = false, time.Time{} // it may have been opened again
	d.setFinal(change.Key(c.ID), false)
	if c.PlannedHead != c.Head || c.PlannedBase != c.Base || d.asked(c.ID) || d.outage(c) && time.Since(c.PlannedAt) >= patient(c.Outages) {
		if err := d.plan(ctx, c); err != nil {
			return err
		}
	}
	if !d.concerned(c) {
		d.setAlien(c.Change)
		return nil
	}
	if err := d.endStale(ctx, c); err != nil {
		return err
	}
	if err := d.hear(ctx, c); err != nil {
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

// lookAtEnded ends what a change that is closed, merged, or meant for another branch now, still has going.
func (d *Daemon) lookAtEnded(ctx context.Context, c *change.State) error {
	if c.Ended.IsZero() {
		c.Ended = time.Now().UTC()
	}
	if err := d.adopt(ctx, c); err != nil {
		return err
	}
	why := "#" + c.ID + " was closed"
	switch c.State {
	case forge.Merged:
		why = "#" + c.ID + " was merged: what it publishes goes on from here"
	case forge.Open:
		why = "#" + c.ID + " goes to " + c.Target + " now"
	}
	over := true
	for _, id := range c.Runs {
		r, ok, err := run.ReadRecord(ctx, d.o.Storage, id)
		if err != nil {
			return err
		}
		if !ok || r.State.Over() {
			continue
		}
		if r.Kind == run.Try || r.Kind == run.Full {
			if err := d.runs.cancel(ctx, id, why); err != nil {
				return err
			}
		}
		over = false
	}
	if err := d.unlock(ctx, c); err != nil {
		return err
	}
	waits, err := d.awaited(ctx, c)
	if err != nil {
		return err
	}
	c.Final = over && !waits
	return change.Write(ctx, d.o.Storage, c)
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

// endStale ends runs of commits that are no longer the change's.
func (d *Daemon) endStale(ctx context.Context, c *change.State) error {
	for _, id := range c.Runs {
		r, ok, err := run.ReadRecord(ctx, d.o.Storage, id)
		if err != nil {
			return err
		}
		if ok && !r.State.Over() && r.Origin.Commit != c.Head {
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
	for _, r := range m.Recipes {
		if r.Change == c.ID && r.Run != "" && !slices.Contains(c.Runs, r.Run) {
			rec, ok, err := run.ReadRecord(ctx, d.o.Storage, r.Run)
			if err != nil {
				return err
			}
			if ok && rec.Kind == run.Release {
				c.Runs = append(c.Runs, r.Run)
			}
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
		if p.Removed || p.ID == "" {
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

// lockName is the lease that a target repository is locked by.
func lockName(repo string) string { return "target/" + strings.ToLower(repo) }

// lockOwner is how a change signs a lock.
func lockOwner(id string) string { return "#" + id }

// lock takes the target repositories of a plan for the change; the answer says who has one already.
func (d *Daemon) lock(ctx context.Context, c *change.State, target string) (refused string, err error) {
	if target == "" {
		return "", nil
	}
	_, err = lease.Acquire(ctx, d.o.Storage, lockName(target), lease.Options{Owner: lockOwner(c.ID)})
	var held *lease.Held
	if errors.As(err, &held) {
		return fmt.Sprintf("%s is locked by %s: close it, or say /mergebot unlock there", target, held.Owner), nil
	}
	return "", err
}

// unlock gives free what the change has locked.
func (d *Daemon) unlock(ctx context.Context, c *change.State) error {
	for target := range targets(c) {
		held, err := lease.Peek(ctx, d.o.Storage, lockName(target))
		if err != nil {
			return err
		}
		if held != nil && held.Owner == lockOwner(c.ID) {
			if err := lease.Break(ctx, d.o.Storage, lockName(target)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lockedByOthers says which of the change's targets somebody else has.
func (d *Daemon) lockedByOthers(ctx context.Context, c *change.State) (map[string]string, error) {
	out := map[string]string{}
	for target := range targets(c) {
		held, err := lease.Peek(ctx, d.o.Storage, lockName(target))
		if err != nil {
			return nil, err
		}
		if held != nil && held.Owner != lockOwner(c.ID) {
			out[target] = held.Owner
		}
	}
	return out, nil
}

// targets are the repositories that the change's plans publish to, and those it has ever locked.
func targets(c *change.State) map[string]bool {
	out := map[string]bool{}
	for _, p := range c.Plans {
		if p.Target != "" {
			out[p.Target] = true
		}
	}
	for _, t := range c.Locked {
		out[t] = true
	}
	return out
}

func short(sha string) string { return sha[:min(len(sha), 12)] }
