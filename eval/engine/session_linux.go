//go:build amd64 || arm64

package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"mergebot/eval/engine/gguf"
	"mergebot/eval/engine/install"
	"mergebot/eval/engine/llama"
	"mergebot/eval/engine/wire"
)

// Batch sizes of llama.cpp: its defaults, and part of what determines the last bits of a logit.
const (
	batchTokens      = 2048
	microBatchTokens = 512
)

const (
	smallSlots     = 4
	largeSlots     = 16
	largeModel     = 64 << 20 // bytes of weights that no longer stay in the processor's caches
	defaultContext = 4096
	maxLanes       = 8
	maxPrompt      = 8 << 20 // bytes
)

// session is a model in llama.cpp: its weights in memory that both processes map, and the process that computes.
type session struct {
	lock   chan struct{} // holds a token while no call runs
	closed chan struct{}
	ended  atomic.Bool

	model *gguf.Model
	mem   *memory
	load  wire.LoadModel
	log   io.Writer
	proc  *process // nil: to be started by the next call
	info  Info
}

// OpenLlama opens the model described by the files of dir (config.json, tokenizer.json, and if they are there
// tokenizer_config.json and generation_config.json) with the weights of w, in llama.cpp in a child process.
//
// The child is this program again: main must call ServeChild when its first argument is ChildVerb, a test binary's
// TestMain when the variable ChildEnv is "1". It ends when this process does.
//
// Everything is F32, on the CPU. The error wraps ErrUnsupportedModel for what is not known to be computed exactly,
// ErrNotInstalled without the library, ErrUnsupportedPlatform elsewhere than on Linux.
func OpenLlama(ctx context.Context, dir string, w Weights, o Options) (Session, error) {
	s, err := open(ctx, dir, w, o, true)
	if err != nil {
		return nil, fmt.Errorf("open %s in the embedded engine: %w", dir, err)
	}
	return s, nil
}

// ServeChild runs the engine's process: it answers the program that started it until that ends.
func ServeChild() error { return llama.ServeInherited() }

