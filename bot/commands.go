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
	"mergebot/bot/run"
	"mergebot/bot/talk"
)

// maxCommands is how many commands of a change are remembered.
const maxCommands = 200

// lag is how much later than others a comment may come into sight that was written before them.
const lag = time.Minute

// hear carries out the commands that were given since the last look. Each is kept, with what came of it, before the
// next.
func (d *Daemon) hear(ctx context.Context, c *change.State) error {
	if d.talker == nil {
		return nil
	}
	since := c.Seen
	if !since.IsZero() {
		since = since.Add(-lag)
	}
	comments, err := d.talker.Comments(ctx, c.ID, since)
	if errors.Is(err, forge.ErrNotFound) { // deleted with its repository
		return nil
	}
	if err != nil {
		return err
	}
	for _, m := range comments {
		heard := slices.ContainsFunc(c.Commands, func(k change.Command) bool { return k.Comment == m.ID })
		command, mine := talk.Parse(m.Body)
		// An edited comment is ignored: it may not say what its author said.
		if mine && !heard && !m.Edited && !m.Bot {
			k, err := d.carryOut(ctx, c, m, command)
			if err != nil {
				return err
			}
			d.o.Log.Info("command", "change", c.ID, "by", m.Author, "command", k.Text, "refused", k.Refused, "answer", k.Answer)
			c.Commands = append(c.Commands, k)
			if len(c.Commands) > maxCommands {
				c.Commands = slices.Delete(c.Commands, 0, len(c.Commands)-maxCommands)
			}
		}
		if m.At.After(c.Seen) {
			c.Seen = m.At
		}
		if mine {
			if err := change.Write(ctx, d.o.Storage, c); err != nil {
				return err
			}
			if err := d.queueWanted(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// carryOut does what a comment asks for, if its author may. An error is not the author's fault: the comment is heard
// again.
func (d *Daemon) carryOut(ctx context.Context, c *change.State, m forge.Comment, cmd talk.Command) (change.Command, error) {
	k := change.Command{Comment: m.ID, By: m.Author, At: m.At, Text: strings.TrimSpace(cmd.Verb + " " + cmd.Arg), React: forge.ThumbsUp}
	if cmd.Problem != "" {
		k.Refused, k.Answer, k.React = true, cmd.Problem, forge.Confused
		return k, nil
	}
	refuse := func(format string, args ...any) (change.Command, error) {
		k.Refused, k.React, k.Answer = true, forge.ThumbsDown, fmt.Sprintf(format, args...)
		return k, nil
	}
	if cmd.Verb == "help" {
		return k, nil
	}
	permission, err := d.talker.Permission(ctx, m.Author)
	if err != nil {
		return k, err
	}
	if permission < forge.Write {
		return refuse("only people who may write to the repository can say that")
	}
	if ended := ended(c); ended != "" && cmd.Verb != "cancel" && cmd.Verb != "unlock" {
		return refuse("#%s %s: nothing is planned or run for it any more", c.ID, ended)
	}
	switch cmd.Verb {
	case "plan":
		if cmd.Arg != "" {
			if cmd.Arg != c.Head {
				return refuse("%s is not the newest commit, %s: look at what has changed", short(cmd.Arg), short(c.Head))
			}
			if c.Fork {
				c.Trusted = c.Head
			}
		}
		if err := d.plan(ctx, c); err != nil {
			return k, err
		}
		k.Answer = "planned again"
		if c.Fork && c.Trusted != c.Head {
			k.Answer = "planned again, without the bot's token: /mergebot plan " + c.Head + " plans this commit with it"
		}
	case "try", "run":
		return d.ask(ctx, c, k, cmd, refuse)
	case "cancel":
		n, err := d.cancelRuns(ctx, c, "cancelled by "+m.Author)
		if err != nil {
			return k, err
		}
		if n == 0 {
			return refuse("nothing is running")
		}
		k.Answer = "cancelled"
	case "unlock":
		if err := d.unlock(ctx, c); err != nil {
			return k, err
		}
		k.Answer = "the locks of this pull request are released"
	default:
		return refuse("%q is not carried out here", cmd.Verb)
	}
	return k, nil
}

// ended says in words that the change is over; "" if it is not.
func ended(c *change.State) string {
	switch {
	case c.State == forge.Merged:
		return "is merged"
	case c.State == forge.Closed:
		return "is closed"
	case !c.Ended.IsZero():
		return "goes to " + c.Target
	}
	return ""
}

// ask decides on a run. It is queued by queueWanted once the decision is kept.
func (d *Daemon) ask(ctx context.Context, c *change.State, k change.Command, cmd talk.Command,
	refuse func(string, ...any) (change.Command, error)) (change.Command, error) {
	i := slices.IndexFunc(c.Plans, func(p change.Plan) bool { return p.ID != "" && p.ID == cmd.Arg })
	if i < 0 {
		for _, past := range c.Past {
			if slices.Contains(past.IDs, cmd.Arg) {
				return refuse("plan %s is stale: it was for %s on %s; look at what has changed and name the new plan", cmd.Arg, short(past.Head), short(past.Base))
			}
		}
		return refuse("there is no plan %s here", cmd.Arg)
	}
	p := c.Plans[i]
	kind := run.Kind(cmd.Verb)
	for _, other := range c.Commands {
		if other.Run == "" || other.Text != k.Text {
			continue
		}
		r, ok, err := run.ReadRecord(ctx, d.o.Storage, other.Run)
		if err != nil {
			return k, err
		}
		switch {
		case !ok || !r.State.Over():
			ends, err := d.runs.ends(ctx, other.Run)
			if err != nil {
				return k, err
			}
			if !ends {
				return refuse("that goes on already: run %s", other.Run)
			}
		case r.State == run.Succeeded || r.State == run.Gated:
			return refuse("run %s has done that: nothing is left to do for this plan", other.Run)
		}
	}
	if kind == run.Full {
		refused, err := d.lock(ctx, c, p.Target)
		if err != nil {
			return k, err
		}
		if refused != "" {
			return refuse("%s", refused)
		}
	}
	if c.Fork {
		c.Trusted = c.Head // who names a plan vouches for its commit
	}
	k.Run = d.newID(p.Plan.ID)
	c.Runs = append(c.Runs, k.Run)
	k.Answer = "queued as run " + k.Run
	return k, nil
}

// cancelRuns ends the change's runs that are not over.
func (d *Daemon) cancelRuns(ctx context.Context, c *change.State, why string) (int, error) {
	n := 0
	for _, id := range c.Runs {
		r, ok, err := run.ReadRecord(ctx, d.o.Storage, id)
		if err != nil {
			return n, err
		}
		if ok && !r.State.Over() {
			n++
			if err := d.runs.cancel(ctx, id, why); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// queueWanted queues the runs that commands have asked for and that are not queued: a kill may come between the two.
func (d *Daemon) queueWanted(ctx context.Context, c *change.State) error {
	for n := range c.Commands {
		k := &c.Commands[n]
		if k.Run == "" {
			continue
		}
		if _, ok, err := run.ReadRecord(ctx, d.o.Storage, k.Run); err != nil || ok {
			if err != nil {
				return err
			}
			continue
		}
		verb, bound, _ := strings.Cut(k.Text, " ")
		i := slices.IndexFunc(c.Plans, func(p change.Plan) bool { return p.ID == bound })
		if i < 0 || c.Plans[i].Plan == nil {
			// Planned anew since, which only a kill between two writes makes possible: it was never begun.
			c.Runs = slices.DeleteFunc(c.Runs, func(id string) bool { return id == k.Run })
			k.Run, k.Refused, k.Answer = "", true, "the plan went stale before the run was queued"
			continue
		}
		p := c.Plans[i]
		r := run.Record{ID: k.Run, Plan: p.Plan.ID, Recipe: p.Plan.Recipe.Name, Kind: run.Kind(verb), Created: time.Now().UTC(),
			Origin: run.Origin{Change: c.ID, Commit: c.PlannedHead, Path: p.Path, By: k.By, Bound: p.ID}}
		if r.Kind == run.Try {
			r.Limit = d.o.Settings.TryLimit
		}
		if err := d.runs.enqueue(ctx, p.Plan, r); err != nil {
			return err
		}
	}
	return nil
}
