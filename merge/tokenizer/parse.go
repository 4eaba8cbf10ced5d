package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Parse reads a model's vocabulary: tokenizer.json (BPE, Unigram, WordPiece,
// WordLevel), or vocab.json or tokenizer.model with added_tokens.json, and what tokenizer_config.json
// and special_tokens_map.json add to it when transformers loads them.
//
// Errors are ErrNone, ErrCorrupt and ErrUnsupported.
func Parse(files Files) (*Tokenizer, error) {
	t := &Tokenizer{files: files, ids: map[string]int32{}, added: map[string]Added{}}
	config, err := parseConfig(files)
	if err != nil {
		return nil, err
	}
	switch {
	case files[fileTokenizer] != nil:
		err = t.parseJSON(files[fileTokenizer])
	case files[fileVocab] != nil:
		err = t.parseVocab(files)
	case files[fileSentencepiece] != nil:
		err = t.parseSentencepiece(files)
	default:
		return nil, fmt.Errorf("%w: there is neither tokenizer.json, vocab.json nor tokenizer.model", ErrNone)
	}
	if err != nil {
		return nil, err
	}
	for _, a := range config.decoder {
		if _, known := t.added[a.Content]; !known {
			t.add(a)
		}
	}
	for _, a := range config.special {
		if _, known := t.added[a.Content]; !known {
			t.add(a)
		}
	}
	if len(t.ids) > maxTokens {
		return nil, corrupt("%d tokens are more than the %d allowed", len(t.ids), maxTokens)
	}
	return t, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}

// splitter is the part of tokenizer.json that splits text.
type splitter struct {
	Type  string          `json:"type"`
	Vocab json.RawMessage `json:"vocab"`
}

func (t *Tokenizer) parseJSON(data []byte) error {
	if len(data) > maxFile {
		return corrupt("tokenizer.json has %d bytes, %d are the most", len(data), maxFile)
	}
	var top struct {
		Added []Added  `json:"added_tokens"`
		Model splitter `json:"model"`
	}
	if err := json.Unmarshal(data, &top); err != nil {
		return corrupt("tokenizer.json: %v", err)
	}
	vocab, err := top.Model.vocabulary()
	if err != nil {
		return err
	}
	t.kind = top.Model.Type
	if err := t.take(vocab); err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	// As they are listed: the library gives each the next id. Where the file says another, nobody could tell which rows
	// are meant.
	for _, a := range top.Added {
		if err := checkText(a.Content); err != nil {
			return fmt.Errorf("tokenizer.json: %w", err)
		}
		want := a.ID
		t.add(a)
		if got := t.ids[a.Content]; got != want {
			return corrupt("tokenizer.json: added token %.60q has id %d, and would be loaded as %d; ids must follow one another: save the tokenizer anew", a.Content, want, got)
		}
	}
	return nil
}

// vocabulary reads the forms of model.vocab.
func (s splitter) vocabulary() (map[string]int32, error) {
	if len(s.Vocab) == 0 {
		return nil, corrupt("tokenizer.json has no model.vocab")
	}
	switch s.Type {
	case "Unigram":
		pieces, err := s.pieces()
		if err != nil {
			return nil, err
		}
		vocab := make(map[string]int32, len(pieces))
		for i, p := range pieces {
			vocab[p.text] = int32(i)
		}
		return vocab, nil
	case "BPE", "WordPiece", "WordLevel", "": // old files do not say that they are BPE
		var vocab map[string]int32
		if err := json.Unmarshal(s.Vocab, &vocab); err != nil {
			return nil, corrupt("tokenizer.json: model.vocab: %v", err)
		}
		return vocab, nil
	}
	return nil, fmt.Errorf("%w: tokenizer.json is of type %.60q; BPE, Unigram, WordPiece and WordLevel are known", ErrUnsupported, s.Type)
}

// piece is an entry of a Unigram vocabulary: text and score.
type piece struct {
	text string
	raw  json.RawMessage
}

func (s splitter) pieces() ([]piece, error) {
	var raws []json.RawMessage
	if err := json.Unmarshal(s.Vocab, &raws); err != nil {
		return nil, corrupt("tokenizer.json: model.vocab: %v", err)
	}
	pieces := make([]piece, len(raws))
	for i, raw := range raws {
		var pair []any
		if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
			return nil, corrupt("tokenizer.json: model.vocab: entry %d is no [piece, score]", i)
		}
		text, ok := pair[0].(string)
		if !ok {
			return nil, corrupt("tokenizer.json: model.vocab: entry %d is no [piece, score]", i)
		}
		pieces[i] = piece{text, raw}
	}
	return pieces, nil
}

