package dppa

import (
	"regexp"
	"sort"
	"strconv"
)

// Kind says how a tensor is pruned.
type Kind string

const (
	// LinearKind is a weight of two or more dimensions in a decoder layer.
	LinearKind Kind = "linear"
	// OtherKind is any other such weight: embeddings, lm_head.
	OtherKind Kind = "other"
	// VectorKind has one dimension or none: norms, biases. Never pruned.
	VectorKind Kind = "vector"
)

// Class is a tensor's place in the model.
type Class struct {
	Kind  Kind
	Layer int // index into the layers, −1 outside them
}

// layerName matches the layer part of a tensor's name in the usual layouts:
// model.layers.3., transformer.h.3., gpt_neox.layers.3., model.blocks.3.
var layerName = regexp.MustCompile(`^((?:.*\.)?(?:layers|layer|h|blocks|block)\.)(\d+)\.`)

// SplitLayer takes the name of a layer's tensor apart: model.layers.3.mlp.bias is
// model.layers., 3 and mlp.bias. It is false for tensors outside the layers.
func SplitLayer(name string) (stack string, layer int, rest string, ok bool) {
	m := layerName.FindStringSubmatch(name)
	if m == nil {
		return "", 0, "", false
	}
	layer, err := strconv.Atoi(m[2])
	return m[1], layer, name[len(m[0]):], err == nil
}

// Classify sorts tensors, given by name and shape, into linears, others and
// vectors, and returns the prefixes of the layers found, in order: by stack, then
// by number.
func Classify(names []string, shape func(string) []int64) (classes []Class, layers []string) {
	type key struct {
		stack  string
		number int
	}
	keys := make([]key, len(names))
	index := map[key]int{}
	for i, name := range names {
		keys[i].number = -1
		if stack, n, _, ok := SplitLayer(name); ok {
			keys[i] = key{stack, n}
			index[keys[i]] = 0
		}
	}
	ordered := make([]key, 0, len(index))
	for k := range index {
		ordered = append(ordered, k)
	}
	sort.Slice(ordered, func(a, b int) bool {
		if ordered[a].stack != ordered[b].stack {
			return ordered[a].stack < ordered[b].stack
		}
		return ordered[a].number < ordered[b].number
	})
	for i, k := range ordered {
		index[k] = i
		layers = append(layers, k.stack+strconv.Itoa(k.number))
	}
	classes = make([]Class, len(names))
	for i, name := range names {
		classes[i] = Class{Kind: OtherKind, Layer: -1}
		if keys[i].number >= 0 {
			classes[i] = Class{Kind: LinearKind, Layer: index[keys[i]]}
		}
		if len(shape(name)) < 2 {
			classes[i].Kind = VectorKind
		}
	}
	return classes, layers
}
