package checkpoint

import (
	"fmt"
	"slices"
	"strings"
)

// role is the part that an adapter's tensor has in a module.
type role int

const (
	whole     role = iota // takes the place of a tensor: modules_to_save, biases
	factorA               // rank × in
	factorB               // out × rank
	magnitude             // DoRA: the length of each output's weights
	biasDelta             // lora_bias: is added to the module's bias, times the scale
)

// adapterSuffixes end the names of what an adapter adds to a module.
var adapterSuffixes = []struct {
	text      string
	role      role
	embedding bool
}{
	{".lora_A.weight", factorA, false}, {".lora_B.weight", factorB, false}, {".lora_B.bias", biasDelta, false},
	{".lora_embedding_A", factorA, true}, {".lora_embedding_B", factorB, true},
	{".lora_magnitude_vector", magnitude, false}, {".lora_magnitude_vector.weight", magnitude, false},
}

// adapterPrefix is how PEFT's wrapper names the model within it.
const adapterPrefix = "base_model.model."

// parseAdapterName splits a tensor's name into the module it belongs to and its role there; of a whole tensor it gives
// the name that the model has for it.
func parseAdapterName(name string) (module string, r role, embedding bool, err error) {
	rest, ok := strings.CutPrefix(name, adapterPrefix)
	if !ok || rest == "" {
		return "", 0, false, unsupported("tensor %.120q: names of PEFT's adapters begin with %s", name, adapterPrefix)
	}
	for _, s := range adapterSuffixes {
		if module, ok := strings.CutSuffix(rest, s.text); ok && module != "" && !strings.Contains(module, ".lora_") {
			return module, s.role, s.embedding, nil
		}
	}
	if strings.Contains("."+rest, ".lora_") {
		return "", 0, false, unsupported("tensor %.120q belongs to a kind of LoRA that is not built in; merge the adapter into its base by PEFT and give the result", name)
	}
	// PEFT keeps a wrapped layer's own tensors one level down.
	if module, last, ok := strings.Cut(rest, ".base_layer."); ok {
		rest = module + "." + last
	}
	return rest, whole, false, nil
}

// change is how an adapter changes one tensor of a model:
//
//	W' = g·(W + s·B·A)      the weights of a layer
//	b' = b + s·d            its bias
//
// where W or b may be the adapter's own. Empty names are parts that it lacks.
type change struct {
	tensor     string // of the model
	whole      string // of the adapter, as all that follow
	a, b       string
	magnitude  string
	add        string
	rank       int64
	scale      float64
	transposed bool // W is in × out
	embedding  bool

	module string
}

// adapterPlan collects the changes of an adapter to a model, and what keeps it from being applied.
type adapterPlan struct {
	config         *AdapterConfig
	base           map[string]Tensor
	tensors        map[string]Tensor // the adapter's
	changes        map[string]*change
	problems       []error
	plainSeen      bool // a layer that is not square and stores (out, in)
	transposedSeen bool
}

// Adapt says which of a model's tensors an adapter changes, from headers alone, and
// returns the model's tensors with these marked as Adapted. tied says that the
// model's config ties its output layer to the embeddings. Errors are
// ErrUnsupported: an adapter of another model, or with parts that are not known.
func (c *AdapterConfig) Adapt(model, adapter []Tensor, tied bool) ([]Tensor, error) {
	changes, err := c.plan(model, adapter, tied)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(model)
	for i := range out {
		out[i].Adapted = changes[out[i].Name] != nil
	}
	return out, nil
}

func (c *AdapterConfig) plan(model, adapter []Tensor, tied bool) (map[string]*change, error) {
	p := &adapterPlan{config: c, base: map[string]Tensor{}, tensors: map[string]Tensor{}, changes: map[string]*change{}}
	for _, t := range model {
		p.base[t.Name] = t
	}
	for _, t := range adapter {
		p.tensors[t.Name] = t
		p.add(t)
	}
	if len(adapter) == 0 {
		return nil, unsupported("it holds no tensors")
	}
	for _, ch := range p.sorted() {
		if err := p.check(ch, tied || !p.hasHead()); err != nil {
			p.problems = append(p.problems, err)
		}
	}
	if err := p.checkSquares(); err != nil {
		p.problems = append(p.problems, err)
	}
	if n := len(p.problems); n > 1 {
		return nil, fmt.Errorf("%w (and %d more like this)", p.problems[0], n-1)
	} else if n == 1 {
		return nil, p.problems[0]
	}
	return p.changes, nil
}

func (p *adapterPlan) sorted() []*change {
	out := make([]*change, 0, len(p.changes))
	for _, ch := range p.changes {
		out = append(out, ch)
	}
	slices.SortFunc(out, func(a, b *change) int { return strings.Compare(a.tensor, b.tensor) })
	return out
}

// add puts one of the adapter's tensors in its place.
func (p *adapterPlan) add(t Tensor) {
	fail := func(format string, args ...any) { p.problems = append(p.problems, unsupported(format, args...)) }
	module, r, embedding, err := parseAdapterName(t.Name)
	if err != nil {
		p.problems = append(p.problems, err)
		return
	}
	want := module
	switch r {
	case factorA, factorB, magnitude:
		want += ".weight"
	case biasDelta:
		want += ".bias"
	}
	name, ok := p.find(want)
	switch {
	case !ok && want == "lm_head.weight":
		fail("tensor %.120q changes the output layer, which the model does not store: it is tied to the embeddings", t.Name)
		return
	case !ok:
		fail("tensor %.120q is for %.120q, which the model does not have: was the adapter trained upon another one?", t.Name, want)
		return
	case !t.DType.Float() || !p.base[name].DType.Float():
		fail("tensor %.120q (%s) and the model's %s are not both floating-point", t.Name, t.DType, p.base[name].DType)
		return
	}
	ch := p.changes[name]
	if ch == nil {
		ch = &change{tensor: name, module: module}
		p.changes[name] = ch
	}
	place := map[role]*string{whole: &ch.whole, factorA: &ch.a, factorB: &ch.b, magnitude: &ch.magnitude, biasDelta: &ch.add}[r]
	if *place != "" {
		fail("tensors %.120q and %.120q have the same part in %.120q", *place, t.Name, name)
		return
	}
	*place = t.Name
	ch.embedding = ch.embedding || embedding
	if r != whole {
		ch.module = module
	}
}

