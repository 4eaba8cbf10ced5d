package merge

import (
	"context"
	"fmt"
	"math"
	"slices"

	"mergebot/configs"
	"mergebot/merge/method"
)

// bound is the method, bound to one part.
type bound struct {
	base    int   // the source that deltas are taken from, −1 without
	experts []int // the other sources
	plan    *method.Plan
}

// begin binds the method to this candidate.
func (m *Merger) begin() error {
	for i, in := range m.inputs {
		for _, x := range append(slices.Clone(in.Ratios), in.Coefficient) {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("model %s: ratio or coefficient %v is not a number", in.Model.Name, x)
			}
		}
		if known := m.lazy[i].m; m.method.Treated && known != nil && in.Ratios != nil && len(in.Ratios) != known.Partitions() {
			return fmt.Errorf("model %s has %d partitions, but %d ratios were given", in.Model.Name, known.Partitions(), len(in.Ratios))
		}
	}
	m.bound = map[*part]*bound{}
	for _, p := range m.parts {
		b, err := m.bind(p)
		if err != nil {
			return p.at(p.reference(), err)
		}
		m.bound[p] = b
	}
	return nil
}

// bind makes one part's plan.
func (m *Merger) bind(part *part) (*bound, error) {
	b := &bound{base: part.base, experts: part.experts()}
	rule := m.method
	if len(b.experts) == 0 && part.path != nil { // a slice that is the base's alone
		var err error
		if rule, err = method.Get("passthrough"); err != nil {
			return nil, err
		}
		b.base, b.experts = -1, []int{part.base}
	}
	p := &method.Problem{
		Device: m.dev, Base: b.base >= 0,
		Read: func(model int, tensor string, dst []float32, from int64) error {
			source := b.base
			if model >= 0 {
				source = b.experts[model]
			}
			return m.read(source, m.at(tensor), dst, from)
		},
		Release: func(tensor string) { m.release(m.at(tensor)) },
		Number: func(model int, name, tensor string, def float64) float64 {
			return m.number(part, b.source(model), name, tensor, def)
		},
		Bool: func(model int, name, tensor string, def bool) bool {
			return m.boolean(part, b.source(model), name, tensor, def)
		},
		Stream: func(model int, tensor string) string {
			s := part.sources[b.experts[model]]
			return m.all[s.model].Name + "/" + part.own(s, tensor)
		},
		Treatment: func(ctx context.Context, model int, tensor string) (method.Treatment, error) {
			return m.treatment(ctx, part, b.experts[model], tensor)
		},
	}
	if m.recipe != nil {
		p.Seed, p.Paper = m.recipe.Mergebot.Seed, m.recipe.Mergebot.Semantics == "paper"
	}
	for _, i := range b.experts {
		p.Models = append(p.Models, m.all[part.sources[i].model].Name)
	}
	for _, t := range m.layout.tensors {
		if t.float && t.part == part {
			p.Tensors = append(p.Tensors, method.Tensor{Name: t.name, Count: t.count, Shape: t.shape})
		}
	}
	var err error
	b.plan, err = rule.Begin(p)
	return b, err
}

// source is the place of one of the method's models among the part's sources; −1
// stays.
func (b *bound) source(model int) int {
	if model < 0 {
		return -1
	}
	return b.experts[model]
}

// planOf is the plan of a tensor's part.
func (m *Merger) planOf(t *tensor) (*bound, error) {
	b := m.bound[t.part]
	if b == nil {
		return nil, m.failed
	}
	return b, nil
}

// input is the place of a part's source among the inputs, −1 for the base.
func (m *Merger) input(p *part, source int) int { return p.sources[source].model - m.first }

func (m *Merger) at(name string) *tensor { return &m.layout.tensors[m.layout.index[name]] }

// number resolves a parameter of one of the part's sources, or with −1 of all; a
// searched coefficient multiplies the weight.
func (m *Merger) number(p *part, source int, name, tensor string, def float64) float64 {
	x := def
	if v, as, ok := m.parameter(p, source, name, tensor); ok {
		x, _ = v.Number(as, m.at(tensor).place)
	}
	if name == "weight" && source >= 0 {
		if i := m.input(p, source); i >= 0 {
			x *= m.inputs[i].Coefficient
		}
	}
	return x
}

func (m *Merger) boolean(p *part, source int, name, tensor string, def bool) bool {
	if v, as, ok := m.parameter(p, source, name, tensor); ok {
		on, _ := v.Bool(as, m.at(tensor).place)
		return on
	}
	return def
}

// parameter looks a parameter up in the recipe. Filters see the tensor's name in
// the source, for what holds for all sources the result's: as in mergekit.
func (m *Merger) parameter(p *part, source int, name, tensor string) (v configs.Value, as string, ok bool) {
	if m.recipe == nil {
		return configs.Value{}, "", false
	}
	as = tensor
	if source >= 0 {
		as = p.own(p.sources[source], tensor)
	}
	v, ok = m.recipe.Parameter(p.slice, source, name, as, m.at(tensor).place)
	return v, as, ok
}

func (m *Merger) treatment(ctx context.Context, p *part, source int, tensor string) (method.Treatment, error) {
	i := m.input(p, source)
	in := m.inputs[i]
	measured, err := m.lazy[i].get(ctx, m, in.Model)
	if err != nil {
		return method.Treatment{}, err
	}
	ratios := in.Ratios
	if ratios == nil {
		ratios = measured.DefaultRatios()
	}
	return measured.treatment(in.Model.Name, tensor, ratios, m.number(p, source, "weight", tensor, 1))
}
