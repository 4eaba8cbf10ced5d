package method

import (
	"context"
	"fmt"
	"math"
)

// ramplusTL is ram with what is unique to a model scaled up by how much else it
// shares, tensor by tensor:
//
//	ρ_i = shared_i / unique_i, the numbers of positions with |δ_i| > ε that other models have too, or have not
//	out = ram, with unique deltas times 1 + r·min(ρ_i, α)
//
// Source: "Reinforced Agent Merging", arXiv 2601.13572; mergekit v0.1.5,
// ramplus_tl.
func ramplusTL() Method {
	return Method{
		Name:    "ramplus_tl",
		Summary: "ram, unique deltas scaled up by how much else is shared",
		Formula: "ram, unique δᵢ times 1 + r·min(sharedᵢ / uniqueᵢ, α)",
		Source:  "RAM+ (arXiv 2601.13572), tensor by tensor; mergekit 0.1.5",
		Base:    true,
		Parameters: []Parameter{
			changedParameter(),
			{"r", false, "0.1", "how much unique deltas are scaled up"},
			{"alpha", false, "0.2", "α, the limit of that scaling"},
		},
		begin: func(p *Problem) measure {
			return func(ctx context.Context, t Tensor) (Elementwise, error) {
				defer p.release(t.Name)
				epsilon, err := p.changedAbove(t)
				if err != nil {
					return nil, err
				}
				r, alpha := p.Number(-1, "r", t.Name, 0.1), p.Number(-1, "alpha", t.Name, 0.2)
				if math.IsNaN(r) || !(alpha >= 0) {
					return nil, fmt.Errorf("r is %v and alpha %v: want a number, and 0 or more", r, alpha)
				}
				shared, unique := make([]int64, len(p.Models)), make([]int64, len(p.Models))
				err = p.together(ctx, t, func(b *Block) error {
					var counts [overlapping]uint32
					for first := 0; first < len(b.Base); first += overlapping {
						sharing := counts[:min(overlapping, len(b.Base)-first)]
						overlap(sharing, b, first, epsilon)
						for k, x := range b.Models {
							var all, alone uint32
							for i, d := range x[first:][:len(sharing)] {
								c := changed(d, epsilon)
								all += c
								alone += c & ((sharing[i] - 2) >> 31) // nobody else: sharing is 1
							}
							shared[k], unique[k] = shared[k]+int64(all-alone), unique[k]+int64(alone)
						}
					}
					return nil
				})
				if err != nil {
					return nil, err
				}
				factors := make([]float32, len(p.Models))
				for k := range factors {
					// With nothing unique there is nothing to scale.
					rho := float32(shared[k]) / float32(max(1, unique[k]))
					factors[k] = 1 + float32(float32(r)*min(rho, float32(alpha)))
				}
				return p.byOverlap(epsilon, factors), nil
			}
		},
	}
}
