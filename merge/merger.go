package merge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"

	"mergebot/configs"
	"mergebot/merge/dppa"
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
	first  int // of the experts among models.all
	method method.Method
	names  []string
	place  []float64        // by tensor: position in the layers, for gradients
	recipe *configs.Recipe  // nil for NewTreated
	index  []int            // by input: its place in recipe.Models
	inputs []Input          // with this candidate's ratios and coefficients
	lazy   []*lazyMeasuring // by input, where the measurement is not given
	plan   *method.Plan
}

// lazyMeasuring makes a measurement once, when it is first asked for.
type lazyMeasuring struct {
	mu      sync.Mutex
	pruning Pruning
	m       *Measurement
}

// New binds a recipe to its models: any method that is built in. inputs follow
// r.Models, or leave out the base among them. Nothing is read but headers.
func New(dev kernel.Device, r *configs.Recipe, base *Model, inputs []Input) (*Merger, error) {
	m, err := method.Get(r.MergeMethod)
	if err != nil {
		return nil, err
	}
	if m.Base && base == nil {
		return nil, fmt.Errorf("%s needs a base model: give base_model", m.Name)
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
			in.Ratios, _ = r.Models[index[i]].Ratios()
		}
		mg.lazy = append(mg.lazy, &lazyMeasuring{pruning: RecipePruning(r, index[i]), m: in.Measurement})
	}
	if err := mg.open(dev, base); err != nil {
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
	if err := mg.open(dev, &base); err != nil {
		return nil, err
	}
	return mg, mg.begin()
}

