package kernel

import (
	"math"
	"slices"
	"sort"
	"sync"
)

// Selection by brackets: a sample says between which two magnitudes the wanted
// element lies, almost certainly. One pass counts what is smaller and keeps the
// few candidates between, among which the element is found exactly. If it lies
// elsewhere after all, the counts say so.
const (
	sampleSize  = 1 << 14 // elements of the first run, for the first pass
	spreadSize  = 1 << 16 // elements of the whole, for the second pass
	spreadLeast = 32      // but at most one of so many
	// deviations is how far a bracket reaches, in standard deviations of the
	// sample's rank: 1 in 10⁴ misses if elements are in no order.
	deviations = 4
	// candidatesMost bounds the memory of one rank's candidates, 8 bytes each.
	candidatesMost = 1 << 22
)

// bracket looks for one rank.
type bracket struct {
	wantedRank
	lo, hi float32 // magnitudes, both inside

	below int64 // elements under lo
	found int64 // elements inside
	*candidates
	runs []run
	full bool // candidates were left out
}

// candidates are elements in order: the bits of |key|, and the position in its run.
type candidates struct{ keys, at []uint32 }

// grow makes room at once, since doubling would leave as much again to be collected.
func (c *candidates) grow(n int) {
	if cap(c.keys) < n {
		c.keys, c.at = make([]uint32, 0, n), make([]uint32, 0, n)
	}
}

// spare are candidates' memory: a merge selects from every tensor of every model.
var spare = sync.Pool{New: func() any { return new(candidates) }}

func release(brackets []bracket) {
	for b := range brackets {
		c := brackets[b].candidates
		c.keys, c.at = c.keys[:0], c.at[:0]
		spare.Put(c)
		brackets[b].candidates = nil
	}
}

// run is a visited slice that candidates came from.
type run struct {
	source int
	first  int64
	keys   int // candidates before it
}

// bracketed finds what it can in two passes and returns the others.
func (s *selection) bracketed(wanted []wantedRank) (missed []wantedRank, err error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	// The first run guesses for the first pass, in which a sample of the whole is
	// drawn for a second, for the ranks that were not where the guess says.
	spread := sampler{every: max(spreadLeast, s.total/spreadSize)}
	var guess []bracket
	keys, at := make([]uint32, BlockSize), make([]uint32, BlockSize)
	err = s.each(func(source int, first int64, key []float32) error {
		if guess == nil && len(key) > 0 {
			own := sampler{every: max(1, int64(len(key))/sampleSize)}
			own.add(key)
			guess = own.brackets(wanted, s.total, int64(len(key)))
		}
		spread.add(key)
		return s.sift(guess, source, first, key, keys, at)
	})
	if err != nil {
		return nil, err
	}
	missed, err = s.settle(guess)
	release(guess)
	if len(missed) == 0 || err != nil {
		return nil, err
	}
	again := spread.brackets(missed, s.total, s.total)
	defer release(again)
	err = s.each(func(source int, first int64, key []float32) error {
		return s.sift(again, source, first, key, keys, at)
	})
	if err != nil {
		return nil, err
	}
	return s.settle(again)
}

// sift takes one run. Several brackets share a block while it is in the cache.
func (s *selection) sift(brackets []bracket, source int, first int64, key []float32, keys, at []uint32) error {
	for b := range brackets {
		br := &brackets[b]
		br.runs = append(br.runs, run{source, first, len(br.keys)})
	}
	for from := 0; from < len(key); from += BlockSize {
		block := key[from:min(from+BlockSize, len(key))]
		for b := range brackets {
			br := &brackets[b]
			below, found, err := s.dev.Sift(keys, at, block, br.lo, br.hi)
			if err != nil {
				return err
			}
			br.below += int64(below)
			br.found += int64(found)
			if br.full = br.full || len(br.keys)+found > candidatesMost; br.full {
				br.keys, br.at = br.keys[:0], br.at[:0]
				continue
			}
			br.keys = append(br.keys, keys[:found]...)
			before := len(br.at)
			br.at = append(br.at, at[:found]...)
			for i := range br.at[before:] {
				br.at[before+i] += uint32(from)
			}
		}
	}
	return nil
}

