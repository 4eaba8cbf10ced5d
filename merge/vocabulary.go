package merge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"mergebot/configs"
	"mergebot/merge/checkpoint"
	"mergebot/merge/method"
	"mergebot/merge/tokenizer"
)

// vocabulary is what the recipe's tokenizer keys make of the models'
// vocabularies and tokenizer files; nil where the recipe has none of them.
type vocabulary struct {
	size   int             // rows of the embeddings; 0: every row stays where it is
	source int             // the model whose tokenizer files the result's are made of
	edits  tokenizer.Files // what differs from them
	drop   []string        // what of them the result must not have
	notes  []string
}

// regathers says that the recipe asks for the rows of embeddings to be put in
// one order, by their tokens. Where deltas are pruned or candidates scored, all
// stays in the base's order: see [Model.Trim].
func regathers(r *configs.Recipe, m method.Method) bool {
	return r.VocabularySource() != "" && !m.Treated && r.Mergebot.Search == nil
}

// readsTokenizers says that the recipe's merge depends on the models' tokenizer
// files.
func readsTokenizers(r *configs.Recipe, m method.Method) bool {
	return r != nil && (r.ChatTemplate != "" || regathers(r, m))
}

// ReadsTokenizers says that [Check] needs the models' tokenizer files.
func ReadsTokenizers(r *configs.Recipe) bool {
	m, err := method.Get(r.MergeMethod)
	return err == nil && readsTokenizers(r, m)
}

// plannedVocabulary lays the models' vocabularies side by side and tells the
// parts whose rows come from where. refs names the models behind the headers.
func plannedVocabulary(r *configs.Recipe, m method.Method, refs []configs.ModelRef, headers []Header, parts []*part, owner int) (*vocabulary, error) {
	if !readsTokenizers(r, m) {
		return nil, nil
	}
	v := &vocabulary{source: owner}
	var all []tokenizer.Files
	for _, h := range headers {
		all = append(all, h.Tokenizer)
	}
	template := ""
	if r.ChatTemplate != "" {
		var err error
		if template, err = tokenizer.Template(r.ChatTemplate, all); err != nil {
			return nil, &EntryError{Path: []string{"chat_template"}, Err: err}
		}
		if template == "" {
			v.notes = append(v.notes, "chat_template: auto: none of the models has a chat template")
		}
	}
	var plan *tokenizer.Plan // megabytes, and not needed later
	var err error
	if regathers(r, m) {
		if plan, err = gather(r, refs, headers, parts, owner); err != nil {
			return nil, inVocabulary(r, err)
		}
	}
	switch {
	case plan != nil:
		v.size, v.source, v.notes = plan.Size, plan.Source, append(v.notes, plan.Notes...)
		v.edits, v.drop, err = plan.Edits(template)
	case template != "":
		v.edits, v.drop, err = tokenizer.SetTemplate(all[v.source], template)
	}
	if err != nil {
		return nil, inVocabulary(r, err)
	}
	return v, nil
}

// openVocabulary is plannedVocabulary for checkpoints whose folders hold the
// tokenizer files. base may be nil; headers are the base's, then the inputs'.
func openVocabulary(r *configs.Recipe, m method.Method, refs []configs.ModelRef, headers []Header, parts []*part, base *Model, inputs []Input) (*vocabulary, error) {
	if !readsTokenizers(r, m) {
		return nil, nil
	}
	all := make([]Model, 0, len(headers))
	if base != nil {
		all = append(all, *base)
	}
	for _, in := range inputs {
		all = append(all, in.Model)
	}
	for i := range headers {
		var err error
		if headers[i].Tokenizer, err = tokenizer.Open(all[i].Checkpoint.Dir()); err != nil {
			return nil, err
		}
	}
	v, err := plannedVocabulary(r, m, refs, headers, parts, ownerOf(parts, base != nil))
	for i := range headers {
		headers[i].Tokenizer = nil // megabytes, and not needed again
	}
	return v, err
}

