package method

import (
	"context"
	"fmt"
	"math"
)

// slerp goes from the base to a model along the great circle between them, the
// whole tensor being one vector:
//
//	θ = ∠(B, X);  out = sin((1−t)θ)/sin θ · B + sin(tθ)/sin θ · X
//
// and in a straight line, (1−t)·B + t·X, where |cos θ| > 0.9995. A tensor of
// length 1e-8 at most is not scaled to a unit vector before the angle is taken.
//
// Source: Shoemake 1985, "Animating rotation with quaternion curves"; mergekit
// v0.1.5, slerp (v0.1.4 computes the same with numpy).
func slerp() Method {
	return Method{
		Name:       "slerp",
		Summary:    "from the base to a model along the great circle",
		Formula:    "sin((1−t)θ)/sin θ · B + sin(tθ)/sin θ · X, θ = ∠(B, X)",
		Source:     "Shoemake 1985; mergekit 0.1.5",
		Base:       true,
		Takes:      1,
		Parameters: []Parameter{{"t", false, "required", "0 is the base, 1 the model"}},
		begin: func(p *Problem) measure {
			return func(ctx context.Context, tensor Tensor) (Elementwise, error) {
				t := p.Number(-1, "t", tensor.Name, math.NaN())
				if math.IsNaN(t) {
					return nil, fmt.Errorf("slerp has no t: give parameters.t, 0 for the base to 1 for the model")
				}
				return span{withBase: true}.merge(ctx, p, tensor, func(g gram) ([]float64, error) {
					const tiny, straight = 1e-8, 0.9995 // mergekit's eps and dot_threshold
					lengths := g.norms()
					for k, n := range lengths {
						if n <= tiny {
							lengths[k] = 1
						}
					}
					cos := g[0][1] / (lengths[0] * lengths[1])
					if math.Abs(cos) > straight {
						return []float64{1 - t, t}, nil
					}
					return arc(t, math.Acos(cos)), nil
				})
			}
		},
	}
}

// arc is the point that divides the angle θ between two vectors at t.
func arc(t, theta float64) []float64 {
	return []float64{math.Sin((1-t)*theta) / math.Sin(theta), math.Sin(t*theta) / math.Sin(theta)}
}
