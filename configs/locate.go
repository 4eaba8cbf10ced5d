package configs

import (
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Locate finds where the recipe's file says a key, such as mergebot, publish, repo: the place of its value. In a list, a
// key is an index. What is not there is found at the nearest key above it, or at the file's beginning.
func (r *Recipe) Locate(keys ...string) Position {
	place := Position{1, 1}
	root, err := document(r.Path, r.Source)
	if err != nil {
		return place
	}
	for _, key := range keys {
		if root.Kind == yaml.AliasNode {
			root = root.Alias
		}
		var value *yaml.Node
		switch root.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(root.Content); i += 2 {
				if root.Content[i].Value == key {
					value = root.Content[i+1]
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(root.Content) {
				value = root.Content[i]
			}
		}
		if value == nil {
			return place
		}
		root, place = value, at(value)
	}
	return place
}
