package run

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strings"

	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/eval/engine/server"
	"mergebot/eval/engine/vllm"
	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// Engines are what this machine can generate text with.
type Engines struct {
	Use    string // what a recipe's `auto` is here: llama.cpp, the default, or vllm
	Llama  engine.Options
	VLLM   vllm.Options
	Server server.Options // of an engine named by its URL; URL and Model are not looked at
}

// backend is one kind of engine.
type backend interface {
	// planned is what a plan is bound to: all that is known without starting or asking anything.
	planned() engine.Info
	// identify is all that decides a completion besides the weights, the prompt and its parameters. It fails where the
	// engine is not there: better than hours later, after the merge.
	identify(ctx context.Context) (engine.Info, error)
	// open puts a model's weights into the engine.
	open(ctx context.Context, w weighed, weights engine.Weights) (engine.Session, error)
}

// engineName is the engine that is meant by name on this machine.
func (e *Env) engineName(name string) string {
	if name == "" || name == "auto" {
		name = e.Engines.Use
	}
	return cmp.Or(name, "llama.cpp")
}

// backend finds the engine that a recipe names.
func (e *Env) backend(name string) backend {
	switch name = e.engineName(name); {
	case name == "vllm":
		return vllmBackend{e.Engines.VLLM, e.Device}
	case strings.Contains(name, "://"):
		o := e.Engines.Server
		o.URL = name
		return serverBackend{o}
	}
	return llamaBackend{e.Engines.Llama}
}

// engineFor is the engine of a recipe.
func (e *Env) engineFor(r *configs.Recipe) backend { return e.backend(r.Mergebot.Evaluate.Engine) }

// llamaBackend is the embedded llama.cpp.
type llamaBackend struct{ options engine.Options }

func (b llamaBackend) planned() engine.Info { return engine.Pinned() }

func (b llamaBackend) identify(context.Context) (engine.Info, error) {
	_, err := engine.Installed(b.options.LibDir)
	return engine.Pinned(), err
}

func (b llamaBackend) open(ctx context.Context, w weighed, weights engine.Weights) (engine.Session, error) {
	return engine.OpenLlama(ctx, w.dir, weights, b.options)
}

// vllmBackend is a vLLM that mergebot starts.
type vllmBackend struct {
	options vllm.Options
	device  kernel.Device
}

// planned has no version: a plan may be made where there is no vLLM.
func (b vllmBackend) planned() engine.Info {
	info := engine.Info{Engine: "vllm", DType: b.options.DType, Flags: map[string]string{}}
	if len(b.options.Args) > 0 {
		info.Flags["args"] = strings.Join(b.options.Args, " ")
	}
	if b.options.Context > 0 {
		info.Flags["max_model_len"] = fmt.Sprint(b.options.Context)
	}
	return info
}

func (b vllmBackend) identify(ctx context.Context) (engine.Info, error) {
	info, err := vllm.Identify(ctx, b.options)
	if err != nil {
		return engine.Info{}, err
	}
	flags := maps.Clone(b.planned().Flags)
	maps.Copy(flags, info.Flags)
	info.Flags = flags
	return info, nil
}

func (b vllmBackend) open(ctx context.Context, w weighed, weights engine.Weights) (engine.Session, error) {
	write := func(ctx context.Context, dir string, weights engine.Weights) error {
		return writeWeights(ctx, b.device, dir, w.dir, b.options.DType, weights)
	}
	return vllm.Open(ctx, weights, write, b.options)
}

// serverBackend is a server that somebody else started, with one model in it.
type serverBackend struct{ options server.Options }

func (b serverBackend) planned() engine.Info { return engine.Info{Engine: "server"} }

func (b serverBackend) identify(ctx context.Context) (engine.Info, error) {
	return server.Identify(ctx, b.options)
}

func (b serverBackend) open(ctx context.Context, _ weighed, _ engine.Weights) (engine.Session, error) {
	return server.Open(ctx, b.options)
}

// writeWeights writes a checkpoint that an engine can load: the weights in one number format, and the config and
// tokenizer of the checkpoint in like. Nothing of it outlives the engine.
func writeWeights(ctx context.Context, dev kernel.Device, dir, like, dtype string, w engine.Weights) error {
	stored, ok := checkpoint.FromTorchName(dtype)
	format, ok2 := map[string]kernel.Format{"float32": kernel.F32, "float16": kernel.F16, "bfloat16": kernel.BF16}[dtype]
	if !ok || !ok2 {
		return fmt.Errorf("cannot write weights as %q: use float16, bfloat16 or float32", dtype)
	}
	var tensors []checkpoint.Output
	for _, name := range w.Names() {
		tensors = append(tensors, checkpoint.Output{Name: name, DType: stored, Shape: w.Shape(name)})
	}
	out, err := checkpoint.Create(dir, tensors, checkpoint.WriterOptions{})
	if err != nil {
		return err
	}
	var values []float32
	var encoded []byte
	for i := range out.Shards() {
		_, err := out.WriteShard(ctx, i, func(t checkpoint.Output, put func([]byte) error) error {
			n := int(elements(t.Shape))
			values, encoded = grow(values, n), grow(encoded, n*format.Size())
			if err := w.Read(t.Name, values); err != nil {
				return err
			}
			if err := dev.Encode(encoded, values, format); err != nil {
				return err
			}
			return put(encoded)
		})
		if err != nil {
			return err
		}
	}
	if err := checkpoint.CopySidecars(like, dir, map[string]any{"torch_dtype": dtype}); err != nil {
		return err
	}
	_, err = out.Finish()
	return err
}

// grow gives a slice of n elements, the same memory again where it suffices.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
