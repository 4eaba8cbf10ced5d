package merge

import (
	"errors"

	"mergebot/configs"
	"mergebot/merge/checkpoint"
	"mergebot/merge/method"
	"mergebot/merge/tokenizer"
)

// What Check finds. Errors may hold several of them, joined.
var (
	ErrMissingTensor = errors.New("tensor missing")
	ErrShape         = errors.New("shapes differ")
	ErrVocabulary    = errors.New("vocabularies differ")
	ErrQuantised     = errors.New("quantised weights")
	ErrLayers        = errors.New("layers do not fit")
)

// Header is what a model's files say about its tensors, without their values.
type Header struct {
	Name    string
	Tensors []checkpoint.Tensor
	Tied    bool           // the config ties lm_head to the embeddings
	Trim    bool           // see Model.Trim
	Config  map[string]any // the decoded config.json; nil where it is not known
	// Tokenizer are the model's tokenizer files, where the recipe asks for them.
	Tokenizer tokenizer.Files
}

// CheckOptions are what the headers' tensors alone do not say.
type CheckOptions struct {
	BaseName string
	Names    []string // of the models; their references in the recipe by default
	BaseTied bool
	Tied     []bool       // by model
	Note     func(string) // receives what was noticed but is no error

	BaseConfig map[string]any   // see Header.Config
	Configs    []map[string]any // by model

	BaseTokenizer tokenizer.Files   // see Header.Tokenizer
	Tokenizers    []tokenizer.Files // by model
}

// Result is what a merge will yield.
type Result struct {
	Tensors []checkpoint.Tensor // name, type and shape; types are those of the models that decide them
	// Vocabulary is the number of rows of the embeddings; 0 where the models' stay as they are.
	Vocabulary int
	Layers     int // 0 where the model has more than one stack of them, or none
}

// Outputs are the tensors as they are stored; dtype is that of [WriteOptions].
func (r *Result) Outputs(dtype string) ([]checkpoint.Output, error) { return outputs(r.Tensors, dtype) }

// Check finds, from headers alone, what the recipe's merge will yield, or what
// would keep its models from being merged: layers that are not there, tensors
// missing on either side, shapes, vocabularies, quantised weights, a method that
// is not built in. base is nil where the recipe has none; models follow
// r.Inputs(), or leave out the base among them. Errors that come from one entry
// of the recipe are [EntryError]s.
func Check(r *configs.Recipe, base []checkpoint.Tensor, models [][]checkpoint.Tensor, o CheckOptions) (*Result, error) {
	m, err := method.Get(r.MergeMethod)
	if err != nil {
		return nil, err
	}
	places, err := places(r, m, len(models))
	if err != nil {
		return nil, err
	}
	trim := trims(r)
	var headers []Header
	var refs []configs.ModelRef
	if base != nil {
		name := o.BaseName
		if name == "" {
			name = r.BaseModel.String()
		}
		headers = append(headers, Header{Name: name, Tensors: base, Tied: o.BaseTied, Config: o.BaseConfig, Tokenizer: o.BaseTokenizer})
		refs = append(refs, r.BaseModel)
	}
	for i, tensors := range models {
		ref := r.Inputs()[places[i]].Model
		h := Header{Name: ref.String(), Tensors: tensors, Trim: trim}
		if i < len(o.Names) {
			h.Name = o.Names[i]
		}
		if i < len(o.Tied) {
			h.Tied = o.Tied[i]
		}
		if i < len(o.Configs) {
			h.Config = o.Configs[i]
		}
		if i < len(o.Tokenizers) {
			h.Tokenizer = o.Tokenizers[i]
		}
		headers, refs = append(headers, h), append(refs, ref)
	}
	parts, err := stacked(r, m, refs, headers)
	if err != nil {
		return nil, err
	}
	owner := ownerOf(parts, base != nil)
	v, err := plannedVocabulary(r, m, refs, headers, parts, owner)
	if err != nil {
		return nil, err
	}
	l, err := align(headers, parts, owner)
	if err != nil {
		return nil, err
	}
	_, notes, err := reshape(headers, parts, owner, l)
	if err != nil {
		return nil, err
	}
	result := l.result()
	if v != nil {
		notes = append(notes, v.notes...)
		result.Vocabulary = v.size
	}
	if o.Note != nil {
		for _, n := range append(l.notes, notes...) {
			o.Note(n)
		}
	}
	return result, nil
}

// ownerOf is the model whose config.json and tokenizer the result has: the base,
// else the first source of the first part.
func ownerOf(parts []*part, base bool) int {
	if base {
		return 0
	}
	return parts[0].sources[0].model
}

func (l *layout) result() *Result {
	r := &Result{Layers: l.layers}
	for _, t := range l.tensors {
		r.Tensors = append(r.Tensors, checkpoint.Tensor{Name: t.name, DType: t.dtype, Shape: t.shape})
	}
	return r
}

// trims reports whether the recipe asks for the base's vocabulary.
func trims(r *configs.Recipe) bool {
	source := r.TokenizerSource
	if r.Tokenizer != nil && source == "" {
		source = r.Tokenizer.Source
	}
	return source == "base" || source != "" && !r.BaseModel.IsZero() && source == r.BaseModel.String()
}