// take sets the model's own tokens.
func (t *Tokenizer) take(vocab map[string]int32) error {
	if len(vocab) > maxTokens {
		return corrupt("%d tokens are more than the %d allowed", len(vocab), maxTokens)
	}
	seen := make(map[int32]string, len(vocab))
	for text, id := range vocab {
		if err := checkText(text); err != nil {
			return err
		}
		if id < 0 || id >= maxTokens {
			return corrupt("token %.60q has id %d", text, id)
		}
		if other, twice := seen[id]; twice {
			return corrupt("tokens %.60q and %.60q both have id %d", min(text, other), max(text, other), id)
		}
		seen[id] = text
		t.ids[text] = id
	}
	t.model, t.next = vocab, int32(len(vocab))
	return nil
}

func checkText(s string) error {
	if len(s) > maxText || !utf8.ValidString(s) {
		return corrupt("token %.60q is too long or not text", s)
	}
	return nil
}

// parseVocab reads GPT-2's form.
func (t *Tokenizer) parseVocab(files Files) error {
	var vocab map[string]int32
	if err := json.Unmarshal(files[fileVocab], &vocab); err != nil {
		return corrupt("vocab.json: %v", err)
	}
	if err := t.take(vocab); err != nil {
		return fmt.Errorf("vocab.json: %w", err)
	}
	return t.parseAdded(files)
}

// parseAdded reads the tokens beside those of vocab.json or tokenizer.model.
func (t *Tokenizer) parseAdded(files Files) error {
	if files[fileAdded] == nil {
		return nil
	}
	var added map[string]int32
	if err := json.Unmarshal(files[fileAdded], &added); err != nil {
		return corrupt("added_tokens.json: %v", err)
	}
	type entry struct {
		text string
		id   int32
	}
	var list []entry
	for text, id := range added {
		if err := checkText(text); err != nil {
			return fmt.Errorf("added_tokens.json: %w", err)
		}
		list = append(list, entry{text, id})
	}
	slices.SortFunc(list, func(a, b entry) int {
		if a.id != b.id {
			return int(a.id) - int(b.id)
		}
		return bytes.Compare([]byte(a.text), []byte(b.text))
	})
	for _, e := range list {
		t.add(plain(e.text))
		if got := t.ids[e.text]; got != e.id {
			return corrupt("added_tokens.json: token %.60q has id %d, and would be loaded as %d", e.text, e.id, got)
		}
	}
	return nil
}

// configuration is what the files beside the vocabulary add to it.
type configuration struct {
	decoder []Added // added_tokens_decoder, by id
	special []Added // the special tokens
}

// singles are the special tokens that there is one of, in transformers' order.
var singles = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// lists are the members with any number of special tokens.
var lists = []string{"additional_special_tokens", "extra_special_tokens"}

func parseConfig(files Files) (configuration, error) {
	var c configuration
	own, err := decodeObject(files, fileConfig)
	if err != nil {
		return c, err
	}
	if raw, ok := own["added_tokens_decoder"]; ok {
		var decoder map[string]Added
		if err := json.Unmarshal(raw, &decoder); err != nil {
			return c, corrupt("tokenizer_config.json: added_tokens_decoder: %v", err)
		}
		for key, a := range decoder {
			id, err := strconv.ParseInt(key, 10, 32)
			if err != nil || id < 0 {
				return c, corrupt("tokenizer_config.json: added_tokens_decoder has the id %.60q", key)
			}
			a.ID = int32(id)
			if err := checkText(a.Content); err != nil {
				return c, fmt.Errorf("tokenizer_config.json: %w", err)
			}
			c.decoder = append(c.decoder, a)
		}
		slices.SortFunc(c.decoder, func(a, b Added) int { return int(a.ID) - int(b.ID) })
	}
	other, err := decodeObject(files, fileSpecial)
	if err != nil {
		return c, err
	}
	for _, key := range slices.Concat(singles, lists) {
		raw, ok := own[key]
		if !ok && c.decoder == nil {
			raw = other[key]
		}
		for _, a := range specials(raw) {
			if err := checkText(a.Content); err != nil {
				return c, err
			}
			c.special = append(c.special, a)
		}
	}
	return c, nil
}

// specials reads a special token, or a list of them: texts, or objects.
func specials(raw json.RawMessage) []Added {
	if len(raw) == 0 {
		return nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if text == "" {
			return nil
		}
		return []Added{{Content: text, Special: true}}
	}
	var a Added
	if json.Unmarshal(raw, &a) == nil {
		if a.Content == "" {
			return nil
		}
		a.ID, a.Special = 0, true
		return []Added{a}
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	var all []Added
	for _, one := range list {
		if len(one) > 0 && one[0] != '[' {
			all = append(all, specials(one)...)
		}
	}
	return all
}

// decodeObject reads the members of a JSON file; nil where it is not there.
func decodeObject(files Files, name string) (map[string]json.RawMessage, error) {
	if files[name] == nil {
		return nil, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(files[name], &object); err != nil {
		return nil, corrupt("%s: %v", name, err)
	}
	return object, nil
}