// settle writes the cuts of the brackets that hold their element.
func (s *selection) settle(brackets []bracket) (missed []wantedRank, err error) {
	for b := range brackets {
		br := &brackets[b]
		rest := br.k - br.below // rank among the candidates, from 1
		switch {
		case rest < 1 || rest > br.found || br.full && br.lo != br.hi:
			missed = append(missed, br.wantedRank)
		case br.full: // one value, of which there are very many
			if s.wholeTies || rest == br.found {
				s.whole(br.j, br.lo)
			} else if err := s.split(br.j, br.lo, rest); err != nil {
				return nil, err
			}
		default:
			value, tie, ties := nth(br.keys, magnitude(br.lo), magnitude(br.hi), rest)
			if s.wholeTies || tie == ties {
				s.whole(br.j, fromMagnitude(value))
				continue
			}
			i := position(br.keys, value, tie)
			r := br.runs[sort.Search(len(br.runs), func(r int) bool { return br.runs[r].keys > i })-1]
			s.splitAt(br.j, fromMagnitude(value), r.source, r.first+int64(br.at[i]))
		}
	}
	return missed, nil
}

// nth finds the k-th smallest (from 1) of keys in [lo, hi], its rank among its
// equals, and how many they are: by histograms of ever finer bins.
func nth(keys []uint32, lo, hi uint32, k int64) (value uint32, tie, ties int64) {
	const digit = 11
	counts := make([]int64, 1<<digit)
	for {
		shift := 0
		for (hi-lo)>>shift >= 1<<digit {
			shift++
		}
		clear(counts)
		for _, m := range keys {
			if d := m - lo; d <= hi-lo { // below lo it wraps around
				counts[d>>shift]++
			}
		}
		bin, rank := locate(counts, k)
		lo += uint32(bin) << shift
		if shift == 0 {
			return lo, rank, counts[bin]
		}
		hi, k = min(hi, lo+1<<shift-1), rank
	}
}

// position of the occurrence n (from 1) of value.
func position(keys []uint32, value uint32, n int64) int {
	for i, m := range keys {
		if m == value {
			if n--; n == 0 {
				return i
			}
		}
	}
	panic("kernel: a candidate was counted and is gone")
}

// sampler keeps one element of each group of every, a different one each time:
// a fixed one would see only some columns of a matrix.
type sampler struct {
	every int64
	seen  int64 // elements so far
	keys  []uint32
}

func (s *sampler) add(key []float32) {
	end := s.seen + int64(len(key))
	for group := s.seen / s.every; group*s.every < end; group++ {
		i := group*s.every + int64(uniform53(0, group)%uint64(s.every))
		if i >= s.seen && i < end {
			s.keys = append(s.keys, magnitude(key[i-s.seen]))
		}
	}
	s.seen = end
}

// brackets says where the wanted of total elements lie, from a sample of the
// given number of them.
func (s *sampler) brackets(wanted []wantedRank, total, of int64) []bracket {
	slices.Sort(s.keys)
	n := len(s.keys)
	all := make([]bracket, len(wanted))
	for i, w := range wanted {
		q := float64(w.k) / float64(total)
		at := q * float64(n)
		reach := 1 + deviations*math.Sqrt(float64(n)*q*(1-q))
		if s.every == 1 && of == total { // the sample is the whole
			reach = 1
		}
		all[i] = bracket{wantedRank: w, hi: fromMagnitude(math.MaxInt32), candidates: spare.Get().(*candidates)}
		if lo := int(math.Floor(at - reach)); lo >= 0 {
			all[i].lo = fromMagnitude(s.keys[min(lo, n-1)])
		}
		if hi := int(math.Ceil(at + reach)); hi < n {
			all[i].hi = fromMagnitude(s.keys[hi])
		}
		expected := int((2*reach + 2) / float64(n) * float64(total))
		all[i].grow(min(expected+expected/8, candidatesMost))
	}
	return all
}
