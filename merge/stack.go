package merge

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"mergebot/configs"
	"mergebot/merge/checkpoint"
	"mergebot/merge/dppa"
	"mergebot/merge/method"
	"mergebot/merge/tokenizer"
)

// part is what one slice of a recipe gives the result: a run of layers, the first
// slice also what comes before them, the last one what comes after. Whole models
// are a single part.
type part struct {
	slice   configs.Slice // holds the parameters; empty where there is no recipe
	path    []string      // of the slice in the recipe, for configs.Recipe.Locate; nil for a recipe of models
	sources []source
	base    int // its place among the sources, −1 without

	rows *tokenizer.Gather // where rows of embeddings come from; nil: they stay where they are

	whole         bool // every tensor of the sources, under its own name; what follows has no meaning
	first, depth  int  // the result's layers [first, first+depth)
	input, output bool // has the tensors before, after the layers
}

// source is a model's layers in a part.
type source struct {
	model int    // its place among the merge's models
	stack string // what its layers' names begin with: "model.layers."
	first int    // the layer that becomes the part's first
}

// reference is the place of the source that says which tensors there are: the
// base, else the first.
func (p *part) reference() int { return max(p.base, 0) }

// experts are the places of the sources that are not the base.
func (p *part) experts() []int {
	var all []int
	for i := range p.sources {
		if i != p.base {
			all = append(all, i)
		}
	}
	return all
}

// at says that an error comes from one of the part's sources.
func (p *part) at(source int, err error) error {
	if err == nil || p.path == nil {
		return err
	}
	return &EntryError{Path: append(slices.Clone(p.path), "sources", strconv.Itoa(source), "layer_range"), Err: err}
}

// EntryError is an error that comes from one entry of the recipe. Its text is the
// error's own.
type EntryError struct {
	Path []string // as configs.Recipe.Locate takes it
	Err  error
}

func (e *EntryError) Error() string { return e.Err.Error() }

// Unwrap lets errors.Is find what happened.
func (e *EntryError) Unwrap() error { return e.Err }

// together is the part in which all models are merged whole; the first is the
// base, where there is one.
func together(models, base int) []*part {
	p := &part{base: base, whole: true, input: true, output: true}
	for i := range models {
		p.sources = append(p.sources, source{model: i})
	}
	return []*part{p}
}

// maxLayers bounds what a plan can cost.
const maxLayers = 4096

// stacked turns a recipe into parts. refs names the models behind the headers.
func stacked(r *configs.Recipe, m method.Method, refs []configs.ModelRef, headers []Header) ([]*part, error) {
	var parts []*part
	var problems []error
	anatomies := map[int]*anatomy{}
	first := 0
	stack := r.Stack()
	for i, s := range stack {
		p := &part{slice: s, base: -1, first: first, input: i == 0, output: i == len(stack)-1, whole: r.Whole()}
		if len(r.Slices) > 0 {
			p.path = []string{"slices", strconv.Itoa(i)}
		}
		for j, entry := range s.Sources {
			model := -1
			for k, ref := range refs { // the last: the base comes first and may be one of the models, too
				if ref.Same(entry.Model) {
					model = k
				}
			}
			if model < 0 {
				return nil, fmt.Errorf("no model was given for %s", entry.Model)
			}
			if (m.Base || m.Deltas) && entry.Model.Same(s.BaseModel) {
				p.base = j
			}
			p.sources = append(p.sources, source{model: model})
			if anatomies[model] == nil {
				anatomies[model] = dissect(headers[model])
			}
		}
		if m.Base && p.base < 0 {
			return nil, fmt.Errorf("%s needs a base model: give base_model", m.Name)
		}
		if !p.whole {
			problems = append(problems, p.ranges(headers, anatomies)...)
		}
		if i > 0 {
			s, like := p.sources[0], parts[0].sources[0]
			if s.stack != like.stack && s.stack != "" && like.stack != "" { // "" was reported
				problems = append(problems, p.at(0, otherStack(headers, s, like)))
			}
		}
		first += p.depth
		parts = append(parts, p)
	}
	if first > maxLayers {
		problems = append(problems, &EntryError{Path: []string{"slices"}, Err: fmt.Errorf("the result would have %d layers; %d is the most", first, maxLayers)})
	}
	if len(problems) > 0 {
		return nil, several(problems)
	}
	if p := parts[0]; len(parts) == 1 && !p.whole && p.full(anatomies) {
		p.whole = true
	}
	if !parts[0].whole {
		return parts, wholeOnly(r, m)
	}
	return parts, nil
}

