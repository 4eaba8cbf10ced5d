// Package engine generates text from a checkpoint whose weights may change between calls.
//
// A Session holds one model. Generate decodes greedily (temperature 0), so its result depends only on the weights,
// the prompts and what Info says; Swap replaces all weights, in place where the engine can. The embedded engine is
// llama.cpp in a child process: native code that crashes takes the child with it, never the program.
package engine

import (
	"context"
	"errors"
	"io"

	"mergebot/eval/engine/gguf"
	"mergebot/eval/engine/install"
)

var (
	// ErrUnusable is returned by Generate when the model's logits are not numbers: the weights are broken, the
	// session is not. A search scores such a candidate 0 and goes on.
	ErrUnusable = errors.New("the model's logits are not numbers")
	// ErrNotInstalled is returned when the inference library is missing or its files are not the ones installed.
	ErrNotInstalled = install.ErrNotInstalled
	// ErrUnsupportedPlatform is returned where the embedded engine does not run.
	ErrUnsupportedPlatform = install.ErrUnsupportedPlatform
	// ErrUnsupportedModel is returned for an architecture, a tokenizer or a setting that is not known to be computed
	// exactly as Hugging Face does.
	ErrUnsupportedModel = gguf.ErrUnsupported
	// ErrCrashed is returned when the engine's process died twice in a row; the text ends in the tail of its log.
	ErrCrashed = errors.New("the engine's process died")
	// ErrCannotSwap is returned by Swap where the weights belong to somebody else: a server that others started.
	ErrCannotSwap = errors.New("the engine cannot change its weights")
	// ErrClosed is returned by the methods of a closed session.
	ErrClosed = errors.New("engine session is closed")
)

// ChildVerb is the hidden verb with which the program starts itself as the engine's process, and ChildEnv the
// variable that is set to 1 for it, for programs without verbs (test binaries): both lead to ServeChild.
const (
	ChildVerb = "__engine"
	ChildEnv  = "MERGEBOT_ENGINE_CHILD"
)

// Weights are a model's tensors by their Hugging Face names, widened to float32.
type Weights interface {
	// Names lists the tensors in a fixed order.
	Names() []string
	// Shape is a tensor's shape, rows first.
	Shape(name string) []int64
	// Read fills dst, which has the tensor's number of elements, row-major. An engine calls it from one goroutine at
	// a time; dst may be memory that the running model sees, so nothing keeps it.
	Read(name string, dst []float32) error
}

// Request asks for the continuation of one prompt.
type Request struct {
	ID     string
	Prompt string
	// MaxTokens bounds the completion; it is lowered to what the context leaves.
	MaxTokens int
	// Stop ends the completion before the first of these strings.
	Stop []string
}

// Values of Completion.Finish.
const (
	FinishStop   = "stop"   // an end token or a stop string
	FinishLength = "length" // MaxTokens or the end of the context
	FinishError  = "error"  // nothing generated, see Completion.Error
)

// Completion is the answer to one Request.
type Completion struct {
	// Text is what was generated, without end token and stop string.
	Text string
	// Tokens are the generated ids, without the end token.
	Tokens       []int32
	Finish       string
	PromptTokens int
	// Error says why Finish is FinishError.
	Error string
}

// Info is recorded with every score: all that determines the outputs besides weights and prompts.
type Info struct {
	Engine  string            `json:"engine"`
	Version string            `json:"version"`
	DType   string            `json:"dtype"`
	Flags   map[string]string `json:"flags,omitempty"`
	// LiveSwap is true when Swap writes into the running model, false when it loads the model anew.
	LiveSwap bool `json:"live_swap"`
}

// Generator answers prompts.
type Generator interface {
	// Generate answers requests in their order. each (if not nil) gets every completion once, with the index of its
	// request, as soon as it is there and never two at a time, so that what was answered can be kept even when the
	// call fails later. A prompt that cannot be answered gets FinishError and does not fail the others. Generate
	// returns ErrUnusable when logits are NaN, and ctx's error soon after ctx ends.
	Generate(ctx context.Context, reqs []Request, each func(i int, c Completion)) ([]Completion, error)
	Info() Info
}

// Session is a loaded model. Its methods may be called from several goroutines; they run one after another.
type Session interface {
	Generator
	// Swap replaces all weights; names and shapes must be those the session was opened with. After an error the
	// weights are undefined until a Swap succeeds. It returns ErrCannotSwap where the engine has no way to do it.
	Swap(ctx context.Context, w Weights) error
	// Close ends the engine's process and frees its memory. A second call does nothing.
	Close() error
}

// Options of a session; zero fields mean the default.
type Options struct {
	// Lanes are contexts that compute in parallel (default: the number of cores, at most 8).
	Lanes int
	// Slots are sequences decoded together in one lane (default 4; 16 for models whose weights are larger than a
	// processor's caches, so that each reading of them serves more sequences).
	Slots int
	// CacheBytes bounds the keys and values of all lanes' sequences: for long prompts and completions there are fewer
	// slots, then fewer lanes (default: half of what the machine or container has beside the weights).
	CacheBytes int64
	// Threads of a lane (default 1; more only pay on idle cores).
	Threads int
	// Context is the number of positions of a sequence, prompt included (default: the model's, at most 4096).
	Context int
	// LibDir holds the installed inference library (default: DefaultDir).
	LibDir string
	// Log receives the engine's log (default: only its tail is kept, for errors).
	Log io.Writer
}
