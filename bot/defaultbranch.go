package bot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/bot/schedule"
	"mergebot/configs"
)

// lookAtMain makes every recipe that came to the default branch be run and published, and every schedule be kept. Only
// one goroutine does, and only it writes what is known of the branch.
func (d *Daemon) lookAtMain(ctx context.Context) error {
	head, branch, err := d.o.Forge.Head(ctx)
	if err != nil {
		return err
	}
	m, _, err := change.ReadMain(ctx, d.o.Storage)
	if err != nil {
		return err
	}
	if m.Head != head.SHA || m.Branch != branch || !slices.Equal(m.Patterns, d.o.Settings.Recipes) {
		if err := d.takeHead(ctx, m, head.SHA, branch); err != nil {
			return err
		}
		if err := change.WriteMain(ctx, d.o.Storage, m); err != nil {
			return err
		}
	}
	if err := d.tick(ctx, m); err != nil {
		return err
	}
	d.wakeForSchedules(m)
	// What fails of these does not keep the others from being done.
	return errors.Join(d.queueReleases(ctx, m), d.compare(ctx, m), d.tellMain(ctx, m))
}

// takeHead reads the recipes at a new head, and decides on a run for each that is new or otherwise than it was. What is
// there at the first look, or comes into view by another default branch or by other settings, may have been there for
// years: it is not run.
func (d *Daemon) takeHead(ctx context.Context, m *change.Main, head, branch string) error {
	files, err := d.o.Forge.Files(ctx, head)
	if err != nil {
		return err
	}
	known := m.Head != "" && m.Branch == branch
	there := map[string]string{} // blobs that were there before and that nobody looked for
	if known && m.Patterns != nil && !slices.Equal(m.Patterns, d.o.Settings.Recipes) {
		old, err := d.o.Forge.Files(ctx, m.Head)
		if errors.Is(err, forge.ErrNotFound) { // replaced by force
			known = false
		} else if err != nil {
			return err
		}
		for _, f := range old {
			there[f.Path] = f.Blob
		}
	}
	before := m.Recipes
	m.Repo, m.Branch, m.Patterns = d.o.Forge.Repo(), branch, slices.Clone(d.o.Settings.Recipes)
	m.Recipes, m.Head = nil, head
	changes := sync.OnceValues(func() ([]*change.State, error) { return change.List(ctx, d.o.Storage) })
	for _, f := range files {
		if !d.o.Settings.IsRecipe(f.Path) {
			continue
		}
		i := slices.IndexFunc(before, func(r change.Recipe) bool { return r.Path == f.Path })
		if i >= 0 && before[i].Blob == f.Blob {
			m.Recipes = append(m.Recipes, before[i])
			continue
		}
		r := change.Recipe{Path: f.Path, Blob: f.Blob, Commit: head}
		if i >= 0 {
			r.Run, r.Previous = before[i].Run, before[i].Previous
		}
		if err := d.describe(ctx, &r); err != nil {
			return err
		}
		if known && (i >= 0 || there[f.Path] != f.Blob) {
			all, err := changes()
			if err != nil {
				return err
			}
			if r.Change, err = d.broughtBy(ctx, all, branch, f); err != nil {
				return err
			}
			r.Wanted = change.Wanted{Run: d.newID(f.Blob), Kind: run.Release}
		} else {
			r.Note = "it was there when the bot first looked: it runs when it changes, or by its schedule"
		}
		m.Recipes = append(m.Recipes, r)
	}
	slices.SortFunc(m.Recipes, func(a, b change.Recipe) int { return cmp.Compare(a.Path, b.Path) })
	for _, r := range before { // runs of what is gone, or otherwise now
		same := slices.ContainsFunc(m.Recipes, func(n change.Recipe) bool { return n.Path == r.Path && n.Blob == r.Blob })
		if !same && r.Run != "" {
			if err := d.runs.cancel(ctx, r.Run, "superseded by "+short(head)); err != nil {
				return err
			}
		}
	}
	return nil
}

