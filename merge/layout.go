package merge

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mergebot/merge/checkpoint"
	"mergebot/merge/dppa"
)

// tensor is one tensor of the result.
type tensor struct {
	name     string
	shape    []int64
	count    int64
	dtype    checkpoint.DType // the reference source's
	part     *part
	place    float64   // its layer's in the part, for gradients
	stored   []string  // its name in each source's files, "" where that is not read
	gathered *gathered // where its rows are put in the result's order; else nil
	float    bool      // false: copied from the reference source as it is
}

// layout is the tensors of a merge, sorted by name.
type layout struct {
	tensors []tensor
	index   map[string]int
	layers  int  // of the result; 0 where it has more than one stack of them, or none
	tied    bool // lm_head is the embeddings
	notes   []string
}

const lmHead = "lm_head.weight"

// embeddings are the names of the input embeddings in the usual layouts.
var embeddings = []string{"model.embed_tokens.weight", "transformer.wte.weight", "wte.weight", "embed_tokens.weight", "gpt_neox.embed_in.weight", "model.language_model.embed_tokens.weight", "language_model.model.embed_tokens.weight"}

// heads are the names of the output layer in the usual layouts.
var heads = []string{lmHead, "embed_out.weight", "output.weight"}

// hasVocabulary says that a tensor has a row for each token.
func hasVocabulary(name string) bool {
	return slices.Contains(heads, name) || slices.Contains(embeddings, name)
}

// isInput says that a tensor outside the layers comes before them, as token and
// position embeddings do, and not after, as the final norm and the output layer.
func isInput(name string) bool {
	if strings.HasPrefix(name, "embed_out.") {
		return false
	}
	return slices.ContainsFunc([]string{"embed", "embd", "wte.", "wpe.", "rotary", "relative_pe"}, func(s string) bool { return strings.Contains(name, s) })
}

// derived reports tensors that old checkpoints store although the model
// computes them; they are not merged and not written.
func derived(t checkpoint.Tensor) bool {
	if mask := len(t.Shape) == 4 && (strings.HasSuffix(t.Name, ".attention.bias") || strings.HasSuffix(t.Name, ".attn.bias")); mask {
		return true
	}
	return strings.HasSuffix(t.Name, ".rotary_emb.inv_freq") || strings.HasSuffix(t.Name, ".masked_bias") && len(t.Shape) == 0
}

// align finds the tensors that the sources of each part have in common. The
// model whose config the result has must fit, too.
func align(headers []Header, parts []*part, owner int) (*layout, error) {
	l := &layout{index: map[string]int{}}
	last := parts[len(parts)-1]
	l.tied = headers[last.sources[last.reference()].model].Tied
	a := aligner{layout: l, headers: headers, owner: owner, tables: make([]map[string]checkpoint.Tensor, len(headers))}
	for i := range headers {
		a.table(i, headers[last.sources[last.reference()].model].Name)
	}
	for _, p := range parts {
		a.part(p)
	}
	for _, p := range parts {
		if p.sources[p.reference()].model != owner {
			a.like(parts)
			break
		}
	}
	if len(a.problems) > 0 {
		return nil, several(a.problems)
	}
	slices.SortFunc(l.tensors, func(a, b tensor) int { return strings.Compare(a.name, b.name) })
	slices.Sort(l.notes)
	l.notes = slices.Compact(l.notes)
	names := make([]string, len(l.tensors))
	for i, t := range l.tensors {
		l.index[t.name], names[i] = i, t.name
	}
	_, layers := dppa.Classify(names, func(n string) []int64 { return l.tensors[l.index[n]].shape })
	stacks := dissect(Header{Tensors: named(names)}).stacks
	if len(stacks) == 1 {
		l.layers = len(layers)
	}
	for i := range l.tensors {
		t := &l.tensors[i]
		stack, layer, _, ok := dppa.SplitLayer(t.name)
		switch {
		case !t.part.whole:
			t.place = t.part.place(t.name)
		case ok && stacks[stack] > 1: // a gradient runs through each stack by itself: a decoder, a vision tower
			t.place = float64(layer) / float64(stacks[stack]-1)
		case ok:
			t.place = 1
		}
	}
	return l, nil
}

func named(names []string) []checkpoint.Tensor {
	out := make([]checkpoint.Tensor, len(names))
	for i, n := range names {
		out[i].Name = n
	}
	return out
}

// aligner is an align under way.
type aligner struct {
	*layout
	headers  []Header
	owner    int                            // whose config.json the result has
	tables   []map[string]checkpoint.Tensor // by model: the tensors that count
	problems []error
}

func (a *aligner) fail(err error) {
	if err != nil {
		a.problems = append(a.problems, err)
	}
}

