// Package server generates text with a server that somebody else runs: anything that speaks OpenAI's completions
// protocol, such as vLLM, llama-server, SGLang or `transformers serve`.
//
// Prompts go to /v1/completions as they are, one a request, many requests at a time, at temperature 0. Only model,
// prompt, max_tokens, temperature and stop are sent, since some servers refuse fields they do not implement; whatever
// else shapes a text (BOS and special tokens, batching, number format, penalties in a model's generation_config.json)
// is the server's business. A server does not say that logits were not numbers, so engine.ErrUnusable never comes from
// here: such a model is seen by its empty or senseless texts alone.
package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"mergebot/eval/engine"
)

// Options say which server, and how patiently to ask it. Zero fields mean the default.
type Options struct {
	// URL is the server's address, with or without /v1 at the end.
	URL string
	// Model is its name as the server lists it; "" means the only one listed.
	Model string
	// Key is the API key, sent to URL's host alone. It is in no error, note or Info.
	Key string
	// Concurrency is the most requests in flight (default 128); a server that says it is busy gets fewer for a while.
	Concurrency int
	// Timeout of one request (default 10 minutes).
	Timeout time.Duration
	// Patience is how long one item is tried again while the server answers nothing at all (default 10 minutes).
	Patience time.Duration
	// Note, if not nil, is told what a person should hear, one call at a time: that the server is busy or gone or back.
	Note func(string)
	// HTTP, if not nil, is used in place of a client of its own. Redirects are refused all the same.
	HTTP *http.Client
}

const (
	defaultConcurrency = 128
	defaultTimeout     = 10 * time.Minute
	defaultPatience    = 10 * time.Minute
	// openPatience is how long Open and Identify try: a person is waiting, most likely with a wrong address.
	openPatience = 5 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Concurrency < 1 {
		o.Concurrency = defaultConcurrency
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	return o
}

var (
	// ErrUnavailable is returned when the server cannot be reached, fails for longer than the patience, or is no such
	// server at all.
	ErrUnavailable = errors.New("the server gives no usable answer")
	// ErrUnauthorized is returned when the server wants an API key, or another one.
	ErrUnauthorized = errors.New("the server refuses the key")
)

// ErrChanged is returned by Generate when the server no longer is what it was at Open: another model, another version.
var ErrChanged = errors.New("the server has changed during the run")

// Session asks one model of one server. It implements engine.Session.
type Session struct {
	o      Options
	client *client
	flow   *flow
	id     identity
	busy   chan struct{} // holds a token while no Generate runs
	life   context.Context
	end    context.CancelFunc
}

// Open finds out what the server is and which model it serves, and has it complete a few words: an address that is no
// such server, a wrong key, an unknown model and a server that repeats the prompt in its answer are errors here, not
// after an hour of questions.
func Open(ctx context.Context, o Options) (*Session, error) {
	o = o.withDefaults()
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	id, err := c.open(ctx)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("open the server at %s: %w", c.address, err)
	}
	s := &Session{o: o, client: c, id: id, flow: newFlow(o), busy: make(chan struct{}, 1)}
	s.busy <- struct{}{}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

// Identify tells what determines completions, as far as the server says it: its kind and version, the model's name and
// its longest context. The same server gives the same Info every time; its address is not part of it.
func Identify(ctx context.Context, o Options) (engine.Info, error) {
	c, err := newClient(o.withDefaults())
	if err != nil {
		return engine.Info{}, err
	}
	defer c.close()
	id, err := persist(ctx, openPatience, c.identify)
	if err != nil {
		return engine.Info{}, fmt.Errorf("identify the server at %s: %w", c.address, err)
	}
	return id.info, nil
}

// probe is what Open has completed. A model cannot say it in probeTokens tokens, so an answer that has it is an echo.
const (
	probe       = "The capital of France is Paris. The capital of Italy is"
	probeTokens = 2
)

// open is Identify and one completion.
func (c *client) open(ctx context.Context) (identity, error) {
	id, err := persist(ctx, openPatience, c.identify)
	if err != nil {
		return identity{}, err
	}
	c.model = id.model
	a, err := persist(ctx, openPatience, func(ctx context.Context) (answer, error) {
		return c.complete(ctx, engine.Request{Prompt: probe, MaxTokens: probeTokens})
	})
	if err != nil {
		return identity{}, c.explain(ctx, err)
	}
	if strings.Contains(a.text, probe) {
		return identity{}, errors.New("it repeats the prompt in its answer (echo), and a score would count the question's own words: turn that off in the server")
	}
	return persist(ctx, openPatience, c.identify) // again: some load a model, and know of it, when it is first asked
}

// persist repeats f while its faults may pass, for at most d. An answer in HTML does not pass: it is a login page, or
// the address of something else.
func persist[T any](ctx context.Context, d time.Duration, f func(context.Context) (T, error)) (T, error) {
	var w wait
	for end := time.Now().Add(d); ; {
		v, err := f(ctx)
		var bad *fault
		if err == nil || ctx.Err() != nil || !errors.As(err, &bad) || !bad.again || bad.html {
			return v, err
		}
		pause := max(w.next(d), bad.after)
		if time.Now().Add(pause).After(end) {
			return v, err
		}
		if err := sleep(ctx, pause); err != nil {
			return v, err
		}
	}
}

// Info implements engine.Session.
func (s *Session) Info() engine.Info { return s.id.info }

// Swap implements engine.Session: the weights are not ours to change.
func (s *Session) Swap(context.Context, engine.Weights) error {
	return fmt.Errorf("%w: the server at %s was started by somebody else", engine.ErrCannotSwap, s.client.address)
}

// Close ends a running Generate and the connections; the server goes on.
func (s *Session) Close() error {
	s.end()
	s.client.close()
	return nil
}

// serial calls note one call at a time; a nil note is fine.
func serial(note func(string)) func(string) {
	if note == nil {
		return func(string) {}
	}
	var mu sync.Mutex
	return func(text string) {
		mu.Lock()
		defer mu.Unlock()
		note(text)
	}
}