// find is the name under which the model stores a tensor. Some old checkpoints, GPT-2's among them, were stored without
// the name of the model within the task's model (transformer.h.0… as h.0…).
func (p *adapterPlan) find(name string) (string, bool) {
	if _, ok := p.base[name]; ok {
		return name, true
	}
	_, rest, ok := strings.Cut(name, ".")
	if ok {
		_, ok = p.base[rest]
	}
	return rest, ok
}

// hasHead says that the model stores an output layer.
func (p *adapterPlan) hasHead() bool {
	for name := range p.base {
		if name == "lm_head.weight" || strings.HasSuffix(name, "embed_out.weight") {
			return true
		}
	}
	return false
}

// inputEmbeddings are the modules of token embeddings in the usual layouts.
var inputEmbeddings = []string{"embed_tokens", "wte", "embed_in", "word_embeddings"}

// check holds the parts of a change to the tensor's shape.
func (p *adapterPlan) check(ch *change, tied bool) error {
	w := p.base[ch.tensor]
	fail := func(format string, args ...any) error {
		return unsupported("%.120q: %s", ch.tensor, fmt.Sprintf(format, args...))
	}
	if tied {
		module := strings.TrimSuffix(ch.tensor, ".weight")
		last := module[strings.LastIndexByte(module, '.')+1:]
		switch {
		case last == "lm_head":
			return fail("the adapter changes the output layer, which the model's config ties to the embeddings")
		case slices.Contains(inputEmbeddings, last) && ch.whole != "" && !strings.Contains(ch.whole, ".base_layer."):
			return fail("the adapter has embeddings of its own, and the model ties its output layer to the old ones; merge it into its base by PEFT")
		}
	}
	if ch.whole != "" {
		if got := p.tensors[ch.whole].Shape; !slices.Equal(got, w.Shape) {
			return fail("the adapter's own is %v, the model's %v; a vocabulary that grew with the adapter is not built in", got, w.Shape)
		}
	}
	ch.scale, ch.rank = p.config.scale(ch.module)
	if ch.add != "" {
		if got := p.tensors[ch.add].Shape; !slices.Equal(got, w.Shape) {
			return fail("the adapter adds %v to %v", got, w.Shape)
		}
	}
	if ch.a == "" && ch.b == "" && ch.magnitude == "" {
		return nil
	}
	if ch.a == "" || ch.b == "" {
		return fail("the adapter has only one of lora_A and lora_B, or only a magnitude")
	}
	if (ch.magnitude != "") != p.config.dora {
		return fail("use_dora is %t and the adapter's tensors say otherwise", p.config.dora)
	}
	return p.checkFactors(ch, w, fail)
}

// checkFactors finds which way round the weights are.
func (p *adapterPlan) checkFactors(ch *change, w Tensor, fail func(string, ...any) error) error {
	a, b := p.tensors[ch.a].Shape, p.tensors[ch.b].Shape
	if len(a) != 2 || len(b) != 2 || len(w.Shape) != 2 {
		return fail("only matrices can be adapted, and these are %v, %v and %v", w.Shape, a, b)
	}
	if a[0] != ch.rank || b[1] != ch.rank {
		return fail("the factors %v and %v are not of rank %d, which the configuration gives them", a, b, ch.rank)
	}
	in, out := a[1], b[0]
	plain, turned := w.Shape[0] == out && w.Shape[1] == in, w.Shape[0] == in && w.Shape[1] == out
	switch {
	case ch.embedding && turned:
		ch.transposed = true
	case ch.embedding, !plain && !turned:
		return fail("factors %v and %v do not fit %v: was the adapter trained upon another model?", a, b, w.Shape)
	case plain && turned:
		ch.transposed = p.config.transposed // the shapes do not tell; see checkSquares
	case turned:
		ch.transposed, p.transposedSeen = true, true
	default:
		p.plainSeen = true
	}
	if ch.magnitude != "" {
		if got := p.tensors[ch.magnitude].Shape; !slices.Equal(got, []int64{out}) {
			return fail("the magnitudes are %v, not one for each of %d outputs", got, out)
		}
	}
	return nil
}

// checkSquares refuses to guess: PEFT decides by the kind of each layer, of which square weights show nothing, and its
// one switch for the whole adapter is then contradicted by another layer.
func (p *adapterPlan) checkSquares() error {
	contradicted := p.config.transposed && p.plainSeen || !p.config.transposed && p.transposedSeen
	if !contradicted {
		return nil
	}
	for _, ch := range p.sorted() {
		if shape := p.base[ch.tensor].Shape; ch.a != "" && !ch.embedding && len(shape) == 2 && shape[0] == shape[1] {
			return unsupported("%.120q is square, and fan_in_fan_out holds for only some of the adapter's layers: which way round it is stored cannot be told; merge the adapter into its base by PEFT", ch.tensor)
		}
	}
	return nil
}