// open is OpenLlama; without live, Swap always loads the model anew.
func open(ctx context.Context, dir string, w Weights, o Options, live bool) (_ *session, err error) {
	lib, err := install.Installed(o.LibDir)
	if err != nil {
		return nil, err
	}
	m, err := gguf.Read(dir)
	if err != nil {
		return nil, err
	}
	file, err := m.Layout(w.Names(), w.Shape)
	if err != nil {
		return nil, err
	}
	mem, err := newMemory(file)
	if err != nil {
		return nil, err
	}
	s := &session{lock: make(chan struct{}, 1), closed: make(chan struct{}), model: m, mem: mem, log: o.Log, load: settings(o, m, file.Size, lib.Dir)}
	s.lock <- struct{}{}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if err := mem.fill(ctx, w, m.Config.HeadDim); err != nil {
		return nil, err
	}
	kernels, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	s.info = describe(s.load, lib, kernels)
	if live {
		if s.info.LiveSwap, err = s.provesLiveSwap(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// settings fills in the defaults for a model of so many bytes.
func settings(o Options, m *gguf.Model, size int64, libDir string) wire.LoadModel {
	slots := smallSlots
	if size > largeModel {
		slots = largeSlots
	}
	return wire.LoadModel{
		LibDir: libDir, Vocab: m.Config.Vocab, Prompting: *m.Prompting,
		Lanes: orElse(o.Lanes, min(runtime.NumCPU(), maxLanes)), Slots: orElse(o.Slots, slots), Threads: orElse(o.Threads, 1),
		Context: min(orElse(o.Context, defaultContext), m.Config.Positions), Batch: batchTokens, MicroBatch: microBatchTokens,
		// keys and values, 4 bytes each
		PositionBytes: 2 * 4 * int64(m.Config.Layers*m.Config.KVHeads*m.Config.HeadDim), CacheBytes: orElse(o.CacheBytes, cacheBytes(size)),
	}
}

func orElse[T int | int64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

func describe(l wire.LoadModel, lib *install.Installation, kernels string) Info {
	ends := make([]string, len(l.Prompting.End))
	for i, id := range l.Prompting.End {
		ends[i] = strconv.Itoa(int(id))
	}
	return Info{
		Engine: "llama.cpp", Version: lib.Llama, DType: "F32",
		Flags: map[string]string{
			"package": lib.Package + "@" + lib.Version, "binding": "yzma " + lib.Yzma, "platform": lib.Platform, "kernels": kernels,
			"lanes": strconv.Itoa(l.Lanes), "slots": strconv.Itoa(l.Slots), "threads": strconv.Itoa(l.Threads),
			"context": strconv.Itoa(l.Context), "batch": strconv.Itoa(l.Batch), "micro_batch": strconv.Itoa(l.MicroBatch),
			"cache_mib": strconv.FormatInt(l.CacheBytes>>20, 10),
			"kv_cache":  "F32", "flash_attention": "off", "end_tokens": strings.Join(ends, ","),
		},
	}
}

// start starts the process and loads the model; it returns the name of the CPU library in use.
func (s *session) start(ctx context.Context) (kernels string, err error) {
	p, err := start(s.mem.fd, s.log)
	if err != nil {
		return "", err
	}
	r, err := p.call(ctx, nil, wire.Request{Kind: wire.Load, Load: &s.load})
	if err != nil {
		p.close()
		if !errors.Is(err, errDied) {
			err = fmt.Errorf("%w%s", err, p.log)
		}
		return "", err
	}
	s.proc = p
	return r.Kernels, nil
}

// stop ends the process, if one runs.
func (s *session) stop() {
	if s.proc != nil {
		s.proc.close()
		s.proc = nil
	}
}

// acquire waits for the call that runs to end.
func (s *session) acquire(ctx context.Context) error {
	if s.ended.Load() {
		return ErrClosed
	}
	select {
	case <-s.lock:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return ErrClosed
	}
	if s.ended.Load() {
		s.release()
		return ErrClosed
	}
	return nil
}

func (s *session) release() { s.lock <- struct{}{} }

// call is process.call by a process that is started when there is none, and once more when it dies: native code may
// have tripped over something that was not in the request.
func (s *session) call(ctx context.Context, each func(wire.Reply), requests ...wire.Request) (wire.Reply, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	var died error
	for range 2 {
		if s.proc == nil {
			if _, err := s.start(ctx); errors.Is(err, errDied) {
				died = err
				continue
			} else if err != nil {
				return wire.Reply{}, err
			}
		}
		r, err := s.proc.call(ctx, each, requests...)
		if !errors.Is(err, errDied) {
			select {
			case <-s.proc.dead: // killed, because it did not obey ctx
				s.stop()
			default:
			}
			return r, s.closedOr(err)
		}
		s.stop()
		died = err
	}
	return wire.Reply{}, fmt.Errorf("%w, and again when it was restarted: %w", ErrCrashed, died)
}

func (s *session) closedOr(err error) error {
	if err != nil && s.ended.Load() {
		return ErrClosed
	}
	return err
}

// Generate implements Session.
func (s *session) Generate(ctx context.Context, reqs []Request, each func(i int, c Completion)) ([]Completion, error) {
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	out := make([]Completion, len(reqs))
	var send []wire.Request
	var index []int // of the requests that are sent
	for i, r := range reqs {
		if len(r.Prompt) > maxPrompt {
			out[i] = Completion{Finish: FinishError, Error: fmt.Sprintf("the prompt has %d bytes, allowed are %d", len(r.Prompt), maxPrompt)}
			if each != nil {
				each(i, out[i])
			}
			continue
		}
		index = append(index, i)
		send = append(send, wire.Request{Kind: wire.Item, Prompt: &wire.Prompt{Text: clean(r.Prompt), MaxTokens: r.MaxTokens, Stop: r.Stop}})
	}
	finished := make([]bool, len(reqs))
	count := len(reqs) - len(index)
	reply := func(r wire.Reply) {
		c := r.Completion
		if c == nil || c.Index < 0 || c.Index >= len(index) {
			return // counted as missing below
		}
		i := index[c.Index]
		if finished[i] {
			return // again, after a restart
		}
		out[i] = Completion{Text: c.Text, Tokens: c.Tokens, Finish: c.Finish, PromptTokens: c.PromptTokens, Error: c.Error}
		finished[i] = true
		if count++; each != nil {
			each(i, out[i])
		}
	}
	r, err := s.call(ctx, reply, append(send, wire.Request{Kind: wire.Generate})...)
	switch {
	case err != nil:
		return nil, fmt.Errorf("generate: %w", err)
	case r.Kind == wire.Unusable:
		return nil, fmt.Errorf("generate: %w", ErrUnusable)
	case count != len(reqs):
		return nil, fmt.Errorf("generate: the engine answered %d of %d requests", count, len(reqs))
	}
	return out, nil
}

// clean removes what cannot reach the native tokenizer: NUL, which ends its strings, and bytes that are not UTF-8.
func clean(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
}

// Swap implements Session.
func (s *session) Swap(ctx context.Context, w Weights) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	if err := s.swap(ctx, w); err != nil {
		return fmt.Errorf("swap weights: %w", err)
	}
	return nil
}

func (s *session) swap(ctx context.Context, w Weights) error {
	for _, t := range s.mem.file.Tensors {
		if t.Name == "" {
			continue
		}
		if got := w.Shape(t.Name); !slices.Equal(got, t.Shape) {
			return fmt.Errorf("tensor %s has shape %v, the session was opened with %v", t.Name, got, t.Shape)
		}
	}
	if err := s.mem.fill(ctx, w, s.model.Config.HeadDim); err != nil {
		return err
	}
	if s.info.LiveSwap || s.proc == nil {
		return nil // caches of the old weights are emptied before every use
	}
	_, err := s.call(ctx, nil, wire.Request{Kind: wire.Reload})
	return err
}

// provesLiveSwap tells whether what the running model computes follows the memory: with every tensor disturbed its
// logits must change, be bit for bit those of a model that is loaded then, and return exactly when the disturbance
// does. A tensor that the library had copied would keep its old values and fail the comparison.
func (s *session) provesLiveSwap(ctx context.Context) (bool, error) {
	ids := make([]int32, min(4, s.model.Config.Vocab, s.load.Context))
	for i := range ids {
		ids[i] = int32(i) // the rows of the embedding that disturb changes
	}
	running := wire.Request{Kind: wire.Logits, IDs: ids}
	before, err := s.call(ctx, nil, running)
	if err != nil {
		return false, err
	}
	restore := s.mem.disturb()
	changed, err1 := s.call(ctx, nil, running)
	loaded, err2 := s.call(ctx, nil, wire.Request{Kind: wire.Fresh, IDs: ids})
	restore()
	after, err3 := s.call(ctx, nil, running)
	if err := errors.Join(err1, err2, err3); err != nil {
		return false, err
	}
	return !slices.Equal(before.Data, changed.Data) && slices.Equal(changed.Data, loaded.Data) && slices.Equal(before.Data, after.Data), nil
}

// Info implements Session.
func (s *session) Info() Info { return s.info }

// Close implements Session.
func (s *session) Close() error {
	if s.ended.Swap(true) {
		return nil
	}
	close(s.closed) // ends the call that runs
	<-s.lock
	s.stop()
	s.mem.close()
	s.release()
	return nil
}

// tokenize returns a prompt's ids.
func (s *session) tokenize(ctx context.Context, prompt string) ([]int32, error) {
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	r, err := s.call(ctx, nil, wire.Request{Kind: wire.Tokenize, Text: clean(prompt)})
	return r.IDs, err
}

// text returns the text of ids.
func (s *session) text(ctx context.Context, ids []int32) (string, error) {
	if err := s.acquire(ctx); err != nil {
		return "", err
	}
	defer s.release()
	r, err := s.call(ctx, nil, wire.Request{Kind: wire.Detok, IDs: ids})
	return r.Text, err
}

// logits returns the logits after each of ids.
func (s *session) logits(ctx context.Context, ids []int32) ([][]float32, error) {
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	r, err := s.call(ctx, nil, wire.Request{Kind: wire.Logits, IDs: ids})
	if err != nil {
		return nil, err
	}
	vocab := s.model.Config.Vocab
	if len(r.Data) != 4*vocab*len(ids) {
		return nil, fmt.Errorf("%d bytes of logits for %d positions", len(r.Data), len(ids))
	}
	out := make([][]float32, len(ids))
	for i := range out {
		out[i] = make([]float32, vocab)
		for k := range out[i] {
			out[i][k] = math.Float32frombits(binary.LittleEndian.Uint32(r.Data[4*(i*vocab+k):]))
		}
	}
	return out, nil
}
