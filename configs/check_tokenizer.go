package configs

import (
	"slices"
	"strings"
)

var chatTemplates = []string{"auto", "alpaca", "chatml", "llama3", "mistral", "exaone"}

// maxPadding bounds pad_to_multiple_of: no hardware wants more.
const maxPadding = 1 << 16

// checkTokenizer holds the keys of the tokenizer to the recipe's models and to the method.
func checkTokenizer(d *decoder, r *Recipe, m Method) {
	if d.written("tokenizer") && d.written("tokenizer_source") {
		d.failKey("tokenizer_source", "", "tokenizer_source and tokenizer say the same thing; write one")
	}
	checkTokenizerSource(d, r, "tokenizer_source", r.TokenizerSource)
	if r.Tokenizer != nil {
		checkTokenizerSource(d, r, "tokenizer.source", r.Tokenizer.Source)
		if n := r.Tokenizer.PadToMultipleOf; n < 0 || n > maxPadding {
			d.failAt("tokenizer.pad_to_multiple_of", "%d is not a count from 0 to %d", n, maxPadding)
		}
		for _, t := range r.Tokenizer.Tokens {
			checkToken(d, r, t)
		}
	}
	checkVocabularyStays(d, r, m)
	if t := r.ChatTemplate; t != "" && !slices.Contains(chatTemplates, t) {
		if strings.Contains(t, "{{") || strings.Contains(t, "{%") {
			d.failAt("chat_template", "a template's text is not taken from a recipe (it is code that others would run); want one of %s", strings.Join(chatTemplates, ", "))
			return
		}
		d.fail(d.place(d.vals, "chat_template"), nearest(t, chatTemplates), "unknown chat template %q; want one of %s", clip(t), strings.Join(chatTemplates, ", "))
	}
}

func checkTokenizerSource(d *decoder, r *Recipe, path, source string) {
	switch {
	case source == "" || source == "union":
		return
	case source == "base":
		if r.BaseModel.IsZero() {
			d.failAt(path, "base needs a base_model")
		}
		return
	}
	ref, err := ParseModelRef(source)
	if err != nil {
		d.failAt(path, "want base, union or a model: %s", err)
		return
	}
	for _, known := range r.References() {
		if known.Same(ref) {
			return
		}
	}
	d.fail(d.place(d.vals, path), nearest(source, append(referenceNames(r), "base", "union")), "%q is not one of the recipe's models; want base, union or one of them", clip(source))
}

// checkToken holds the rule for one token to the recipe's models.
func checkToken(d *decoder, r *Recipe, t Token) {
	path := join("tokenizer.tokens", t.Text)
	source := join(path, "source")
	s := t.Source
	switch {
	case t.Text == "":
		d.fail(t.Pos, "", "a token without text")
	case s.IsZero():
		if t.Force {
			d.failAt(join(path, "force"), "force needs a source: the embedding that is used for all models")
		}
	case s.Kind == "zero":
		if !s.Model.IsZero() || s.Token != "" || s.TokenID != nil {
			d.failAt(source, "kind: zero takes nothing from a model; remove the other keys")
		}
	case s.Kind == "model_token":
		if s.Model.IsZero() && !d.errorsAt(source) && !d.errorsAt(join(source, "model")) {
			d.failAt(source, "the model is missing: {kind: model_token, model: org/name, token: …}")
		}
		if (s.Token == "") == (s.TokenID == nil) {
			d.failAt(source, "want the token by its text (token) or by its id (token_id), one of them")
		}
		if s.TokenID != nil && *s.TokenID < 0 {
			d.failAt(join(source, "token_id"), "%d is not an id", *s.TokenID)
		}
	case s.Kind != "":
		d.fail(d.place(d.vals, join(source, "kind")), nearest(s.Kind, []string{"zero", "model_token"}), "unknown kind %q; want zero or model_token", clip(s.Kind))
	case s.Token != "" || s.TokenID != nil:
		d.failAt(source, "another token of the model needs kind: model_token")
	}
	if !s.Model.IsZero() && !slices.ContainsFunc(r.References(), s.Model.Same) {
		d.fail(s.Model.Pos, nearest(s.Model.String(), referenceNames(r)), "%s is not one of the recipe's models, whose embeddings are at hand", clip(s.Model.String()))
	}
}

func referenceNames(r *Recipe) []string {
	var words []string
	for _, known := range r.References() {
		words = append(words, known.String())
	}
	return words
}

// checkVocabularyStays refuses another vocabulary than the base's where deltas or
// candidates are held against the base, row by row.
func checkVocabularyStays(d *decoder, r *Recipe, m Method) {
	why := ""
	switch {
	case m.Prunes():
		why = "merge_method " + m.Name + " prunes deltas to the base"
	case r.Mergebot.Search != nil:
		why = "candidates of a search are scored in the base's place"
	default:
		return
	}
	refuse := func(path string) {
		d.failAt(path, "%s, and so in its vocabulary: write tokenizer_source: base", why)
	}
	base := func(source string) bool {
		ref, err := ParseModelRef(source)
		return source == "" || source == "base" || err == nil && ref.Same(r.BaseModel)
	}
	if t := r.Tokenizer; t != nil {
		switch {
		case len(t.Tokens) > 0:
			refuse("tokenizer.tokens")
		case t.PadToMultipleOf > 0:
			refuse("tokenizer.pad_to_multiple_of")
		case !base(t.Source):
			refuse("tokenizer.source")
		}
		return
	}
	if !base(r.TokenizerSource) {
		refuse("tokenizer_source")
	}
}
