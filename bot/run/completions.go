package run

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"mergebot/eval/engine"
	"mergebot/eval/engine/server"
)

// author is all that decides a completion besides the prompt and the request's parameters.
type author struct {
	Weights   string // digest
	Tokenizer string // digest of the checkpoint whose config and tokenizer are used
	Engine    engine.Info
}

// completions are what one author has ever answered. They lie in storage as completions/<author>/<hash>.jsonl.gz:
// whole blobs of a second's answers or more, so that a kill loses about a second of work, and several processes can
// add to them without a lock.
type completions struct {
	storage *Storage
	folder  string

	mu      sync.Mutex
	known   map[string]answer
	blobs   []string // that known was read from or written to
	waiting []kept   // not in a blob yet
	timer   *time.Timer
}

// answer is a completion and the engine that gave it, with all that it said of itself.
type answer struct {
	engine.Completion
	by engine.Info
}

// kept is one line of a blob.
type kept struct {
	Key          string       `json:"key"` // hash of prompt and parameters
	Text         string       `json:"text"`
	Finish       string       `json:"finish"`
	PromptTokens int          `json:"prompt_tokens,omitempty"`
	Engine       *engine.Info `json:"engine,omitempty"` // nil: as on the line before
}

const (
	// flushAfter is how long an answer may wait to be kept, and about what a kill loses.
	flushAfter = time.Second
	// maxBlobs is how many blobs an author has before they are made one.
	maxBlobs = 8
)

// recall reads what an author has answered.
func (s *Storage) recall(ctx context.Context, a author) (*completions, error) {
	key, err := hashOf(a)
	if err != nil {
		return nil, err
	}
	c := &completions{storage: s, folder: "completions/" + key + "/", known: map[string]answer{}}
	names, err := s.List(ctx, c.folder)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		lines, err := c.read(ctx, name)
		if err != nil {
			return nil, err
		}
		by := a.Engine // blobs of earlier versions do not say
		for _, l := range lines {
			if l.Engine != nil {
				by = *l.Engine
			}
			c.known[l.Key] = answer{engine.Completion{Text: l.Text, Finish: l.Finish, PromptTokens: l.PromptTokens}, by}
		}
		c.blobs = append(c.blobs, name)
	}
	return c, nil
}

// read reads a blob. One that is not whole, or that another process has just made one with others, counts as empty.
func (c *completions) read(ctx context.Context, name string) ([]kept, error) {
	b, ok, err := c.storage.ReadBytes(ctx, name)
	if err != nil || !ok {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil
	}
	text, err := io.ReadAll(z) // with the checksum at its end
	if err != nil {
		return nil, nil
	}
	var out []kept
	lines := json.NewDecoder(bufio.NewReader(bytes.NewReader(text)))
	for {
		var l kept
		if err := lines.Decode(&l); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, nil
		}
		out = append(out, l)
	}
}

// requestKey names a request by its prompt and the parameters that decide its answer.
func requestKey(r engine.Request) (string, error) {
	return hashOf(struct {
		Prompt    string
		MaxTokens int
		Stop      []string
	}{r.Prompt, r.MaxTokens, r.Stop})
}

// find looks an answer up.
func (c *completions) find(key string) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.known[key]
	return a, ok
}

// keep remembers an answer, within flushAfter also in storage. Prompts that could not be answered are asked again.
func (c *completions) keep(ctx context.Context, key string, a engine.Completion, by engine.Info) {
	if a.Finish == engine.FinishError {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[key] = answer{engine.Completion{Text: a.Text, Finish: a.Finish, PromptTokens: a.PromptTokens}, by}
	c.waiting = append(c.waiting, kept{key, a.Text, a.Finish, a.PromptTokens, &by})
	if c.timer == nil {
		c.timer = time.AfterFunc(flushAfter, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.timer = nil
			_ = c.write(context.WithoutCancel(ctx)) // what could not be written waits for the next one, and flush says why
		})
	}
}

// flush puts what waits into storage, also when ctx has ended.
func (c *completions) flush(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	err := c.write(ctx)
	if err == nil && len(c.blobs) > maxBlobs {
		err = c.compact(ctx)
	}
	return err
}

