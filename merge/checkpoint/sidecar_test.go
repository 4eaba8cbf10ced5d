package checkpoint

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCopySidecars(t *testing.T) {
	t.Parallel()
	from := folder(t, map[string][]byte{
		configName:                []byte(`{"zeta": 1e-05, "torch_dtype":"float16","drop":[1, 2],"nested":{"b":1.0,"a":null}}`),
		"generation_config.json":  []byte(`{}`),
		"tokenizer.json":          []byte(`{"model": "é"}`),
		"tokenizer_config.json":   []byte(`{}`),
		"tokenizer.model":         []byte("\x00\x01"),
		"special_tokens_map.json": []byte(`{}`),
		"added_tokens.json":       []byte(`{}`),
		"chat_template.jinja":     []byte(`{{ messages }}`),
		"vocab.json":              []byte(`{}`),
		"merges.txt":              []byte("a b\n"),
		"modeling_evil.py":        []byte("import os"),
		"tokenization_evil.py":    []byte("import os"),
		"model.safetensors":       []byte("weights"),
		"pytorch_model.bin":       []byte("weights"),
		"README.md":               []byte("card"),
		"training_args.bin":       []byte("pickle"),
		"trainer_state.json":      []byte("{}"),
	})
	if err := os.Mkdir(filepath.Join(from, "additional_chat_templates"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "additional_chat_templates", "tool.jinja"), []byte("t"), 0o644); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := CopySidecars(from, to, map[string]any{"torch_dtype": "bfloat16", "drop": nil, "new": 2, "fresh": "x", "absent": nil}); err != nil {
		t.Fatal(err)
	}
	tool, err := os.ReadFile(filepath.Join(to, "additional_chat_templates", "tool.jinja"))
	if err != nil || string(tool) != "t" {
		t.Errorf("template %q, %v", tool, err)
	}
	if err := os.RemoveAll(filepath.Join(to, "additional_chat_templates")); err != nil {
		t.Fatal(err)
	}
	got := contents(t, to)
	const config = `{
  "zeta": 1e-05,
  "torch_dtype": "bfloat16",
  "nested": {
    "b": 1.0,
    "a": null
  },
  "fresh": "x",
  "new": 2
}
`
	if diff := cmp.Diff(config, got[configName]); diff != "" {
		t.Error(diff)
	}
	want := []string{"added_tokens.json", "chat_template.jinja", "config.json", "generation_config.json", "merges.txt",
		"special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
	if got["tokenizer.json"] != `{"model": "é"}` {
		t.Errorf("tokenizer.json was changed: %s", got["tokenizer.json"])
	}
}

func TestCopySidecarsFails(t *testing.T) {
	t.Parallel()
	if err := CopySidecars(t.TempDir(), t.TempDir(), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no config.json: %v", err)
	}
	bad := folder(t, map[string][]byte{configName: []byte("[]")})
	mustFail(t, CopySidecars(bad, t.TempDir(), nil), ErrCorrupt, configName)
	good := folder(t, map[string][]byte{configName: []byte("{}")})
	if err := CopySidecars(good, t.TempDir(), map[string]any{"f": func() {}}); err == nil {
		t.Error("a value that JSON lacks was taken")
	}
	if err := os.Mkdir(filepath.Join(good, "tokenizer.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := CopySidecars(good, t.TempDir(), nil); err == nil {
		t.Error("a folder was copied as a file")
	}
}

// TestEditNested changes a decoder's config within that of a model of several parts.
func TestEditNested(t *testing.T) {
	t.Parallel()
	const config = `{"text_config": {"softcap": 30.0, "layers": 3, "none": null, "gone": 1, "rope": {"theta": 1e6, "kind": "a"}}, "vision_config": {"eps": 1e-06}}`
	text := map[string]any{"softcap": 30.0, "layers": 2.0, "none": nil, "rope": map[string]any{"theta": 1e6, "kind": "b"}, "new": "x"}
	got, err := editObject([]byte(config), map[string]any{"text_config": text})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "text_config": {
    "softcap": 30.0,
    "layers": 2,
    "none": null,
    "rope": {
      "theta": 1e6,
      "kind": "b"
    },
    "new": "x"
  },
  "vision_config": {
    "eps": 1e-06
  }
}`
	if diff := cmp.Diff(want, strings.TrimSpace(string(got))); diff != "" {
		t.Error(diff)
	}
}
