package merge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

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
	type layers struct {
		Base, Depth int
		From        []string // model and its first layer
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
		Stack                 []layers `json:",omitempty"` // of slices
		Rows                  string   `json:",omitempty"` // where those of embeddings come from
	}{Version: digestVersion, Method: m.method.Name, Rows: rowsDigest(m.parts)}
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
			for k, source := range append([]int{-1}, t.part.experts()...) {
				d.Parameters = append(d.Parameters, parameter{t.name, p.Name, k - 1, m.given(t.part, source, p.Name, t.name)})
			}
		}
	}
	for _, p := range m.parts {
		if p.whole {
			continue
		}
		one := layers{Base: p.base, Depth: p.depth}
		for _, s := range p.sources {
			one.From = append(one.From, fmt.Sprint(m.all[s.model].Name, " ", s.first))
		}
		d.Stack = append(d.Stack, one)
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
func (m *Merger) given(p *part, source int, name, tensor string) *float64 {
	const absent = 1e300
	x := m.number(p, source, name, tensor, absent)
	if x >= absent/1e10 || x != x {
		return nil
	}
	return &x
}
