package merge

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"mergebot/configs"
	"mergebot/merge/kernel"
	"mergebot/merge/method"
)

// Input is one expert of a merge.
type Input struct {
	Model       Model
	Measurement *Measurement // of the treated methods (dppa, magnitude, owl); made when needed if nil
	Ratios      []float64    // per partition, P1 first; nil for the recipe's, else those that leave the delta as it is
	Coefficient float64      // multiplies the recipe's weight; 0 counts as 1 (Merger.With can set a real 0)
}

// Merger is what a recipe yields, block by block. It is safe for concurrent use
// and holds no weights.
type Merger struct {
	*models
	first      int // of the inputs among models.all
	method     method.Method
	names      []string
	recipe     *configs.Recipe  // nil for NewTreated
	vocabulary *vocabulary      // nil where the models' stays
	index      []int            // by input: its place in recipe.Inputs
	inputs     []Input          // with this candidate's ratios and coefficients
	lazy       []*lazyMeasuring // by input, where the measurement is not given
	bound      map[*part]*bound
	failed     error // why nothing is bound, of a candidate
}

// lazyMeasuring makes a measurement once, when it is first asked for.
type lazyMeasuring struct {
	mu      sync.Mutex
	pruning Pruning
	m       *Measurement
}

// New binds a recipe to its models: any method that is built in. inputs follow
// r.Inputs(), or leave out the base among them. Nothing is read but headers.
func New(dev kernel.Device, r *configs.Recipe, base *Model, inputs []Input) (*Merger, error) {
	m, err := method.Get(r.MergeMethod)
	if err != nil {
		return nil, err
	}
	index, err := places(r, m, len(inputs))
	if err != nil {
		return nil, err
	}
	inputs = slices.Clone(inputs)
	if m.Base || m.Deltas { // the base has no delta to itself
		var in []Input
		var kept []int
		experts := r.Experts()
		for i, p := range index {
			if slices.Contains(experts, p) {
				in, kept = append(in, inputs[i]), append(kept, p)
			}
		}
		inputs, index = in, kept
	}
	mg := &Merger{method: m, recipe: r, index: index, inputs: inputs}
	trim := trims(r)
	for i := range inputs {
		in := &inputs[i]
		in.Model.Trim = in.Model.Trim || trim
		if in.Coefficient == 0 {
			in.Coefficient = 1
		}
		if in.Ratios == nil && m.Treated {
			in.Ratios, _ = r.Inputs()[index[i]].Ratios()
		}
		mg.lazy = append(mg.lazy, &lazyMeasuring{pruning: RecipePruning(r, index[i]), m: in.Measurement})
	}
	var refs []configs.ModelRef
	if base != nil {
		refs = append(refs, r.BaseModel)
	}
	for _, i := range index {
		refs = append(refs, r.Inputs()[i].Model)
	}
	err = mg.open(dev, base, func(headers []Header) ([]*part, error) {
		parts, err := stacked(r, m, refs, headers)
		if err == nil {
			mg.vocabulary, err = openVocabulary(r, m, refs, headers, parts, base, inputs)
		}
		return parts, err
	})
	if err != nil {
		return nil, err
	}
	return mg, mg.begin()
}

// NewTreated merges measured experts: base + Σ c·DPA(DP(δ)), what a search
// probes.
func NewTreated(dev kernel.Device, base Model, inputs []Input) (*Merger, error) {
	m, err := method.Get("dppa")
	if err != nil {
		return nil, err
	}
	mg := &Merger{method: m, inputs: slices.Clone(inputs)}
	for i := range mg.inputs {
		in := &mg.inputs[i]
		if in.Measurement == nil {
			return nil, fmt.Errorf("model %s has no measurement", in.Model.Name)
		}
		if in.Coefficient == 0 {
			in.Coefficient = 1
		}
		mg.lazy = append(mg.lazy, &lazyMeasuring{pruning: in.Measurement.Pruning, m: in.Measurement})
	}
	err = mg.open(dev, &base, func(headers []Header) ([]*part, error) { return together(len(headers), 0), nil })
	if err != nil {
		return nil, err
	}
	return mg, mg.begin()
}

