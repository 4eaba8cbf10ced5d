package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"mergebot/eval/engine"
)

// maxPrompt bounds a prompt, in bytes, as the embedded engine does.
const maxPrompt = 8 << 20

// batch is one Generate.
type batch struct {
	*Session
	failing atomic.Int32 // items that are being tried again
}

// Generate implements engine.Generator. Every item is one request at a time, repeated while the server fails, for as
// long as Options.Patience without any answer from it; what was answered until then has been handed to each. After the
// last answer the server is asked once more what it is: ErrChanged says that the answers may be of two models.
func (s *Session) Generate(ctx context.Context, reqs []engine.Request, each func(int, engine.Completion)) ([]engine.Completion, error) {
	if s.life.Err() != nil {
		return nil, engine.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	select {
	case <-s.busy:
		defer func() { s.busy <- struct{}{} }()
	case <-ctx.Done():
		return nil, s.closedOr(ctx.Err())
	}
	out, err := s.generate(ctx, reqs, each)
	if err != nil {
		return nil, s.closedOr(fmt.Errorf("generate with the server at %s: %w", s.client.address, err))
	}
	return out, nil
}

func (s *Session) closedOr(err error) error {
	if s.life.Err() != nil {
		return engine.ErrClosed
	}
	return err
}

func (s *Session) generate(ctx context.Context, reqs []engine.Request, each func(int, engine.Completion)) ([]engine.Completion, error) {
	var (
		b      = batch{Session: s}
		out    = make([]engine.Completion, len(reqs))
		next   atomic.Int64
		handed sync.Mutex
	)
	group, within := errgroup.WithContext(ctx)
	for range min(s.o.Concurrency, len(reqs)) {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(reqs) {
					return nil
				}
				c, err := b.item(within, reqs[i])
				if err != nil {
					return err
				}
				out[i] = c
				if each != nil {
					handed.Lock()
					each(i, c)
					handed.Unlock()
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return nil, s.client.explain(ctx, err)
	}
	if len(reqs) == 0 {
		return out, nil
	}
	return out, s.unchanged(ctx)
}

// item answers one request; an error is one of the whole call.
func (b *batch) item(ctx context.Context, r engine.Request) (engine.Completion, error) {
	switch {
	case r.MaxTokens < 1:
		return failed(fmt.Sprintf("%d tokens asked for: want at least 1", r.MaxTokens)), nil
	case len(r.Prompt) > maxPrompt:
		return failed(fmt.Sprintf("the prompt has %d bytes, allowed are %d", len(r.Prompt), maxPrompt)), nil
	}
	r.Prompt = clean(r.Prompt)
	if r.Prompt == "" {
		return failed("the prompt is empty"), nil
	}
	a, err := b.ask(ctx, r)
	var bad *fault
	if errors.As(err, &bad) && bad.item {
		if a, err = b.shorter(ctx, r, bad); err == nil {
			return completion(r, a), nil
		}
	}
	switch {
	case err == nil:
		return completion(r, a), nil
	case errors.As(err, &bad) && bad.item:
		return failed(bad.words), nil
	}
	return engine.Completion{}, err
}

// shorter asks again for as many tokens as the context leaves after the prompt, as Request.MaxTokens promises: some
// servers refuse a prompt that fits when prompt and max_tokens together do not. One token tells how long the prompt is.
func (b *batch) shorter(ctx context.Context, r engine.Request, bad *fault) (answer, error) {
	if b.id.context == 0 || r.MaxTokens == 1 {
		return answer{}, bad
	}
	asked := r.MaxTokens
	r.MaxTokens = 1
	a, err := b.ask(ctx, r)
	if err != nil {
		return answer{}, err
	}
	left := b.id.context - a.promptTokens
	if a.promptTokens < 1 || left < 1 || left >= asked {
		return answer{}, bad
	}
	r.MaxTokens = left
	return b.ask(ctx, r)
}

// ask repeats a request while its faults may pass and there is patience.
func (b *batch) ask(ctx context.Context, r engine.Request) (answer, error) {
	var since time.Time // of the first failure
	var w wait
	for {
		started, err := b.flow.start(ctx)
		if err != nil {
			return answer{}, err
		}
		a, err := b.client.complete(ctx, r)
		b.flow.end(started, err)
		var bad *fault
		if err == nil || !errors.As(err, &bad) || !bad.again {
			return a, err
		}
		now := time.Now()
		if since.IsZero() {
			since = now
			b.failing.Add(1)
			defer b.failing.Add(-1)
		}
		if last := b.flow.lastAnswer(); last.After(since) {
			since = last
		}
		if now.Sub(since) >= b.o.Patience {
			return answer{}, b.giveUp(ctx, bad)
		}
		if err := sleep(ctx, w.next(b.o.Patience)); err != nil {
			return answer{}, err
		}
	}
}

// giveUp turns the last fault into the item's, if it is the only one that fails and the server lives, else into one of
// the whole call: to try every other item for as long would help nobody.
func (b *batch) giveUp(ctx context.Context, bad *fault) error {
	if b.failing.Load() == 1 {
		if _, err := b.client.identify(ctx); err == nil {
			return &fault{item: true, words: fmt.Sprintf("the server failed on this prompt again and again for %v: %s", b.o.Patience, bad.words)}
		}
	}
	return &fault{cause: bad, words: fmt.Sprintf("it has answered nothing for %v, last: %s: see to the server and run again", b.o.Patience, bad.words)}
}

func failed(why string) engine.Completion {
	return engine.Completion{Finish: engine.FinishError, Error: why}
}

// completion is an answer in the engine's words. Text ends before the first stop string even where a server leaves it in.
func completion(r engine.Request, a answer) engine.Completion {
	c := engine.Completion{Text: a.text, PromptTokens: a.promptTokens}
	for _, stop := range r.Stop {
		if stop == "" {
			continue
		}
		if before, _, found := strings.Cut(c.Text, stop); found {
			c.Text, a.finish = before, "stop"
		}
	}
	switch a.finish {
	case "stop":
		c.Finish = engine.FinishStop
	case "length":
		c.Finish = engine.FinishLength
	case "":
		return failed("the server does not say why the completion ended (finish_reason)")
	default:
		return failed("the server ended the completion for another reason: " + a.finish)
	}
	return c
}

// clean removes what the embedded engine removes: NUL, and bytes that are not UTF-8.
func clean(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
}

// unchanged asks the server once more what it is.
func (s *Session) unchanged(ctx context.Context) error {
	now, err := persist(ctx, s.o.Patience, s.client.identify)
	if err != nil {
		return fmt.Errorf("see whether it is still the same: %w", err)
	}
	if was, is := s.id.String(), now.String(); was != is {
		return fmt.Errorf("%w: it was %s, now it is %s: run again", ErrChanged, was, is)
	}
	return nil
}
