package bot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/bot/talk"
)

// tellChange makes the living comment, the checks and the reactions be what the state says. What the forge has been
// told is kept, so that nothing is told twice; what it could not be told now is told at the next look.
func (d *Daemon) tellChange(ctx context.Context, c *change.State) error {
	if d.talker == nil || !d.concerned(c) {
		return nil
	}
	told := d.tell(ctx, c)
	if err := change.Write(context.WithoutCancel(ctx), d.o.Storage, c); err != nil {
		return err
	}
	return told
}

// tell writes what is new. What is refused does not keep the rest from being written: a conversation may be locked, a
// commit gone. A forge that is down, or asks for patience, is left alone.
func (d *Daemon) tell(ctx context.Context, c *change.State) error {
	conv, err := d.conversation(ctx, c)
	if err != nil {
		return err
	}
	var writes []func() error
	for i := range c.Commands { // first: people wait for it
		if k := &c.Commands[i]; k.React != "" && !k.Reacted {
			writes = append(writes, func() error { return d.react(ctx, c, k) })
		}
	}
	writes = append(writes, func() error { return d.tellComment(ctx, c, conv) })
	for _, check := range checks(conv) {
		writes = append(writes, func() error { return d.tellCheck(ctx, &c.Told, check) })
	}
	var failed error
	for _, write := range writes {
		err := write()
		var later *forge.Later
		if failed = errors.Join(failed, err); ctx.Err() != nil || errors.As(err, &later) {
			break
		}
	}
	return failed
}

// react answers a command at once.
func (d *Daemon) react(ctx context.Context, c *change.State, k *change.Command) error {
	err := d.talker.React(ctx, k.Comment, k.React)
	if errors.Is(err, forge.ErrForbidden) { // the comment says it, too
		d.o.Log.Warn("no reaction", "change", c.ID, "error", d.o.Redact(err.Error()))
	} else if err != nil && !errors.Is(err, forge.ErrNotFound) {
		return fmt.Errorf("react to a comment of #%s: %w", c.ID, err)
	}
	k.Reacted = true
	return nil
}

// tellComment writes the living comment unless the forge has it like this.
func (d *Daemon) tellComment(ctx context.Context, c *change.State, conv talk.Conversation) error {
	body := d.o.Redact(talk.Comment(conv))
	if sum(body) == c.Told.CommentSum {
		return nil
	}
	id, err := d.talker.SetComment(ctx, c.ID, c.Told.Comment, talk.Marker(c.ID), body)
	if err != nil {
		return fmt.Errorf("comment on #%s: %w", c.ID, err)
	}
	c.Told.Comment, c.Told.CommentSum = id, sum(body)
	return nil
}

// checks are those of a change: of each recipe's plan, and of the runs of each of its commits.
func checks(conv talk.Conversation) []forge.Check {
	var out []forge.Check
	for _, p := range conv.State.Plans {
		if !p.Removed && conv.State.PlannedHead != "" {
			out = append(out, talk.PlanCheck(conv, p))
		}
	}
	return append(out, runChecks(conv.Page, conv.Runs, func(k run.Kind) bool { return !k.OnMain() })...)
}

// runChecks has one check for all runs of a commit: the worst of them decides.
func runChecks(page string, runs []talk.Run, of func(run.Kind) bool) []forge.Check {
	byCommit := map[string][]talk.Run{}
	for _, r := range runs {
		if of(r.Record.Kind) {
			byCommit[r.Record.Origin.Commit] = append(byCommit[r.Record.Origin.Commit], r)
		}
	}
	var out []forge.Check
	for _, commit := range slices.Sorted(maps.Keys(byCommit)) {
		out = append(out, talk.RunCheck(commit, page, byCommit[commit]))
	}
	return out
}

// tellCheck writes a check unless the forge has it like this.
func (d *Daemon) tellCheck(ctx context.Context, told *change.Told, c forge.Check) error {
	c.Title, c.Summary = d.o.Redact(c.Title), d.o.Redact(c.Summary)
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	key := c.Commit + "/" + c.Name
	if told.Checks[key].Sum == sum(string(b)) {
		return nil
	}
	id, err := d.talker.SetCheck(ctx, told.Checks[key].ID, c)
	if err != nil {
		return fmt.Errorf("check %s of %s: %w", c.Name, short(c.Commit), err)
	}
	if told.Checks == nil {
		told.Checks = map[string]change.Check{}
	}
	told.Checks[key] = change.Check{ID: id, Sum: sum(string(b))}
	return nil
}

// conversation is all that the comment is made of.
func (d *Daemon) conversation(ctx context.Context, c *change.State) (talk.Conversation, error) {
	out := talk.Conversation{State: c, Page: d.o.Settings.URL, Link: d.o.Forge.Link, Hub: d.trusted.Hub.Endpoint()}
	m, _, err := change.ReadMain(ctx, d.o.Storage)
	if err != nil {
		return out, err
	}
	out.Target = m.Branch
	if out.Locks, err = d.lockedByOthers(ctx, c); err != nil {
		return out, err
	}
	for _, id := range c.Runs {
		r, ok, err := d.talkRun(ctx, id)
		if err != nil {
			return out, err
		}
		if ok {
			out.Runs = append(out.Runs, r)
		}
	}
	return out, nil
}

