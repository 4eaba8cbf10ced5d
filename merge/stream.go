package merge

import (
	"context"
	"fmt"

	"mergebot/merge/method"
)

// scratch is what one block needs on its way through a merge.
type scratch struct {
	block   method.Block
	encoded []byte
}

func (m *Merger) newScratch() *scratch {
	if s, ok := m.scratch.Get().(*scratch); ok {
		return s
	}
	s := &scratch{encoded: make([]byte, 4*blockElements)}
	s.block.Out, s.block.Key = make([]float32, tileElements), make([]float32, tileElements)
	s.block.Base = make([]float32, tileElements)
	most := 0
	for _, p := range m.parts {
		most = max(most, len(p.sources))
	}
	for range most {
		s.block.Models = append(s.block.Models, make([]float32, tileElements))
	}
	return s
}

// merge computes elements [first, first+n) of a tensor, n at most tileElements.
func (m *Merger) merge(in *bound, f method.Elementwise, t *tensor, s *scratch, first, n int64) ([]float32, error) {
	b := method.Block{First: first, Out: s.block.Out[:n], Key: s.block.Key[:n]}
	if in.base >= 0 {
		b.Base = s.block.Base[:n]
		if err := m.read(in.base, t, b.Base, first); err != nil {
			return nil, err
		}
	}
	for i, source := range in.experts {
		x := s.block.Models[i][:n]
		if err := m.read(source, t, x, first); err != nil {
			return nil, err
		}
		b.Models = append(b.Models, x)
	}
	return b.Out, f(&b)
}

// stream merges a tensor block by block, several at once, and hands the blocks
// to emit in order. work turns what was merged, from element at of the block on,
// into what emit gets, and runs in parallel; emit does not.
func (m *Merger) stream(ctx context.Context, t *tensor, work func(s *scratch, out []float32, first, at int64) error, emit func(s *scratch, n int64) error) error {
	in, err := m.planOf(t)
	if err != nil {
		return err
	}
	f, err := in.plan.Tensor(ctx, t.name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type job struct {
		s    *scratch
		n    int64
		done chan error
	}
	// One lane more than the device has, so that it is busy while a block is written.
	jobs := make(chan job, max(1, m.dev.Lanes())-1)
	go func() {
		defer close(jobs)
		for first := int64(0); first < t.count && ctx.Err() == nil; first += blockElements {
			j := job{s: m.newScratch(), n: min(blockElements, t.count-first), done: make(chan error, 1)}
			go func() {
				var err error
				for at := int64(0); at < j.n && err == nil; at += tileElements {
					var out []float32
					if out, err = m.merge(in, f, t, j.s, first+at, min(tileElements, j.n-at)); err == nil {
						err = work(j.s, out, first, at)
					}
				}
				j.done <- err
			}()
			jobs <- j
		}
	}()
	var failed error
	for j := range jobs { // to the end even after a failure: every block is waited for
		err := <-j.done
		if err == nil && failed == nil {
			err = emit(j.s, j.n)
		}
		m.scratch.Put(j.s)
		if err != nil && failed == nil {
			failed = err
			cancel()
		}
	}
	if failed == nil {
		failed = ctx.Err()
	}
	if failed != nil {
		return fmt.Errorf("merge tensor %s: %w", t.name, failed)
	}
	return nil
}

// Read merges one tensor into dst, fp32 and not yet rounded.
func (m *Merger) Read(name string, dst []float32) error {
	i, ok := m.layout.index[name]
	if !ok {
		return fmt.Errorf("no tensor %s in this merge", name)
	}
	t := &m.layout.tensors[i]
	if int64(len(dst)) != t.count {
		return fmt.Errorf("tensor %s has %d elements, not %d", name, t.count, len(dst))
	}
	if !t.float {
		return fmt.Errorf("tensor %s is stored as %s: it is copied, not merged", name, t.dtype)
	}
	defer m.release(t)
	return m.stream(context.Background(), t, func(_ *scratch, out []float32, first, at int64) error {
		copy(dst[first+at:], out)
		return nil
	}, func(*scratch, int64) error { return nil })
}
