package tokenizer

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

// The chat formats by name. They are those of their first models' makers; where
// mergekit 0.1.5's files of these names put other blanks or line ends between the
// turns (alpaca, exaone, llama3), the makers' hold.
//
//go:embed templates/*.jinja
var templates embed.FS

// Template finds the text of a chat template by its name in the recipe. With auto
// it is the one that most of the models have, of several the first; "" where none
// has any.
func Template(name string, models []Files) (string, error) {
	if name != "auto" {
		text, err := templates.ReadFile("templates/" + name + ".jinja")
		if err != nil {
			return "", fmt.Errorf("no chat template is called %q", name)
		}
		return string(text), nil
	}
	votes := map[string]int{}
	best := ""
	var texts []string
	for _, files := range models {
		text, err := ownTemplate(files)
		if err != nil {
			return "", err
		}
		if text = strings.TrimSpace(text); text != "" {
			votes[text]++
			texts = append(texts, text)
		}
	}
	for _, text := range texts { // in order, so that a tie has one winner
		if votes[text] > votes[best] {
			best = text
		}
	}
	return best, nil
}

// ownTemplate is a model's chat template, of several the default one.
func ownTemplate(files Files) (string, error) {
	if text := files[fileTemplate]; text != nil {
		return string(text), nil
	}
	config, err := decodeObject(files, fileConfig)
	if err != nil {
		return "", err
	}
	raw := config["chat_template"]
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var named []struct{ Name, Template string }
	if json.Unmarshal(raw, &named) == nil {
		for _, t := range named {
			if t.Name == "default" {
				return t.Template, nil
			}
		}
	}
	return "", nil
}

// SetTemplate gives the files that must be written so that a tokenizer has a chat
// template: tokenizer_config.json, where most programs look for it, and
// chat_template.jinja where there is one, because it goes before. The multimodal
// chat_template.json is among those to be dropped.
func SetTemplate(files Files, text string) (edits Files, drop []string, err error) {
	edits = Files{}
	if files[fileConfig] != nil {
		config, err := parseObject(fileConfig, files[fileConfig])
		if err != nil {
			return nil, nil, err
		}
		config.set("chat_template", encode(text))
		if edits[fileConfig], err = config.bytes(); err != nil {
			return nil, nil, err
		}
	}
	if files[fileTemplate] != nil || files[fileConfig] == nil {
		edits[fileTemplate] = []byte(text)
	}
	return edits, []string{"chat_template.json"}, nil
}
