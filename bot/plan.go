package bot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"mergebot/bot/change"
	"mergebot/bot/forge"
	"mergebot/bot/run"
	"mergebot/configs"
)

const (
	// maxRecipes is how many recipes of one change are planned.
	maxRecipes = 50
	// maxPast is how many earlier plans are remembered.
	maxPast = 10
	// planTime is how long planning one recipe may take.
	planTime = 5 * time.Minute
)

// plan plans the recipes of a change at its head.
func (d *Daemon) plan(ctx context.Context, c *change.State) error {
	begin := time.Now()
	files, err := d.o.Forge.Diff(ctx, c.Base, c.Head)
	tooMany := errors.Is(err, forge.ErrTooLarge) // that does not pass: it is said, and not tried again and again
	if err != nil && !tooMany {
		return err
	}
	files = slices.DeleteFunc(files, func(f forge.File) bool { return !d.o.Settings.IsRecipe(f.Path) })
	slices.SortFunc(files, func(a, b forge.File) int { return cmp.Compare(a.Path, b.Path) })
	c.Problem = ""
	if tooMany {
		c.Problem = "its files cannot be listed: " + d.o.Redact(err.Error())
	}
	if len(files) > maxRecipes {
		c.Problem = fmt.Sprintf("%d recipes are changed; at most %d are planned at once: split the change", len(files), maxRecipes)
		files = nil
	}
	env := d.trusted
	if c.Fork && c.Trusted != c.Head {
		env = d.anonymous
	}
	plans := make([]change.Plan, len(files))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(reconcilers)
	for i, f := range files {
		g.Go(func() (err error) {
			plans[i], err = d.planFile(gctx, env, c, f)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := d.warnOfSharedTargets(ctx, plans); err != nil {
		return err
	}
	for i := range plans {
		keepReviewed(&plans[i], c.Plans)
	}
	if ids := planIDs(c.Plans); len(ids) > 0 && !slices.Equal(ids, planIDs(plans)) {
		c.Past = append([]change.Past{{Head: c.PlannedHead, Base: c.PlannedBase, At: c.PlannedAt, IDs: ids}}, c.Past...)
		c.Past = c.Past[:min(len(c.Past), maxPast)]
	}
	c.Plans, c.PlannedHead, c.PlannedBase, c.PlannedAt = plans, c.Head, c.Base, time.Now().UTC()
	if c.Outages++; !d.outage(c) {
		c.Outages = 0
	}
	if d.concerned(c) {
		d.o.Log.Info("planned", "change", c.ID, "head", short(c.Head), "recipes", len(plans), "seconds", time.Since(begin).Seconds())
	}
	return nil
}

// warnOfSharedTargets says of which recipes the repository is published to by another one, too.
func (d *Daemon) warnOfSharedTargets(ctx context.Context, plans []change.Plan) error {
	m, _, err := change.ReadMain(ctx, d.o.Storage)
	if err != nil {
		return err
	}
	users, changed := map[string][]string{}, map[string]bool{}
	for _, p := range plans {
		changed[p.Path] = true
		if p.Target != "" {
			users[lockName(p.Target)] = append(users[lockName(p.Target)], p.Path)
		}
	}
	for _, r := range m.Recipes {
		if r.Target != "" && !changed[r.Path] {
			users[lockName(r.Target)] = append(users[lockName(r.Target)], r.Path)
		}
	}
	for _, p := range plans {
		for _, other := range users[lockName(p.Target)] {
			if p.Plan != nil && p.Target != "" && other != p.Path {
				p.Plan.Warnings = append(p.Plan.Warnings, other+" publishes to "+p.Target+", too: whichever runs last replaces what the other has published")
			}
		}
	}
	return nil
}

// keepReviewed takes over what was planned for this very file before the Hub went away: if the change is merged
// meanwhile, the commits that were reviewed are what is run. It has no id: nobody can ask for it.
func keepReviewed(p *change.Plan, before []change.Plan) {
	if p.Outage == "" || p.Plan != nil {
		return
	}
	for _, old := range before {
		if old.Path == p.Path && old.Blob == p.Blob {
			p.Plan, p.Difference = old.Plan, old.Difference
		}
	}
}

func planIDs(plans []change.Plan) []string {
	var ids []string
	for _, p := range plans {
		if p.ID != "" {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// planFile plans one recipe of a change. An error is the forge's or the daemon's; what is wrong with the recipe, or the
// Hub, is in the plan.
func (d *Daemon) planFile(ctx context.Context, env *run.Env, c *change.State, f forge.File) (change.Plan, error) {
	begin := time.Now()
	out := change.Plan{Path: f.Path, Blob: f.Blob, Removed: f.Removed}
	if f.Removed {
		return out, nil
	}
	src, err := d.o.Forge.Read(ctx, f.Blob)
	if errors.Is(err, forge.ErrTooLarge) {
		out.Problems = []configs.Error{{File: f.Path, Position: configs.Position{Line: 1, Column: 1}, Message: "the file is larger than 256 KiB; a recipe is a few kilobytes of YAML"}}
		return out, nil
	}
	if err != nil {
		return out, err
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	recipe, problems := d.parse(f.Path, src)
	if recipe != nil {
		out.Name, out.Target = recipe.Name, target(recipe)
	}
	if out.Problems = problems; len(problems) > 0 {
		for i := range out.Problems {
			out.Problems[i].Message = d.o.Redact(out.Problems[i].Message)
		}
		out.Text = d.o.Redact(string(src))
		return out, nil
	}
	plan, err := run.Resolve(ctx, env, recipe, nil)
	if err != nil {
		var outage bool
		if out.Problems, outage = run.Problems(recipe, err); outage || ctx.Err() != nil {
			out.Problems, out.Outage = nil, d.o.Redact(err.Error())
		}
		for i := range out.Problems {
			out.Problems[i].Message = d.o.Redact(out.Problems[i].Message)
			out.Text = d.o.Redact(string(src))
		}
		return out, outer.Err()
	}
	out.Name, out.Plan = plan.Recipe.Name, plan
	out.ID = boundID(plan.ID, d.o.Forge.Repo(), c.ID, c.Head, c.Base, f.Path)
	if out.Difference, err = d.difference(ctx, env, f.Path, plan); err != nil {
		return out, err
	}
	out.Seconds = time.Since(begin).Seconds()
	return out, nil
}

// parse reads a recipe that came by the forge, and refuses what only a terminal may ask for.
func (d *Daemon) parse(path string, src []byte) (*configs.Recipe, []configs.Error) {
	recipe, err := configs.Parse(path, src)
	var problems configs.Errors
	if errors.As(err, &problems) {
		return nil, problems
	}
	if err != nil {
		return nil, []configs.Error{{File: path, Position: configs.Position{Line: 1, Column: 1}, Message: err.Error()}}
	}
	for _, ref := range recipe.References() {
		if ref.Local != "" || ref.Lora != nil && ref.Lora.Local != "" {
			problems = append(problems, configs.Error{File: path, Position: ref.Pos, Message: fmt.Sprintf("%s is a folder of one machine: a recipe in a repository names models on the Hub", ref)})
		}
	}
	forbidden, _ := run.Problems(recipe, run.MayPublish(recipe, append([]string{}, d.o.Settings.PublishTo...)))
	problems = append(problems, forbidden...)
	return recipe, problems
}

// target is the repository that a recipe publishes to.
func target(r *configs.Recipe) string {
	if r.Mergebot.Publish == nil {
		return ""
	}
	return r.Mergebot.Publish.Repo
}

// difference compares a plan with that of the same file on the default branch.
func (d *Daemon) difference(ctx context.Context, env *run.Env, path string, plan *run.Plan) (*run.Difference, error) {
	m, ok, err := change.ReadMain(ctx, d.o.Storage)
	if err != nil || !ok {
		return nil, err
	}
	i := slices.IndexFunc(m.Recipes, func(r change.Recipe) bool { return r.Path == path })
	if i < 0 {
		return nil, nil
	}
	if id := m.Recipes[i].Run; id != "" {
		if old, ok, err := run.ReadPlan(ctx, d.o.Storage, id); err != nil {
			return nil, err
		} else if ok {
			return run.Diff(old, plan), nil
		}
	}
	src, err := d.o.Forge.Read(ctx, m.Recipes[i].Blob)
	if err != nil {
		return nil, err
	}
	old := &run.Plan{Recipe: run.PlannedRecipe{Text: string(src)}, Lock: plan.Lock} // what its names would be now is not asked: only what was run counts
	if recipe, problems := d.parse(path, src); len(problems) == 0 {
		if resolved, err := run.Resolve(ctx, env, recipe, nil); err == nil {
			old = resolved
		}
	}
	return run.Diff(old, plan), nil
}

// boundID is the plan id that a command names: the beginning of the plan's own, and of a hash of where it stands. It is
// another one as soon as head, base, recipe or lock is.
func boundID(plan, repo, change, head, base, path string) string {
	b, _ := json.Marshal([]string{plan, repo, change, head, base, path})
	sum := sha256.Sum256(b)
	return plan[:12] + "-" + hex.EncodeToString(sum[:6])
}
