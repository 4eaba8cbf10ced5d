package configs

import (
	"fmt"
	"math"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

func isNull(n *yaml.Node) bool {
	return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// describe names what stands at a node, for "want …, not …".
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the switch " + clip(n.Value)
	case "!!int", "!!float":
		return "the number " + clip(n.Value)
	}
	return fmt.Sprintf("the text %q", clip(n.Value))
}

func (d *decoder) text(n *yaml.Node, into *string) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.fail(at(n), "", "want text, not %s", describe(n))
	case n.ShortTag() != "!!str":
		d.fail(at(n), "", "want text, not %s; put it in quotes if it is meant as text", describe(n))
	default:
		*into = n.Value
	}
}

func (d *decoder) toggle(n *yaml.Node, into *bool) {
	b, ok := boolOf(n)
	if !ok {
		d.fail(at(n), "", "want true or false, not %s", describe(n))
		return
	}
	*into = b
}

// boolOf also takes yes, no, on and off, which are switches in the YAML that
// mergekit reads.
func boolOf(n *yaml.Node) (value, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return false, false
	}
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off":
		return false, true
	}
	return false, false
}

func (d *decoder) whole(n *yaml.Node, into *int) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.fail(at(n), "", "want a whole number, not %s", describe(n))
		return
	}
	var v int32 // no count in a recipe needs more
	if err := n.Decode(&v); err != nil {
		d.fail(at(n), "", "%s is out of range", clip(n.Value))
		return
	}
	*into = int(v)
}

func (d *decoder) bytes(n *yaml.Node, into *int64) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.fail(at(n), "", "want a whole number of bytes, not %s", describe(n))
		return
	}
	if err := n.Decode(into); err != nil {
		d.fail(at(n), "", "%s is out of range", clip(n.Value))
	}
}

func (d *decoder) duration(n *yaml.Node, into *time.Duration) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		if v, err := time.ParseDuration(n.Value); err == nil {
			*into = v
			return
		}
	}
	d.fail(at(n), "", "want a duration such as 10m, not %s", describe(n))
}

func (d *decoder) seed(n *yaml.Node, into *uint64) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.fail(at(n), "", "want a whole number, not %s", describe(n))
		return
	}
	if err := n.Decode(into); err != nil {
		d.fail(at(n), "", "%s is out of range; want 0 to 18446744073709551615", clip(n.Value))
	}
}

func (d *decoder) number(n *yaml.Node, into *float64) {
	if f, ok := numberOf(n); ok {
		*into = f
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && looksNumeric(n.Value) {
		d.fail(at(n), "", "want a number, not %s; remove the quotes", describe(n))
		return
	}
	d.fail(at(n), "", "want a finite number, not %s", describe(n))
}

func numberOf(n *yaml.Node) (float64, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" && n.ShortTag() != "!!float" {
		return 0, false
	}
	var f float64
	if err := n.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, false
	}
	return f + 0, true // -0 becomes 0, so that equal recipes hash alike
}

func looksNumeric(s string) bool {
	var plain yaml.Node
	if len(s) > 40 {
		return false
	}
	if yaml.Unmarshal([]byte(s), &plain) != nil || len(plain.Content) != 1 {
		return false
	}
	_, ok := numberOf(plain.Content[0])
	return ok
}
