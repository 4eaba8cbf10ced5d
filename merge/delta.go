package merge

import (
	"context"

	"mergebot/merge/kernel"
)

// Sizes of what is worked on at a time, multiples of kernel.BlockSize.
const (
	// blockElements is how much is merged by one lane and written at once.
	blockElements = 64 * kernel.BlockSize
	// tileElements is how much of it goes through all operations before the next:
	// 64 KiB of fp32 from each model, so that it never leaves the core's cache.
	tileElements = 4 * kernel.BlockSize
	// runElements is how much of a delta is measured at once.
	runElements = 16 * kernel.BlockSize
)

// deltas visits expert − base of a tensor block by block, in order; ms.all is base and expert.
func (ms *models) deltas(ctx context.Context, t *tensor, visit func(first int64, base, delta []float32) error) error {
	base := make([]float32, min(runElements, t.count))
	delta := make([]float32, len(base))
	for first := int64(0); first < t.count; first += runElements {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(runElements, t.count-first)
		for at := int64(0); at < n; at += tileElements {
			to := min(at+tileElements, n)
			b, d := base[at:to], delta[at:to]
			if err := ms.read(0, t, b, first+at); err != nil {
				return err
			}
			if err := ms.read(1, t, d, first+at); err != nil {
				return err
			}
			if err := ms.dev.Delta(d, b, d); err != nil {
				return err
			}
		}
		if err := visit(first, base[:n], delta[:n]); err != nil {
			return err
		}
	}
	return nil
}

// keys delivers expert − base of a tensor as it is ranked.
func (s *measurer) keys(t *tensor) kernel.Source {
	var stored kernel.Format
	if s.rule.RankBF16 {
		stored, _ = format(t.dtype)
	}
	return kernel.Source{N: t.count, Blocks: func(ctx context.Context, visit func(int64, []float32) error) error {
		return s.deltas(ctx, t, func(first int64, _, d []float32) error {
			if stored != 0 {
				if err := s.dev.Round(d, d, stored); err != nil {
					return err
				}
			}
			if s.rule.RankBF16 {
				if err := s.dev.Round(d, d, kernel.BF16); err != nil {
					return err
				}
			}
			if err := visit(first, d); err != nil {
				return err
			}
			s.advance(int64(len(d)))
			return nil
		})
	}}
}

// advance reports n more elements; a second pass of a selection is not counted.
func (s *measurer) advance(n int64) {
	if s.progress == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = min(s.done+n, s.total)
	s.progress(s.done, s.total)
}
