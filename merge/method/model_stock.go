package method

import (
	"context"
	"fmt"
)

// modelStock goes from the base towards the mean of n ≥ 2 models, the further the
// more their deltas agree:
//
//	c = mean over pairs of cos ∠(δ_i, δ_j);  t = n·c/(1 + (n−1)·c);  out = B + t/n Σ δ_i
//
// The cosine's divisor ‖δ_i‖·‖δ_j‖ is 1e-6 at least. Where 1 + (n−1)·c vanishes
// (< 1e-6 in magnitude), t is 0. Deltas that oppose each other give a t below 0
// or above 1; as in mergekit it is not cut.
//
// filter_wise: true measures one angle for each row (the last dimension), not
// one for the tensor.
//
// Source: Jang et al. 2024, "Model stock: all we need is just a few fine-tuned
// models"; mergekit v0.1.5, model_stock.
func modelStock() Method {
	return Method{
		Name:       "model_stock",
		Summary:    "towards the models' mean, as far as their deltas agree",
		Formula:    "B + t/n Σ δᵢ, t = nc/(1+(n−1)c), c the deltas' mean cosine",
		Source:     "model stock (Jang et al. 2024); mergekit 0.1.5",
		Base:       true,
		Parameters: []Parameter{{"filter_wise", false, "false", "one angle for each row"}},
		begin: func(p *Problem) measure {
			return func(ctx context.Context, t Tensor) (Elementwise, error) {
				if len(p.Models) < 2 {
					return nil, fmt.Errorf("model_stock takes at least 2 models besides the base, not %d", len(p.Models))
				}
				s := span{deltas: true}
				if p.Bool(-1, "filter_wise", t.Name, false) {
					s.by = rows
				}
				return s.merge(ctx, p, t, func(g gram) ([]float64, error) { return stock(g), nil })
			}
		},
	}
}

func stock(g gram) []float64 {
	const tiny = 1e-6 // mergekit's, of the product of norms and of t's divisor
	n := float64(len(g))
	var cos float64
	for j := range g {
		for k := range j {
			c := g[k][j] / max(g.norm(j)*g.norm(k), tiny)
			cos += max(-1, min(1, c))
		}
	}
	cos /= n * (n - 1) / 2
	t := 0.0
	if divisor := 1 + (n-1)*cos; divisor >= tiny || divisor <= -tiny {
		t = n * cos / divisor
	}
	out := make([]float64, len(g))
	for k := range out {
		out[k] = t / n
	}
	return out
}
