package vllm

import (
	"context"
	"errors"
	"fmt"

	"mergebot/eval/engine"
)

// reloading says what is known about this server's way to read new weights while it runs.
type reloading int

const (
	untried reloading = iota
	proven
	refused
)

// Swap implements engine.Session. The first one takes as long as a start: it proves that the server really computes
// with what it was told to reload, see proves.
func (s *Session) Swap(ctx context.Context, w engine.Weights) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	ctx, cancel := s.untilClosed(ctx)
	defer cancel()
	if err := sameShapes(s.shapes, w); err != nil {
		return fmt.Errorf("swap weights: %w", err)
	}
	s.undefined = true
	if err := s.swap(ctx, w); err != nil {
		return fmt.Errorf("swap weights: %w", s.closedOr(err))
	}
	s.undefined = false
	return nil
}

func (s *Session) swap(ctx context.Context, w engine.Weights) error {
	if s.unsettled {
		s.stop() // requests that were given up may still run, and would hold on to the old weights' cache
	}
	if s.reloading == untried && s.proc != nil {
		live, err := s.proves(ctx, w)
		if err != nil {
			return err
		}
		if s.reloading = refused; live {
			s.reloading = proven
		}
		s.live.Store(live)
	}
	if err := s.put(ctx, w); err != nil {
		return err
	}
	if s.reloading == proven && s.proc != nil {
		err := s.control.reload(ctx)
		if err == nil {
			return s.look(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.reloading = refused
		s.live.Store(false)
		s.opts.note("vLLM is restarted for each change of weights from now on: %v", err)
	}
	s.stop()
	return s.startAndLook(ctx)
}

// put replaces the checkpoint in the server's folder.
func (s *Session) put(ctx context.Context, w engine.Weights) error {
	if err := s.folder.clear(size(w, s.opts.DType)); err != nil {
		return err
	}
	if err := s.write(ctx, s.folder.model(), w); err != nil {
		return fmt.Errorf("write the checkpoint for vLLM: %w", err)
	}
	return nil
}

// proves tells whether reloading works: with every tensor of the checkpoint disturbed, the running server must answer
// otherwise than before, and exactly as one that was started with that checkpoint. A reload that silently does nothing
// fails the first comparison, one that leaves some tensor as it was fails the second; either would give candidates
// each other's scores. A note says why when it does not work. The disturbed checkpoint stays: the caller replaces it.
func (s *Session) proves(ctx context.Context, w engine.Weights) (bool, error) {
	why, err := s.doubts(ctx, w)
	if err != nil {
		return false, err
	}
	if why != "" {
		s.opts.note("vLLM is restarted for each change of weights: %s", why)
	}
	return why == "", nil
}

// doubts says why a reload is not to be trusted, or "".
func (s *Session) doubts(ctx context.Context, w engine.Weights) (string, error) {
	before, err := s.control.probe(ctx)
	if err != nil && !errors.Is(err, engine.ErrUnusable) {
		return err.Error(), ctx.Err()
	}
	if err := s.put(ctx, disturbed{w}); err != nil {
		return "", err
	}
	if err := s.control.reload(ctx); err != nil {
		return err.Error(), ctx.Err()
	}
	reloaded, err := s.control.probe(ctx)
	if err != nil {
		return err.Error(), ctx.Err()
	}
	if samePrint(before, reloaded) {
		return "it answers as before after reloading other weights", nil
	}
	s.stop()
	if err := s.start(ctx); err != nil {
		return "", err
	}
	fresh, err := s.control.probe(ctx)
	if err != nil {
		return err.Error(), ctx.Err()
	}
	if !samePrint(reloaded, fresh) {
		return "after reloading weights it does not answer as when it is started with them", nil
	}
	return "", nil
}
