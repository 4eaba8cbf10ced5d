package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Limits on what one file may cost. Aliases count each time they are read, so
// that a small file cannot stand for a large one.
const (
	maxNodes    = 10_000
	maxDepth    = 32
	maxProblems = 100
	maxKey      = 200
)

// decoder fills Go values from YAML nodes. The `yaml` tags of the types name
// the keys; there is no other list of them. Nothing stops at the first problem.
type decoder struct {
	file string
	errs Errors
	keys map[string]Position // where the key of a path stands
	vals map[string]Position // where its value stands
	// params lists what each `parameters:` mapping names, in order, also what
	// could not be read.
	params map[string][]string
	stray  bool // a key is not known where it stands: it may be what another place lacks
	nodes  int
	depth  int
}

func newDecoder(file string) *decoder {
	return &decoder{file: file, keys: map[string]Position{}, vals: map[string]Position{}, params: map[string][]string{}}
}

// full says that enough has been found wrong: reading on would only cost time.
func (d *decoder) full() bool { return len(d.errs) >= maxProblems || d.nodes > maxNodes }

func (d *decoder) fail(p Position, suggestion, format string, args ...any) {
	if len(d.errs) < maxProblems {
		d.errs = append(d.errs, Error{File: d.file, Position: p, Message: fmt.Sprintf(format, args...), Suggestion: suggestion})
	}
}

// failAt reports a problem with the value at a path, or with the nearest thing
// around it that the file has.
func (d *decoder) failAt(path, format string, args ...any) {
	d.fail(d.place(d.vals, path), "", format, args...)
}

// failKey is failAt for the key itself.
func (d *decoder) failKey(path, suggestion, format string, args ...any) {
	d.fail(d.place(d.keys, path), suggestion, format, args...)
}

// errorsAt says that a problem with the very value at a path is known already,
// so that checks do not report what follows from it.
func (d *decoder) errorsAt(path string) bool {
	p, ok := d.vals[path]
	return ok && slices.ContainsFunc(d.errs, func(e Error) bool { return e.Position == p })
}

func (d *decoder) place(in map[string]Position, path string) Position {
	for {
		if p, ok := in[path]; ok {
			return p
		}
		if p, ok := d.vals[path]; ok {
			return p
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return Position{1, 1}
		}
		path = path[:i]
	}
}

// written says that the file has something at this path.
func (d *decoder) written(path string) bool { _, ok := d.vals[path]; return ok }

// keyed says that the file has this key, with whatever value.
func (d *decoder) keyed(path string) bool { _, ok := d.keys[path]; return ok }

// decode fills into, a pointer. A null leaves it as it is, as in mergekit.
func (d *decoder) decode(n *yaml.Node, path string, into any) {
	d.depth++
	defer func() { d.depth-- }()
	n, ok := d.enter(n)
	if !ok || isNull(n) {
		return
	}
	d.vals[path] = at(n)
	switch v := into.(type) {
	case *ModelRef:
		d.modelRef(n, path, v)
	case *Parameters:
		d.parameters(n, path, v)
	case *Range:
		d.rangeOf(n, path, v)
	case *[]Domain:
		d.domains(n, path, v)
	case *[]Token:
		d.tokens(n, path, v)
	case *TokenSource:
		d.tokenSource(n, path, v)
	case *DPPA:
		d.dppa(n, path, v)
	case *string:
		d.text(n, v)
	case *bool:
		d.toggle(n, v)
	case *int:
		d.whole(n, v)
	case *time.Duration:
		d.duration(n, v)
	case *int64:
		d.bytes(n, v)
	case *uint64:
		d.seed(n, v)
	case *float64:
		d.number(n, v)
	default:
		d.composite(n, path, reflect.ValueOf(into).Elem())
	}
}

// composite fills what is made of other things, by the shape of its type.
func (d *decoder) composite(n *yaml.Node, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		fresh := reflect.New(v.Type().Elem())
		d.decode(n, path, fresh.Interface())
		v.Set(fresh)
	case reflect.Slice:
		d.list(n, path, v)
	case reflect.Map:
		d.table(n, path, v)
	case reflect.Struct:
		d.object(n, path, v)
	default:
		panic("configs: no decoding for " + v.Type().String())
	}
}

// enter follows an alias and holds the file to its limits.
func (d *decoder) enter(n *yaml.Node) (*yaml.Node, bool) {
	if !d.spend(n, 1) {
		return nil, false
	}
	if d.depth > maxDepth {
		d.fail(at(n), "", "nested deeper than %d levels", maxDepth)
		return nil, false
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias, true
	}
	return n, true
}