// gather makes the plan of the rows. It is nil where the base's tokenizer is
// asked for and there is none: then rows are taken to be the same tokens in all
// models.
func gather(r *configs.Recipe, refs []configs.ModelRef, headers []Header, parts []*part, owner int) (*tokenizer.Plan, error) {
	spec := tokenizer.Spec{Owner: owner, Source: owner}
	find := func(ref configs.ModelRef) int { // as stacked does: the last
		at := -1
		for k, known := range refs {
			if known.Same(ref) {
				at = k
			}
		}
		return at
	}
	source := r.VocabularySource()
	switch source {
	case "base":
	case "union":
		spec.Union = true
	default:
		ref, err := configs.ParseModelRef(source)
		if err != nil {
			return nil, err
		}
		if !ref.Same(refs[owner]) {
			if spec.Source = find(ref); spec.Source < 0 {
				return nil, fmt.Errorf("%s is not one of the models that are merged; name one of them as the tokenizer's source", source)
			}
		}
	}
	if len(headers[owner].Tokenizer) == 0 && trims(r) && r.Tokenizer == nil {
		return nil, nil
	}
	if t := r.Tokenizer; t != nil {
		spec.Multiple = t.PadToMultipleOf
		for _, token := range t.Tokens {
			rule, err := ruleOf(token, find)
			if err != nil {
				return nil, &tokenizer.RuleError{Text: token.Text, Err: err}
			}
			spec.Tokens = append(spec.Tokens, rule)
		}
	}
	models, err := vocabulariesOf(headers)
	if err != nil {
		return nil, err
	}
	plan, err := tokenizer.Make(models, spec)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if !p.input && !p.output {
			continue
		}
		var of []int
		for _, s := range p.sources {
			of = append(of, s.model)
		}
		if p.rows, err = plan.Gather(of, p.slice.SourceIndex(p.slice.BaseModel)); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

func ruleOf(t configs.Token, find func(configs.ModelRef) int) (tokenizer.Rule, error) {
	rule := tokenizer.Rule{Text: t.Text, Force: t.Force, Token: t.Source.Token}
	switch {
	case t.Source.IsZero():
		return rule, nil
	case t.Source.Kind == "zero":
		rule.Kind = tokenizer.Zero
		return rule, nil
	case t.Source.Kind == "":
		rule.Kind = tokenizer.FromModel
	case t.Source.TokenID != nil:
		rule.Kind, rule.ID = tokenizer.FromID, *t.Source.TokenID
	default:
		rule.Kind = tokenizer.FromToken
	}
	if rule.Model = find(t.Source.Model); rule.Model < 0 {
		return rule, fmt.Errorf("%s is not one of the models that are merged", t.Source.Model)
	}
	return rule, nil
}

// vocabulariesOf reads the models' vocabularies; equal files once.
func vocabulariesOf(headers []Header) ([]tokenizer.Model, error) {
	var models []tokenizer.Model
	for i, h := range headers {
		m := tokenizer.Model{Name: h.Name}
		t, ok := inputEmbedding(h)
		if !ok || len(t.Shape) != 2 {
			return nil, fmt.Errorf("%w: %s has no embeddings under a name that is known, so that its vocabulary cannot be changed; leave the tokenizer's keys out of the recipe", ErrMissingTensor, h.Name)
		}
		m.Rows = int(t.Shape[0])
		if n := vocabularySize(h.Config); n > 0 {
			m.Rows = min(m.Rows, n)
		}
		same := slices.IndexFunc(headers[:i], func(o Header) bool { return maps.EqualFunc(o.Tokenizer, h.Tokenizer, bytes.Equal) })
		if same >= 0 {
			m.Tokenizer = models[same].Tokenizer
		} else if len(h.Tokenizer) > 0 {
			parsed, err := tokenizer.Parse(h.Tokenizer)
			if err != nil && !errors.Is(err, tokenizer.ErrNone) {
				return nil, fmt.Errorf("%s: %w", h.Name, err)
			}
			m.Tokenizer = parsed
		}
		models = append(models, m)
	}
	return models, nil
}

func inputEmbedding(h Header) (checkpoint.Tensor, bool) {
	table := map[string]checkpoint.Tensor{}
	for _, t := range h.Tensors {
		table[t.Name] = t
	}
	return embedding(table)
}

// vocabularySize is what a config.json says of it; 0 where it does not.
func vocabularySize(config map[string]any) int {
	inner, _ := config["text_config"].(map[string]any)
	for _, section := range []map[string]any{config, inner} {
		if n, ok := section["vocab_size"].(float64); ok && n >= 1 && n < 1<<31 {
			return int(n)
		}
	}
	return 0
}

// inVocabulary says which entry of the recipe an error comes from.
func inVocabulary(r *configs.Recipe, err error) error {
	path := []string{"tokenizer_source"}
	if r.Tokenizer != nil {
		path = []string{"tokenizer", "source"}
	}
	if rule := (*tokenizer.RuleError)(nil); errors.As(err, &rule) {
		path = []string{"tokenizer", "tokens", rule.Text}
	}
	return &EntryError{Path: path, Err: err}
}

// idKeys are the members of config.json and generation_config.json that name tokens.
var idKeys = []string{"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"}

// config adds what the vocabulary changes to the edit of the owner's config.json:
// its size, and the special tokens' ids where another model's tokenizer is taken.
func (v *vocabulary) config(headers []Header, owner int, edit map[string]any) map[string]any {
	own := headers[owner].Config
	if v == nil || v.size == 0 || own == nil {
		return edit
	}
	if edit == nil {
		edit = map[string]any{}
	}
	change := map[string]any{"vocab_size": float64(v.size)}
	if v.source != owner {
		outer := headers[v.source].Config
		inner, _ := outer["text_config"].(map[string]any)
		for _, key := range idKeys {
			if id, ok := outer[key]; ok {
				change[key] = id
			} else if id, ok := inner[key]; ok {
				change[key] = id
			} else {
				change[key] = nil
			}
		}
	}
	inner, nested := own["text_config"].(map[string]any)
	if edited, ok := edit["text_config"].(map[string]any); ok {
		inner = edited
	}
	inner = maps.Clone(inner)
	touched := false
	for key, value := range change {
		_, outside := own[key]
		_, inside := inner[key]
		if nested && inside {
			if inner[key] = value; value == nil {
				delete(inner, key)
			}
			touched = true
		}
		if outside || !inside && value != nil {
			edit[key] = value
		}
	}
	if touched {
		edit["text_config"] = inner
	}
	return edit
}

// write puts the result's tokenizer files into a folder, which has the owner's
// generation_config.json. from is the folder of the source's.
func (v *vocabulary) write(from, dir string, foreign bool) error {
	if err := checkpoint.CopyTokenizer(from, dir); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(v.edits)) {
		if err := checkpoint.PutSidecar(dir, name, v.edits[name]); err != nil {
			return err
		}
	}
	for _, name := range v.drop {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if !foreign {
		return nil
	}
	return generation(from, dir)
}

// generation gives generation_config.json the token ids of the model whose
// tokenizer the result has.
func generation(from, dir string) error {
	const name = "generation_config.json"
	read := func(dir string) (map[string]any, error) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var object map[string]any
		if err := json.Unmarshal(b, &object); err != nil {
			return nil, fmt.Errorf("%s in %s: %w", name, dir, err)
		}
		return object, nil
	}
	own, err := read(dir)
	if err != nil || own == nil {
		return err
	}
	theirs, err := read(from)
	if err != nil {
		return err
	}
	for _, key := range idKeys {
		if delete(own, key); theirs[key] != nil {
			own[key] = theirs[key]
		}
	}
	b, err := json.MarshalIndent(own, "", "  ")
	if err != nil {
		return err
	}
	return checkpoint.PutSidecar(dir, name, append(b, '\n'))
}