// describe says what a recipe is, for the page.
func (d *Daemon) describe(ctx context.Context, r *change.Recipe) error {
	recipe, _, err := d.readRecipe(ctx, r)
	if err != nil || recipe == nil {
		return err
	}
	r.Name, r.Method, r.Target, r.Schedule = recipe.Name, recipe.MergeMethod, target(recipe), recipe.Mergebot.Schedule
	return nil
}

// readRecipe parses a recipe of the default branch; nil when it cannot be, and Problems says why.
func (d *Daemon) readRecipe(ctx context.Context, r *change.Recipe) (*configs.Recipe, []configs.Error, error) {
	src, err := d.o.Forge.Read(ctx, r.Blob)
	if errors.Is(err, forge.ErrTooLarge) {
		r.Problems = []configs.Error{{File: r.Path, Position: configs.Position{Line: 1, Column: 1}, Message: "the file is larger than 256 KiB; a recipe is a few kilobytes of YAML"}}
		return nil, r.Problems, nil
	}
	if err != nil {
		return nil, nil, err
	}
	recipe, problems := d.parse(r.Path, src)
	r.Problems = problems
	return recipe, problems, nil
}

// broughtBy finds the change whose merge brought a recipe as it is now: the newest merged one with this very file, or
// else with another file at its place.
func (d *Daemon) broughtBy(ctx context.Context, known []*change.State, branch string, f forge.File) (string, error) {
	best, same, at := "", false, time.Time{}
	for _, c := range known {
		i := slices.IndexFunc(c.Plans, func(p change.Plan) bool { return p.Path == f.Path && !p.Removed })
		if i < 0 || c.Final { // it had its run
			continue
		}
		now, err := d.o.Forge.Change(ctx, c.ID)
		if errors.Is(err, forge.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", err
		}
		this := c.Plans[i].Blob == f.Blob
		if now.State != forge.Merged || now.Target != branch || same && !this || same == this && now.Updated.Before(at) {
			continue
		}
		best, same, at = c.ID, this, now.Updated
	}
	return best, nil
}

// queueReleases plans and queues the runs that are decided on. A recipe whose plan has to wait for the Hub does not
// keep the others waiting; its error is returned once they are done.
func (d *Daemon) queueReleases(ctx context.Context, m *change.Main) error {
	var failed error
	for i := range m.Recipes {
		r := &m.Recipes[i]
		if r.Wanted.Run == "" {
			continue
		}
		err := d.release(ctx, m, r)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.Note = "waits: " + d.o.Redact(err.Error())
			failed = fmt.Errorf("%s: %w", r.Path, err)
		}
		if werr := change.WriteMain(ctx, d.o.Storage, m); werr != nil {
			return werr
		}
		if err == nil && r.Change != "" {
			d.queue.add(changeKey(r.Change))
		}
	}
	return failed
}

// release plans a recipe and queues its run. An error is nobody's fault, and it is tried again.
func (d *Daemon) release(ctx context.Context, m *change.Main, r *change.Recipe) error {
	rec := run.Record{ID: r.Wanted.Run, Recipe: r.Name, Kind: r.Wanted.Kind, Created: time.Now().UTC(), Publish: r.Target != "", Origin: run.Origin{Commit: r.Commit, Path: r.Path}}
	if rec.Kind == run.Release {
		rec.Origin.Change = r.Change
	}
	if _, ok, err := run.ReadRecord(ctx, d.o.Storage, rec.ID); err != nil {
		return err
	} else if ok { // queued, and killed before that was known here
		return d.begun(ctx, m, r)
	}
	plan, problems, err := d.planRelease(ctx, r)
	if err != nil {
		return err
	}
	if r.Problems = problems; len(problems) > 0 { // told as a run that failed: whoever merged it waits to hear of it
		var why configs.Errors = problems
		if err := run.Refuse(ctx, d.o.Storage, rec, "the recipe cannot be planned: "+why.Error()); err != nil {
			return err
		}
		d.o.Log.Info("not run", "recipe", r.Path, "error", why.Error())
		return d.begun(ctx, m, r)
	}
	r.Name, rec.Recipe, rec.Plan = plan.Recipe.Name, plan.Recipe.Name, plan.ID
	last, ran, err := run.ReadRecord(ctx, d.o.Storage, r.Run)
	if err != nil {
		return err
	}
	if rec.Kind == run.Scheduled && ran && last.Plan == plan.ID && (scored(last) || !last.State.Over()) {
		r.Note = fmt.Sprintf("skipped on %s: nothing has moved since run %s", r.Ticked.UTC().Format("2006-01-02 15:04 UTC"), r.Run)
		r.Wanted = change.Wanted{}
		d.o.Log.Info("skipped", "recipe", r.Path, "why", r.Note)
		return nil
	}
	if err := d.runs.enqueue(ctx, plan, rec); err != nil {
		return err
	}
	return d.begun(ctx, m, r)
}

