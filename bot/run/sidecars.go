package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sidecarFiles are what an engine reads of a checkpoint beside its weights. Chat templates are not among them: prompts go
// to engines as they are.
var sidecarFiles = []string{"config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
	"special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"}

// notes are members of config.json and generation_config.json that say where a model comes from and how it is stored.
// No text depends on them: weights are put into engines in a number format of the engine's own.
var notes = []string{"_name_or_path", "transformers_version", "torch_dtype", "dtype", "_from_model_config"}

// sidecars is the digest of what lies beside a checkpoint's weights and decides its texts with them. Checkpoints of equal
// sidecars can take each other's place in a running engine.
func sidecars(dir string) (string, error) {
	var parts []string
	for _, name := range sidecarFiles {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if name == "config.json" || name == "generation_config.json" {
			if b, err = withoutNotes(b); err != nil {
				return "", fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
			}
		}
		parts = append(parts, name, hashBytes(b))
	}
	return hashOf(parts)
}

// withoutNotes is a JSON object without the members that decide nothing, in one spelling.
func withoutNotes(b []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // 1e-5 and 0.00001 stay two spellings: at worst an engine is started once more
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return nil, err
	}
	for _, name := range notes {
		delete(object, name)
	}
	return json.Marshal(object)
}
