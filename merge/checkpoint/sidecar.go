package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
)

// tokenizerFiles are patterns of the files a tokenizer may consist of. Python
// files and weights match none of them.
var tokenizerFiles = []string{
	"tokenizer.json", "tokenizer_config.json", "tokenizer.model", "tokenizer.model.v*",
	"special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
	"spiece.model", "sentencepiece.bpe.model", "tekken.json", "*.tiktoken",
	"chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja",
}

// CopySidecars copies what a model needs besides weights from one checkpoint's
// folder to another: config.json, changed by edit as in [CopyConfig],
// generation_config.json and the tokenizer's files with the chat template.
// Weights and Python files are never copied.
func CopySidecars(from, to string, edit map[string]any) error {
	if err := CopyConfig(from, to, edit); err != nil {
		return err
	}
	return CopyTokenizer(from, to)
}

// CopyConfig copies config.json and generation_config.json. The members of
// edit replace those of config.json, where nil removes one; all others keep
// their place and their spelling, new ones follow sorted by name.
func CopyConfig(from, to string, edit map[string]any) error {
	path := filepath.Join(from, configName)
	data, err := readSmall(path)
	if err != nil {
		return fmt.Errorf("copy config: %w", err)
	}
	data, err = editObject(data, edit)
	if err != nil {
		return fmt.Errorf("copy config: %w", inFile(path, err))
	}
	if err := writeFile(filepath.Join(to, configName), data); err != nil {
		return fmt.Errorf("copy config: %w", err)
	}
	return copyMatching(from, to, "generation_config.json")
}

// CopyTokenizer copies the files of a tokenizer and its chat template.
func CopyTokenizer(from, to string) error { return copyMatching(from, to, tokenizerFiles...) }

// PutSidecar writes a small file of a model's folder whole or not at all.
func PutSidecar(dir, name string, data []byte) error {
	if err := writeFile(filepath.Join(dir, name), data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func copyMatching(from, to string, patterns ...string) error {
	for _, pattern := range patterns {
		folder, pattern := filepath.Split(filepath.FromSlash(pattern))
		list, err := os.ReadDir(filepath.Join(from, folder))
		if errors.Is(err, fs.ErrNotExist) && folder != "" {
			continue
		}
		if err != nil {
			return fmt.Errorf("copy tokenizer: %w", err)
		}
		for _, e := range list {
			if ok, _ := filepath.Match(pattern, e.Name()); ok {
				name := filepath.Join(folder, e.Name())
				if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
					return fmt.Errorf("copy %s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// copyFile copies a regular file, or the one that a link points to.
func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	if st, err := src.Stat(); err != nil || !st.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s is not a regular file", from))
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return createFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, src)
		return err
	})
}

// editMember gives a member its new value. What an object in it keeps, it keeps byte
// by byte: transformers refuses a whole number, 30, where it wrote a float, 30.0.
func editMember(old json.RawMessage, value any) ([]byte, error) {
	var was any
	if err := json.Unmarshal(old, &was); err != nil {
		return nil, err
	}
	before, nested := was.(map[string]any)
	after, object := value.(map[string]any)
	if !nested || !object {
		return json.Marshal(value)
	}
	edit := map[string]any{}
	for name := range before {
		if _, kept := after[name]; !kept {
			edit[name] = nil
		}
	}
	for name, v := range after {
		if w, had := before[name]; !had || !reflect.DeepEqual(v, w) {
			edit[name] = v
		}
	}
	return editObject(old, edit)
}

// editObject changes members of a JSON object and indents it by two spaces.
func editObject(object []byte, edit map[string]any) ([]byte, error) {
	var out bytes.Buffer
	add := func(name string, value []byte) {
		if out.Len() > 0 {
			out.WriteByte(',')
		}
		key, _ := json.Marshal(name)
		out.Write(key)
		out.WriteByte(':')
		out.Write(value)
	}
	var fresh []string
	for name, v := range edit {
		if v != nil {
			fresh = append(fresh, name)
		}
	}
	slices.Sort(fresh)
	err := members(object, func(name string, raw json.RawMessage) error {
		value, change := edit[name]
		if change {
			fresh = slices.DeleteFunc(fresh, func(n string) bool { return n == name })
			if value == nil {
				return nil
			}
			var err error
			if raw, err = editMember(raw, value); err != nil {
				return err
			}
		}
		add(name, raw)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range fresh {
		raw, err := json.Marshal(edit[name])
		if err != nil {
			return nil, err
		}
		add(name, raw)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte("{"+out.String()+"}"), "", "  "); err != nil {
		return nil, corrupt("JSON: %v", err)
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}
