package run

import (
	"context"

	"mergebot/merge"
	"mergebot/merge/method"
)

// measureIn is all that decides a measurement.
type measureIn struct {
	Base, Expert string // digests
	Name         string // seeds random masks
	Bytes        int64  // of both checkpoints
	Pruning      merge.Pruning
}

func (in measureIn) moved() int64 { return in.Bytes }

// measureAll measures every expert's delta, where the method asks for it.
func (p *pipeline) measureAll(ctx context.Context) error {
	p.measurements = make([]*merge.Measurement, len(p.models))
	p.measured = make([]string, len(p.models))
	m, err := method.Get(p.recipe.MergeMethod)
	if err != nil || !m.Treated {
		return err
	}
	for _, i := range p.experts() {
		model, lock := p.models[i], p.plan.Lock.Models[i]
		in := measureIn{Base: p.plan.Lock.Base.Digest, Expert: lock.Digest, Name: model.Name, Bytes: p.plan.Lock.Base.size() + lock.size(),
			Pruning: merge.RecipePruning(p.recipe, i)}
		key, err := p.x.ledger.key(stepMeasure, in)
		if err != nil {
			return err
		}
		out, err := do(ctx, p.x, stepMeasure, lock.String(), in, nil, func(ctx context.Context, in measureIn) (merge.Measurement, error) {
			m, err := merge.Measure(ctx, p.x.env.Device, *p.base, model, in.Pruning, p.x.progress(stepMeasure, lock.String(), "elements"))
			if err != nil {
				return merge.Measurement{}, err
			}
			return *m, nil
		})
		if err != nil {
			return err
		}
		p.measurements[i], p.measured[i] = &out, key
	}
	return nil
}

// experts lists the models that are merged: all of the recipe's, but for the base among them where the
// method works on deltas, since the base has none.
func (p *pipeline) experts() []int {
	m, err := method.Get(p.recipe.MergeMethod)
	if err == nil && (m.Base || m.Deltas) {
		return p.recipe.Experts()
	}
	all := make([]int, len(p.recipe.Inputs()))
	for i := range all {
		all[i] = i
	}
	return all
}

// coefficientOf is what multiplies the k-th expert's weight: 1 unless a search found another.
func (p *pipeline) coefficientOf(k int) float64 {
	if p.coefficients == nil {
		return 1
	}
	return p.coefficients[k]
}
