package kernel

import (
	"context"
	"errors"
	"fmt"
)

// Source delivers the ranking keys of one tensor, N elements, in index order, as
// often as it is asked; visit must not keep the slice. It need never hold the
// tensor.
type Source struct {
	N      int64
	Blocks func(ctx context.Context, visit func(first int64, key []float32) error) error
}

var errFound = errors.New("found")

// Select finds the cuts that prune exactly ranks[j] elements of the sources,
// taken as one sequence ordered by (|key|, source, index). The result holds, for
// every source, one cut per rank. With wholeTies, all elements tied at the
// threshold are pruned too, so that more than ranks[j] may go.
//
// Mostly one pass suffices, or two: see bracket. Where that fails, radix needs
// two, and a third where a threshold's ties must be split. The result is the
// same whichever way it was found.
func Select(ctx context.Context, dev Device, sources []Source, ranks []int64, wholeTies bool) ([][]Cut, error) {
	s := &selection{ctx: ctx, dev: dev, sources: sources, wholeTies: wholeTies, cuts: make([][]Cut, len(sources))}
	for i, src := range sources {
		s.total += src.N
		s.cuts[i] = make([]Cut, len(ranks))
	}
	var wanted []wantedRank
	for j, k := range ranks {
		if k < 0 || k > s.total {
			return nil, fmt.Errorf("cannot prune %d of %d elements", k, s.total)
		}
		if k > 0 { // the zero cut prunes nothing
			wanted = append(wanted, wantedRank{j, k})
		}
	}
	missed, err := s.bracketed(wanted)
	if err != nil {
		return nil, err
	}
	return s.cuts, s.radix(missed)
}

// selection is one Select under way.
type selection struct {
	ctx       context.Context
	dev       Device
	sources   []Source
	total     int64
	wholeTies bool
	cuts      [][]Cut // by source, then rank
}

// wantedRank asks for the cut j that prunes k elements, 1 at least.
type wantedRank struct {
	j int
	k int64
}

// each visits all elements in order.
func (s *selection) each(f func(source int, first int64, key []float32) error) error {
	for i, src := range s.sources {
		if err := src.Blocks(s.ctx, func(first int64, key []float32) error { return f(i, first, key) }); err != nil {
			return err
		}
	}
	return nil
}

// whole cuts above the threshold: all its ties are pruned.
func (s *selection) whole(j int, threshold float32) {
	for i, src := range s.sources {
		s.cuts[i][j] = Cut{Threshold: threshold, Index: src.N}
	}
}

// splitAt cuts inside the threshold's ties: the last that is pruned is element
// index of a source.
func (s *selection) splitAt(j int, threshold float32, source int, index int64) {
	s.whole(j, threshold)
	s.cuts[source][j].Index = index + 1
	for i := source + 1; i < len(s.sources); i++ {
		s.cuts[i][j].Index = 0
	}
}

// split finds the last element that is pruned, of ties many at the threshold.
func (s *selection) split(j int, threshold float32, ties int64) error {
	err := s.each(func(i int, first int64, key []float32) error {
		pos, seen, err := s.dev.Nth(key, threshold, ties-1)
		if err != nil {
			return err
		}
		if pos >= 0 {
			s.splitAt(j, threshold, i, first+int64(pos))
			return errFound
		}
		ties -= seen
		return nil
	})
	if errors.Is(err, errFound) {
		return nil
	}
	if err == nil {
		err = errShort
	}
	return err
}

// errShort is a bug of the caller's, or a checkpoint that changes as it is read.
var errShort = errors.New("the source delivered other elements than before: do not change checkpoints while they are read")

// radix selects over the 31 bits of |key| by histograms of the upper and then of
// the lower bits: exact, whatever the keys, and slow.
func (s *selection) radix(wanted []wantedRank) error {
	if len(wanted) == 0 {
		return nil
	}
	high := new(HighCounts)
	if err := s.each(func(_ int, _ int64, key []float32) error { return s.dev.High(high, key) }); err != nil {
		return err
	}
	upper := make([]int, len(wanted))  // upper bits of the last pruned element of each rank
	rest := make([]int64, len(wanted)) // elements to prune among those with the same upper bits
	slot := new([1 << 15]uint8)
	slots := 0
	for n, w := range wanted {
		upper[n], rest[n] = locate(high[:], w.k)
		if upper[n] < 0 {
			return errShort
		}
		if slot[upper[n]] == 0 {
			if slots == 255 {
				return errors.New("cannot select more than 255 ranks at once")
			}
			slots++
			slot[upper[n]] = uint8(slots)
		}
	}
	low := make([]LowCounts, slots)
	if err := s.each(func(_ int, _ int64, key []float32) error { return s.dev.Low(low, key, slot) }); err != nil {
		return err
	}
	for n, w := range wanted {
		h := &low[slot[upper[n]]-1]
		lower, ties := locate(h[:], rest[n])
		if lower < 0 {
			return errShort
		}
		threshold := fromMagnitude(uint32(upper[n])<<16 | uint32(lower))
		if s.wholeTies || ties == h[lower] {
			s.whole(w.j, threshold)
		} else if err := s.split(w.j, threshold, ties); err != nil {
			return err
		}
	}
	return nil
}

// locate finds the bin of the k-th element (from 1), and its rank inside the bin;
// bin −1 where there are fewer elements.
func locate(counts []int64, k int64) (bin int, rank int64) {
	for b, n := range counts {
		if k <= n {
			return b, k
		}
		k -= n
	}
	return -1, 0
}
