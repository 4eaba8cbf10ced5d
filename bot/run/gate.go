package run

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mergebot/configs"
	"mergebot/eval"
	"mergebot/eval/report"
	"mergebot/eval/task"
)

// judge checks the gates, on the rows that the search is judged on: what decides about publishing is not what the report
// scores, unless the recipe says selection: test.
func (p *pipeline) judge(ctx context.Context) error {
	all := make([][]*taskScores, len(p.recipe.Mergebot.Gates))
	var experts, merged []judged
	for k, g := range p.recipe.Mergebot.Gates {
		for _, d := range p.recipe.Mergebot.Domains {
			for _, name := range d.Tasks {
				if d.Name != g.Domain && (name != g.Task || len(all[k]) > 0) { // a task in two domains: the first one's expert is the mark
					continue
				}
				e, m, err := p.contestants(d)
				if err != nil {
					return err
				}
				s := &taskScores{domain: d.Name, task: name}
				all[k] = append(all[k], s)
				experts, merged = append(experts, judged{e, name, &s.expert}), append(merged, judged{m, name, &s.merged})
			}
		}
	}
	if err := p.scoreAll(ctx, slices.Concat(experts, merged), task.Select); err != nil {
		return err
	}
	for k, g := range p.recipe.Mergebot.Gates {
		for _, out := range check(g, all[k]) {
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

// contestants are a domain's expert and the merged model.
func (p *pipeline) contestants(d configs.Domain) (expert, merged weighed, err error) {
	i, err := p.plan.indexOf(d.Expert)
	if err != nil {
		return expert, merged, err
	}
	if expert, err = p.dense(i); err != nil {
		return expert, merged, err
	}
	merged, err = p.mergedWeights()
	return expert, merged, err
}

// limit is how many rows of a task are scored for a purpose; 0 is all. Gates without a search take no more rows than the
// report scores: a train split can have many times as many.
func (p *pipeline) limit(ctx context.Context, name string, purpose task.Purpose) (int, error) {
	s := p.recipe.Mergebot.Search
	switch {
	case purpose == task.Test || s == nil && p.opts.Limit > 0:
		return p.opts.Limit, nil
	case s != nil:
		return s.Limit, nil
	}
	set, err := p.scorer.set(ctx, name, task.Test, p.opts.Limit)
	if err != nil {
		return 0, err
	}
	return len(set.Items), nil
}

// check holds scores to a gate's marks, one after another. A ratio that is undefined meets none.
func check(g configs.Gate, scores []*taskScores) []report.Gate {
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
