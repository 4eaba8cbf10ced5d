package bot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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
	m, known, err := change.ReadMain(ctx, d.o.Storage)
	if err != nil {
		return err
	}
	m.Branch = branch
	if m.Head != head.SHA {
		if err := d.takeHead(ctx, m, head.SHA, known); err != nil {
			return err
		}
		if err := change.WriteMain(ctx, d.o.Storage, m); err != nil {
			return err
		}
	}
	if err := d.tick(ctx, m); err != nil {
		return err
	}
	failed := d.queueReleases(ctx, m)
	if err := d.compare(ctx, m); err != nil {
		return err
	}
	if err := d.tellMain(ctx, m); err != nil {
		return err
	}
	d.wakeForSchedules(m)
	return failed
}

// takeHead reads the recipes at a new head, and decides on a run for each that is new or otherwise than it was. At the
// first look at a repository nothing is run: what is there may have been for years.
func (d *Daemon) takeHead(ctx context.Context, m *change.Main, head string, known bool) error {
	files, err := d.o.Forge.Files(ctx, head)
	if err != nil {
		return err
	}
	before := m.Recipes
	m.Recipes, m.Head = nil, head
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
			r.Run, r.Previous, r.Told = before[i].Run, before[i].Previous, before[i].Told
		}
		if err := d.describe(ctx, &r); err != nil {
			return err
		}
		if known {
			if r.Change, err = d.broughtBy(ctx, m.Branch, f); err != nil {
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
		r.Problems = []configs.Error{{File: r.Path, Position: configs.Position{Line: 1, Column: 1}, Message: "the file is larger than 1 MiB; a recipe is a few kilobytes of YAML"}}
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
func (d *Daemon) broughtBy(ctx context.Context, branch string, f forge.File) (string, error) {
	known, err := change.List(ctx, d.o.Storage)
	if err != nil {
		return "", err
	}
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
		err := d.release(ctx, r)
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
func (d *Daemon) release(ctx context.Context, r *change.Recipe) error {
	recipe, problems, err := d.readRecipe(ctx, r)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		r.Note, r.Wanted = "not run: the recipe cannot be used", change.Wanted{}
		return nil
	}
	plan, err := d.planRelease(ctx, r, recipe)
	if err != nil {
		problems, outage := run.Problems(recipe, err)
		if outage || ctx.Err() != nil {
			return err
		}
		for i := range problems {
			problems[i].Message = d.o.Redact(problems[i].Message)
		}
		r.Problems, r.Note, r.Wanted = problems, "not run: the recipe cannot be planned", change.Wanted{}
		return nil
	}
	r.Name = plan.Recipe.Name
	last, ran, err := run.ReadRecord(ctx, d.o.Storage, r.Run)
	if err != nil {
		return err
	}
	if r.Wanted.Kind == run.Scheduled && ran && last.Plan == plan.ID && (last.State == run.Succeeded || last.State == run.Gated || !last.State.Over()) {
		r.Note = fmt.Sprintf("skipped on %s: nothing has moved since run %s", r.Ticked.UTC().Format("2006-01-02 15:04 UTC"), r.Run)
		r.Wanted = change.Wanted{}
		d.o.Log.Info("skipped", "recipe", r.Path, "why", r.Note)
		return nil
	}
	rec := run.Record{ID: r.Wanted.Run, Plan: plan.ID, Recipe: plan.Recipe.Name, Kind: r.Wanted.Kind, Created: time.Now().UTC(), Publish: r.Target != "",
		Origin: run.Origin{Commit: r.Commit, Path: r.Path}}
	if rec.Kind == run.Release {
		rec.Origin.Change = r.Change
	}
	if err := d.runs.enqueue(ctx, plan, rec); err != nil {
		return err
	}
	if r.Run != r.Wanted.Run {
		r.Previous, r.Run = r.Run, r.Wanted.Run
	}
	r.Note, r.Wanted = "", change.Wanted{}
	return nil
}

// planRelease plans a recipe of the default branch. What a merged change was reviewed with, its commits, is what is
// run: a model that has moved since the review is no part of it.
func (d *Daemon) planRelease(ctx context.Context, r *change.Recipe, recipe *configs.Recipe) (*run.Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	var pins *run.Pins
	if r.Wanted.Kind == run.Release && r.Change != "" {
		c, ok, err := change.Read(ctx, d.o.Storage, change.Key(r.Change))
		if err != nil {
			return nil, err
		}
		if ok {
			for _, p := range c.Plans {
				if p.Path == r.Path && p.Plan != nil && p.Plan.Recipe.Hash == recipe.Hash() {
					pins = run.PinsOf(p.Plan)
				}
			}
		}
	}
	return run.Resolve(ctx, d.trusted, recipe, pins)
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
		if r.Ticked.IsZero() { // from now on
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
