package method

import (
	"context"
	"fmt"
	"math"
)

// multislerp averages directions and lengths apart:
//
//	û_i = X_i/(‖X_i‖ + ε);  m = Σ w_i·û_i;  out = (Σ w_i·‖X_i‖) · cos ε · m/‖m‖
//
// with weights that sum to 1 unless normalize_weights is false. With a base
// model it does so with the deltas, and adds the base. A single model is taken
// as it is.
//
// mergekit maps the û_i to the tangent space at m/‖m‖, averages them there and
// maps back. By the choice of m that average is 0, so what is above is what
// remains: mergekit's result but for its rounding, and cos ε, which is 1 at any
// sensible ε.
//
// Where m vanishes (‖m‖ < ε), two vectors are averaged, Σ w_i·X_i; so are any
// number that are all 0 (an expert that left a tensor as it was; mergekit stops
// there). More vectors that cancel have no mean direction: an error.
//
// Source: goddard.blog/posts/multislerp-wow-what-a-cool-idea; mergekit v0.1.5,
// multislerp.
func multislerp() Method {
	return Method{
		Name:    "multislerp",
		Summary: "mean direction times mean length of the models, or their deltas",
		Formula: "(Σ wᵢ‖Xᵢ‖) m/‖m‖, m = Σ wᵢXᵢ/(‖Xᵢ‖+ε), Σ wᵢ = 1; of δᵢ, plus B, with a base",
		Source:  "Goddard's Multi-SLERP; mergekit 0.1.5",
		Deltas:  true,
		Parameters: []Parameter{
			{"weight", true, "required", "wᵢ"},
			{"normalize_weights", false, "true", "divide the weights by their sum"},
			{"eps", false, "1e-8", "ε"},
		},
		begin: func(p *Problem) measure {
			return func(ctx context.Context, t Tensor) (Elementwise, error) {
				given, total, err := p.weights(t.Name)
				if err != nil {
					return nil, err
				}
				if len(given) == 1 {
					return copied, nil
				}
				divisor := 1.0
				if p.Bool(-1, "normalize_weights", t.Name, true) {
					if total == 0 {
						return nil, fmt.Errorf("the weights sum to 0: change them or set normalize_weights: false")
					}
					divisor = float64(total)
				}
				w := make([]float64, len(given))
				for i, x := range given {
					w[i] = float64(x) / divisor
				}
				eps := p.Number(-1, "eps", t.Name, 1e-8)
				return span{deltas: p.Base}.merge(ctx, p, t, func(g gram) ([]float64, error) {
					return meanDirection(g, w, eps)
				})
			}
		},
	}
}

func meanDirection(g gram, w []float64, eps float64) ([]float64, error) {
	c := make([]float64, len(w))
	var mean, longest float64
	for i, n := range g.norms() {
		c[i] = w[i] / (n + eps)
		mean += w[i] * n
		longest = max(longest, n)
	}
	m := g.length(c)
	if m < eps {
		if len(w) > 2 && longest > 0 {
			return nil, fmt.Errorf("the weighted directions of the models cancel, so they have no mean: change the weights")
		}
		return w, nil
	}
	for i := range c {
		c[i] *= mean * math.Cos(eps) / m
	}
	return c, nil
}
