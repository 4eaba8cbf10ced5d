package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/eval/report"
	"mergebot/eval/task"
)

// EvaluateOptions say how one model is scored.
type EvaluateOptions struct {
	Names []string // tasks
	// Engine is auto, llama.cpp, vllm, or the URL of a server that holds the model.
	Engine string
	Served string // the model's name on that server; "" for the only one
	Tasks  map[string]configs.TaskOptions
	Set    []string // what Tasks was read from, for the command that does it again
	Limit  int
	Seed   uint64
	Out    string // folder of the report
}

// Evaluate scores one model on tasks and writes a report; it returns the report and the path of its page.
func Evaluate(ctx context.Context, env *Env, ref configs.ModelRef, o EvaluateOptions) (*report.Report, string, error) {
	r := &configs.Recipe{Mergebot: configs.Mergebot{Domains: []configs.Domain{{Name: "tasks", Tasks: o.Names}},
		Evaluate: configs.Evaluate{Limit: o.Limit, Seed: o.Seed, Tasks: o.Tasks, Engine: o.Engine}}}
	backend := env.engineFor(r)
	if s, ok := backend.(serverBackend); ok {
		s.options.Model = o.Served
		backend = s
	} else if o.Served != "" {
		return nil, "", refuse("--served is for a server: give its URL by --engine")
	}
	info, err := backend.identify(ctx)
	if err != nil {
		return nil, "", err
	}
	out, err := filepath.Abs(o.Out)
	if err != nil {
		return nil, "", err
	}
	datasets, err := lockDatasets(ctx, env, r, nil)
	if err != nil {
		return nil, "", err
	}
	m, _, err := lockModel(ctx, env, ref, nil)
	if err != nil {
		return nil, "", err
	}
	plan := &Plan{recipe: r, Recipe: PlannedRecipe{Name: "evaluation of " + m.String(), Method: "none"},
		Lock: Lock{Models: []LockedModel{m}, Datasets: datasets, Engine: &info}}
	if plan.ID, err = plan.id(); err != nil {
		return nil, "", err
	}
	p := newPipeline(env, r, plan, Options{Out: out, Limit: o.Limit})
	defer p.close()
	p.scorer.backend, p.scorer.engine = backend, info
	if _, err := os.Stat(out); errors.Is(err, fs.ErrNotExist) {
		defer os.Remove(out) // only if nothing was written
	}
	if err := os.MkdirAll(out, 0o755); err != nil { // before hours are spent
		return nil, "", fmt.Errorf("output folder: %w", err)
	}
	unlock, err := flock(filepath.Join(out, ".mergebot.lock"))
	if err != nil {
		return nil, "", err
	}
	defer unlock()
	if err := sweep(out); err != nil {
		return nil, "", err
	}
	if err := p.start(ctx, 0); err != nil {
		return nil, "", err
	}
	rep, items, err := p.evaluateOne(ctx, &plan.Lock.Models[0], o)
	var page string
	if err == nil {
		page, err = writeReport(out, *rep, items)
	}
	if err == nil {
		err = p.archive(ctx, items)
	}
	if _, err = p.x.journal.end(ctx, err, false); err != nil {
		return nil, "", err
	}
	return rep, page, nil
}

func (p *pipeline) evaluateOne(ctx context.Context, m *LockedModel, o EvaluateOptions) (*report.Report, []report.TaskItems, error) {
	w := weighed{name: m.String(), digest: m.Digest, tokenizer: m.Digest, open: noWeights}
	if _, elsewhere := p.scorer.backend.(serverBackend); !elsewhere {
		at, err := p.x.fetch(ctx, m)
		if err != nil {
			return nil, nil, err
		}
		if w, err = checkpointWeights(m.String(), m.Digest, at); err != nil {
			return nil, nil, err
		}
	}
	d := report.Domain{Name: "tasks"}
	var items []report.TaskItems
	for _, name := range o.Names {
		r, err := p.scorer.evaluate(ctx, w, name, task.Test, p.opts.Limit)
		if err != nil {
			return nil, nil, err
		}
		items = append(items, p.taskItems(d.Name, name, []answerer{{report.Single, m.String(), &r}}))
		t := report.Task{Name: name, Protocol: p.protocol(r, name), Scores: []report.Score{score(report.Single, m.String(), r)}}
		t.Samples = p.samples(&taskScores{task: name, merged: &r})
		d.Tasks = append(d.Tasks, t)
	}
	command := fmt.Sprintf("mergebot eval %s --tasks %s --limit %d --seed %d", m, strings.Join(o.Names, ","), p.opts.Limit, p.recipe.Mergebot.Evaluate.Seed)
	for _, s := range o.Set {
		command += " --set " + s
	}
	if name := p.x.env.engineName(o.Engine); name != "llama.cpp" {
		command += " --engine " + shown(name)
	}
	if o.Served != "" {
		command += " --served " + o.Served
	}
	return &report.Report{GeneratedAt: now().UTC(), Title: p.plan.Recipe.Name, Tool: tool(p.x.env), Status: report.Succeeded, Recipe: report.Recipe{Name: p.plan.Recipe.Name},
		Plan: report.Plan{ID: p.plan.ID, Lock: p.locked()}, Domains: []report.Domain{d}, Steps: steps(p.x.journal.events()), Environment: environment(p.x.env),
		Reproduce: []string{command}, Notes: p.taskWarnings()}, items, nil
}

// noWeights is for a model that lies in somebody else's server.
func noWeights() (engine.Weights, func() error, error) {
	return nil, func() error { return nil }, nil
}

// shown is an engine as a report may show it: a server's address without what may be secret in it.
func shown(name string) string {
	u, err := url.Parse(name)
	if err != nil || u.Host == "" {
		return name
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