// begun makes the wanted run of a recipe its newest.
func (d *Daemon) begun(ctx context.Context, m *change.Main, r *change.Recipe) error {
	last, ok, err := run.ReadRecord(ctx, d.o.Storage, r.Run)
	if err != nil {
		return err
	}
	if ok && scored(last) {
		r.Previous = r.Run
	}
	if r.Wanted.Kind == run.Release && d.talker != nil {
		m.Releases = append(m.Releases, r.Wanted.Run)
	}
	r.Run, r.Note, r.Wanted = r.Wanted.Run, "", change.Wanted{}
	return nil
}

// scored says that a run came to its end, so that later ones are set beside it.
func scored(r run.Record) bool { return r.State == run.Succeeded || r.State == run.Gated }

// planRelease plans a recipe of the default branch, or says what is wrong with it. What a merged change was reviewed
// with, its commits, is what is run: a model that has moved since the review is no part of it.
func (d *Daemon) planRelease(ctx context.Context, r *change.Recipe) (*run.Plan, []configs.Error, error) {
	recipe, problems, err := d.readRecipe(ctx, r)
	if err != nil || len(problems) > 0 {
		return nil, problems, err
	}
	var pins *run.Pins
	if r.Wanted.Kind == run.Release && r.Change != "" {
		c, _, err := change.Read(ctx, d.o.Storage, change.Key(r.Change))
		if err != nil {
			return nil, nil, err
		}
		for _, p := range c.Plans {
			if p.Path == r.Path && p.Plan != nil && p.Plan.Recipe.Hash == recipe.Hash() {
				pins = run.PinsOf(p.Plan)
			}
		}
	}
	limited, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	plan, err := run.Resolve(limited, d.trusted, recipe, pins)
	if err == nil {
		return plan, nil, nil
	}
	problems, outage := run.Problems(recipe, err)
	if outage || limited.Err() != nil {
		return nil, nil, err
	}
	for i := range problems {
		problems[i].Message = d.o.Redact(problems[i].Message)
	}
	return nil, problems, nil
}

// tick decides on the runs that schedules ask for.
func (d *Daemon) tick(ctx context.Context, m *change.Main) error {
	moved := false
	for i := range m.Recipes {
		r := &m.Recipes[i]
		if r.Schedule == "" || r.Wanted.Run != "" {
			continue
		}
		now := time.Now().UTC()
		if r.Ticked.IsZero() || r.Ticked.After(now) { // from now on; the clock was ahead
			r.Ticked, moved = now, true
			continue
		}
		tick, due, err := schedule.Due(r.Schedule, r.Ticked, now)
		if err != nil {
			r.Note = "its schedule cannot be kept: " + err.Error()
			continue
		}
		if due {
			r.Ticked, r.Wanted, moved = tick, change.Wanted{Run: d.newID(r.Blob), Kind: run.Scheduled}, true
			d.o.Log.Info("due", "recipe", r.Path, "tick", tick)
		}
	}
	if !moved {
		return nil
	}
	return change.WriteMain(ctx, d.o.Storage, m)
}

// wakeForSchedules looks at the branch again when the next schedule is due.
func (d *Daemon) wakeForSchedules(m *change.Main) {
	now, first := time.Now(), time.Time{}
	for _, r := range m.Recipes {
		if next, err := schedule.Next(r.Schedule, now); r.Schedule != "" && err == nil && (first.IsZero() || next.Before(first)) {
			first = next
		}
	}
	if !first.IsZero() && time.Until(first) < d.o.Settings.Poll { // else a poll comes first
		d.queue.after(mainKey, time.Until(first)+time.Millisecond)
	}
}
