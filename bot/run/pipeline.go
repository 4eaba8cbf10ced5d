package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mergebot/configs"
	"mergebot/eval/report"
	"mergebot/eval/task"
	"mergebot/hub"
	"mergebot/merge"
	"mergebot/merge/checkpoint"
	"mergebot/merge/search"
)

// ErrGate means that everything was done but a gate of the recipe was not met.
var ErrGate = errors.New("gate not met")

// Options of one run.
type Options struct {
	Out     string // folder for model/ and the report; default: the recipe's name
	Publish bool   // to the recipe's repo, when all gates are met
	Limit   int    // rows a task that are scored; 0: as the recipe says
	Pins    *Pins  // of an earlier merge, to make it again
	// Run is the id of a queued run, whose record and log go on; "" makes a new one. That no two processes execute one
	// run is the caller's business.
	Run string
	// Plan is that of an earlier Resolve, whose commits are used. If what comes out has another id the error is ErrStale.
	Plan *Plan
	// PublishTo are the organisations that may be published to; nil: any.
	PublishTo []string
	// Fence is asked right before publishing: an error stops it.
	Fence func(context.Context) error

	model string // where the checkpoint goes; default: Out/model
}

// Outcome is how a run ended.
type Outcome struct {
	Run        string
	Plan       *Plan
	State      State
	ModelDir   string
	ReportPath string // report.html
	Report     *report.Report
	Published  *hub.Commit

	items []report.TaskItems
}

// pipeline carries one run's intermediate results from step to step.
type pipeline struct {
	x      *execution
	recipe *configs.Recipe
	plan   *Plan
	opts   Options

	modelDirs    []place
	baseDir      place
	baseSidecars string // digest
	base         *merge.Model
	models       []merge.Model
	opened       []*checkpoint.Checkpoint
	measurements []*merge.Measurement // nil where the method needs none
	measured     []string             // their keys
	scorer       *scorer

	ratios       [][]float64 // per model and partition; nil where the method has none
	coefficients []float64   // found by a search; nil: the recipe's weights alone
	methods      map[int]int // by which DPA method a model's ratios were found
	amplified    map[int]search.AmplifyResult
	coefficient  *search.CoefficientResult
	merged       mergeOut
	scores       []*taskScores
	gates        []report.Gate
	commit       *hub.Commit
	published    *report.Published
}

// now is the clock of durations; only reports and logs carry times, never a step's inputs.
func now() time.Time { return time.Now() }

// Execute takes a recipe through all steps. On an unmet gate the outcome is complete and the error is ErrGate. Where a
// queued run cannot even begin, its record says so. One that is suspended (see ErrSuspended) is queued again.
func Execute(ctx context.Context, env *Env, r *configs.Recipe, o Options) (*Outcome, error) {
	begin := now()
	var j *journal
	if o.Run != "" {
		var err error
		if j, err = takeUp(ctx, env, o.Run); err != nil {
			return nil, err
		}
	}
	p, done, err := ready(ctx, env, r, o, j)
	if err != nil {
		if j != nil {
			_, err = j.end(ctx, err, true)
		}
		return nil, err
	}
	defer done()
	if err := p.start(ctx, now().Sub(begin)); err != nil {
		if j != nil {
			_, err = j.end(ctx, err, true)
		}
		return nil, err
	}
	outcome, err := p.run(ctx)
	state, err := p.x.journal.end(ctx, err, o.Run != "")
	if outcome != nil {
		outcome.State = state
	}
	return outcome, err
}

// takeUp opens the record of a queued run, or of one that a kill left running, and counts that it was begun.
func takeUp(ctx context.Context, env *Env, id string) (*journal, error) {
	r, ok, err := ReadRecord(ctx, env.Storage, id)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, fmt.Errorf("there is no run %s", id)
	case r.State.Over():
		return nil, fmt.Errorf("run %s is over: it is %s", id, r.State)
	}
	j, err := reopen(ctx, env.Storage, r)
	if err != nil {
		return nil, err
	}
	j.shownBy(env)
	if r.Begun > 0 {
		if err := j.emit(ctx, Event{Phase: Note, Step: stepRun, Text: fmt.Sprintf("begun again, for the %d. time: finished steps are in the ledger", r.Begun+1)}); err != nil {
			return nil, err
		}
	}
	return j, j.write(ctx, func(r *Record) {
		r.State, r.Error = Running, ""
		r.Begun++
		if r.Started.IsZero() {
			r.Started = now().UTC()
		}
	})
}