// write makes a blob of what waits. The caller holds the lock.
func (c *completions) write(ctx context.Context) error {
	if len(c.waiting) == 0 {
		return nil
	}
	name, err := c.store(ctx, c.waiting)
	if err != nil {
		return err
	}
	c.waiting = nil
	c.blobs = append(c.blobs, name)
	return nil
}

// store writes lines as a blob named by their hash.
func (c *completions) store(ctx context.Context, lines []kept) (string, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	enc := json.NewEncoder(z)
	var by *engine.Info
	for _, l := range lines {
		if by != nil && reflect.DeepEqual(*by, *l.Engine) {
			l.Engine = nil
		} else {
			by = l.Engine
		}
		if err := enc.Encode(l); err != nil {
			return "", err
		}
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	name := c.folder + hashBytes(b.Bytes())[:32] + ".jsonl.gz"
	return name, c.storage.WriteBytes(ctx, name, b.Bytes())
}

// forget takes answers back. First all blobs go, then what is left is written again: a kill in between loses good answers
// and keeps no bad one.
func (c *completions) forget(ctx context.Context, keys []string) error {
	ctx = context.WithoutCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		delete(c.known, key)
	}
	c.waiting = nil
	if err := c.remove(ctx, ""); err != nil {
		return err
	}
	return c.compact(ctx)
}

// compact makes one blob of all, then removes the others: a kill in between leaves both, which does no harm. The caller
// holds the lock.
func (c *completions) compact(ctx context.Context) error {
	var all []kept
	for key, a := range c.known {
		all = append(all, kept{key, a.Text, a.Finish, a.PromptTokens, &a.by})
	}
	slices.SortFunc(all, func(a, b kept) int { return strings.Compare(a.Key, b.Key) })
	name, err := c.store(ctx, all)
	if err != nil {
		return err
	}
	return c.remove(ctx, name)
}

// remove removes all blobs but one. The caller holds the lock.
func (c *completions) remove(ctx context.Context, name string) error {
	for _, old := range c.blobs {
		if old == name {
			continue
		}
		if err := c.storage.Delete(ctx, old); err != nil {
			return err
		}
	}
	c.blobs = nil
	if name != "" {
		c.blobs = []string{name}
	}
	return nil
}

// remembering is an engine that is asked only what its author never answered.
type remembering struct {
	known *completions
	info  engine.Info // while the engine need not be there
	// open puts the author's weights into the engine, when there is something to ask.
	open     func(context.Context) (engine.Generator, error)
	recalled int // how many answers were known
}

// Info implements engine.Generator.
func (r *remembering) Info() engine.Info { return r.info }

// Generate implements engine.Generator.
func (r *remembering) Generate(ctx context.Context, reqs []engine.Request, each func(i int, c engine.Completion)) ([]engine.Completion, error) {
	out := make([]engine.Completion, len(reqs))
	var ask []engine.Request
	var index [][]int         // of what is asked, among reqs: rows may have the same prompt
	var asked []string        // its keys
	place := map[string]int{} // of a key in asked
	for i, q := range reqs {
		key, err := requestKey(q)
		if err != nil {
			return nil, err
		}
		a, known := r.known.find(key)
		if !known {
			k, again := place[key]
			if !again {
				k, place[key] = len(ask), len(ask)
				ask, index, asked = append(ask, q), append(index, nil), append(asked, key)
			}
			index[k] = append(index[k], i)
			continue
		}
		out[i] = a.Completion
		r.info = a.by // a score that is all recalled says what answered, as when it was made
		r.recalled++
		if each != nil {
			each(i, a.Completion)
		}
	}
	if len(ask) == 0 {
		return out, nil
	}
	g, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	r.info = g.Info()
	answers, err := g.Generate(ctx, ask, func(k int, c engine.Completion) {
		r.known.keep(ctx, asked[k], c, r.info)
		if each != nil {
			for _, i := range index[k] {
				each(i, c)
			}
		}
	})
	if errors.Is(err, server.ErrChanged) { // some of the answers may be another model's
		err = errors.Join(err, r.known.forget(ctx, asked))
	}
	if err = errors.Join(err, r.known.flush(ctx)); err != nil {
		return nil, err
	}
	if len(answers) != len(ask) {
		return nil, fmt.Errorf("%d answers to %d prompts", len(answers), len(ask))
	}
	for k, a := range answers {
		for _, i := range index[k] {
			out[i] = a
		}
	}
	return out, nil
}