// spend counts values read and says once that there are too many.
func (d *decoder) spend(n *yaml.Node, values int) bool {
	if d.nodes <= maxNodes && d.nodes+values > maxNodes {
		d.errs = append(d.errs, Error{File: d.file, Position: at(n),
			Message: fmt.Sprintf("the file has more than %d values, aliases counted each time they are used", maxNodes)})
	}
	d.nodes += values
	return d.nodes <= maxNodes
}

func (d *decoder) list(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.fail(at(n), "", "want a list, not %s", describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // [] is not the same as absent
	for i, item := range n.Content {
		one := reflect.New(v.Type().Elem())
		if isNull(item) {
			d.fail(at(item), "", "empty entry in a list; remove it or fill it in")
		}
		d.decode(item, index(path, i), one.Interface())
		v.Set(reflect.Append(v, one.Elem()))
	}
}

func (d *decoder) table(n *yaml.Node, path string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range d.entries(n, path) {
		one := reflect.New(v.Type().Elem())
		d.decode(e.value, e.path, one.Interface())
		v.SetMapIndex(reflect.ValueOf(e.name), one.Elem())
	}
}

func (d *decoder) object(n *yaml.Node, path string, v reflect.Value) {
	setDefaults(v.Addr().Interface())
	if pos := v.FieldByName("Pos"); pos.IsValid() {
		pos.Set(reflect.ValueOf(at(n)))
	}
	names, fields := fieldsOf(v.Type())
	for _, e := range d.entries(n, path) {
		i, ok := fields[e.name]
		if !ok {
			d.unknownKey(e, path, v.Type(), names)
			continue
		}
		d.decode(e.value, e.path, v.Field(i).Addr().Interface())
	}
}

// fieldsOf lists the keys of a struct, in its order, and where they go.
func fieldsOf(t reflect.Type) ([]string, map[string]int) {
	var names []string
	index := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			names = append(names, name)
			index[name] = i
		}
	}
	return names, index
}

// entry is one key of a mapping with its value.
type entry struct {
	name  string
	path  string
	key   Position
	value *yaml.Node
}

// entries lists a mapping's keys in order. `<<` brings in the keys of another
// mapping that this one does not have itself.
func (d *decoder) entries(n *yaml.Node, path string) []entry {
	if n.Kind != yaml.MappingNode {
		d.fail(at(n), "", "want a mapping, not %s", describe(n))
		return nil
	}
	if !d.spend(n, len(n.Content)/2) {
		return nil
	}
	var out []entry
	var merged []*yaml.Node
	seen := map[string]Position{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		switch {
		case k.Kind != yaml.ScalarNode || isNull(k):
			d.fail(at(k), "", "want a name as key, not %s", describe(k))
			continue
		case k.ShortTag() == "!!merge":
			merged = append(merged, value)
			continue
		}
		if len(k.Value) > maxKey {
			d.fail(at(k), "", "key of %d bytes; the longest allowed has %d", len(k.Value), maxKey)
			continue
		}
		if first, twice := seen[k.Value]; twice {
			d.fail(at(k), "", "%q is given twice; the first is in line %d", clip(k.Value), first.Line)
			continue
		}
		seen[k.Value] = at(k)
		e := entry{name: k.Value, path: join(path, k.Value), key: at(k), value: value}
		d.keys[e.path] = e.key
		out = append(out, e)
	}
	for _, m := range merged {
		for _, e := range d.mergedEntries(m, path) {
			if _, own := seen[e.name]; !own {
				seen[e.name] = e.key
				out = append(out, e)
			}
		}
	}
	return out
}

// mergedEntries reads what stands after `<<`: a mapping or a list of them, of
// which the first has the say.
func (d *decoder) mergedEntries(n *yaml.Node, path string) []entry {
	d.depth++
	defer func() { d.depth-- }()
	n, ok := d.enter(n)
	if !ok {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.entries(n, path)
	case yaml.SequenceNode:
		var out []entry
		for _, item := range n.Content {
			out = append(out, d.mergedEntries(item, path)...)
			if d.full() {
				break
			}
		}
		return out
	default:
		d.fail(at(n), "", "want a mapping after <<, not %s", describe(n))
		return nil
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func at(n *yaml.Node) Position { return Position{n.Line, n.Column} }

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// clip keeps outside text in messages short.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:77], "") + "…"
	}
	return s
}
