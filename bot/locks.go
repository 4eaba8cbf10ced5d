package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/lease"
	"mergebot/bot/run"
)

// lockName is the lease that a target repository is locked by.
func lockName(repo string) string { return "target/" + strings.ToLower(repo) }

// lockOwner is how a change signs a lock.
func lockOwner(id string) string { return "#" + id }

// lock takes a target repository for the change; the answer says who has it already. That it is about to is kept
// before, so that a kill leaves no lock which nobody gives back.
func (d *Daemon) lock(ctx context.Context, c *change.State, target string) (refused string, err error) {
	if target == "" {
		return "", nil
	}
	if !slices.Contains(c.Locked, target) {
		c.Locked = append(c.Locked, target)
	}
	if err := change.Write(ctx, d.o.Storage, c); err != nil {
		return "", err
	}
	_, err = lease.Acquire(ctx, d.o.Storage, lockName(target), lease.Options{Owner: lockOwner(c.ID)})
	var held *lease.Held
	switch {
	case !errors.As(err, &held):
		return "", err
	case strings.HasPrefix(held.Owner, lockOwner("")):
		return fmt.Sprintf("%s is locked by %s: close it, or say /mergebot unlock there", target, held.Owner), nil
	}
	return fmt.Sprintf("%s publishes to %s: ask again when it is over", held.Owner, target), nil
}

// unlock gives free what the change has locked.
func (d *Daemon) unlock(ctx context.Context, c *change.State) error {
	for target := range targets(c) {
		mine, err := d.holds(ctx, c, target)
		if err != nil {
			return err
		}
		if mine {
			if err := lease.Break(ctx, d.o.Storage, lockName(target)); err != nil {
				return err
			}
		}
	}
	c.Locked = nil
	return nil
}

// locked are the targets whose locks the change holds: publishing from the default branch may have taken one away.
func (d *Daemon) locked(ctx context.Context, c *change.State) (out []string, err error) {
	for _, target := range c.Locked {
		mine, err := d.holds(ctx, c, target)
		if err != nil {
			return nil, err
		}
		if mine {
			out = append(out, target)
		}
	}
	return out, nil
}

func (d *Daemon) holds(ctx context.Context, c *change.State, target string) (bool, error) {
	held, err := lease.Peek(ctx, d.o.Storage, lockName(target))
	return held != nil && held.Owner == lockOwner(c.ID), err
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
