//go:build linux && (amd64 || arm64)

package llama

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"

	"mergebot/eval/engine/wire"
)

// Serve answers requests until the stream ends: the program that sent them is gone then.
func Serve(requests io.Reader, replies io.Writer) error {
	s := &server{replies: replies, work: make(chan wire.Request)}
	failed := make(chan error, 1)
	go func() { failed <- s.receive(requests) }()
	go func() {
		for r := range s.work {
			if err := s.answer(r); err != nil {
				failed <- err
				return
			}
		}
	}()
	// Returning ends the process, even in the middle of a long computation.
	if err := <-failed; !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

type server struct {
	work    chan wire.Request
	prompts []wire.Prompt
	model   *model

	mu      sync.Mutex // guards the fields below
	replies io.Writer
	cancel  context.CancelFunc // of the Generate that was received last
	ctx     context.Context
}

// receive hands requests on. Cancel is obeyed here, while the other goroutine computes.
func (s *server) receive(r io.Reader) error {
	for {
		var q wire.Request
		if err := wire.Read(r, &q); err != nil {
			return err
		}
		switch q.Kind {
		case wire.Cancel:
			s.mu.Lock()
			if s.cancel != nil {
				s.cancel()
			}
			s.mu.Unlock()
			continue
		case wire.Generate:
			s.mu.Lock()
			s.ctx, s.cancel = context.WithCancel(context.Background())
			s.mu.Unlock()
		}
		s.work <- q
	}
}

func (s *server) reply(r wire.Reply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.Write(s.replies, r)
}

// answer does one request; an error ends the process.
func (s *server) answer(q wire.Request) error {
	if q.Kind == wire.Item {
		if q.Prompt == nil {
			return errors.New("item without a prompt")
		}
		s.prompts = append(s.prompts, *q.Prompt)
		return nil
	}
	r, err := s.do(q)
	switch {
	case errors.Is(err, errNaN):
		r = wire.Reply{Kind: wire.Unusable}
	case err != nil:
		r = wire.Reply{Kind: wire.Failed, Error: err.Error()}
	default:
		r.Kind = wire.Done
	}
	return s.reply(r)
}

func (s *server) do(q wire.Request) (r wire.Reply, err error) {
	if s.model == nil && q.Kind != wire.Load {
		return r, errors.New("no model is loaded")
	}
	switch q.Kind {
	case wire.Load:
		if q.Load == nil || s.model != nil {
			return r, errors.New("load without a model, or a second one")
		}
		if r.Kernels, err = library(q.Load.LibDir); err != nil {
			return r, err
		}
		s.model, err = load(*q.Load)
	case wire.Reload:
		o := s.model.o
		s.model.close()
		s.model = nil
		s.model, err = load(o)
	case wire.Fresh:
		r.Data, err = s.fresh(q.IDs)
	case wire.Logits:
		r.Data, err = pack(s.model.logits(q.IDs))
	case wire.Tokenize:
		r.IDs, err = s.model.tokenize(q.Text)
	case wire.Detok:
		r.Text, err = s.model.text(q.IDs)
	case wire.Generate:
		err = s.generate()
	default:
		err = fmt.Errorf("unknown request %q", q.Kind)
	}
	return r, err
}

func (s *server) generate() error {
	prompts := s.prompts
	s.prompts = nil
	s.mu.Lock()
	ctx, cancel := s.ctx, s.cancel
	s.mu.Unlock()
	defer cancel()
	return s.model.generate(ctx, prompts, func(c wire.Completion) {
		_ = s.reply(wire.Reply{Kind: wire.Item, Completion: &c}) // the program is gone when this fails: receive sees it
	})
}

// fresh computes logits by a second copy of the model, loaded now.
func (s *server) fresh(ids []int32) ([]byte, error) {
	o := s.model.o
	o.Lanes, o.CacheBytes = 1, o.CacheBytes/int64(o.Lanes) // a lane like the others
	m, err := load(o)
	if err != nil {
		return nil, err
	}
	defer m.close()
	return pack(m.logits(ids))
}

func pack(rows [][]float32, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, row := range rows {
		for _, v := range row {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b, nil
}

// ServeInherited is Serve on the descriptors of package wire.
func ServeInherited() error {
	in, out := os.NewFile(wire.RequestsFD, "requests"), os.NewFile(wire.RepliesFD, "replies")
	if in == nil || out == nil {
		return errors.New("this verb is only for mergebot itself")
	}
	return Serve(in, out)
}