// talkRun is what is said of a run.
func (d *Daemon) talkRun(ctx context.Context, id string) (talk.Run, bool, error) {
	rec, ok, err := run.ReadRecord(ctx, d.o.Storage, id)
	if err != nil || !ok {
		return talk.Run{}, false, err
	}
	out := talk.Run{Record: rec, Now: d.watch.now(id)}
	if out.Report, _, err = run.ReadReport(ctx, d.o.Storage, id); err != nil {
		return out, false, err
	}
	out.Steps, err = run.Events(ctx, d.o.Storage, id, 0)
	return out, true, err
}

// tellMain makes the checks of the commits that brought recipes be what their runs say.
func (d *Daemon) tellMain(ctx context.Context, m *change.Main) error {
	if d.talker == nil {
		return nil
	}
	var runs []talk.Run
	for _, id := range m.Releases {
		r, ok, err := d.talkRun(ctx, id)
		if err != nil {
			return err
		}
		if ok {
			runs = append(runs, r)
		}
	}
	var failed error
	for _, check := range runChecks(d.o.Settings.URL, runs, run.Kind.OnMain) {
		if err := d.tellCheck(ctx, &m.Told, check); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		// Once all runs of a commit are over and told, nothing of it changes any more.
		of := func(r talk.Run) bool { return r.Record.Origin.Commit == check.Commit }
		done := !slices.ContainsFunc(runs, func(r talk.Run) bool { return of(r) && !r.Record.State.Over() }) &&
			!slices.ContainsFunc(m.Recipes, func(r change.Recipe) bool { return r.Commit == check.Commit && r.Wanted.Run != "" })
		if done {
			m.Releases = slices.DeleteFunc(m.Releases, func(id string) bool {
				return slices.ContainsFunc(runs, func(r talk.Run) bool { return of(r) && r.Record.ID == id })
			})
			delete(m.Told.Checks, check.Commit+"/"+check.Name)
		}
	}
	if err := change.WriteMain(context.WithoutCancel(ctx), d.o.Storage, m); err != nil {
		return err
	}
	return failed
}

// compare sets a scheduled run beside the last one that has scores, and opens an issue where a score has moved by more than chance.
func (d *Daemon) compare(ctx context.Context, m *change.Main) error {
	for i := range m.Recipes {
		r := &m.Recipes[i]
		if r.Run == "" || r.Compared == r.Run || r.Previous == "" {
			continue
		}
		after, ok, err := run.ReadRecord(ctx, d.o.Storage, r.Run)
		if err != nil {
			return err
		}
		if !ok || after.Kind != run.Scheduled || !after.State.Over() {
			continue
		}
		if err := d.compareRuns(ctx, r, after); err != nil {
			return err
		}
		r.Compared = r.Run
		if err := change.WriteMain(ctx, d.o.Storage, m); err != nil {
			return err
		}
	}
	return nil
}

func (d *Daemon) compareRuns(ctx context.Context, r *change.Recipe, after run.Record) error {
	if !scored(after) {
		r.Note = "the scheduled run " + after.ID + " " + string(after.State)
		return nil
	}
	before, ok, err := run.ReadRecord(ctx, d.o.Storage, r.Previous)
	if err != nil || !ok {
		return err
	}
	paired, err := run.CompareRuns(ctx, d.o.Storage, before.ID, after.ID)
	if errors.Is(err, run.ErrNotARun) || errors.Is(err, run.ErrIncomparable) {
		r.Note = "not compared with run " + before.ID + ": " + d.o.Redact(err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	moved := false
	for _, t := range paired.Tasks {
		moved = moved || t.P < 0.05
	}
	if !moved {
		r.Note = "what changed moved no score by more than chance, compared with run " + before.ID
		return nil
	}
	r.Note = "a score has moved by more than chance, compared with run " + before.ID
	if d.talker == nil {
		return nil
	}
	old, _, err := run.ReadPlan(ctx, d.o.Storage, before.ID)
	if err != nil {
		return err
	}
	now, _, err := run.ReadPlan(ctx, d.o.Storage, after.ID)
	if err != nil {
		return err
	}
	var lock []run.Moved
	if diff := run.Diff(old, now); diff != nil {
		lock = diff.Lock
	}
	marker, title, body := talk.Issue(r.Path, before, after, paired, d.o.Settings.URL, lock...)
	issue, err := d.talker.OpenIssue(ctx, marker, d.o.Redact(title), d.o.Redact(body))
	if errors.Is(err, forge.ErrForbidden) || errors.Is(err, forge.ErrNotFound) { // the repository has no issues
		r.Note += "; no issue could be opened: " + d.o.Redact(err.Error())
		return nil
	}
	r.Issue = issue
	return err
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}
