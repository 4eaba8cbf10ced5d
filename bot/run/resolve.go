package run

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/hub"
	"mergebot/merge"
	"mergebot/merge/checkpoint"
	"mergebot/merge/method"
)

// Resolve binds a recipe to commits and checks all that can be checked without weights: the commits,
// the licences, and every tensor's name, shape and type, which it reads from the files' headers alone.
// pins, where given, decide the commits. Problems of the recipe
// wrap ErrRecipe; the Hub's are package hub's.
func Resolve(ctx context.Context, env *Env, r *configs.Recipe, pins *Pins) (*Plan, error) {
	if err := supported(r); err != nil {
		return nil, err
	}
	p := &Plan{recipe: r, Recipe: PlannedRecipe{Name: recipeName(r), File: r.Path, Method: r.MergeMethod, Hash: r.Hash(), Text: string(r.Source)}}

	refs := make([]configs.ModelRef, 0, len(r.Models)+1)
	for _, m := range r.Models {
		refs = append(refs, m.Model)
	}
	if !r.BaseModel.IsZero() {
		refs = append(refs, r.BaseModel)
	}
	models := make([]LockedModel, len(refs))
	tensors := make([][]checkpoint.Tensor, len(refs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, ref := range refs {
		g.Go(func() (err error) {
			models[i], tensors[i], err = lockModel(gctx, env, ref, pins)
			return err
		})
	}
	if len(r.Mergebot.Domains) > 0 {
		g.Go(func() (err error) {
			p.Lock.Datasets, err = lockDatasets(gctx, env, r, pins)
			return err
		})
		info := env.engineFor(r).planned()
		p.Lock.Engine = &info
	}
	err := g.Wait()
	if err != nil {
		return nil, err
	}
	p.Lock.Models = models[:len(r.Models)]
	var baseTensors []checkpoint.Tensor
	if !r.BaseModel.IsZero() {
		p.Lock.Base, baseTensors = &models[len(models)-1], tensors[len(tensors)-1]
	}
	if err := p.checkTensors(baseTensors, tensors[:len(r.Models)]); err != nil {
		return nil, err
	}
	if err := p.license(); err != nil {
		return nil, err
	}
	p.estimate(env)
	if p.ID, err = p.id(); err != nil {
		return nil, err
	}
	return p, nil
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

// checkTensors compares names, shapes and types, and sizes the output.
func (p *Plan) checkTensors(base []checkpoint.Tensor, models [][]checkpoint.Tensor) error {
	for i, ts := range models {
		if len(ts) == 0 {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s holds torch .bin files: their tensors can only be checked once they are here", p.Lock.Models[i]))
		}
	}
	if p.Lock.Base != nil && len(base) == 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s holds torch .bin files: their tensors can only be checked once they are here", p.Lock.Base))
	}
	if len(models) == 0 || slices.ContainsFunc(models, func(ts []checkpoint.Tensor) bool { return len(ts) == 0 }) || p.Lock.Base != nil && len(base) == 0 {
		return nil // nothing to compare yet
	}
	options := merge.CheckOptions{Note: func(text string) { p.Warnings = append(p.Warnings, text) }}
	if p.Lock.Base != nil {
		options.BaseTied = p.Lock.Base.tied
	}
	for _, m := range p.Lock.Models {
		options.Tied = append(options.Tied, m.tied)
	}
	if err := merge.Check(p.recipe, base, models, options); err != nil {
		return refuse("%w", err)
	}
	like := base
	if len(like) == 0 {
		like = models[0]
	}
	return p.size(like)
}

// size says how large the output will be.
func (p *Plan) size(like []checkpoint.Tensor) error {
	p.Output.DType = p.recipe.OutDType
	if p.Output.DType == "" {
		p.Output.DType = p.recipe.DType
	}
	dtype, ok := checkpoint.FromTorchName(p.Output.DType)
	if p.Output.DType != "" && !ok {
		return refuse("cannot write dtype %q: use float16, bfloat16 or float32", p.Output.DType)
	}
	p.Output.Tensors = len(like)
	for _, t := range like {
		n := elements(t.Shape)
		p.Output.Parameters += n
		if ok {
			p.Output.Bytes += n * int64(dtype.Size())
		} else {
			p.Output.Bytes += n * int64(t.DType.Size())
		}
	}
	return nil
}

// license combines the parents' licences with the one the recipe publishes under.
func (p *Plan) license() error {
	var parents []hub.ParentLicense
	if p.Lock.Base != nil && p.Lock.Base.Repo != "" {
		parents = append(parents, p.Lock.Base.parent)
	}
	for _, m := range p.Lock.Models {
		if m.Repo != "" {
			parents = append(parents, m.parent)
		}
	}
	chosen := ""
	if pub := p.recipe.Mergebot.Publish; pub != nil {
		chosen = pub.License
	}
	l, warnings, err := hub.CombineLicenses(hub.License{ID: chosen}, parents)
	if err != nil {
		return refuse("%w", err)
	}
	p.License = l
	p.Warnings = append(p.Warnings, warnings...)
	return nil
}

// parentLicense is what a model's card says of its licence.
func parentLicense(i *hub.Info) hub.ParentLicense {
	text := func(key string) string { s, _ := i.CardData[key].(string); return s }
	return hub.ParentLicense{Repo: i.ID, ID: i.License, Name: text("license_name"), Link: text("license_link")}
}

// estimate says what the run will need.
func (p *Plan) estimate(env *Env) {
	all := slices.Clone(p.Lock.Models)
	if p.Lock.Base != nil && !slices.ContainsFunc(all, func(m LockedModel) bool { return m.Digest == p.Lock.Base.Digest }) {
		all = append(all, *p.Lock.Base)
	}
	for _, m := range all {
		p.Download.Bytes += m.Bytes
		if m.Repo != "" {
			p.Download.Missing += env.Hub.Missing(hub.Repo{Type: hub.Model, ID: m.Repo}, m.hubFiles())
		}
	}
	p.Output.Shards = int(math.Ceil(float64(p.Output.Bytes) / float64(env.ShardSize)))
	p.Download.DiskBytes = p.Download.Missing + p.Output.Bytes
	if p.Lock.Engine != nil && p.Lock.Engine.Engine == engine.Pinned().Engine {
		p.Download.EngineBytes = 4 * p.Output.Parameters
	}
	p.Download.Seconds = int64(float64(2*p.Download.Bytes)/mergeRate) + 1
}

// supported refuses what recipes may say but this program does not do yet.
func supported(r *configs.Recipe) error {
	switch {
	case len(r.Slices) > 0:
		return refuse("%s: slices are not built in; list whole models under models:", r.Path)
	case r.TokenizerSource != "" && r.TokenizerSource != "base":
		return refuse("%s: tokenizer_source %q is not built in; leave it out or say base", r.Path, r.TokenizerSource)
	case r.Tokenizer != nil:
		return refuse("%s: the tokenizer section is not built in; the base's tokenizer is used", r.Path)
	case r.ChatTemplate != "":
		return refuse("%s: chat_template is not built in; the base's template is used", r.Path)
	}
	if _, err := method.Get(r.MergeMethod); err != nil {
		return refuse("%s: %w", r.Path, err)
	}
	return nil
}
