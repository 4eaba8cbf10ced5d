package method

import (
	"context"
	"fmt"
	"math"
)

// nearswap takes a model's element where it is close to the base's, and the less
// of it the further it is away:
//
//	u = min(t/max(|X − B|, 1e-6), 1);  out = u·X + (1−u)·B
//
// so that no element moves by more than t.
//
// Source: huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001; mergekit v0.1.5,
// nearswap.
func nearswap() Method {
	return Method{
		Name:       "nearswap",
		Summary:    "the model where it is close to the base, a step of t towards it elsewhere",
		Formula:    "uX + (1−u)B, u = min(t/|δ|, 1)",
		Source:     "QuartetAnemoi-70B; mergekit 0.1.5",
		Base:       true,
		Takes:      1,
		Parameters: []Parameter{{"t", false, "required", "largest change of an element"}},
		begin: func(p *Problem) measure {
			return func(_ context.Context, tensor Tensor) (Elementwise, error) {
				given := p.Number(-1, "t", tensor.Name, math.NaN())
				if !(given >= 0) {
					return nil, fmt.Errorf("t is %v: give parameters.t, 0 or more", given)
				}
				t := float32(given)
				return func(b *Block) error {
					const tiny = 1e-6 // mergekit's
					for i, x := range b.Models[0] {
						base := b.Base[i]
						d := max(base-x, x-base)
						u := min(t/max(d, tiny), 1)
						b.Out[i] = float32(u*x) + float32((1-u)*base) // each product rounded: no fused multiply-add
					}
					return nil
				}, nil
			}
		},
	}
}