// ready makes all that a run needs before its first step: the plan, the engine, the output folder, which is locked until
// done is called.
func ready(ctx context.Context, env *Env, r *configs.Recipe, o Options, j *journal) (*pipeline, func(), error) {
	if o.Publish {
		if r.Mergebot.Publish == nil {
			return nil, nil, refuse("--publish needs mergebot.publish.repo in %s", r.Path)
		}
		if err := MayPublish(r, o.PublishTo); err != nil {
			return nil, nil, err
		}
	}
	plan, err := resolveLike(ctx, env, r, o)
	if err != nil {
		return nil, nil, err
	}
	if o.Out == "" {
		o.Out = plan.Recipe.Name
	}
	if o.Out, err = filepath.Abs(o.Out); err != nil {
		return nil, nil, err
	}
	if o.Limit == 0 {
		o.Limit = r.Mergebot.Evaluate.Limit
	}
	p := newPipeline(env, r, plan, o) // opens nothing yet
	if j != nil {
		p.x.journal = j
	}
	if err := p.scorer.identify(ctx); err != nil {
		return nil, nil, at(r.Locate("mergebot", "evaluate", "engine"), err)
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, nil, fmt.Errorf("output folder: %w", err)
	}
	unlock, err := flock(filepath.Join(o.Out, ".mergebot.lock"))
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(replaceable(p.modelDir()), sweep(o.Out, p.modelDir())); err != nil { // before hours are spent
		unlock()
		return nil, nil, err
	}
	return p, func() { unlock(); p.close() }, nil
}

// resolveLike resolves a recipe, at the commits of an earlier plan where there is one.
func resolveLike(ctx context.Context, env *Env, r *configs.Recipe, o Options) (*Plan, error) {
	pins := o.Pins
	if o.Plan != nil {
		if r.Hash() != o.Plan.Recipe.Hash {
			return nil, fmt.Errorf("%w: the recipe was changed; plan again", ErrStale)
		}
		if pins == nil {
			pins = PinsOf(o.Plan)
		}
	}
	plan, err := Resolve(ctx, env, r, pins)
	if err == nil && o.Plan != nil && plan.ID != o.Plan.ID {
		err = fmt.Errorf("%w: %s; plan again", ErrStale, Diff(o.Plan, plan).words())
	}
	return plan, err
}

func newPipeline(env *Env, r *configs.Recipe, plan *Plan, o Options) *pipeline {
	begun := now().UTC()
	record := Record{ID: NewID(begun, plan.ID), Plan: plan.ID, Recipe: plan.Recipe.Name, State: Planned, Created: begun, Started: begun, Begun: 1,
		Out: o.Out, Publish: o.Publish, Limit: o.Limit}
	x := &execution{env: env, ledger: &Ledger{env.Storage}, journal: newJournal(env.Storage, record).shownBy(env)}
	p := &pipeline{x: x, recipe: r, plan: plan, opts: o, methods: map[int]int{}, amplified: map[int]search.AmplifyResult{}}
	p.scorer = &scorer{x: x, plan: plan, opts: r.Mergebot.Evaluate, sets: map[setKey]*task.Set{}, backend: env.engineFor(r)}
	return p
}

func (p *pipeline) close() {
	p.scorer.close()
	for _, c := range p.opened {
		c.Close()
	}
}

// start opens the run's record and says what the plan found.
func (p *pipeline) start(ctx context.Context, took time.Duration) error {
	j := p.x.journal
	kept := p.opts.Run != "" && j.record.Plan == p.plan.ID // what was asked for stays as it was shown
	if err := j.write(ctx, func(r *Record) {
		r.State, r.Plan, r.Out = Running, p.plan.ID, p.opts.Out
	}); err != nil {
		return err
	}
	if !kept {
		if err := keepPlan(ctx, p.x.env.Storage, j.record, p.plan); err != nil {
			return err
		}
	}
	for _, w := range p.plan.Warnings {
		if err := p.x.note(ctx, stepResolve.Name, "warning: "+w); err != nil {
			return err
		}
	}
	return j.emit(ctx, Event{Phase: Finished, Step: stepResolve.Name, Subject: p.plan.Recipe.Name, Key: p.plan.ID, Seconds: took.Seconds()})
}

