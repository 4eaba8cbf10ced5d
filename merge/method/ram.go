package method

import (
	"context"
	"fmt"
	"math"
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

// changed says that a delta counts. NaN does, so that it is seen in the result.
func changed(d, epsilon float32) bool { return !(math.Abs(float64(d)) <= float64(epsilon)) }

// byOverlap is the second phase of ram and ramplus_tl: unique deltas times the
// model's factor, shared ones divided by their number.
func (p *Problem) byOverlap(epsilon float32, factors []float32) Elementwise {
	return func(b *Block) error {
		if err := p.subtract(b); err != nil {
			return err
		}
		for i, base := range b.Base {
			sharing := overlap(b, i, epsilon)
			var sum float32
			for k, x := range b.Models {
				switch d := x[i]; {
				case !changed(d, epsilon):
				case sharing == 1:
					sum += float32(d * factors[k]) // the conversion forbids fusing
				default:
					sum += d / float32(sharing)
				}
			}
			b.Out[i] = base + sum
		}
		return nil
	}
}

// overlap counts the models whose delta of element i counts.
func overlap(b *Block, i int, epsilon float32) int {
	n := 0
	for _, x := range b.Models {
		if changed(x[i], epsilon) {
			n++
		}
	}
	return n
}
