package run

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSidecars(t *testing.T) {
	t.Parallel()
	digest := func(files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		d, err := sidecars(dir)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const config, tokenizer = `{"rope_theta": 10000.0, "_name_or_path": "a", "torch_dtype": "float16", "vocab_size": 5}`, `{"model": 1}`
	same := digest(map[string]string{"config.json": config, "tokenizer.json": tokenizer})
	for name, files := range map[string]map[string]string{
		"another name and format": {"config.json": `{"vocab_size":5,"torch_dtype":"bfloat16","rope_theta":10000.0,"_name_or_path":"b"}`, "tokenizer.json": tokenizer},
		"weights and a card":      {"config.json": config, "tokenizer.json": tokenizer, "model.safetensors": "x", "README.md": "y"},
	} {
		if digest(files) != same {
			t.Errorf("%s: taken for another model's", name)
		}
	}
	for name, files := range map[string]map[string]string{
		"another rope":       {"config.json": `{"vocab_size":5,"rope_theta":20000.0}`, "tokenizer.json": tokenizer},
		"another tokenizer":  {"config.json": config, "tokenizer.json": `{"model": 2}`},
		"end tokens":         {"config.json": config, "tokenizer.json": tokenizer, "generation_config.json": `{"eos_token_id": 2}`},
		"the tokenizer only": {"tokenizer.json": tokenizer},
	} {
		if digest(files) == same {
			t.Errorf("%s: taken for the same", name)
		}
	}
	bad := t.TempDir()
	if err := os.WriteFile(filepath.Join(bad, "config.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := sidecars(bad); err == nil {
		t.Error("a damaged config.json is no error")
	}
}
