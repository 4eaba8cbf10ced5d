package method

import (
	"context"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"

	"mergebot/merge/kernel"
)

// sparsifier thins a delta out before the sum.
type sparsifier int

const (
	keepAll sparsifier = iota
	keepLargest
	keepRandom
	keepMiddle // see middle
	keepByRank // see magprune
)

// vectors is the engine of the task-vector methods, as mergekit v0.1.4 has it
// (generalized_task_arithmetic.py):
//
//	δ_i = X_i − B, sparsified to density_i, times ‖δ_i‖₁/‖sparse δ_i‖₁ if rescale
//	v_i = w_i·δ_i
//	with consensus: s = sign(Σ v_i), 0 counts as +; only v_i with sign(v_i) = s stay
//	D   = Σ v_i, divided by Σ w_i if normalize (of those that stayed, element by element)
//	out = B + λ·D
//
// It differs in that arithmetic is fp32 whatever the dtype, and in that a kept
// count of 0, where mergekit v0.1.4 aborts and v0.1.5 keeps one element of ties',
// keeps nothing.
type vectors struct {
	sparsify           sparsifier
	consensus          bool
	normalize, rescale bool // defaults of the parameters
}

func (v vectors) parameters() []Parameter {
	list := []Parameter{{"weight", true, "required", "wᵢ"}}
	if v.sparsify != keepAll {
		list = append(list, Parameter{"density", true, "1", "share of the delta kept"})
	}
	switch v.sparsify {
	case keepMiddle:
		list = append(list, Parameter{"gamma", true, "0.01", "share of the largest deltas dropped"})
	case keepByRank:
		list = append(list, Parameter{"epsilon", true, "0.15", "how far the chance to stay varies around the density"})
	}
	return append(list,
		Parameter{"normalize", false, fmt.Sprint(v.normalize), "divide by Σ wᵢ"},
		Parameter{"rescale", false, fmt.Sprint(v.rescale), "restore the L1 norm after thinning"},
		Parameter{"lambda", false, "1", "λ"})
}

// thinning is how one model's delta of one tensor is sparsified.
type thinning struct {
	cut    *kernel.Cut
	middle []kernel.Cut // the outliers, then they and what is kept
	random *float64     // pruning rate
	stream uint64
	ranked *magprune
	factor float32
}

