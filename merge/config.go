package merge

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// depthKeys are what config.json calls the number of layers.
var depthKeys = []string{"num_hidden_layers", "n_layer", "num_layers", "n_layers"}

// numberedKeys are lists of layers' numbers.
var numberedKeys = []string{"mlp_only_layers", "full_attn_idxs", "cross_attention_layers"}

// splitKeys divide the layers by number or by turns; what they should be after a
// restacking is not for a program to say.
var splitKeys = []string{"first_k_dense_replace", "num_kv_shared_layers", "attn_layer_period", "attn_layer_offset", "expert_layer_period", "expert_layer_offset", "hybrid_override_pattern"}

// isPerLayer says that a list of config.json with as many entries as layers has
// one for each.
func isPerLayer(key string) bool {
	return strings.Contains(key, "layer") || slices.Contains([]string{"attn_type_list", "activation_sparsity_pattern",
		"intermediate_size", "num_attention_heads", "num_query_heads", "num_key_value_heads", "num_kv_heads", "ffn_multipliers"}, key)
}

// origin is where a layer of the result's config comes from: the reference source
// of its part.
type origin struct{ model, layer int }

// reshape finds what must be changed in the owner's config.json so that it
// describes the result: the number of layers, lists with an entry for each layer
// or with layers' numbers, and whether lm_head is tied. It is nil where the config
// holds as it is. notes are for people.
func reshape(headers []Header, parts []*part, owner int, l *layout) (edit map[string]any, notes []string, err error) {
	own := headers[owner]
	if own.Config == nil {
		return nil, nil, nil
	}
	edit = map[string]any{}
	section, nested := layered(own.Config)
	changed := maps.Clone(section)
	if own.Tied != l.tied {
		changed["tie_word_embeddings"] = l.tied
		if _, ok := own.Config["tie_word_embeddings"]; ok {
			edit["tie_word_embeddings"] = l.tied
		}
	}
	if !parts[0].whole {
		var origins []origin
		for _, p := range parts {
			s := p.sources[p.reference()]
			for k := range p.depth {
				origins = append(origins, origin{s.model, s.first + k})
			}
		}
		if notes, err = restack(headers, own.Name, changed, origins); err != nil {
			return nil, nil, err
		}
	}
	if nested && !reflect.DeepEqual(changed, section) {
		edit["text_config"] = changed
		return edit, notes, nil
	}
	for key, v := range changed {
		if !reflect.DeepEqual(v, section[key]) {
			edit[key] = v
		}
	}
	return edit, notes, nil
}

// layered is the object of a config.json that describes the layers.
func layered(config map[string]any) (section map[string]any, nested bool) {
	if inner, ok := config["text_config"].(map[string]any); ok && depthOf(config) == 0 {
		return inner, true
	}
	return config, false
}

func depthOf(section map[string]any) int {
	for _, key := range depthKeys {
		if n, ok := section[key].(float64); ok && n > 0 && n <= maxLayers {
			return int(n)
		}
	}
	return 0
}

// restack changes what section says about layers.
func restack(headers []Header, owner string, section map[string]any, origins []origin) (notes []string, err error) {
	depth := depthOf(section)
	if depth == 0 {
		return []string{fmt.Sprintf("config.json of %s does not say how many layers it has: it is kept as it is", owner)}, nil
	}
	for _, key := range slices.Sorted(maps.Keys(section)) {
		list, isList := section[key].([]any)
		switch {
		case slices.Contains(depthKeys, key):
			section[key] = float64(len(origins))
		case slices.Contains(numberedKeys, key) && isList:
			section[key] = numbered(headers, key, origins)
		case isList && len(list) == depth && isPerLayer(key):
			if section[key], err = perLayer(headers, owner, key, origins); err != nil {
				return nil, err
			}
		case slices.Contains(splitKeys, key) && section[key] != nil && section[key] != 0.0:
			notes = append(notes, fmt.Sprintf("config.json of %s has %s: %v, which tells layers apart by their numbers and is kept; look whether it still fits", owner, key, section[key]))
		}
	}
	return notes, nil
}

// perLayer takes each layer's entry from the config that the layer comes from.
func perLayer(headers []Header, owner, key string, origins []origin) ([]any, error) {
	out := make([]any, len(origins))
	for i, o := range origins {
		section, _ := layered(headers[o.model].Config)
		list, _ := section[key].([]any)
		if o.layer >= len(list) {
			return nil, fmt.Errorf("%w: config.json of %s has %s for each layer, that of %s has none for layer %d; are they of one family?", ErrLayers, owner, key, headers[o.model].Name, o.layer)
		}
		out[i] = list[o.layer]
	}
	return out, nil
}

// numbered lists the layers of the result that come from layers which their own
// config lists.
func numbered(headers []Header, key string, origins []origin) []any {
	out := []any{}
	for i, o := range origins {
		section, _ := layered(headers[o.model].Config)
		if list, _ := section[key].([]any); slices.Contains(list, any(float64(o.layer))) {
			out = append(out, float64(i))
		}
	}
	return out
}
