package run

import (
	"context"
	"slices"

	"mergebot/eval"
	"mergebot/eval/task"
)

// taskScores are the scores of one task in one domain.
type taskScores struct {
	domain, task         string
	base, expert, merged *eval.Result // base is nil where the recipe has none
}

// evaluateAll scores base, expert and merged model on every task of every domain. All answer the same items. Each model
// answers all its tasks before the next one does: putting another one into an engine can take minutes.
func (p *pipeline) evaluateAll(ctx context.Context) error {
	var baseline weighed
	var err error
	if b := p.plan.Lock.Base; b != nil {
		if baseline, err = checkpointWeights(b.String(), b.Digest, p.baseDir); err != nil {
			return err
		}
	}
	var base, experts, merged []judged
	for _, d := range p.recipe.Mergebot.Domains {
		e, m, err := p.contestants(d)
		if err != nil {
			return err
		}
		for _, name := range d.Tasks {
			s := &taskScores{domain: d.Name, task: name}
			p.scores = append(p.scores, s)
			if p.plan.Lock.Base != nil {
				base = append(base, judged{baseline, name, &s.base})
			}
			experts, merged = append(experts, judged{e, name, &s.expert}), append(merged, judged{m, name, &s.merged})
		}
	}
	return p.scoreAll(ctx, slices.Concat(base, experts, merged), task.Test)
}

// scoreAll scores models in the order given.
func (p *pipeline) scoreAll(ctx context.Context, jobs []judged, purpose task.Purpose) error {
	for _, j := range jobs {
		limit, err := p.limit(ctx, j.task, purpose)
		if err != nil {
			return err
		}
		r, err := p.scorer.evaluate(ctx, j.weighed, j.task, purpose, limit)
		if err != nil {
			return err
		}
		*j.to = &r
	}
	return nil
}

// judged is a model to be scored on a task, and where the score goes.
type judged struct {
	weighed
	task string
	to   **eval.Result
}

// mergedWeights is the merged model.
func (p *pipeline) mergedWeights() (weighed, error) {
	return checkpointWeights("merged", p.merged.Digest, place{dir: p.modelDir()})
}
