package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Edits are the tokenizer files of the result that differ from those of the model
// that they are made of, and those that it must not have. template is the text of
// the chat template, "" for that model's own. The bytes are a function of the
// arguments alone.
func (p *Plan) Edits(template string) (edits Files, drop []string, err error) {
	source := p.source
	files := maps.Clone(source.files)
	edits = Files{}
	put := func(more Files) {
		maps.Copy(edits, more)
		maps.Copy(files, more)
	}
	if !maps.Equal(source.added, p.out.added) || len(source.ids) != len(p.out.ids) {
		stripped := len(p.out.model) != len(source.model)
		if stripped {
			if source.kind == "" && source.files[fileTokenizer] == nil {
				return nil, nil, fmt.Errorf("%w: %s has tokens that its embeddings have no rows for, and no tokenizer.json to take them out of", ErrUnsupported, p.models[p.Source].Name)
			}
			drop = append(drop, bases...)
		}
		more, err := p.added(files, stripped)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p.models[p.Source].Name, err)
		}
		put(more)
	}
	if template != "" {
		more, gone, err := SetTemplate(files, template)
		if err != nil {
			return nil, nil, err
		}
		put(more)
		drop = append(drop, gone...)
	}
	return edits, drop, nil
}

// added writes the list of added tokens into every file that has one.
func (p *Plan) added(files Files, stripped bool) (Files, error) {
	edits := Files{}
	edit := func(name string, change func(o *object) error) error {
		if files[name] == nil {
			return nil
		}
		o, err := parseObject(name, files[name])
		if err == nil {
			err = change(o)
		}
		if err == nil {
			edits[name], err = o.bytes()
		}
		return err
	}
	list := p.out.Added()
	err := edit(fileTokenizer, func(o *object) error {
		o.set("added_tokens", encode(list))
		if !stripped {
			return nil
		}
		model, err := p.strip(o.values["model"])
		o.set("model", model)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = edit(fileConfig, func(o *object) error {
		p.forget(o)
		if _, ok := o.values["added_tokens_decoder"]; ok {
			o.set("added_tokens_decoder", decoder(list))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := edit(fileSpecial, func(o *object) error { p.forget(o); return nil }); err != nil {
		return nil, err
	}
	if files[fileAdded] != nil || files[fileTokenizer] == nil {
		o := &object{values: map[string]json.RawMessage{}}
		for _, a := range list {
			if _, ordinary := p.out.model[a.Content]; !ordinary {
				o.set(a.Content, encode(a.ID))
			}
		}
		if edits[fileAdded], err = o.bytes(); err != nil {
			return nil, err
		}
	}
	return edits, nil
}

// decoder is added_tokens_decoder of tokenizer_config.json.
func decoder(list []Added) json.RawMessage {
	o := &object{values: map[string]json.RawMessage{}}
	for _, a := range list {
		o.set(strconv.Itoa(int(a.ID)), encode(struct {
			Content    string `json:"content"`
			LStrip     bool   `json:"lstrip"`
			Normalized bool   `json:"normalized"`
			RStrip     bool   `json:"rstrip"`
			SingleWord bool   `json:"single_word"`
			Special    bool   `json:"special"`
		}{a.Content, a.LStrip, a.Normalized, a.RStrip, a.SingleWord, a.Special}))
	}
	return o.compact()
}

// forget takes special tokens out of an object that the result does not have:
// they would be added again when it is loaded, beyond the embeddings.
func (p *Plan) forget(o *object) {
	lost := func(raw json.RawMessage) bool {
		all := specials(raw)
		return len(all) > 0 && slices.ContainsFunc(all, func(a Added) bool { _, ok := p.out.ids[a.Content]; return !ok })
	}
	for _, name := range singles {
		if lost(o.values[name]) {
			o.remove(name)
		}
	}
	for _, name := range lists {
		var list []json.RawMessage
		if lost(o.values[name]) && json.Unmarshal(o.values[name], &list) == nil {
			o.set(name, encode(slices.DeleteFunc(list, lost)))
		}
	}
}

// strip leaves the tokens out of model.vocab, and what leads to them out of
// model.merges, that the source's embeddings have no rows for.
func (p *Plan) strip(raw json.RawMessage) (json.RawMessage, error) {
	model, err := parseObject("tokenizer.json: model", raw)
	if err != nil {
		return nil, err
	}
	var s splitter
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, corrupt("tokenizer.json: %v", err)
	}
	if s.Type == "Unigram" { // ids are places in the list: those beyond are its end
		pieces, err := s.pieces()
		if err != nil {
			return nil, err
		}
		var kept []json.RawMessage
		for i, x := range pieces[:min(len(pieces), p.models[p.Source].Rows)] {
			if id, ok := p.out.model[x.text]; !ok || int(id) != i {
				return nil, fmt.Errorf("%w: tokenizer.json: piece %.60q comes twice, and its embedding has no row", ErrUnsupported, x.text)
			}
			kept = append(kept, x.raw)
		}
		var unknown struct {
			ID int `json:"unk_id"`
		}
		if json.Unmarshal(raw, &unknown) == nil && unknown.ID >= len(kept) {
			return nil, fmt.Errorf("%w: tokenizer.json: the embedding of the unknown token has no row", ErrUnsupported)
		}
		model.set("vocab", encode(kept))
		return model.compact(), nil
	}
	vocab := &object{values: map[string]json.RawMessage{}}
	for _, text := range inOrder(p.out.model) {
		vocab.set(text, encode(p.out.model[text]))
	}
	model.set("vocab", vocab.compact())
	if list, ok := model.values["merges"]; ok {
		kept, err := p.merges(list, model.values["continuing_subword_prefix"])
		if err != nil {
			return nil, err
		}
		model.set("merges", kept)
	}
	return model.compact(), nil
}

// merges keeps those whose parts and whose outcome are tokens.
func (p *Plan) merges(list, prefix json.RawMessage) (json.RawMessage, error) {
	var raws []json.RawMessage
	if err := json.Unmarshal(list, &raws); err != nil {
		return nil, corrupt("tokenizer.json: model.merges: %v", err)
	}
	var inner string
	if len(prefix) > 0 {
		_ = json.Unmarshal(prefix, &inner) // null: none
	}
	kept := []json.RawMessage{}
	for i, raw := range raws {
		var text string
		var pair []string
		if json.Unmarshal(raw, &text) == nil {
			pair = strings.Split(text, " ")
		} else if json.Unmarshal(raw, &pair) != nil {
			pair = nil
		}
		if len(pair) != 2 {
			return nil, corrupt("tokenizer.json: model.merges: entry %d is no pair", i)
		}
		tokens := append(pair, pair[0]+strings.TrimPrefix(pair[1], inner))
		if !slices.ContainsFunc(tokens, func(s string) bool { _, ok := p.out.model[s]; return !ok }) {
			kept = append(kept, raw)
		}
	}
	return encode(kept), nil
}