func (l *layout) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// table takes out of a model's tensors what is not merged. first is the model
// that says whether lm_head is tied.
func (a *aligner) table(i int, first string) {
	h := a.headers[i]
	a.tables[i] = map[string]checkpoint.Tensor{}
	for _, t := range h.Tensors {
		switch {
		case derived(t):
			a.note("%s: %s is computed by the model and left out", h.Name, t.Name)
		case t.Name == lmHead && h.Tied:
			a.note("%s: lm_head.weight is tied to the embeddings and left out", h.Name)
		case t.Name == lmHead && a.tied:
			a.note("%s: lm_head.weight is left out, because %s ties it to the embeddings", h.Name, first)
		default:
			if !t.DType.Float() && len(t.Shape) > 1 {
				a.fail(fmt.Errorf("%w: %s of %s is stored as %s; use the float16 or bfloat16 version of the model", ErrQuantised, t.Name, h.Name, t.DType))
			}
			a.tables[i][t.Name] = t
		}
	}
}

// part lays out the tensors of one part.
func (a *aligner) part(p *part) {
	views := make([]map[string]checkpoint.Tensor, len(p.sources))
	for i, s := range p.sources {
		views[i] = p.view(s, a.tables[s.model])
	}
	for i, s := range p.sources { // before its absence is reported tensor by tensor
		if missing := p.gap(s, views[i]); missing >= 0 {
			a.fail(p.at(i, fmt.Errorf("%w: %s has no tensors of layer %d", ErrMissingTensor, a.headers[s.model].Name, missing)))
			return
		}
	}
	reference := views[p.reference()]
	first := a.headers[p.sources[p.reference()].model].Name
	for name, t := range reference {
		a.add(p, name, t, views)
	}
	for i, view := range views {
		for name, t := range view {
			if _, ok := reference[name]; !ok {
				a.fail(p.at(i, fmt.Errorf("%w: %s has %s and %s does not; are they of one family?", ErrMissingTensor, a.headers[p.sources[i].model].Name, t.Name, first)))
			}
		}
	}
}

// gap finds a layer of the part's that a source has nothing of; −1 without.
func (p *part) gap(s source, view map[string]checkpoint.Tensor) int {
	if p.whole {
		return -1
	}
	have := map[int]bool{}
	for name := range view {
		if _, layer, _, ok := dppa.SplitLayer(name); ok {
			have[layer] = true
		}
	}
	for k := range p.depth {
		if !have[p.first+k] {
			return s.first + k
		}
	}
	return -1
}

// add lays one tensor of the reference source out against all others.
func (a *aligner) add(p *part, name string, t checkpoint.Tensor, views []map[string]checkpoint.Tensor) {
	first := a.headers[p.sources[p.reference()].model]
	moves := p.rows != nil && hasTokenRows(name, t.Shape) && t.DType.Float()
	if moves {
		t.Shape = append([]int64{int64(p.rows.Size)}, t.Shape[1:]...)
	} else {
		t.Shape = a.vocabulary(first, name, t.Shape)
	}
	out := tensor{name: name, part: p, shape: t.Shape, count: volume(t.Shape), dtype: t.DType, float: t.DType.Float()}
	if moves {
		out.gathered = newGathered(p.rows, t.Shape, len(p.sources))
	}
	for i, s := range p.sources {
		h := a.headers[s.model]
		other, ok := views[i][name]
		if !ok && name == lmHead && h.Tied {
			if other, ok = embedding(a.tables[s.model]); ok {
				a.note("%s: its tied embeddings stand for lm_head.weight", h.Name)
			}
		}
		if !ok {
			out.stored = append(out.stored, "")
			if out.float { // else only the first model's is used
				a.fail(p.at(i, fmt.Errorf("%w: %s has %s and %s does not; are they of one family?", ErrMissingTensor, first.Name, t.Name, h.Name)))
			}
			continue
		}
		if moves {
			a.fail(p.at(i, a.rowsFit(p, i, name, first.Name, t.Shape, other.Shape)))
		} else if err := fits(name, first.Name, t.Shape, h, other.Shape); err != nil {
			a.fail(p.at(i, err))
		} else if len(t.Shape) > 0 && other.Shape[0] != t.Shape[0] {
			keeper := first.Name
			if i == p.reference() {
				keeper = a.headers[a.owner].Name
			}
			a.note("%s: %d of the %d rows of %s are beyond the vocabulary of %s and left out", h.Name, other.Shape[0]-t.Shape[0], other.Shape[0], name, keeper)
		}
		out.stored = append(out.stored, other.Name)
	}
	a.tensors = append(a.tensors, out)
}

