package run

import (
	"context"
	"fmt"
	"strings"

	"mergebot/configs"
	"mergebot/eval"
	"mergebot/eval/report"
	"mergebot/eval/task"
)

// judge checks the gates, on the rows that the search is judged on: what decides about publishing is not what the report
// scores, unless the recipe says selection: test.
func (p *pipeline) judge(ctx context.Context) error {
	for _, g := range p.recipe.Mergebot.Gates {
		scores, err := p.gateScores(ctx, g)
		if err != nil {
			return err
		}
		for _, out := range check(g, scores) {
			p.gates = append(p.gates, out)
			word := "met"
			if !out.Passed {
				word = "not met"
			}
			text := fmt.Sprintf("gate %s: %.4f on %d items, at least %.4f asked for: %s", g.Domain+g.Task, out.Value, out.N, max(out.MinRatio, out.MinScore), word)
			if err := p.x.note(ctx, stepGate.Name, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// gateScores scores the expert and the merged model on the selection rows of a gate's tasks.
func (p *pipeline) gateScores(ctx context.Context, g configs.Gate) ([]taskScores, error) {
	limit := p.opts.Limit
	if s := p.recipe.Mergebot.Search; s != nil {
		limit = s.Limit
	}
	result, err := p.mergedWeights()
	if err != nil {
		return nil, err
	}
	var out []taskScores
	for _, d := range p.recipe.Mergebot.Domains {
		for _, name := range d.Tasks {
			if d.Name != g.Domain && name != g.Task {
				continue
			}
			i, err := p.plan.indexOf(d.Expert)
			if err != nil {
				return nil, err
			}
			dense, err := p.dense(i)
			if err != nil {
				return nil, err
			}
			expert, err := p.scorer.evaluate(ctx, dense, name, task.Select, limit)
			if err != nil {
				return nil, err
			}
			merged, err := p.scorer.evaluate(ctx, result, name, task.Select, limit)
			if err != nil {
				return nil, err
			}
			out = append(out, taskScores{domain: d.Name, task: name, expert: &expert, merged: &merged})
			if g.Task != "" {
				return out, nil // a task in two domains: the first one's expert is the mark
			}
		}
	}
	return out, nil
}

// check holds scores to a gate's marks, one after another. A ratio that is undefined meets none.
func check(g configs.Gate, scores []taskScores) []report.Gate {
	like := report.Gate{Domain: g.Domain, Task: g.Task}
	var rows []string
	var ratios []float64
	var pairs []eval.Pair
	for _, s := range scores {
		like.N += s.merged.N
		rows = append(rows, s.task+": "+s.merged.Source)
		ratios = append(ratios, eval.TaskRatio(*s.merged, *s.expert))
		pairs = append(pairs, eval.Pair{Merged: *s.merged, Dense: *s.expert})
	}
	like.Source = strings.Join(rows, "; ")
	var out []report.Gate
	if g.MinRatio > 0 {
		r := like
		r.MinRatio = g.MinRatio
		i, err := eval.DomainRatioInterval(pairs)
		if v := interval(eval.DomainRatio(ratios), i, err); v != nil {
			r.Value, r.Low, r.High, r.Passed = v.Value, v.Low, v.High, v.Value >= g.MinRatio
		} else if v := eval.DomainRatio(ratios); v == v { // defined, though its interval is not
			r.Value, r.Passed = v, v >= g.MinRatio
		}
		out = append(out, r)
	}
	if g.MinScore > 0 && len(scores) > 0 {
		r := like
		r.MinScore = g.MinScore
		m := scores[0].merged
		r.Low, r.High = eval.Wilson(m.Correct, m.N)
		r.Value, r.Passed = m.Accuracy(), m.Accuracy() >= g.MinScore
		out = append(out, r)
	}
	return out
}

// passed says whether all gates are met.
func (p *pipeline) passed() bool {
	for _, g := range p.gates {
		if !g.Passed {
			return false
		}
	}
	return true
}
