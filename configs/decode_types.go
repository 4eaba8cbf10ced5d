package configs

import (
	"reflect"

	"go.yaml.in/yaml/v3"
)

// modelRef reads `org/name@revision+adapter`, or the long form {model, lora,
// override_architecture}.
func (d *decoder) modelRef(n *yaml.Node, path string, into *ModelRef) {
	if n.Kind == yaml.ScalarNode {
		var text string
		before := len(d.errs)
		if d.text(n, &text); len(d.errs) > before {
			return
		}
		ref, err := ParseModelRef(text)
		if err != nil {
			d.fail(at(n), "", "%s", err)
			return
		}
		ref.Pos = at(n)
		*into = ref
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(at(n), "", "want a model such as org/name, not %s", describe(n))
		return
	}
	var long longRef
	d.object(n, path, reflect.ValueOf(&long).Elem())
	switch {
	case !d.written(join(path, "model")):
		d.failAt(path, "the model is missing: {model: org/name, lora: …}")
		return
	case long.Model.Lora != nil && !long.Lora.IsZero():
		d.failAt(join(path, "lora"), "the model has an +adapter already; one is the most")
		return
	}
	*into = long.Model
	into.Architecture = long.Architecture
	if !long.Lora.IsZero() {
		into.Lora = &long.Lora
	}
	into.Pos = at(n)
}

// longRef is the mapping form of a ModelRef.
type longRef struct {
	// The model itself.
	Model ModelRef `yaml:"model" jsonschema:"required"`
	// An adapter to apply to it first.
	Lora ModelRef `yaml:"lora"`
	// Read the model as this architecture.
	Architecture string `yaml:"override_architecture"`
}

func (d *decoder) parameters(n *yaml.Node, path string, into *Parameters) {
	*into = Parameters{}
	for _, e := range d.entries(n, path) {
		d.vals[e.path] = at(e.value)
		d.params[path] = append(d.params[path], e.name)
		if v, ok := d.value(e.value); ok {
			(*into)[e.name] = v
		}
	}
}

// value reads a parameter: a number or switch, a list of numbers, or {filter,
// value}, one or a list.
func (d *decoder) value(n *yaml.Node) (Value, bool) {
	d.depth++
	defer func() { d.depth-- }()
	n, ok := d.enter(n)
	if !ok {
		return Value{}, false
	}
	if n.Kind == yaml.SequenceNode && len(n.Content) > 0 && target(n.Content[0]).Kind == yaml.MappingNode {
		return d.cases(n)
	}
	if n.Kind == yaml.MappingNode { // one case may stand without a list
		c, ok := d.oneCase(n)
		return Value{cases: []valueCase{c}}, ok
	}
	return d.plainValue(n)
}

// plainValue reads a number, a switch or a gradient of either.
func (d *decoder) plainValue(n *yaml.Node) (Value, bool) {
	if n.Kind == yaml.SequenceNode {
		if len(n.Content) == 0 {
			d.fail(at(n), "", "an empty list has no value; write one number or more")
			return Value{}, false
		}
		numbers := make([]float64, len(n.Content))
		before := len(d.errs)
		for i, item := range n.Content {
			item, ok := d.enter(item)
			if !ok {
				break
			}
			if b, ok := boolOf(item); !ok {
				d.number(item, &numbers[i])
			} else if b {
				numbers[i] = 1
			}
		}
		return Value{numbers: numbers}, len(d.errs) == before
	}
	if b, ok := boolOf(n); ok {
		if b {
			return Scalar(1), true
		}
		return Scalar(0), true
	}
	var f float64
	before := len(d.errs)
	d.number(n, &f)
	return Scalar(f), len(d.errs) == before
}

func (d *decoder) cases(n *yaml.Node) (Value, bool) {
	var v Value
	before := len(d.errs)
	caught := false // a case that matches all has been seen
	for _, item := range n.Content {
		item, ok := d.enter(item)
		if !ok {
			break
		}
		if item.Kind != yaml.MappingNode {
			d.fail(at(item), "", "want {filter: …, value: …} like the entries before, not %s", describe(item))
			continue
		}
		if caught {
			d.fail(at(item), "", "never reached: an entry before it has no filter and matches every tensor")
		}
		c, ok := d.oneCase(item)
		if ok {
			v.cases = append(v.cases, c)
		}
		caught = caught || ok && (c.filter == "" || c.filter == "*")
	}
	return v, len(d.errs) == before
}

func (d *decoder) oneCase(n *yaml.Node) (valueCase, bool) {
	var c valueCase
	before, found := len(d.errs), false
	for _, e := range d.entries(n, "") {
		value, ok := d.enter(e.value)
		if !ok {
			break
		}
		switch e.name {
		case "filter":
			if !isNull(value) {
				d.text(value, &c.filter)
			}
		case "value":
			found = true
			c.value, _ = d.plainValue(value)
		default:
			d.fail(e.key, nearest(e.name, []string{"filter", "value"}), "unknown key %q in {filter, value}", clip(e.name))
		}
	}
	if !found {
		d.fail(at(n), "", "the value is missing: {filter: …, value: …}")
	}
	return c, len(d.errs) == before
}

// rangeOf reads {min, max, step}, whose missing parts keep their defaults, or
// a list of numbers.
func (d *decoder) rangeOf(n *yaml.Node, path string, into *Range) {
	switch n.Kind {
	case yaml.SequenceNode:
		*into = Range{}
		d.decode(n, path, &into.Values)
		if len(n.Content) == 0 {
			d.fail(at(n), "", "an empty list leaves nothing to try")
		}
	case yaml.MappingNode:
		d.object(n, path, reflect.ValueOf(into).Elem())
	default:
		d.fail(at(n), "", "want {min, max, step} or a list of numbers, not %s", describe(n))
	}
}

// domains reads the mapping of domains in the order of the file.
func (d *decoder) domains(n *yaml.Node, path string, into *[]Domain) {
	for _, e := range d.entries(n, path) {
		domain := Domain{Pos: e.key}
		d.decode(e.value, e.path, &domain)
		domain.Name, domain.Pos = e.name, e.key
		*into = append(*into, domain)
	}
}

// tokens reads the mapping of tokens in the order of the file, in which new ones
// get their ids.
func (d *decoder) tokens(n *yaml.Node, path string, into *[]Token) {
	for _, e := range d.entries(n, path) {
		token := Token{Pos: e.key}
		d.decode(e.value, e.path, &token)
		token.Text, token.Pos = e.name, e.key
		*into = append(*into, token)
	}
}

// tokenSource reads a model in either form, or a mapping with a kind.
func (d *decoder) tokenSource(n *yaml.Node, path string, into *TokenSource) {
	kind := false
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			kind = kind || n.Content[i].Value == "kind"
		}
	}
	if kind {
		d.object(n, path, reflect.ValueOf(into).Elem())
		return
	}
	d.modelRef(n, path, &into.Model)
}

// dppa reads the section twice: the preset decides the defaults, wherever in
// the section it stands.
func (d *decoder) dppa(n *yaml.Node, path string, into *DPPA) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "preset" {
				*into = dppaDefaults(target(n.Content[i+1]).Value)
			}
		}
	}
	d.object(n, path, reflect.ValueOf(into).Elem())
}

func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
