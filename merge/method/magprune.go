package method

import (
	"math"

	"mergebot/merge/kernel"
)

// magprune is DELLA's way to thin a delta out: at random, the larger elements of
// each row with the better chance to stay. In a row of n elements, that of rank
// r = 0 … n−1 in the order of (|δ|, index) stays where
//
//	u ≥ 1 − c,  c = density − ε + 2ε·r/(n−1)
//
// with the u of kernel.Uniform. A row is the last dimension, a vector is one
// row, and a row of a single element has the chance density.
//
// It differs from mergekit v0.1.5 (sparsify.py, della_magprune) where that one
// fails in the middle of a merge: chances outside (0, 1) are an error there and
// rows of one element a NaN; here ε shrinks to what the density leaves it,
// min(ε, density, 1 − density), so that the mean chance is always the density.
// Tensors of three dimensions and more, which mergekit ranks along their second,
// are ranked along their last.
type magprune struct {
	density, epsilon float64
	row, count       int64 // elements of a row, of the tensor
	stream           uint64
	unbiased         bool // divide what stays by its chance, as in the paper
	// delta reads elements of the tensor's delta from an index on.
	delta func(dst []float32, from int64) error
}

// mask writes the thinned d, from index first of the tensor, times factor. dst
// may be d. Of a row that begins before d or ends after it the rest is read.
func (m *magprune) mask(dst, d []float32, first int64, factor float32) error {
	var r kernel.Ranker
	var ranks []uint32
	var rest []float32
	epsilon := min(m.epsilon, m.density, 1-m.density)
	for at := int64(0); at < int64(len(d)); {
		begin := (first + at) / m.row * m.row
		length := min(m.row, m.count-begin)
		n := min(begin+length-first, int64(len(d))) - at
		row := d[at : at+n]
		if n < length {
			rest = grow(rest, length)
			row = rest
			if err := m.delta(row, begin); err != nil {
				return err
			}
		}
		ranks = grow(ranks, length)
		r.Rank(ranks, row)
		least, step := m.density-epsilon, 0.0
		if length > 1 {
			step = 2 * epsilon / float64(length-1)
		} else {
			least = m.density
		}
		skipped := first + at - begin
		out, in := dst[at:at+n], d[at:at+n]
		for i, rank := range ranks[skipped : skipped+n] {
			chance := least + float64(step*float64(rank)) // the conversion forbids fusing
			ratio := factor
			if m.unbiased {
				ratio = factor * float32(1/chance)
			}
			// Where u < 1−c the difference is negative: its sign makes the mask that leaves 0, without a branch that
			// no processor could foresee.
			u := kernel.Uniform(m.stream, begin+skipped+int64(i))
			drop := int64(math.Float64bits(u-(1-chance))) >> 63
			out[i] = math.Float32frombits(math.Float32bits(ratio)&^uint32(drop)) * in[i]
		}
		at += n
	}
	return nil
}

// grow returns n elements, of s where it has them.
func grow[T any](s []T, n int64) []T {
	if int64(cap(s)) < n {
		return make([]T, n)
	}
	return s[:n]
}
