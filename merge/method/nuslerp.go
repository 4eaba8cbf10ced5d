package method

import (
	"context"
	"math"
)

// nuslerp goes from one model to the other along the great circle, by weight:
//
//	t = w₂/(w₁ + w₂), 0.5 if |w₁ + w₂| < 1e-6;  θ = ∠(X₁, X₂)
//	out = sin((1−t)θ)/sin θ · X₁ + sin(tθ)/sin θ · X₂
//
// With a base model it does so with the deltas, and adds the base. Vectors that
// point the same way or opposite ways (cos θ rounds to ±1 in fp32) are
// interpolated in a straight line.
//
// nuslerp_flatten: false takes each vector along the last dimension for itself
// (the rows of a weight), nuslerp_row_wise: true then each along the first (the
// columns). That is what mergekit computes; its documentation has the two the
// other way round.
//
// Source: mergekit v0.1.5, nuslerp.
func nuslerp() Method {
	return Method{
		Name:    "nuslerp",
		Summary: "between two models, or their deltas, along the great circle",
		Formula: "sin((1−t)θ)/sin θ · X₁ + sin(tθ)/sin θ · X₂, t = w₂/(w₁+w₂); of δᵢ, plus B, with a base",
		Source:  "mergekit 0.1.5",
		Deltas:  true,
		Takes:   2,
		Parameters: []Parameter{
			{"weight", true, "required", "wᵢ"},
			{"nuslerp_flatten", false, "true", "a tensor is one vector"},
			{"nuslerp_row_wise", false, "false", "when not flattened: vectors run along the first dimension, not the last"},
		},
		begin: func(p *Problem) measure {
			return func(ctx context.Context, tensor Tensor) (Elementwise, error) {
				w, _, err := p.weights(tensor.Name)
				if err != nil {
					return nil, err
				}
				t := 0.5
				if sum := float64(w[0]) + float64(w[1]); math.Abs(sum) >= 1e-6 {
					t = float64(w[1]) / sum
				}
				s := span{deltas: p.Base}
				switch {
				case p.Bool(-1, "nuslerp_flatten", tensor.Name, true):
				case p.Bool(-1, "nuslerp_row_wise", tensor.Name, false):
					s.by = columns
				default:
					s.by = rows
				}
				return s.merge(ctx, p, tensor, func(g gram) ([]float64, error) {
					const tiny = 1e-7 // mergekit's, of a norm
					cos := g[0][1] / (max(g.norm(0), tiny) * max(g.norm(1), tiny))
					if math.Abs(float64(float32(cos))) >= 1 {
						return []float64{1 - t, t}, nil
					}
					return arc(t, math.Acos(cos)), nil
				})
			}
		},
	}
}
