package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"mergebot/configs"
	"mergebot/merge"
	"mergebot/merge/checkpoint"
	"mergebot/merge/method"
	"mergebot/merge/tokenizer"
)

// Resolve binds a recipe to commits and checks all that can be checked without weights: the commits,
// the licences, and every tensor's name, shape and type, which it reads from the files' headers alone.
// pins, where given, decide the commits. It looks at everything and reports all that it finds: see [Problems]. What is
// wrong with the recipe itself wraps ErrRecipe; the Hub's errors are package hub's.
func Resolve(ctx context.Context, env *Env, r *configs.Recipe, pins *Pins) (*Plan, error) {
	if err := supported(r); err != nil {
		return nil, err
	}
	p := &Plan{recipe: r, Recipe: PlannedRecipe{Name: recipeName(r), File: r.Path, Method: r.MergeMethod, Hash: r.Hash(), Text: string(r.Source)}}
	s := newResolver(env, r, pins)
	s.descent, s.tokenizers = true, merge.ReadsTokenizers(r)
	refs := r.References()
	found := make([]*resolved, len(refs))
	var jobs []func(context.Context) error
	for i, ref := range refs {
		jobs = append(jobs, func(ctx context.Context) error {
			m, tensors, err := s.model(ctx, ref)
			if err != nil {
				return at(ref.Pos, err)
			}
			found[i] = &resolved{m, tensors}
			return nil
		})
	}
	var datasets error
	if len(r.Mergebot.Domains) > 0 {
		jobs = append(jobs, func(ctx context.Context) error {
			p.Lock.Datasets, datasets = s.datasets(ctx, r)
			return datasets
		})
		info := env.engineFor(r).planned()
		p.Lock.Engine = &info
	}
	wrong := together(ctx, jobs...)
	if datasets != nil { // several, each with its place
		wrong = wrong[:len(refs)]
		wrong = append(wrong, several(datasets)...)
	}
	models := modelsOf(r, refs, found)
	wrong = append(wrong, p.checkTensors(models)...)
	p.Lock.forgetTokenizers()
	wrong = append(wrong, p.license(models)...)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	if err := p.estimate(ctx, env); err != nil {
		return nil, err
	}
	var err error
	p.ID, err = p.id()
	return p, err
}

// resolved is a model as it was found.
type resolved struct {
	LockedModel
	tensors []checkpoint.Tensor // none of torch .bin files
}

// family is what a recipe merges; nil stands for what was not found.
type family struct {
	base   *resolved
	models []*resolved // as configs.Recipe.Inputs
}

// modelsOf puts what was found in the recipe's order.
func modelsOf(r *configs.Recipe, refs []configs.ModelRef, found []*resolved) family {
	of := func(ref configs.ModelRef) *resolved {
		i := slices.IndexFunc(refs, ref.Same)
		if i < 0 {
			return nil
		}
		return found[i]
	}
	f := family{base: of(r.BaseModel)}
	for _, m := range r.Inputs() {
		f.models = append(f.models, of(m.Model))
	}
	return f
}

// recipeName is the recipe's own name, else its file's.
func recipeName(r *configs.Recipe) string {
	if r.Name != "" {
		return r.Name
	}
	base := filepath.Base(r.Path)
	if name := strings.TrimSuffix(strings.TrimSuffix(base, ".yaml"), ".yml"); name != "" && name != "." {
		return name
	}
	return "merge"
}

// checkTensors compares names, shapes and types, and sizes the output. It fills in the lock.
func (p *Plan) checkTensors(f family) findings {
	unread := func(m *resolved) {
		if m != nil {
			p.warn(m.warnings...)
		}
		if m != nil && len(m.tensors) == 0 {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s holds torch .bin files: their tensors can only be checked once they are here", m))
		}
	}
	complete := p.recipe.BaseModel.IsZero() || f.base != nil
	var tensors [][]checkpoint.Tensor
	options := merge.CheckOptions{Note: func(text string) { p.Warnings = append(p.Warnings, text) }}
	for _, m := range f.models {
		unread(m)
		if m == nil {
			complete = false
			continue
		}
		p.Lock.Models = append(p.Lock.Models, m.LockedModel)
		tensors, options.Tied, options.Configs = append(tensors, m.tensors), append(options.Tied, m.tied), append(options.Configs, m.config)
	}
	unread(f.base)
	var base []checkpoint.Tensor
	if f.base != nil {
		p.Lock.Base, base, options.BaseTied, options.BaseConfig = &f.base.LockedModel, f.base.tensors, f.base.tied, f.base.config
	}
	if !complete { // the rest can still be compared
		return p.blame(f)
	}
	if len(tensors) == 0 || slices.ContainsFunc(tensors, func(ts []checkpoint.Tensor) bool { return len(ts) == 0 }) || p.Lock.Base != nil && len(base) == 0 {
		return nil // nothing to compare yet
	}
	if merge.ReadsTokenizers(p.recipe) {
		if err := f.openTokenizers(); err != nil {
			return findings{err}
		}
		f.tokenizers(&options)
	}
	result, err := merge.Check(p.recipe, base, tensors, options)
	if err != nil {
		if wrong := p.blame(f); len(wrong) > 0 {
			return wrong
		}
		return p.entries(err)
	}
	return findings{at(p.recipe.Locate("dtype"), p.size(result))}
}