// run is the data flow: checkpoints → deltas → partitions → candidates ⇄ scores → merged checkpoint →
// results → report and card → published.
func (p *pipeline) run(ctx context.Context) (*Outcome, error) {
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	if err := p.searchAll(ctx); err != nil {
		return nil, err
	}
	if err := p.mergeAll(ctx); err != nil {
		return nil, err
	}
	if err := p.evaluateAll(ctx); err != nil {
		return nil, err
	}
	return p.conclude(ctx)
}

// prepare fetches, opens and measures.
func (p *pipeline) prepare(ctx context.Context) (err error) {
	if p.modelDirs, p.baseDir, err = p.x.fetchAll(ctx, p.plan); err != nil {
		return err
	}
	if err := p.open(); err != nil {
		return err
	}
	return p.measureAll(ctx)
}

// open maps the checkpoints.
func (p *pipeline) open() error {
	open := func(at place, name string) (merge.Model, error) {
		c, err := at.open()
		if err != nil {
			return merge.Model{}, fmt.Errorf("opening %s: %w", name, err)
		}
		p.opened = append(p.opened, c)
		return merge.Model{Name: name, Checkpoint: c, Trim: p.recipe.TokenizerSource == "base"}, nil
	}
	if p.plan.Lock.Base != nil {
		m, err := open(p.baseDir, p.plan.Lock.Base.Name)
		if err != nil {
			return err
		}
		p.base = &m
		if p.baseSidecars, err = sidecars(p.baseDir.dir); err != nil {
			return err
		}
	}
	for i, dir := range p.modelDirs {
		m, err := open(dir, p.plan.Lock.Models[i].Name)
		if err != nil {
			return err
		}
		p.models = append(p.models, m)
	}
	return nil
}

// dense is the i-th model as it is.
func (p *pipeline) dense(i int) (weighed, error) {
	m := p.plan.Lock.Models[i]
	return checkpointWeights(m.String(), m.Digest, p.modelDirs[i])
}

// searchAll finds the ratios of every expert that has none yet, then the coefficients.
func (p *pipeline) searchAll(ctx context.Context) error {
	p.ratios = make([][]float64, len(p.models))
	s := p.recipe.Mergebot.Search
	if s != nil && p.opts.Pins.treated() {
		if err := p.x.note(ctx, stepSearch.Name, "ratios and coefficients are the lock's: nothing is searched"); err != nil {
			return err
		}
		return p.takePinned()
	}
	for i := range p.models {
		m := p.measurements[i]
		given, ok := p.recipe.Inputs()[i].Ratios()
		switch {
		case m == nil:
		case ok && len(given) != m.Partitions():
			return refuse("%s has %d ratios, its delta has %d partitions", p.plan.Lock.Models[i].Name, len(given), m.Partitions())
		case ok:
			p.ratios[i] = given
		case s != nil && len(s.Methods) > 0 && p.recipe.MergeMethod == "dppa" && p.judged(i):
			r, err := p.amplify(ctx, i)
			if err != nil {
				return err
			}
			p.amplified[i], p.ratios[i], p.methods[i] = r, r.Ratios, r.Method
		default:
			p.ratios[i] = m.DefaultRatios()
		}
	}
	if s != nil && (s.Coefficient == "common" || s.Coefficient == "per-domain") {
		r, err := p.searchCoefficients(ctx)
		if err != nil {
			return err
		}
		p.coefficient, p.coefficients = &r, r.Coefficients
	}
	return nil
}

// judged says whether a domain measures the i-th model.
func (p *pipeline) judged(i int) bool {
	for _, d := range p.recipe.Mergebot.Domains {
		if k, err := p.plan.indexOf(d.Expert); err == nil && k == i {
			return true
		}
	}
	return false
}
