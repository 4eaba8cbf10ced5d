// Command synth writes made-up LLaMA checkpoints of any size, for tests of
// memory and speed. The values are random, but a function of the flags alone:
//
//	go run ./merge/checkpoint/synth -preset 1.1b -out base
//	go run ./merge/checkpoint/synth -base base -seed 1 -delta-scale 0.1 -out expert
//
// Without -base it makes a base model: linears and embeddings roughly normal
// with standard deviation 0.02, norms around 1. With -base it makes an expert:
// each element of the base plus a heavy-tailed delta (kurtosis 6.8 before
// rounding), so that pruning and outliers have something to find.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"mergebot/merge/checkpoint"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "synth:", err)
		os.Exit(1)
	}
}

type options struct {
	model      model
	dtype      checkpoint.DType
	seed       uint64
	deltaScale float64
	base       string
	out        string
	tokenizer  string
	shardSize  int64
	sparse     int64
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("synth", flag.ContinueOnError)
	preset := fs.String("preset", "tiny", "shape: tiny, 1.1b (TinyLlama's) or 7b (LLaMA-2's); the flags below change it")
	shape := map[string]*int64{}
	for _, f := range []struct{ name, what string }{
		{"hidden", "hidden size"}, {"layers", "decoder layers"}, {"intermediate", "intermediate size"},
		{"vocab", "vocabulary"}, {"heads", "attention heads"}, {"kv-heads", "key and value heads"},
	} {
		shape[f.name] = fs.Int64(f.name, 0, f.what+" (0: the preset's)")
	}
	tied := fs.Bool("tied", false, "tie the output layer to the embeddings")
	dtype := fs.String("dtype", "bfloat16", "float32, float16 or bfloat16")
	fs.Uint64Var(&o.seed, "seed", 0, "seed of the random values")
	fs.StringVar(&o.base, "base", "", "make an expert of the checkpoint in this folder; its shape and dtype are used")
	fs.Float64Var(&o.deltaScale, "delta-scale", 0.1, "standard deviation of an expert's delta, as a share of the base's 0.02")
	fs.StringVar(&o.tokenizer, "tokenizer", "", "copy the tokenizer from this folder")
	fs.Int64Var(&o.shardSize, "shard-size", checkpoint.DefaultShardSize, "most bytes of data in one file")
	fs.Int64Var(&o.sparse, "sparse", 0, "give values only to every nth block of 524288 elements, and leave holes, which take no disk, elsewhere; in one file (0: all have values)")
	fs.StringVar(&o.out, "out", "", "folder to write")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	var ok bool
	if o.model, ok = presets[*preset]; !ok {
		return o, fmt.Errorf("there is no preset %q; use tiny, 1.1b or 7b", *preset)
	}
	o.model.override(shape)
	o.model.tied = *tied
	if o.dtype, ok = checkpoint.FromTorchName(*dtype); !ok || o.dtype.Size() > 4 || !o.dtype.Float() {
		return o, fmt.Errorf("dtype %q cannot be made; use float32, float16 or bfloat16", *dtype)
	}
	if o.out == "" {
		return o, errors.New("-out is missing")
	}
	if o.sparse < 0 {
		return o, fmt.Errorf("-sparse %d is negative", o.sparse)
	}
	return o, o.model.check()
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	start := time.Now()
	outputs := o.model.tensors(o.dtype)
	values := source{seed: o.seed}
	if o.base != "" {
		if values.base, err = checkpoint.Open(o.base); err != nil {
			return err
		}
		defer func() { _ = values.base.Close() }()
		values.deltaScale = o.deltaScale * initStd
		outputs = nil
		for _, t := range values.base.Tensors() {
			outputs = append(outputs, checkpoint.Output{Name: t.Name, DType: t.DType, Shape: t.Shape})
		}
	}
	if o.sparse > 0 {
		err = values.writeSparse(ctx, o.out, outputs, o.sparse)
	} else {
		err = values.writeWhole(ctx, o.out, outputs, o.shardSize)
	}
	if err != nil {
		return err
	}
	if err := o.sidecars(); err != nil {
		return err
	}
	var bytes int64
	for _, t := range outputs {
		bytes += t.Size()
	}
	fmt.Printf("%s: %d tensors, %.2f GB in %.1f s\n", o.out, len(outputs), float64(bytes)/1e9, time.Since(start).Seconds())
	return nil
}

// writeWhole writes every element, as the merge's own results are written.
func (s source) writeWhole(ctx context.Context, dir string, outputs []checkpoint.Output, shardSize int64) error {
	w, err := checkpoint.Create(dir, outputs, checkpoint.WriterOptions{ShardSize: shardSize})
	if err != nil {
		return err
	}
	for i := range w.Shards() {
		if _, err := w.WriteShard(ctx, i, s.fill); err != nil {
			return err
		}
	}
	_, err = w.Finish()
	return err
}

// sidecars writes config.json and what goes with it.
func (o options) sidecars() error {
	if o.base != "" {
		return checkpoint.CopySidecars(o.base, o.out, nil)
	}
	config, err := json.MarshalIndent(o.model.config(o.dtype), "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.out, "config.json"), append(config, '\n'), 0o644); err != nil {
		return err
	}
	if o.tokenizer != "" {
		return checkpoint.CopyTokenizer(o.tokenizer, o.out)
	}
	return nil
}