func (v vectors) begin(p *Problem) measure {
	return func(ctx context.Context, t Tensor) (Elementwise, error) {
		defer p.release(t.Name)
		thin := make([]thinning, len(p.Models))
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(max(1, p.Device.Lanes()))
		for i := range thin {
			g.Go(func() (err error) {
				thin[i], err = v.thin(ctx, p, i, t)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		return v.combine(p, t, thin, 1)
	}
}

// thin measures one model's delta.
func (v vectors) thin(ctx context.Context, p *Problem, model int, t Tensor) (thinning, error) {
	density := p.Number(model, "density", t.Name, 1)
	th := thinning{factor: 1}
	if math.IsNaN(density) || density < 0 {
		return th, fmt.Errorf("density of %s is %v: want 0 to 1", p.Models[model], density)
	}
	if v.sparsify == keepAll || density >= 1 {
		return th, nil
	}
	source := p.deltas(model, t)
	switch v.sparsify {
	case keepLargest:
		kept := int64(density * float64(t.Count))
		cuts, err := kernel.Select(ctx, p.Device, []kernel.Source{source}, []int64{t.Count - kept}, false)
		if err != nil {
			return th, err
		}
		th.cut = &cuts[0][0]
	case keepRandom:
		rate := 1 - density
		th.random, th.stream = &rate, p.stream(model, t.Name)
	case keepMiddle:
		var err error
		if th.middle, err = middle(ctx, p.Device, source, density, p.Number(model, "gamma", t.Name, 0.01)); err != nil {
			return th, fmt.Errorf("%s: %w", p.Models[model], err)
		}
	case keepByRank:
		epsilon := p.Number(model, "epsilon", t.Name, 0.15)
		if !(epsilon >= 0) {
			return th, fmt.Errorf("epsilon of %s is %v: want 0 or more", p.Models[model], epsilon)
		}
		th.ranked = &magprune{density: density, epsilon: epsilon, row: t.row(), count: t.Count,
			stream: p.stream(model, t.Name), delta: p.deltaReader(model, t)}
	}
	if !p.Bool(-1, "rescale", t.Name, v.rescale) {
		return th, nil
	}
	if p.Paper && v.sparsify == keepByRank {
		th.ranked.unbiased = true
		return th, nil
	}
	if p.Paper && v.sparsify == keepRandom {
		if density > 0 {
			th.factor = float32(1 / density)
		}
		return th, nil
	}
	var before, after kernel.Stats
	buf := make([]float32, blockElements)
	err := source.Blocks(ctx, func(first int64, d []float32) error {
		if err := p.Device.Stats(&before, d); err != nil {
			return err
		}
		masked := buf[:len(d)]
		if err := th.mask(p.Device, masked, d, first); err != nil {
			return err
		}
		return p.Device.Stats(&after, masked)
	})
	const tiny = 1e-7 // mergekit's eps
	if before.SumAbs >= tiny && after.SumAbs >= tiny {
		th.factor = float32(before.SumAbs / after.SumAbs)
	}
	return th, err
}

// mask writes the thinned delta times the factor.
func (th thinning) mask(dev kernel.Device, dst, d []float32, first int64) error {
	ratio := []float32{th.factor}
	switch {
	case th.cut != nil:
		return dev.Amplify(dst, d, d, first, []kernel.Cut{*th.cut}, ratio)
	case th.middle != nil:
		return dev.Amplify(dst, d, d, first, th.middle, []float32{0, th.factor})
	case th.ranked != nil:
		return th.ranked.mask(dst, d, first, th.factor)
	case th.random != nil:
		return dev.AmplifyRandom(dst, d, first, th.stream, []float64{*th.random}, ratio)
	}
	copy(dst, d)
	return nil
}

// combine is the second phase; zero is the sign of an element whose sum is 0.
func (v vectors) combine(p *Problem, t Tensor, thin []thinning, zero float32) (Elementwise, error) {
	weights, total, err := p.weights(t.Name)
	if err != nil {
		return nil, err
	}
	normalize := p.Bool(-1, "normalize", t.Name, v.normalize)
	lambda := float32(p.Number(-1, "lambda", t.Name, 1))
	var divisors []float32
	if normalize {
		divisors = weights
	}
	if math.Abs(float64(total)) < 1e-8 {
		total = 1
	}
	dev := p.Device
	return func(b *Block) error {
		if err := p.subtract(b); err != nil {
			return err
		}
		for i, x := range b.Models {
			if err := thin[i].mask(dev, x, x, b.First); err != nil {
				return err
			}
		}
		// The paper elects signs before weighting, mergekit after it.
		if v.consensus && p.Paper {
			if err := dev.Elect(b.Key, b.Models, zero); err != nil {
				return err
			}
		}
		for i, x := range b.Models {
			if err := dev.Scale(x, x, weights[i]); err != nil {
				return err
			}
		}
		if v.consensus {
			if !p.Paper {
				if err := dev.Elect(b.Key, b.Models, zero); err != nil {
					return err
				}
			}
			if err := dev.Agree(b.Out, b.Key, b.Models, divisors); err != nil {
				return err
			}
		} else {
			clear(b.Out)
			for _, x := range b.Models {
				if err := dev.AddScaled(b.Out, x, 1); err != nil {
					return err
				}
			}
			if normalize {
				if err := dev.Divide(b.Out, b.Out, total); err != nil {
					return err
				}
			}
		}
		if err := dev.AddScaled(b.Base, b.Out, lambda); err != nil {
			return err
		}
		copy(b.Out, b.Base)
		return nil
	}, nil
}

// blockElements is how much a measurement reads at a time: a multiple of the
// block over which sums are taken, few enough that a base, an expert and what is
// made of them stay in a core's cache.
const blockElements = 16 * kernel.BlockSize

// deltas delivers a model's delta of one tensor.
func (p *Problem) deltas(model int, t Tensor) kernel.Source {
	return kernel.Source{N: t.Count, Blocks: func(ctx context.Context, visit func(int64, []float32) error) error {
		base := make([]float32, min(blockElements, t.Count))
		expert := make([]float32, len(base))
		for first := int64(0); first < t.Count; first += blockElements {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(blockElements, t.Count-first)
			b, x := base[:n], expert[:n]
			if err := p.Read(-1, t.Name, b, first); err != nil {
				return err
			}
			if err := p.Read(model, t.Name, x, first); err != nil {
				return err
			}
			if err := p.Device.Delta(x, b, x); err != nil {
				return err
			}
			if err := visit(first, x); err != nil {
				return err
			}
		}
		return nil
	}}
}

// deltaReader reads runs of a model's delta of one tensor, wherever they lie. It
// may be called from several goroutines.
func (p *Problem) deltaReader(model int, t Tensor) func(dst []float32, from int64) error {
	return func(dst []float32, from int64) error {
		base := make([]float32, len(dst))
		if err := p.Read(-1, t.Name, base, from); err != nil {
			return err
		}
		if err := p.Read(model, t.Name, dst, from); err != nil {
			return err
		}
		return p.Device.Delta(dst, base, dst)
	}
}

// subtract turns the models of a block into their deltas.
func (p *Problem) subtract(b *Block) error {
	for _, x := range b.Models {
		if err := p.Device.Delta(x, b.Base, x); err != nil {
			return err
		}
	}
	return nil
}

// together visits the deltas of all models of one tensor, block by block, in
// order; visit may overwrite the block but not keep it.
func (p *Problem) together(ctx context.Context, t Tensor, visit func(b *Block) error) error {
	b := newBlock(min(blockElements, t.Count), len(p.Models))
	for first := int64(0); first < t.Count; first += blockElements {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.First = first
		b.resize(min(blockElements, t.Count-first))
		if err := p.Read(-1, t.Name, b.Base, first); err != nil {
			return err
		}
		for i, x := range b.Models {
			if err := p.Read(i, t.Name, x, first); err != nil {
				return err
			}
		}
		if err := p.subtract(b); err != nil {
			return err
		}
		if err := visit(b); err != nil {
			return err
		}
	}
	return nil
}

func (p *Problem) release(tensor string) {
	if p.Release != nil {
		p.Release(tensor)
	}
}
