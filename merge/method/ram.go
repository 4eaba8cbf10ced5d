package method

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// ram adds what only one model changed as it is, and what several changed as
// their mean:
//
//	c   = how many models have |δ_i| > ε, per position
//	out = B + Σ_{|δ_i|>ε} δ_i / c
//
// Source: "Reinforced Agent Merging", arXiv 2601.13572; mergekit v0.1.5, ram.
func ram() Method {
	return Method{
		Name:       "ram",
		Summary:    "what one model changed as it is, what several changed as their mean",
		Formula:    "B + Σ{|δᵢ| > ε} δᵢ / c, c of the models have |δᵢ| > ε",
		Source:     "RAM (arXiv 2601.13572); mergekit 0.1.5",
		Base:       true,
		Parameters: []Parameter{changedParameter()},
		begin: func(p *Problem) measure {
			return func(_ context.Context, t Tensor) (Elementwise, error) {
				epsilon, err := p.changedAbove(t)
				if err != nil {
					return nil, err
				}
				factors := make([]float32, len(p.Models))
				for i := range factors {
					factors[i] = 1
				}
				return p.byOverlap(epsilon, factors), nil
			}
		},
	}
}

func changedParameter() Parameter {
	return Parameter{"epsilon", false, "1e-05", "ε: smaller deltas count as none"}
}

// changedAbove is the ε of a tensor.
func (p *Problem) changedAbove(t Tensor) (float32, error) {
	epsilon := p.Number(-1, "epsilon", t.Name, 1e-5)
	if !(epsilon >= 0) {
		return 0, fmt.Errorf("epsilon is %v: want 0 or more", epsilon)
	}
	return float32(epsilon), nil
}

// changed is 1 where a delta counts, |d| > ε, and else 0: numbers of one sign are
// ordered as their bits are. A NaN lies above ∞ and counts, so that it is seen in
// the result. There is no branch, which no processor could foresee.
func changed(d, epsilon float32) uint32 {
	const sign = 1 << 31
	return (math.Float32bits(epsilon)&^sign - math.Float32bits(d)&^sign) >> 31
}

// overlapping is how many elements are counted at a time: they stay in a core's
// cache while the models pass.
const overlapping = 1024

// overlap counts, for elements [first, first+len(sharing)) of a block, the models
// whose delta counts.
func overlap(sharing []uint32, b *Block, first int, epsilon float32) {
	clear(sharing)
	for _, x := range b.Models {
		for i, d := range x[first:][:len(sharing)] {
			sharing[i] += changed(d, epsilon)
		}
	}
}

// byOverlap is the second phase of ram and ramplus_tl: unique deltas times the
// model's factor, shared ones divided by their number.
func (p *Problem) byOverlap(epsilon float32, factors []float32) Elementwise {
	return func(b *Block) error {
		if err := p.subtract(b); err != nil {
			return err
		}
		divisors := make([]float32, len(b.Models)+1) // by how many share the element
		for n := range divisors {
			divisors[n] = float32(max(1, n))
		}
		factor := slices.Repeat([]float32{1}, len(divisors))
		var counts [overlapping]uint32
		for first := 0; first < len(b.Base); first += overlapping {
			sharing := counts[:min(overlapping, len(b.Base)-first)]
			overlap(sharing, b, first, epsilon)
			out := b.Out[first:][:len(sharing)]
			clear(out)
			for k, x := range b.Models {
				factor[1] = factors[k]
				for i, d := range x[first:][:len(sharing)] {
					n := sharing[i]
					// What does not count becomes +0, which changes no sum.
					d = math.Float32frombits(math.Float32bits(d) & -changed(d, epsilon))
					out[i] += float32(d / divisors[n] * factor[n]) // the conversion forbids fusing
				}
			}
			for i, base := range b.Base[first:][:len(sharing)] {
				out[i] = base + out[i]
			}
		}
		return nil
	}
}