// wholeOnly refuses ranges of layers where only whole models make sense.
func wholeOnly(r *configs.Recipe, m method.Method) error {
	no := func(format string, args ...any) error {
		path := []string{"slices", "0", "sources", "0", "layer_range"}
		return &EntryError{Path: path, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case m.Treated:
		return no("%s prunes whole models: write models, or one slice of all layers", m.Name)
	case r.Mergebot.Search != nil:
		return no("candidates of a search are scored in the base's place, layer by layer: write models, or one slice of all layers")
	case m.Name == "ties" && r.Mergebot.Semantics == "paper":
		return no("the paper's ties ranks the deltas of whole models: write models, or one slice of all layers")
	}
	return nil
}

// ranges finds every source's layers.
func (p *part) ranges(headers []Header, anatomies map[int]*anatomy) (problems []error) {
	for i := range p.sources {
		s := &p.sources[i]
		a, name := anatomies[s.model], headers[s.model].Name
		if len(a.stacks) != 1 {
			what := "no layers that slices could take"
			if len(a.stacks) > 1 {
				what = fmt.Sprintf("more than one stack of layers (%v), of which slices can take none", slices.Sorted(maps.Keys(a.stacks)))
			}
			problems = append(problems, p.at(i, fmt.Errorf("%s has %s: list whole models under models", name, what)))
			continue
		}
		var layers int
		for s.stack, layers = range a.stacks {
		}
		from, to := 0, layers
		if lr := p.slice.Sources[i].LayerRange; len(lr) == 2 {
			from, to = lr[0], lr[1]
		}
		switch {
		case from < 0 || to > layers || from >= to:
			problems = append(problems, p.at(i, fmt.Errorf("%w: %s has %d layers, 0 to %d; the range [%d, %d] goes on to layer %d", ErrLayers, name, layers, layers-1, from, to, to-1)))
			continue
		case p.depth > 0 && to-from != p.depth:
			problems = append(problems, p.at(i, fmt.Errorf("%w: %d of %s, but %d of the source before; all sources of a slice have as many layers", ErrLayers, to-from, name, p.depth)))
			continue
		case s.stack != p.sources[0].stack && p.sources[0].stack != "":
			problems = append(problems, p.at(i, otherStack(headers, *s, p.sources[0])))
			continue
		}
		s.first, p.depth = from, to-from
	}
	return problems
}

func otherStack(headers []Header, s, first source) error {
	return fmt.Errorf("%w: the layers of %s are named %s… and those of %s %s…; are they of one family?", ErrMissingTensor, headers[s.model].Name, s.stack, headers[first.model].Name, first.stack)
}

// full says that every source gives all its layers.
func (p *part) full(anatomies map[int]*anatomy) bool {
	for _, s := range p.sources {
		if s.first != 0 || p.depth != anatomies[s.model].stacks[s.stack] {
			return false
		}
	}
	return true
}

// anatomy is how a model's tensors are spread over its layers.
type anatomy struct {
	stacks map[string]int // what layers' names begin with → how many there are
	layers map[string]map[int]bool
	// shapes has those of each tensor, by its name within the layer or, outside the layers, its whole name: layers may
	// differ.
	shapes map[string][][]int64
	// counts says how many layers have the tensor.
	counts map[string]int
}

func dissect(h Header) *anatomy {
	a := &anatomy{stacks: map[string]int{}, layers: map[string]map[int]bool{}, shapes: map[string][][]int64{}, counts: map[string]int{}}
	for _, t := range h.Tensors {
		if derived(t) {
			continue
		}
		name := t.Name
		if stack, layer, rest, ok := dppa.SplitLayer(name); ok {
			if a.layers[stack] == nil {
				a.layers[stack] = map[int]bool{}
			}
			a.layers[stack][layer] = true
			a.stacks[stack] = max(a.stacks[stack], layer+1)
			name = rest
			a.counts[rest]++
		}
		if !slices.ContainsFunc(a.shapes[name], func(s []int64) bool { return slices.Equal(s, t.Shape) }) {
			a.shapes[name] = append(a.shapes[name], t.Shape)
		}
	}
	return a
}

// inView gives a tensor's name in the result; false for one that this part does
// not take from the source.
func (p *part) inView(s source, name string) (string, bool) {
	if p.whole {
		return name, true
	}
	stack, layer, rest, ok := dppa.SplitLayer(name)
	switch {
	case ok && stack == s.stack:
		if layer < s.first || layer >= s.first+p.depth {
			return "", false
		}
		return fmt.Sprint(stack, p.first+layer-s.first, ".", rest), true
	case isInput(name):
		return name, p.input
	}
	return name, p.output
}

// own gives the name that a tensor of the result has in one of its sources.
func (p *part) own(s source, name string) string {
	stack, layer, rest, ok := dppa.SplitLayer(name)
	if p.whole || !ok || stack != s.stack {
		return name
	}
	return fmt.Sprint(stack, layer-p.first+s.first, ".", rest)
}

// place is where in the part a tensor of the result stands, for gradients: 0 at
// the first layer and outside of them, 1 at the last, as in mergekit.
func (p *part) place(name string) float64 {
	_, layer, _, ok := dppa.SplitLayer(name)
	switch {
	case !ok:
		return 0
	case p.depth == 1:
		return 1
	}
	return float64(layer-p.first) / float64(p.depth-1)
}

// view is what a source offers to the part, by the result's names.
func (p *part) view(s source, table map[string]checkpoint.Tensor) map[string]checkpoint.Tensor {
	if p.whole {
		return table
	}
	out := map[string]checkpoint.Tensor{}
	for name, t := range table {
		if as, ok := p.inView(s, name); ok {
			out[as] = t
		}
	}
	return out
}
