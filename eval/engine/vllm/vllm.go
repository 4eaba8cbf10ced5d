// Package vllm runs vLLM as a child process and generates text through its OpenAI-compatible server.
//
// The server listens on a Unix socket in a folder that only its user can enter: mergebot changes the weights through
// vLLM's development endpoints, and those ask for no key (an API key guards /v1, /v2, /inference and /cohere alone,
// vLLM 0.32.0), so that on a TCP port every user of the machine could call them. For the same reason no port can clash. vLLM has --uds since 0.10.1.
//
// The weights of a session are a checkpoint in memory (/dev/shm). Swap writes another one in its place and has the
// running server read it; where that is not known to work, the server is started anew.
package vllm

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"mergebot/eval/engine"
	"mergebot/eval/engine/server"
)

// Options of a session; zero fields mean the default.
type Options struct {
	// Command starts vLLM (default: vllm); its first element is looked up in PATH.
	Command []string
	// Args are more arguments for `vllm serve`. They are recorded with every score, so they must hold no secret. The
	// server's working folder is its own: paths must be absolute.
	Args []string
	// DType is --dtype (default bfloat16).
	DType string
	// Context is --max-model-len, 0 to leave it to vLLM.
	Context int
	// Dir is where checkpoints are put for the server (default /dev/shm, else the folder for temporary files). One
	// checkpoint is there at a time.
	Dir string
	// Log is the file that keeps the server's output; without, only its tail is kept, for errors.
	Log string
	// Start is how long the server may take until it is healthy (default 20 minutes).
	Start time.Duration
	// Server holds Concurrency, Timeout, Patience and Note; the other fields are set by this package.
	Server server.Options
}

// Write writes a complete Hugging Face folder (configuration, tokenizer, safetensors) with the weights of w into dir,
// which is there and empty.
type Write func(ctx context.Context, dir string, w engine.Weights) error

const (
	defaultDType = "bfloat16"
	defaultStart = 20 * time.Minute
	// servedName is what the server calls the model, whatever its folder is called.
	servedName = "mergebot"
)

// withDefaults fills in the defaults and refuses arguments that are ours to give.
func (o Options) withDefaults() (Options, error) {
	if len(o.Command) == 0 {
		o.Command = []string{"vllm"}
	}
	if o.DType == "" {
		o.DType = defaultDType
	}
	if o.Dir == "" {
		o.Dir = "/dev/shm"
		if st, err := os.Stat(o.Dir); err != nil || !st.IsDir() {
			o.Dir = os.TempDir()
		}
	}
	if o.Start <= 0 {
		o.Start = defaultStart
	}
	for _, a := range o.Args {
		name, _, _ := strings.Cut(strings.ReplaceAll(a, "_", "-"), "=")
		if why := reserved[name]; why != "" {
			return o, fmt.Errorf("vllm argument %s: %s; leave it out", name, why)
		}
	}
	return o, nil
}

// reserved are arguments of `vllm serve` that a session gives itself, or that hold a secret: arguments are recorded.
var reserved = map[string]string{
	"--api-key":           "a session makes its own key",
	"--hf-token":          "the model is in a local folder, no token is needed",
	"--config":            "what is in the file would not be recorded: give the arguments themselves",
	"--uds":               "a session makes its own socket",
	"--served-model-name": "a session names the model itself",
	"--model":             "a session names the model's folder itself",
	"--dtype":             "it has a setting of its own",
	"--max-model-len":     "it has a setting of its own",
}

// arguments of `vllm serve` for a model's folder and a socket.
func (o Options) arguments(model, socket string) []string {
	args := []string{"serve", model, "--uds", socket, "--served-model-name", servedName, "--dtype", o.DType,
		// Without it a model's generation_config.json could set a repetition penalty for every request. End tokens are
		// still taken from that file.
		"--generation-config", "vllm"}
	if o.Context > 0 {
		args = append(args, "--max-model-len", fmt.Sprint(o.Context))
	}
	return append(args, o.Args...)
}

func (o Options) note(format string, args ...any) {
	if o.Server.Note != nil {
		o.Server.Note(fmt.Sprintf(format, args...))
	}
}

// shapes are what the weights of a session must keep.
func shapes(w engine.Weights) map[string][]int64 {
	m := make(map[string][]int64)
	for _, name := range w.Names() {
		m[name] = slices.Clone(w.Shape(name))
	}
	return m
}

// sameShapes says in which tensor w differs from the weights that a session was opened with.
func sameShapes(want map[string][]int64, w engine.Weights) error {
	got := shapes(w)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if shape, ok := got[name]; !ok || !slices.Equal(shape, want[name]) {
			return fmt.Errorf("tensor %s has shape %v, the session was opened with %v", name, shape, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("tensor %s is not among those the session was opened with", name)
		}
	}
	return nil
}
