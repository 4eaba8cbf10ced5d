package method

import (
	"context"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"
)

// span is the shape of the geometric methods. They see a tensor as a vector (or
// as many: its rows, its columns), and their result lies in the span of what is
// merged:
//
//	out = Σ c_k·v_k        (+ B, where v_k is the delta X_k − B)
//
// Lengths and angles determine the c_k, and the inner products of the v_k hold
// all of these. So one pass measures the Gram matrix G_jk = ⟨v_j, v_k⟩ in fp64,
// a rule turns it into c, and the second phase is a weighted sum.
type span struct {
	withBase bool // v_0 is the base itself
	deltas   bool // v_k are deltas
	by       division
}

// division says what is one vector of a tensor.
type division int

const (
	whole   division = iota // all elements
	rows                    // the last dimension, one by one
	columns                 // the first dimension, one by one
)

// rule turns a Gram matrix into coefficients, one per vector.
type rule func(g gram) ([]float64, error)

// gram is symmetric: g[j][k] = ⟨v_j, v_k⟩.
type gram [][]float64

// norm is the length of v_k.
func (g gram) norm(k int) float64 { return math.Sqrt(g[k][k]) }

// norms are all lengths.
func (g gram) norms() []float64 {
	n := make([]float64, len(g))
	for k := range n {
		n[k] = g.norm(k)
	}
	return n
}

// length is that of Σ c_k·v_k.
func (g gram) length(c []float64) float64 {
	var sum float64
	for j := range g {
		for k := range g {
			sum += float64(c[j] * c[k] * g[j][k])
		}
	}
	return math.Sqrt(max(0, sum)) // rounding may leave a little less than 0
}

// merge measures a tensor and applies the rule to each of its vectors.
func (s span) merge(ctx context.Context, p *Problem, t Tensor, r rule) (Elementwise, error) {
	defer p.release(t.Name)
	vectors := len(p.Models)
	if s.withBase {
		vectors++
	}
	d := s.divide(t)
	products, err := s.measure(ctx, p, t, d, vectors)
	if err != nil {
		return nil, err
	}
	c := make([][]float32, vectors) // by vector v_k, then by row or column
	for k := range c {
		c[k] = make([]float32, d.parts)
	}
	g := make(gram, vectors)
	for k := range g {
		g[k] = make([]float64, vectors)
	}
	for part := range d.parts {
		for i, pair := range pairs(vectors) {
			x := products[i][part]
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return nil, fmt.Errorf("some elements are NaN or infinite, so it has no length or angle: one of the checkpoints is damaged or overflowed")
			}
			g[pair[0]][pair[1]], g[pair[1]][pair[0]] = x, x
		}
		weights, err := r(g)
		if err != nil {
			return nil, err
		}
		for k, w := range weights {
			c[k][part] = float32(w)
		}
	}
	return s.apply(p, d, c), nil
}

// pairs are j ≤ k.
func pairs(n int) (all [][2]int) {
	for j := range n {
		for k := j; k < n; k++ {
			all = append(all, [2]int{j, k})
		}
	}
	return all
}

// divided is a tensor cut into parts vectors: of size elements in a row each, or
// interleaved.
type divided struct {
	parts, size int64
	interleaved bool
}

func (s span) divide(t Tensor) divided {
	all := divided{parts: 1, size: max(1, t.Count)}
	switch {
	case len(t.Shape) < 2 || t.Count == 0 || s.by == whole:
		return all
	case s.by == rows:
		return divided{parts: t.Count / t.row(), size: t.row()}
	}
	return divided{parts: t.Count / t.Shape[0], size: t.Shape[0], interleaved: true}
}

// measure returns the inner products of all pairs, by pair, then by part. Rows
// are summed like tensors of their own; a column is summed from its first
// element to its last.
func (s span) measure(ctx context.Context, p *Problem, t Tensor, d divided, vectors int) ([][]float64, error) {
	all := pairs(vectors)
	products := make([][]float64, len(all))
	for i := range products {
		products[i] = make([]float64, d.parts)
	}
	stride := int64(blockElements)
	if !d.interleaved {
		stride = d.size * max(1, blockElements/d.size) // whole rows, or one
	}
	b := newBlock(min(blockElements, t.Count), len(p.Models))
	for start := int64(0); start < t.Count; start += stride {
		end := min(start+stride, t.Count)
		for first := start; first < end; first += blockElements {
			b.First = first
			b.resize(min(blockElements, end-first))
			v, err := s.read(ctx, p, t, b)
			if err != nil {
				return nil, err
			}
			var g errgroup.Group
			g.SetLimit(max(1, p.Device.Lanes()))
			for i, pair := range all {
				g.Go(func() error { return d.dot(p, products[i], v[pair[0]], v[pair[1]], first) })
			}
			if err := g.Wait(); err != nil {
				return nil, err
			}
		}
	}
	return products, nil
}

// read fills b from b.First and returns the vectors' elements.
func (s span) read(ctx context.Context, p *Problem, t Tensor, b *Block) ([][]float32, error) {
	if s.withBase || s.deltas {
		if err := p.Read(-1, t.Name, b.Base, b.First); err != nil {
			return nil, err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, p.Device.Lanes()))
	for k, x := range b.Models {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return p.Read(k, t.Name, x, b.First)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return s.vectors(p, b)
}

// vectors turns the models' elements into the vectors', in place.
func (s span) vectors(p *Problem, b *Block) (v [][]float32, err error) {
	if s.withBase {
		v = append(v, b.Base)
	}
	for _, x := range b.Models {
		if s.deltas {
			if err := p.Device.Delta(x, b.Base, x); err != nil {
				return nil, err
			}
		}
		v = append(v, x)
	}
	return v, nil
}

// each calls f with the runs of consecutive elements that belong to one part,
// of n elements from index first.
func (d divided) each(first, n int64, f func(part, from, to int64) error) error {
	for from := int64(0); from < n; {
		part := (first + from) / d.size
		to := min(n, (part+1)*d.size-first)
		if err := f(part, from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// dot adds the products of elements from index first to their parts' sums.
func (d divided) dot(p *Problem, sums []float64, x, y []float32, first int64) error {
	if !d.interleaved {
		return d.each(first, int64(len(x)), func(part, from, to int64) error {
			return p.Device.Dot(&sums[part], x[from:to], y[from:to])
		})
	}
	part := first % d.parts
	for i := range x {
		sums[part] += float64(x[i]) * float64(y[i]) // the product is exact
		if part++; part == d.parts {
			part = 0
		}
	}
	return nil
}

// add is out += c·x, with the coefficient of each element's part.
func (d divided) add(p *Problem, out, x, c []float32, first int64) error {
	if !d.interleaved {
		return d.each(first, int64(len(x)), func(part, from, to int64) error {
			return p.Device.AddScaled(out[from:to], x[from:to], c[part])
		})
	}
	part := first % d.parts
	for i := range x {
		out[i] += float32(c[part] * x[i])
		if part++; part == d.parts {
			part = 0
		}
	}
	return nil
}

// apply is the second phase.
func (s span) apply(p *Problem, d divided, c [][]float32) Elementwise {
	return func(b *Block) error {
		v, err := s.vectors(p, b)
		if err != nil {
			return err
		}
		clear(b.Out)
		for k, x := range v {
			if err := d.add(p, b.Out, x, c[k], b.First); err != nil {
				return err
			}
		}
		if s.deltas {
			return p.Device.AddScaled(b.Out, b.Base, 1)
		}
		return nil
	}
}

// copied is the second phase of a merge of one model: the model.
func copied(b *Block) error {
	copy(b.Out, b.Models[0])
	return nil
}
