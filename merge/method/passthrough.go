package method

import "context"

// passthrough is one model as it is, or scaled:
//
//	out = scale·X
//
// Source: mergekit v0.1.5, passthrough.
func passthrough() Method {
	return Method{
		Name:       "passthrough",
		Summary:    "one model, scaled",
		Formula:    "scale·X",
		Source:     "mergekit 0.1.5",
		Takes:      1,
		Parameters: []Parameter{{"scale", true, "1", "factor of the weights"}},
		begin: func(p *Problem) measure {
			return func(_ context.Context, t Tensor) (Elementwise, error) {
				scale := float32(p.Number(0, "scale", t.Name, 1))
				return func(b *Block) error {
					return p.Device.Scale(b.Out, b.Models[0], scale)
				}, nil
			}
		},
	}
}
