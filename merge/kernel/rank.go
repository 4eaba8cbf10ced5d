package kernel

import "slices"

// Ranker ranks runs of elements, such as the rows of a matrix, in the order of
// [Cut]: (|key|, index). It keeps its memory, 16 bytes for each element of the
// longest run, from call to call; it is not safe for concurrent use.
type Ranker struct {
	from, to []uint64
	counts   [3][1 << 11]uint32
}

// fewKeys is where a comparison sort is faster than counting 3·2048 digits.
const fewKeys = 512

// Rank writes the rank of every element, 0 for the smallest. It is a radix sort
// of the 31 bits of |key|, least significant digit first, which keeps the order
// of equal keys; short runs are sorted by comparison.
func (r *Ranker) Rank(rank []uint32, key []float32) {
	equal(len(rank), len(key))
	if cap(r.from) < len(key) {
		r.from, r.to = make([]uint64, len(key)), make([]uint64, len(key))
	}
	from, to := r.from[:len(key)], r.to[:len(key)]
	for i, x := range key {
		from[i] = uint64(magnitude(x))<<32 | uint64(i)
	}
	if len(key) <= fewKeys {
		slices.Sort(from)
	} else {
		from = r.radix(from, to)
	}
	for i, x := range from {
		rank[uint32(x)] = uint32(i)
	}
}

// radix sorts from by its upper half, with to of the same length for scratch,
// and returns the one of them that holds the result.
func (r *Ranker) radix(from, to []uint64) []uint64 {
	clear(r.counts[:])
	for _, x := range from {
		m := x >> 32
		r.counts[0][m&(1<<11-1)]++
		r.counts[1][m>>11&(1<<11-1)]++
		r.counts[2][m>>22&(1<<11-1)]++
	}
	for digit := range r.counts {
		starts := &r.counts[digit]
		var next uint32
		for b, n := range starts {
			starts[b], next = next, next+n
		}
		shift := 32 + 11*digit
		for _, x := range from {
			b := x >> shift & (1<<11 - 1)
			to[starts[b]] = x
			starts[b]++
		}
		from, to = to, from
	}
	return from
}
