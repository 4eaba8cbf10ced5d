package method

import (
	"context"
	"fmt"

	"mergebot/merge/kernel"
)

// sce selects, calculates and erases:
//
//	σ² = the variance of the δ_i over the models, per position
//	δ_i is 0 but for the int(select_topk·m) positions of the largest σ², of m where σ² is not 0
//	w_i = mean δ_i² / Σ mean δ_j², per tensor
//	s   = sign(Σ δ_i), 0 counts as +
//	out = B + Σ_{sign(δ_i)=s} w_i·δ_i / Σ_{sign(δ_i)=s} w_i
//
// σ² is computed in fp64 and rounded to fp32; of equal ones those with the lower
// index go first. With select_topk 1 all positions stay. Below 1 a single model,
// which varies nowhere, adds nothing.
//
// As in mergekit, models weigh the same where Σ mean δ_j² is below 1e-6, which
// the deltas of many fine-tuned models are; with `semantics: paper` only where
// it is 0. mergekit divides by 1e-6 where the weights that agree add up to less;
// here it is always their sum.
//
// Source: Wan et al. 2024, "FuseChat: Knowledge Fusion of Chat Models"; mergekit
// v0.1.5, sce.
func sce() Method {
	return Method{
		Name:       "sce",
		Summary:    "positions that vary most, models weighted by their size, majority sign",
		Formula:    "B + Σ{sign δᵢ = s} wᵢδᵢ / Σ{sign δᵢ = s} wᵢ, wᵢ ∝ mean δᵢ², δᵢ at the largest variances",
		Paper:      "wᵢ ∝ mean δᵢ² also where Σ mean δⱼ² < 1e-6",
		Source:     "FuseChat (Wan et al. 2024); mergekit 0.1.5",
		Base:       true,
		Parameters: []Parameter{{"select_topk", false, "1", "share of the positions with the largest variance that is kept"}},
		begin: func(p *Problem) measure {
			return func(ctx context.Context, t Tensor) (Elementwise, error) {
				defer p.release(t.Name)
				s := selection{dev: p.Device}
				if err := s.find(ctx, p, t); err != nil {
					return nil, err
				}
				weights, err := s.weights(ctx, p, t)
				if err != nil {
					return nil, err
				}
				return func(b *Block) error {
					if err := p.subtract(b); err != nil {
						return err
					}
					if err := s.mask(b); err != nil {
						return err
					}
					dev := p.Device
					if err := dev.Elect(b.Key, b.Models, 1); err != nil {
						return err
					}
					for i, x := range b.Models {
						if err := dev.Scale(x, x, weights[i]); err != nil {
							return err
						}
					}
					if err := dev.Agree(b.Out, b.Key, b.Models, weights); err != nil {
						return err
					}
					return dev.AddScaled(b.Out, b.Base, 1)
				}, nil
			}
		},
	}
}

// selection is which positions of a tensor stay: those whose variance the cut
// keeps, or all without one.
type selection struct {
	dev kernel.Device
	cut *kernel.Cut
}

func (s *selection) find(ctx context.Context, p *Problem, t Tensor) error {
	share := p.Number(-1, "select_topk", t.Name, 1)
	if !(share >= 0 && share <= 1) {
		return fmt.Errorf("select_topk is %v: want 0 to 1", share)
	}
	if share == 1 {
		return nil
	}
	variances := kernel.Source{N: t.Count, Blocks: func(ctx context.Context, visit func(int64, []float32) error) error {
		return p.together(ctx, t, func(b *Block) error {
			variance(b.Key, b.Models)
			return visit(b.First, b.Key)
		})
	}}
	var stats kernel.Stats
	err := variances.Blocks(ctx, func(_ int64, v []float32) error { return s.dev.Stats(&stats, v) })
	if err != nil {
		return err
	}
	kept := int64(float32(stats.Count-stats.Zeros) * float32(share)) // mergekit's product is fp32 too
	cuts, err := kernel.Select(ctx, s.dev, []kernel.Source{variances}, []int64{t.Count - kept}, false)
	if err != nil {
		return err
	}
	s.cut = &cuts[0][0]
	return nil
}

// mask zeroes the deltas of the positions that go. It overwrites b.Key.
func (s *selection) mask(b *Block) error {
	if s.cut == nil {
		return nil
	}
	variance(b.Key, b.Models)
	for _, x := range b.Models {
		if err := s.dev.Amplify(x, x, b.Key, b.First, []kernel.Cut{*s.cut}, []float32{1}); err != nil {
			return err
		}
	}
	return nil
}

// weights are the models' shares of the squares of what stays.
func (s *selection) weights(ctx context.Context, p *Problem, t Tensor) ([]float32, error) {
	stats := make([]kernel.Stats, len(p.Models))
	err := p.together(ctx, t, func(b *Block) error {
		if err := s.mask(b); err != nil {
			return err
		}
		for i, x := range b.Models {
			if err := s.dev.Stats(&stats[i], x); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var total float64
	for _, x := range stats {
		total += x.SumSq
	}
	tiny := 1e-6 * float64(max(1, t.Count)) // mergekit's
	if p.Paper {
		tiny = 0
	}
	weights := make([]float32, len(stats))
	for i, x := range stats {
		weights[i] = 1 / float32(len(stats))
		if total >= tiny && total > 0 {
			weights[i] = float32(x.SumSq / total)
		}
	}
	return weights, nil
}

// variance writes the variance over the models, position by position: sums in
// the models' order, in fp64.
func variance(dst []float32, models [][]float32) {
	n := float64(len(models))
	if len(models) == 3 { // the most common by far, in registers
		x, y, z := models[0][:len(dst)], models[1][:len(dst)], models[2][:len(dst)]
		for i := range dst {
			a, b, c := float64(x[i]), float64(y[i]), float64(z[i])
			mean := (a + b + c) / n
			a, b, c = a-mean, b-mean, c-mean
			dst[i] = float32((float64(a*a) + float64(b*b) + float64(c*c)) / n) // the conversions forbid fusing
		}
		return
	}
	var mean, squares [1024]float64
	for first := 0; first < len(dst); first += len(mean) {
		out := dst[first:min(first+len(mean), len(dst))]
		mean, squares := mean[:len(out)], squares[:len(out)]
		clear(mean)
		clear(squares)
		for _, x := range models {
			for i, v := range x[first:][:len(out)] {
				mean[i] += float64(v)
			}
		}
		for i := range mean {
			mean[i] /= n
		}
		for _, x := range models {
			for i, v := range x[first:][:len(out)] {
				d := float64(v) - mean[i]
				squares[i] += float64(d * d)
			}
		}
		for i, s := range squares {
			out[i] = float32(s / n)
		}
	}
}