// entries puts what merge.Check found on the lines of the recipe's entries that it comes from.
func (p *Plan) entries(err error) (out findings) {
	for _, err := range several(err) {
		path := []string{"models"}
		if len(p.recipe.Slices) > 0 {
			path = []string{"slices"}
		}
		if e := (*merge.EntryError)(nil); errors.As(err, &e) {
			path = e.Path
		}
		out = append(out, at(p.recipe.Locate(path...), refuse("%w", err)))
	}
	return out
}

// warn adds warnings that the plan does not have yet.
func (p *Plan) warn(texts ...string) {
	for _, text := range texts {
		if !slices.Contains(p.Warnings, text) {
			p.Warnings = append(p.Warnings, text)
		}
	}
}

// blame finds the models whose tensors do not fit, by comparing one after another with the base, or with the first
// model where there is no base. Slices tell it themselves.
func (p *Plan) blame(f family) findings {
	r := p.recipe
	if len(r.Slices) > 0 {
		return nil
	}
	var first []configs.Model
	like, mark := f.base, r.BaseModel
	if r.BaseModel.IsZero() {
		like, mark, first = f.models[0], r.Models[0].Model, r.Models[:1]
	}
	if like == nil || len(like.tensors) == 0 {
		return nil
	}
	var out findings
	said := map[string]bool{}
	compare := func(ref configs.ModelRef, m *resolved) {
		only := *r
		only.Models = append(slices.Clone(first), configs.Model{Model: ref})
		only.ChatTemplate = ""
		if len(like.tokenizer) > 0 && r.VocabularySource() != "" { // of two at a time, whose rows need not be the same
			only.TokenizerSource, only.Tokenizer = "union", nil
		}
		var base []checkpoint.Tensor
		tensors := [][]checkpoint.Tensor{m.tensors}
		o := merge.CheckOptions{Tied: []bool{m.tied}}
		if len(first) > 0 {
			tensors, o.Tied = [][]checkpoint.Tensor{like.tensors, m.tensors}, []bool{like.tied, m.tied}
			o.Tokenizers = []tokenizer.Files{like.tokenizer, m.tokenizer}
		} else {
			base, o.BaseTied = like.tensors, like.tied
			o.BaseTokenizer, o.Tokenizers = like.tokenizer, []tokenizer.Files{m.tokenizer}
		}
		_, err := merge.Check(&only, base, tensors, o)
		for _, err := range several(err) {
			if !said[err.Error()] {
				said[err.Error()] = true
				out = append(out, at(ref.Pos, refuse("%w", err)))
			}
		}
	}
	// What is wrong with the mark itself shows when it is compared with itself.
	compare(mark, like)
	for i, m := range f.models {
		if m != nil && m != like && len(m.tensors) > 0 {
			compare(r.Models[i].Model, m)
		}
	}
	return out
}

// several takes errors that were joined apart.
func several(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// size says how large the output will be.
func (p *Plan) size(result *merge.Result) error {
	p.Output.DType = cmp.Or(p.recipe.OutDType, p.recipe.DType)
	outputs, err := result.Outputs(p.Output.DType)
	if err != nil {
		return refuse("%w", err)
	}
	if p.Output.Tensors = len(outputs); len(p.recipe.Slices) > 0 {
		p.Output.Layers = result.Layers
	}
	p.Output.Vocabulary = result.Vocabulary
	for _, o := range outputs {
		p.Output.Parameters += elements(o.Shape)
		p.Output.Bytes += o.Size()
	}
	return nil
}

// supported refuses what recipes may say but this program does not do yet.
func supported(r *configs.Recipe) error {
	if _, err := method.Get(r.MergeMethod); err != nil {
		return at(r.Locate("merge_method"), refuse("%s: %w", r.Path, err))
	}
	return nil
}
