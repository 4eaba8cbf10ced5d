package run

import (
	"context"

	"mergebot/eval"
	"mergebot/eval/task"
)

// taskScores are the scores of one task in one domain.
type taskScores struct {
	domain, task         string
	base, expert, merged *eval.Result // base is nil where the recipe has none
}

// evaluateAll scores base, expert and merged model on every task of every domain. All answer the same items.
func (p *pipeline) evaluateAll(ctx context.Context) error {
	for _, d := range p.recipe.Mergebot.Domains {
		i, err := p.plan.indexOf(d.Expert)
		if err != nil {
			return err
		}
		for _, name := range d.Tasks {
			s := taskScores{domain: d.Name, task: name}
			who := []struct {
				w  weighed
				to **eval.Result
			}{{p.dense(i), &s.expert}, {p.mergedWeights(), &s.merged}}
			if b := p.plan.Lock.Base; b != nil {
				who = append(who, struct {
					w  weighed
					to **eval.Result
				}{checkpointWeights(b.String(), b.Digest, p.baseDir), &s.base})
			}
			for _, o := range who {
				r, err := p.scorer.evaluate(ctx, o.w, name, task.Test, p.opts.Limit)
				if err != nil {
					return err
				}
				*o.to = &r
			}
			p.scores = append(p.scores, s)
		}
	}
	return nil
}

// mergedWeights is the merged model.
func (p *pipeline) mergedWeights() weighed {
	return checkpointWeights("merged", p.merged.Digest, p.modelDir())
}
