package vllm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"mergebot/eval/engine"
	"mergebot/eval/engine/server"
)

// Session is a model in a vLLM server of ours.
type Session struct {
	lock   chan struct{} // holds a token while no call runs
	closed chan struct{}
	ended  atomic.Bool

	opts   Options
	write  Write
	folder *folder
	shapes map[string][]int64
	key    string
	info   engine.Info

	// The running server; nil when the next call has to start it.
	proc    *process
	control *control
	client  *server.Session

	reloading reloading
	live      atomic.Bool // reloading is proven
	unusable  bool        // the weights' logits are not numbers
	undefined bool        // a Swap has failed
	unsettled bool        // requests may still run that nobody waits for
}

// Open starts vLLM with the weights of w, written by write, and waits until it is healthy: a minute or more, half of
// which vLLM takes to compile and to capture graphs.
//
// The server ends with this process, however that ends, and gets none of its secrets. The error says what to do about
// the usual causes: vLLM is not installed, the GPU's memory does not suffice, an argument is unknown.
func Open(ctx context.Context, w engine.Weights, write Write, o Options) (*Session, error) {
	s, err := open(ctx, w, write, o)
	if err != nil {
		return nil, fmt.Errorf("open vllm: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, w engine.Weights, write Write, o Options) (_ *Session, err error) {
	if !supported {
		return nil, fmt.Errorf("%w: %s; vLLM runs on Linux and macOS", engine.ErrUnsupportedPlatform, runtime.GOOS)
	}
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	if _, err := o.command(); err != nil {
		return nil, err // before gigabytes are written
	}
	s := &Session{lock: make(chan struct{}, 1), closed: make(chan struct{}), opts: o, write: write, shapes: shapes(w), key: rand.Text()}
	s.lock <- struct{}{}
	if s.folder, err = newFolder(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if err := s.put(ctx, w); err != nil {
		return nil, err
	}
	// Both import most of vLLM first.
	both, bothCtx := errgroup.WithContext(ctx)
	both.Go(func() (err error) { s.info, err = Identify(bothCtx, o); return err })
	both.Go(func() error { return s.startAndLook(bothCtx) })
	if err := both.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return s, nil
}

// start starts the server for the checkpoint in its folder.
func (s *Session) start(ctx context.Context) error {
	p, err := startProcess(s.opts, s.folder, s.key)
	if err != nil {
		return err
	}
	o := s.opts.Server
	c := newControl(s.folder.socket(), s.key, max(o.Concurrency, 128))
	if err := p.ready(ctx, c, s.opts.Start); err != nil {
		p.stop()
		return err
	}
	o.URL, o.Model, o.Key, o.HTTP = baseURL+"/v1", servedName, s.key, c.http
	alive, cancel := p.whileAlive(ctx)
	defer cancel()
	client, err := server.Open(alive, o)
	if err == nil {
		err = c.learn(alive)
	}
	if err != nil {
		if p.isDead() && ctx.Err() == nil {
			err = p.death()
		}
		p.stop()
		return err
	}
	s.proc, s.control, s.client, s.unsettled = p, c, client, false
	return nil
}

// startAndLook starts the server and looks whether the weights are usable.
func (s *Session) startAndLook(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	return s.look(ctx)
}

// look finds out whether the model's logits are numbers. A completion does not say: greedy decoding of what is not a
// number gives some token.
func (s *Session) look(ctx context.Context) error {
	_, err := s.control.probe(ctx)
	s.unusable = errors.Is(err, engine.ErrUnusable)
	if err != nil && !s.unusable {
		if s.proc.isDead() && ctx.Err() == nil {
			return s.proc.death()
		}
		return err
	}
	return nil
}

// stop ends the server, if one runs.
func (s *Session) stop() {
	if s.proc == nil {
		return
	}
	_ = s.client.Close()
	s.control.close()
	s.proc.stop()
	s.proc, s.control, s.client = nil, nil, nil
}

// Generate implements engine.Session. A server that dies is started again with the present weights, once, and answers
// what is not answered yet; the second death is engine.ErrCrashed.
func (s *Session) Generate(ctx context.Context, reqs []engine.Request, each func(i int, c engine.Completion)) ([]engine.Completion, error) {
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	ctx, cancel := s.untilClosed(ctx)
	defer cancel()
	out, err := s.generate(ctx, reqs, each)
	if err != nil {
		return nil, fmt.Errorf("generate: %w", s.closedOr(err))
	}
	return out, nil
}

func (s *Session) generate(ctx context.Context, reqs []engine.Request, each func(i int, c engine.Completion)) ([]engine.Completion, error) {
	if s.undefined {
		return nil, errors.New("the weights are undefined: the last swap failed; swap again")
	}
	out, answered := make([]engine.Completion, len(reqs)), make([]bool, len(reqs))
	var died error
	for range 2 {
		if s.proc == nil {
			if err := s.startAndLook(ctx); errors.Is(err, errDied) {
				s.stop()
				died = err
				continue
			} else if err != nil {
				return nil, err
			}
		}
		if s.unusable {
			return nil, engine.ErrUnusable
		}
		err := s.ask(ctx, reqs, out, answered, each)
		if err == nil {
			return out, nil
		}
		s.unsettled = true
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !s.proc.isDead() && s.control.healthy(ctx) {
			return nil, err
		}
		proc := s.proc
		s.stop() // dead, or its engine is
		died = proc.death()
		s.opts.note("vLLM died and is started again: %v", died)
	}
	return nil, fmt.Errorf("%w, and again when it was restarted: %w", engine.ErrCrashed, died)
}

// ask has the running server answer what is not answered yet.
func (s *Session) ask(ctx context.Context, reqs []engine.Request, out []engine.Completion, answered []bool, each func(i int, c engine.Completion)) error {
	var index []int // of the requests that are sent
	var send []engine.Request
	for i, r := range reqs {
		if !answered[i] {
			index, send = append(index, i), append(send, r)
		}
	}
	ctx, cancel := s.proc.whileAlive(ctx)
	defer cancel()
	_, err := s.client.Generate(ctx, send, func(k int, c engine.Completion) {
		i := index[k]
		out[i], answered[i] = c, true
		if each != nil {
			each(i, c)
		}
	})
	return err
}

// Info implements engine.Session: what Identify says, and whether Swap is known to work without a restart.
func (s *Session) Info() engine.Info {
	info := s.info
	info.LiveSwap = s.live.Load()
	return info
}

// Close implements engine.Session.
func (s *Session) Close() error {
	if s.ended.Swap(true) {
		return nil
	}
	close(s.closed) // ends the call that runs
	<-s.lock
	defer s.release()
	s.stop()
	if err := s.folder.remove(); err != nil {
		return fmt.Errorf("close vllm: %w", err)
	}
	return nil
}

// acquire waits for the call that runs to end.
func (s *Session) acquire(ctx context.Context) error {
	if s.ended.Load() {
		return engine.ErrClosed
	}
	select {
	case <-s.lock:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return engine.ErrClosed
	}
	if s.ended.Load() {
		s.release()
		return engine.ErrClosed
	}
	return nil
}

func (s *Session) release() { s.lock <- struct{}{} }

// untilClosed is ctx until the session is closed.
func (s *Session) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (s *Session) closedOr(err error) error {
	if s.ended.Load() {
		return engine.ErrClosed
	}
	return err
}
