package configs

// Recipe says what to merge and how. Its keys are mergekit's, but for
// [Mergebot]. [Parse] and [Load] return only recipes that passed every check
// that needs no network.
type Recipe struct {
	// A name for people; mergebot does not interpret it.
	Name string `yaml:"name"`
	// How the models are merged.
	MergeMethod string `yaml:"merge_method" jsonschema:"required"`
	// The model that the others were fine-tuned from.
	BaseModel ModelRef `yaml:"base_model"`
	// The models to merge, each over its full depth. Exactly one of models and slices is given.
	Models []Model `yaml:"models"`
	// Ranges of layers to stack, each merged from its sources.
	Slices []Slice `yaml:"slices"`
	// Parameters of the method, and values for every model that gives none of its own.
	Parameters Parameters `yaml:"parameters"`
	// The type that weights are read and combined in.
	DType string `yaml:"dtype"`
	// The type that weights are saved in; without it, dtype.
	OutDType string `yaml:"out_dtype"`
	// Whose tokenizer the result has: base, union or a model. Not together with tokenizer.
	TokenizerSource string `yaml:"tokenizer_source"`
	// The tokenizer in detail. Not together with tokenizer_source.
	Tokenizer *Tokenizer `yaml:"tokenizer"`
	// The chat template by name; auto takes the one most models have.
	ChatTemplate string `yaml:"chat_template"`
	// What mergebot adds to mergekit's recipe.
	Mergebot Mergebot `yaml:"mergebot"`

	// Source holds the bytes as read, Path the file name used in messages.
	Source []byte `yaml:"-"`
	Path   string `yaml:"-"`
}

// Model is one model of a recipe, with its own parameters.
type Model struct {
	// Which model.
	Model ModelRef `yaml:"model" jsonschema:"required"`
	// Values for this model alone; they go before the recipe's.
	Parameters Parameters `yaml:"parameters"`

	Pos Position `yaml:"-"`
}

// Slice is a range of the result's layers.
type Slice struct {
	// The layers that this slice is merged from, one entry a model.
	Sources []Source `yaml:"sources" jsonschema:"required"`
	// The base of this slice; without it, the recipe's.
	BaseModel ModelRef `yaml:"base_model"`
	// Refused: mergekit reads it and does nothing with it.
	ResidualWeight *float64 `yaml:"residual_weight"`
	// Values for this slice; they go before the recipe's.
	Parameters Parameters `yaml:"parameters"`

	Pos Position `yaml:"-"`
}

// Source is a model's range of layers.
type Source struct {
	// Which model.
	Model ModelRef `yaml:"model" jsonschema:"required"`
	// First layer, and the one after the last; without it, all layers.
	LayerRange []int `yaml:"layer_range"`
	// Values for this source alone; they go before the slice's.
	Parameters Parameters `yaml:"parameters"`

	Pos Position `yaml:"-"`
}

// Tokenizer says how the result's tokenizer is made.
type Tokenizer struct {
	// base, union or a model.
	Source string `yaml:"source" jsonschema:"default=union"`
	// Tokens to add or to take from one model, by their text.
	Tokens []Token `yaml:"tokens"`
	// Pad the vocabulary to a multiple of this.
	PadToMultipleOf int `yaml:"pad_to_multiple_of"`
}

// Token says where the embedding of one token comes from.
type Token struct {
	// Text is the key that it stands under.
	Text string `yaml:"-"`
	// The model whose embedding of this token is used, or {kind: zero}, or {kind: model_token, model, token or token_id}.
	Source TokenSource `yaml:"source"`
	// Use it even for the models that have this token themselves.
	Force bool `yaml:"force"`

	Pos Position `yaml:"-"`
}

// TokenSource is where an embedding comes from. The zero TokenSource leaves it
// to the models that have the token.
type TokenSource struct {
	// zero, or model_token; without it, the same token of the model.
	Kind string `yaml:"kind"`
	// Whose embedding.
	Model ModelRef `yaml:"model"`
	// Of another token, by its text.
	Token string `yaml:"token"`
	// Of another token, by its id.
	TokenID *int `yaml:"token_id"`
}

// IsZero says that nothing is given.
func (s TokenSource) IsZero() bool { return s == TokenSource{} }

// VocabularySource is the recipe's tokenizer_source, or tokenizer.source: base,
// union, a model, or "" where the tokenizer and the embeddings' rows stay as they
// are.
func (r *Recipe) VocabularySource() string {
	if r.Tokenizer != nil {
		return r.Tokenizer.Source
	}
	return r.TokenizerSource
}

// References lists every model the recipe names, each once: the base first,
// then the models in order.
func (r *Recipe) References() []ModelRef {
	var all []ModelRef
	add := func(ref ModelRef) {
		if ref.IsZero() {
			return
		}
		for _, known := range all {
			if known.Same(ref) {
				return
			}
		}
		all = append(all, ref)
	}
	add(r.BaseModel)
	for _, m := range r.Models {
		add(m.Model)
	}
	for _, s := range r.Slices {
		add(s.BaseModel)
		for _, source := range s.Sources {
			add(source.Model)
		}
	}
	return all
}

// Ratios gives the amplification ratios that the recipe sets by hand for this
// model, P1 first; false when it sets none.
func (m Model) Ratios() ([]float64, bool) {
	v, ok := m.Parameters["ratios"]
	if !ok || len(v.numbers) == 0 {
		return nil, false
	}
	return append([]float64(nil), v.numbers...), true
}
