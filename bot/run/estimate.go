package run

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/dustin/go-humanize"

	"mergebot/eval/engine"
	"mergebot/eval/engine/vllm"
	"mergebot/merge/checkpoint"
)

// estimate says what the run will need.
func (p *Plan) estimate(ctx context.Context, env *Env) error {
	all := slices.Clone(p.Lock.Models)
	if p.Lock.Base != nil && !slices.ContainsFunc(all, func(m LockedModel) bool { return m.Digest == p.Lock.Base.Digest }) {
		all = append(all, *p.Lock.Base)
	}
	read := int64(0) // a model that several adapters change is read for each
	for _, m := range all {
		read += m.size()
	}
	for _, m := range p.Lock.parts() {
		p.Download.Bytes += m.Bytes
		p.Download.Missing += env.missing(m)
	}
	p.Output.Shards = int(math.Ceil(float64(p.Output.Bytes) / float64(env.ShardSize)))
	p.Download.DiskBytes = p.Download.Missing + p.Output.Bytes
	p.Download.Seconds = int64(float64(2*read)/mergeRate) + 1
	p.disk(env.Hub.CacheDir(), cmp.Or(env.Work, "."), FreeSpace)
	if p.Lock.Engine == nil {
		return nil
	}
	switch b := env.engineFor(p.recipe).(type) {
	case llamaBackend:
		p.Download.EngineBytes = 4 * p.Output.Parameters
	case vllmBackend:
		p.Download.VRAM = p.vram(b.options)
	}
	var err error
	p.Download.Evaluation, err = p.evaluation(ctx, env)
	return err
}

// disk warns where less is free than will be written: downloads into the Hub's cache, the merged model into the folder
// of runs.
func (p *Plan) disk(cache, work string, free func(string) (uint64, error)) {
	warn := func(dir, what string, need int64) {
		if have, err := free(dir); err == nil && need > 0 && have < uint64(need) {
			p.Warnings = append(p.Warnings, fmt.Sprintf("not enough disk space in %s: %s needs %s, %s is free; free some, or use another disk",
				dir, what, humanize.IBytes(uint64(need)), humanize.IBytes(have)))
		}
	}
	if sameDisk(cache, work) {
		warn(cache, "the run", p.Download.DiskBytes)
		return
	}
	warn(cache, "what is to be fetched", p.Download.Missing)
	warn(work, "the merged model", p.Output.Bytes)
}

// attention is what decides the size of a model's keys and values.
type attention struct {
	layers, heads, width int64 // heads of keys and values, and the width of each
	context              int64 // the longest, in tokens
}

// attentionOf reads it from a decoded config.json; what is not there stays 0.
func attentionOf(config map[string]any) attention {
	if inner, ok := config["text_config"].(map[string]any); ok && config["num_hidden_layers"] == nil {
		config = inner
	}
	number := func(key string) int64 {
		f, _ := config[key].(float64)
		if f != math.Trunc(f) || f < 0 || f > 1<<30 {
			return 0
		}
		return int64(f)
	}
	a := attention{layers: number("num_hidden_layers"), heads: number("num_key_value_heads"), width: number("head_dim"), context: number("max_position_embeddings")}
	queries := number("num_attention_heads")
	a.heads = cmp.Or(a.heads, queries)
	if a.width == 0 && queries > 0 {
		a.width = number("hidden_size") / queries
	}
	return a
}

// kv is the bytes of keys and values of so many tokens, in numbers of a size.
func (a attention) kv(tokens, size int64) int64 {
	const most = 1 << 50 // no GPU has more: the config is nonsense
	f := 2 * float64(a.layers) * float64(a.heads) * float64(a.width) * float64(tokens) * float64(size)
	if f > most {
		return 0
	}
	return int64(f)
}

// layersOf is a model's attention in as many layers as the result has.
func (p *Plan) layersOf(a attention) attention {
	a.layers = cmp.Or(int64(p.Output.Layers), a.layers)
	return a
}

// vram is what vLLM needs: the weights in its number format, and keys and values for its context.
func (p *Plan) vram(o vllm.Options) *PlannedVRAM {
	v := &PlannedVRAM{DType: cmp.Or(o.DType, "bfloat16"), Context: int64(o.Context)}
	size := int64(2)
	if t, ok := checkpoint.FromTorchName(v.DType); ok {
		size = int64(t.Size())
	}
	v.Weights = size * p.Output.Parameters
	like := p.Lock.Base
	if like == nil {
		like = &p.Lock.Models[0]
	}
	v.Context = cmp.Or(v.Context, like.attention.context)
	v.KV = p.layersOf(like.attention).kv(v.Context, size)
	return v
}

// evaluation is how many prompts are answered, and how long that takes if the engine goes on as it did.
func (p *Plan) evaluation(ctx context.Context, env *Env) (*PlannedEvaluation, error) {
	models := int64(2) // the domain's expert and the merged model
	if p.Lock.Base != nil {
		models++
	}
	out := &PlannedEvaluation{}
	speed, err := readPace(ctx, env, *p.Lock.Engine)
	if err != nil {
		return nil, err
	}
	var seconds float64
	known := true
	for _, d := range p.recipe.Mergebot.Domains {
		for _, name := range d.Tasks {
			set, err := p.dataset(name)
			if err != nil {
				return nil, err
			}
			rows := int64(set.Reported)
			if limit := int64(p.recipe.Mergebot.Evaluate.Limit); limit > 0 && (rows == 0 || limit < rows) {
				rows = limit
			}
			if rows == 0 {
				return &PlannedEvaluation{}, nil
			}
			out.Items += models * rows
			took, ok := speed.Tasks[name]
			known = known && ok
			seconds += took.forItems(models*rows, p.Output.Parameters)
		}
	}
	if known {
		out.Seconds = int64(seconds) + 1
	}
	return out, nil
}

// engineKind is an engine as far as its speed goes: a plan does not know the version of every engine.
func engineKind(i engine.Info) string { return i.Engine + " " + i.DType }