// places maps n models to the recipe's inputs: all of them, or all but the base.
func places(r *configs.Recipe, m method.Method, n int) ([]int, error) {
	all := make([]int, len(r.Inputs()))
	for i := range all {
		all[i] = i
	}
	if experts := r.Experts(); n != len(all) && n == len(experts) {
		return experts, nil
	}
	if n != len(all) {
		return nil, fmt.Errorf("%s: the recipe has %d models, but %d were given", m.Name, len(all), n)
	}
	return all, nil
}

// RecipePruning is how a recipe wants one of its models pruned: mergebot.dppa
// and the model's density. The methods magnitude and owl have one partition;
// dare_linear and dare_ties are given for a search that amplifies them.
func RecipePruning(r *configs.Recipe, model int) Pruning {
	d := r.Mergebot.DPPA
	p := Pruning{
		Kind: d.Pruning, Density: r.ParameterNumber(model, "density", "", 0, 1), Partition: d.Partition,
		Preset: d.Preset, Mean: d.Mean, Fluctuation: d.Fluctuation, OutlierFactor: d.OutlierFactor,
		Other: d.Other, Seed: r.Mergebot.Seed,
	}
	switch r.MergeMethod {
	case "magnitude":
		p.Kind, p.Partition = PruneMagnitude, 0
	case "owl":
		p.Kind, p.Partition = PruneOWL, 0
	case "dare_linear", "dare_ties":
		p.Kind = PruneDARE
	}
	if p.Kind == "" {
		p.Kind = PruneDP
	}
	return p
}

func (m *Merger) open(dev kernel.Device, base *Model, stack func([]Header) ([]*part, error)) error {
	var all []Model
	if base != nil {
		all, m.first = append(all, *base), 1
	}
	for _, in := range m.inputs {
		all = append(all, in.Model)
	}
	headers, err := headersOf(all)
	if err != nil {
		return err
	}
	parts, err := stack(headers)
	if err != nil {
		return err
	}
	m.models, err = arrange(dev, all, headers, parts, ownerOf(parts, base != nil))
	if err != nil {
		return err
	}
	for _, t := range m.layout.tensors {
		m.names = append(m.names, t.name)
	}
	return nil
}

func (l *lazyMeasuring) get(ctx context.Context, m *Merger, expert Model) (*Measurement, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m != nil {
		return l.m, nil
	}
	measured, err := Measure(ctx, m.dev, m.all[0], expert, l.pruning, nil)
	if err == nil {
		l.m = measured
	}
	return measured, err
}

// With is a candidate: the same merge with other ratios (per input, then per
// partition) and coefficients (per input). nil, or a nil list of ratios, leaves
// them as they are. It shares everything else and costs nothing.
//
// Lists of the wrong length are reported by Read and Write.
func (m *Merger) With(ratios [][]float64, coefficients []float64) *Merger {
	c := *m
	c.inputs = slices.Clone(m.inputs)
	for i := range c.inputs {
		if i < len(ratios) && ratios[i] != nil {
			c.inputs[i].Ratios = slices.Clone(ratios[i])
		}
		if i < len(coefficients) {
			c.inputs[i].Coefficient = coefficients[i]
		}
	}
	if c.failed = c.begin(); c.failed != nil {
		c.bound = nil
	}
	return &c
}

// Names returns the tensors of the result, sorted.
func (m *Merger) Names() []string { return slices.Clone(m.names) }

// Notes says what was left out of the models, for people.
func (m *Merger) Notes() []string {
	notes := slices.Clone(m.layout.notes)
	if m.vocabulary != nil {
		notes = append(notes, m.vocabulary.notes...)
	}
	return notes
}

// Shape returns a tensor's shape, nil for one the result does not have.
func (m *Merger) Shape(name string) []int64 {
	i, ok := m.layout.index[name]
	if !ok {
		return nil
	}
	return slices.Clone(m.layout.tensors[i].shape)
}
