package configs

import "slices"

// Stack is what the result is made of, from its first layer to its last: the
// recipe's slices, or its models as one slice of all their layers. Every slice
// has its base; where the method works on deltas, the base is one of its
// sources.
func (r *Recipe) Stack() []Slice {
	if len(r.Slices) > 0 {
		stack := slices.Clone(r.Slices)
		for i := range stack {
			if stack[i].BaseModel.IsZero() {
				stack[i].BaseModel = r.BaseModel
			}
		}
		return stack
	}
	s := Slice{BaseModel: r.BaseModel}
	for _, m := range r.Models {
		s.Sources = append(s.Sources, Source{Model: m.Model, Parameters: m.Parameters, Pos: m.Pos})
	}
	if m, ok := method(r.MergeMethod); ok && m.Base != BaseIsModel && !r.BaseModel.IsZero() && r.ModelIndex(r.BaseModel) < 0 {
		s.Sources = append(s.Sources, Source{Model: r.BaseModel})
	}
	return []Slice{s}
}

// Whole says that the models are merged from their first layer to their last,
// tensor by tensor: the recipe lists models, or one slice without any range.
func (r *Recipe) Whole() bool {
	if len(r.Slices) == 0 {
		return true
	}
	return len(r.Slices) == 1 && !slices.ContainsFunc(r.Slices[0].Sources, func(s Source) bool { return s.LayerRange != nil })
}

// SourceIndex finds a reference among the sources; -1 when it is not there.
func (s Slice) SourceIndex(ref ModelRef) int {
	return slices.IndexFunc(s.Sources, func(source Source) bool { return source.Model.Same(ref) })
}

// base is the place of the slice's base among its sources, -1 where it has none
// of its own for the method.
func (s Slice) base(m Method) int {
	if m.Base == BaseIsModel || s.BaseModel.IsZero() {
		return -1
	}
	return s.SourceIndex(s.BaseModel)
}

// Inputs are the models that are merged, each once, in the order in which the
// recipe first names them: its models, or the sources of its slices, with the
// parameters that stand beside that name.
func (r *Recipe) Inputs() []Model {
	if len(r.Slices) == 0 {
		return r.Models
	}
	var all []Model
	for _, s := range r.Slices {
		for _, source := range s.Sources {
			if !slices.ContainsFunc(all, func(m Model) bool { return m.Model.Same(source.Model) }) {
				all = append(all, Model{Model: source.Model, Parameters: source.Parameters, Pos: source.Pos})
			}
		}
	}
	return all
}

// ModelIndex finds a reference among [Recipe.Inputs]; -1 when it is not there.
func (r *Recipe) ModelIndex(ref ModelRef) int {
	return slices.IndexFunc(r.Inputs(), func(m Model) bool { return m.Model.Same(ref) })
}

// Experts gives the indices of the inputs that are not the base. mergekit lets
// the base stand among the models, and wants it among the sources of slices;
// there it has no parameters and no delta. Where slices have bases of their own,
// the recipe's base is an expert where one of them merges it with another.
func (r *Recipe) Experts() []int {
	merged := slices.ContainsFunc(r.Stack(), func(s Slice) bool {
		return s.SourceIndex(r.BaseModel) >= 0 && !s.BaseModel.Same(r.BaseModel)
	})
	var experts []int
	for i, m := range r.Inputs() {
		if r.BaseModel.IsZero() || merged || !m.Model.Same(r.BaseModel) {
			experts = append(experts, i)
		}
	}
	return experts
}

// Parameter resolves one parameter for one tensor as mergekit does: the source's
// own value, then the slice's, then the recipe's; a value whose filters match
// nothing falls through to the next, and false is what is left. source is an
// index of s.Sources, or -1 for what holds for all of them. t is the layer's
// place within the slice, in [0,1], and 0 for tensors outside the layers.
func (r *Recipe) Parameter(s Slice, source int, name, tensor string, t float64) (Value, bool) {
	var levels []Parameters
	if source >= 0 {
		levels = append(levels, s.Sources[source].Parameters)
	}
	for _, level := range append(levels, s.Parameters, r.Parameters) {
		if v, ok := level[name]; ok {
			if _, ok := v.Number(tensor, t); ok {
				return v, true
			}
		}
	}
	return Value{}, false
}

// ParameterNumber is a parameter of a recipe of whole models: see
// [Recipe.Parameter]. model is an index of [Recipe.Inputs], or -1 for the
// recipe's value alone; in a recipe of several slices the first slice that has
// the model counts.
func (r *Recipe) ParameterNumber(model int, name, tensor string, t, def float64) float64 {
	stack := r.Stack()
	in, source := stack[0], -1
	if model >= 0 {
		ref := r.Inputs()[model].Model
		for _, s := range stack {
			if source = s.SourceIndex(ref); source >= 0 {
				in = s
				break
			}
		}
	}
	v, ok := r.Parameter(in, source, name, tensor, t)
	if !ok {
		return def
	}
	f, _ := v.Number(tensor, t)
	return f
}