// rowsFit makes sure that a source has all rows of a tensor that are gathered, of
// the right width.
func (a *aligner) rowsFit(p *part, i int, name, first string, want, got []int64) error {
	h := a.headers[p.sources[i].model]
	if len(got) == 0 || !slices.Equal(want[1:], got[1:]) {
		return fmt.Errorf("%w: %s is %v in %s and %v wide in %s; only models with rows of the same width can be merged", ErrShape, name, got, h.Name, want[1:], first)
	}
	most := int64(slices.Max(p.rows.Own[i]))
	for _, all := range p.rows.Others {
		for _, o := range all {
			if o.Model == i {
				most = max(most, int64(o.Row))
			}
		}
	}
	if most >= got[0] {
		return fmt.Errorf("%w: %s has %d rows of %s, and tokens of ids up to %d", ErrShape, h.Name, got[0], name, most)
	}
	return nil
}

// vocabulary leaves out of an embedding's shape the rows that the model whose
// config the result has does not know, where the recipe wants that.
func (a *aligner) vocabulary(h Header, name string, shape []int64) []int64 {
	own, ok := a.tables[a.owner][name]
	if !ok && name == lmHead {
		own, ok = embedding(a.tables[a.owner])
	}
	if !ok || !h.Trim || !hasVocabulary(name) || fits(name, "", own.Shape, h, shape) != nil {
		return shape
	}
	return own.Shape
}

// like holds the parts to the model whose config.json the result has: every layer
// has the shapes of one of its layers, and the tensors that all of its layers have.
func (a *aligner) like(parts []*part) {
	h := a.headers[a.owner]
	own := dissect(Header{Tensors: slices.Collect(maps.Values(a.tables[a.owner]))})
	most := 0
	for _, n := range own.stacks {
		most = max(most, n)
	}
	have := map[string]bool{}
	for i := range a.tensors {
		t := &a.tensors[i]
		have[t.name] = true
		at := t.part.reference()
		model := a.headers[t.part.sources[at].model]
		key := t.name
		if _, _, rest, ok := dppa.SplitLayer(t.name); ok {
			key = rest
		}
		shapes := own.shapes[key]
		if e, ok := embedding(a.tables[a.owner]); len(shapes) == 0 && key == lmHead && ok {
			shapes = [][]int64{e.Shape} // the owner ties it
		}
		switch {
		case len(shapes) == 0 && t.float:
			a.fail(t.part.at(at, fmt.Errorf("%w: %s has %s and %s does not; are they of one family?", ErrMissingTensor, model.Name, t.stored[at], h.Name)))
		case t.gathered != nil && slices.ContainsFunc(shapes, func(s []int64) bool { return len(s) > 0 && slices.Equal(s[1:], t.shape[1:]) }):
		case len(shapes) == 0 || slices.ContainsFunc(shapes, func(s []int64) bool { return slices.Equal(s, t.shape) }):
		default:
			a.fail(t.part.at(at, fits(t.name, h.Name, shapes[0], model, t.shape)))
		}
	}
	for _, p := range parts {
		at := p.reference()
		model := a.headers[p.sources[at].model].Name
		lack := func(name string) {
			a.fail(p.at(at, fmt.Errorf("%w: %s has %s and %s does not; are they of one family?", ErrMissingTensor, h.Name, name, model)))
		}
		for key := range own.shapes {
			n, inLayers := own.counts[key]
			if !inLayers {
				if (p.input && isInput(key) || p.output && !isInput(key)) && !have[key] && key != lmHead {
					lack(key)
				}
				continue
			}
			for k := range p.depth {
				if n == most && !have[fmt.Sprint(p.sources[at].stack, p.first+k, ".", key)] {
					lack(key)
					break
				}
			}
		}
	}
}

func volume(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

func embedding(table map[string]checkpoint.Tensor) (checkpoint.Tensor, bool) {
	for _, name := range embeddings {
		if t, ok := table[name]; ok {
			return t, true
		}
	}
	return checkpoint.Tensor{}, false
}

// fits compares a shape with the first model's.
func fits(name, first string, want []int64, h Header, got []int64) error {
	if slices.Equal(want, got) {
		return nil
	}
	if !hasVocabulary(name) || len(want) != 2 || len(got) != 2 || want[1] != got[1] {
		return fmt.Errorf("%w: %s is %v in %s and %v in %s; only fine-tuned models of the same base can be merged", ErrShape, name, got, h.Name, want, first)
	}
	if got[0] > want[0] {
		if h.Trim {
			return nil
		}
		return fmt.Errorf("%w: %s has %d tokens and %s %d; set tokenizer_source: base to leave the added ones out", ErrVocabulary, h.Name, got[0], first, want[0])
	}
	return fmt.Errorf("%w: %s has %d tokens and %s %d; an expert cannot have fewer than the base: use one with the base's tokenizer", ErrVocabulary, h.Name, got[0], first, want[0])
}

// several joins problems in a fixed order, the first few of them.
func several(problems []error) error {
	const most = 8
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	problems = slices.CompactFunc(problems, func(a, b error) bool { return a.Error() == b.Error() }) // a vocabulary has two tensors
	if n := len(problems); n > most {
		problems = append(problems[:most:most], fmt.Errorf("and %d more like these", n-most))
	}
	return errors.Join(problems...)
}