// places maps n models to their entries in the recipe: all of them, or all but
// the base.
func places(r *configs.Recipe, m method.Method, n int) ([]int, error) {
	if len(r.Models) == 0 {
		return nil, fmt.Errorf("the recipe lists no models (slices are not merged yet)")
	}
	all := make([]int, len(r.Models))
	for i := range all {
		all[i] = i
	}
	if experts := r.Experts(); n != len(all) && n == len(experts) {
		return experts, nil
	}
	if n != len(all) {
		return nil, fmt.Errorf("%s: the recipe lists %d models, but %d were given", m.Name, len(all), n)
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

func (m *Merger) open(dev kernel.Device, base *Model) error {
	var all []Model
	if base != nil {
		all, m.first = append(all, *base), 1
	}
	for _, in := range m.inputs {
		all = append(all, in.Model)
	}
	if len(m.inputs) == 0 {
		return fmt.Errorf("%s needs at least one model", m.method.Name)
	}
	ms, err := open(dev, all)
	if err != nil {
		return err
	}
	m.models = ms
	for _, t := range ms.layout.tensors {
		m.names = append(m.names, t.name)
	}
	classes, layers := dppa.Classify(m.names, m.Shape)
	for _, c := range classes {
		place := 0.0 // outside the layers a gradient's first value counts, as in mergekit
		if c.Layer >= 0 {
			place = 1
			if len(layers) > 1 {
				place = float64(c.Layer) / float64(len(layers)-1)
			}
		}
		m.place = append(m.place, place)
	}
	return nil
}

// begin binds the method to this candidate.
func (m *Merger) begin() error {
	p := &method.Problem{
		Device: m.dev, Base: m.first == 1,
		Read: func(model int, tensor string, dst []float32, from int64) error {
			return m.read(model+m.first, m.at(tensor), dst, from)
		},
		Release:   func(tensor string) { m.release(m.at(tensor)) },
		Number:    m.number,
		Bool:      m.boolean,
		Treatment: m.treatment,
	}
	if m.recipe != nil {
		p.Seed, p.Paper = m.recipe.Mergebot.Seed, m.recipe.Mergebot.Semantics == "paper"
	}
	for _, in := range m.inputs {
		p.Models = append(p.Models, in.Model.Name)
	}
	for _, t := range m.layout.tensors {
		if t.float {
			p.Tensors = append(p.Tensors, method.Tensor{Name: t.name, Count: t.count, Shape: t.shape})
		}
	}
	for _, in := range m.inputs {
		for _, x := range append(slices.Clone(in.Ratios), in.Coefficient) {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("model %s: ratio or coefficient %v is not a number", in.Model.Name, x)
			}
		}
	}
	if m.method.Treated {
		for i, in := range m.inputs {
			if known := m.lazy[i].m; known != nil && in.Ratios != nil && len(in.Ratios) != known.Partitions() {
				return fmt.Errorf("model %s has %d partitions, but %d ratios were given", in.Model.Name, known.Partitions(), len(in.Ratios))
			}
		}
	}
	var err error
	m.plan, err = m.method.Begin(p)
	return err
}

func (m *Merger) at(name string) *tensor { return &m.layout.tensors[m.layout.index[name]] }

// number resolves a parameter; a searched coefficient multiplies the weight.
func (m *Merger) number(model int, name, tensor string, def float64) float64 {
	x := def
	if m.recipe != nil {
		at := -1
		if model >= 0 {
			at = m.index[model]
		}
		x = m.recipe.ParameterNumber(at, name, tensor, m.placeOf(tensor), def)
	}
	if name == "weight" && model >= 0 {
		x *= m.inputs[model].Coefficient
	}
	return x
}

func (m *Merger) boolean(model int, name, tensor string, def bool) bool {
	if m.recipe == nil {
		return def
	}
	at := -1
	if model >= 0 {
		at = m.index[model]
	}
	return m.recipe.ParameterBool(at, name, tensor, m.placeOf(tensor), def)
}

func (m *Merger) placeOf(tensor string) float64 {
	if i, ok := m.layout.index[tensor]; ok {
		return m.place[i]
	}
	return 0
}

func (m *Merger) treatment(ctx context.Context, model int, tensor string) (method.Treatment, error) {
	in := m.inputs[model]
	measured, err := m.lazy[model].get(ctx, m, in.Model)
	if err != nil {
		return method.Treatment{}, err
	}
	ratios := in.Ratios
	if ratios == nil {
		ratios = measured.DefaultRatios()
	}
	return measured.treatment(in.Model.Name, tensor, ratios, m.number(model, "weight", tensor, 1))
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
	c.plan = nil
	if err := c.begin(); err != nil {
		c.plan = method.Failed(err)
	}
	return &c
}

// Names returns the tensors of the result, sorted.
func (m *Merger) Names() []string { return slices.Clone(m.names) }

// Notes says what was left out of the models, for people.
func (m *Merger) Notes() []string { return slices.Clone(m.layout.notes) }

// Shape returns a tensor's shape, nil for one the result does not have.
func (m *Merger) Shape(name string) []int64 {
	i, ok := m.layout.index[name]
	if !ok {
		return nil
	}
	return slices.Clone(m.layout.tensors[i].shape)
}

// digestVersion changes when the bytes that a merge yields do.
const digestVersion = 1

// Digest identifies the result's values: a hash of the method, the models'
// names (which stand for their bytes), every parameter as resolved for every
// tensor, ratios, coefficients, seeds and dtypes. It reads no weights, and does
// not depend on whether the measurements were given.
func (m *Merger) Digest() string {
	type input struct {
		Model       string
		Pruning     *Pruning
		Ratios      []float64
		Coefficient float64
		Trim        bool
	}
	type parameter struct {
		Tensor, Name string
		Model        int
		Value        *float64
	}
	d := struct {
		Version               int
		Method                string
		Base, DType, OutDType string
		Semantics             string
		Seed                  uint64
		Inputs                []input
		Tensors               []string
		Parameters            []parameter
	}{Version: digestVersion, Method: m.method.Name}
	if m.first == 1 {
		d.Base = m.all[0].Name
	}
	if m.recipe != nil {
		d.DType, d.OutDType = m.recipe.DType, m.recipe.OutDType
		d.Semantics, d.Seed = m.recipe.Mergebot.Semantics, m.recipe.Mergebot.Seed
	}
	for i, in := range m.inputs {
		x := input{Model: in.Model.Name, Ratios: in.Ratios, Coefficient: in.Coefficient, Trim: in.Model.Trim}
		if m.method.Treated {
			x.Pruning = &m.lazy[i].pruning
			if given := in.Measurement; given != nil {
				x.Pruning = &given.Pruning
			}
		}
		d.Inputs = append(d.Inputs, x)
	}
	for _, t := range m.layout.tensors {
		d.Tensors = append(d.Tensors, fmt.Sprint(t.name, t.shape, t.dtype))
		if m.recipe == nil || !t.float {
			continue
		}
		for _, p := range m.method.Parameters {
			if p.Name == "ratios" {
				continue
			}
			for model := -1; model < len(m.inputs); model++ {
				d.Parameters = append(d.Parameters, parameter{t.name, p.Name, model, m.given(model, p.Name, t.name)})
			}
		}
	}
	b, err := json.Marshal(d)
	if err != nil {
		b = fmt.Appendf(nil, "%+v", d) // a NaN among the ratios: Read and Write refuse it
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// given is a parameter's value in the recipe, number or switch; nil where the
// method's default holds.
func (m *Merger) given(model int, name, tensor string) *float64 {
	const absent = 1e300
	x := m.number(model, name, tensor, absent)
	if x >= absent/1e10 || x != x {
		return nil
	}
	return &x
}
