package method

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"mergebot/merge/kernel"
)

// ties trims, elects signs and merges what agrees:
//
//	v_i = w_i·top(δ_i);  s = sign(Σ v_i);  out = B + λ·Σ_{sign(v_i)=s} v_i / Σ_{sign(v_i)=s} w_i
//
// where top keeps the int(density·n) largest of each tensor; equal magnitudes
// keep the higher index. With `semantics: paper`, top is over the whole model,
// signs are elected before weighting, and an element whose sum is 0 takes the
// sign that most elements of the model have (− if they are as many).
//
// Source: Yadav et al. 2023, "TIES-merging", and its ties_minimal.ipynb;
// mergekit v0.1.4, ties.
func ties() Method {
	v := vectors{sparsify: keepLargest, consensus: true, normalize: true}
	return Method{
		Name:       "ties",
		Summary:    "largest deltas, majority sign, mean of those that agree",
		Formula:    "B + λ Σ{sign vᵢ = s} vᵢ / Σ{sign vᵢ = s} wᵢ, vᵢ = wᵢ top(δᵢ)",
		Paper:      "B + λ Σ{sign δ′ᵢ = s} wᵢδ′ᵢ / Σ{sign δ′ᵢ = s} wᵢ, δ′ᵢ = top(δᵢ) of the whole model, s = sign(Σ δ′ᵢ), or where it is 0 the sign of most elements",
		Source:     "TIES-merging (Yadav et al. 2023); mergekit 0.1.4",
		Base:       true,
		Parameters: v.parameters(),
		begin: func(p *Problem) measure {
			if !p.Paper {
				return v.begin(p)
			}
			w := &wholeTies{vectors: v, p: p}
			return w.tensor
		},
	}
}

// wholeTies is TIES over the whole model: its cuts and the majority sign need
// every tensor, so the first call measures them all.
type wholeTies struct {
	vectors
	p    *Problem
	mu   sync.Mutex
	thin map[string][]thinning // nil until measured
	zero float32
}

func (w *wholeTies) tensor(ctx context.Context, t Tensor) (Elementwise, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.thin == nil {
		if err := w.measure(ctx); err != nil {
			return nil, err
		}
	}
	return w.combine(w.p, t, w.thin[t.Name], w.zero)
}

func (w *wholeTies) measure(ctx context.Context) error {
	p := w.p
	var total int64
	for _, t := range p.Tensors {
		total += t.Count
	}
	thin := make([][]thinning, len(p.Models)) // by model, then tensor
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, p.Device.Lanes()))
	for i, name := range p.Models {
		g.Go(func() error {
			density := p.Number(i, "density", "", 1)
			if !(density >= 0 && density <= 1) {
				return fmt.Errorf("density of %s is %v: want 0 to 1", name, density)
			}
			thin[i] = make([]thinning, len(p.Tensors))
			if density == 1 {
				for j := range thin[i] {
					thin[i][j].factor = 1
				}
				return nil
			}
			sources := make([]kernel.Source, len(p.Tensors))
			for j, t := range p.Tensors {
				sources[j] = p.releasing(i, t)
			}
			kept := int64(density * float64(total))
			cuts, err := kernel.Select(gctx, p.Device, sources, []int64{total - kept}, false)
			if err != nil {
				return err
			}
			for j := range thin[i] {
				thin[i][j] = thinning{cut: &cuts[j][0], factor: 1}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	byTensor := map[string][]thinning{}
	for j, t := range p.Tensors {
		for i := range p.Models {
			byTensor[t.Name] = append(byTensor[t.Name], thin[i][j])
		}
	}
	zero, err := majority(ctx, p, byTensor)
	if err != nil {
		return err
	}
	w.thin, w.zero = byTensor, zero
	return nil
}

// majority is the sign of most elements' sums.
func majority(ctx context.Context, p *Problem, thin map[string][]thinning) (float32, error) {
	balance := make([]int64, len(p.Tensors))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, p.Device.Lanes()))
	for j, t := range p.Tensors {
		g.Go(func() error {
			defer p.release(t.Name)
			b := newBlock(min(blockElements, t.Count), len(p.Models))
			for first := int64(0); first < t.Count; first += blockElements {
				if err := ctx.Err(); err != nil {
					return err
				}
				b.resize(min(blockElements, t.Count-first))
				if err := p.Read(-1, t.Name, b.Base, first); err != nil {
					return err
				}
				for i, x := range b.Models {
					if err := p.Read(i, t.Name, x, first); err != nil {
						return err
					}
					if err := p.Device.Delta(x, b.Base, x); err != nil {
						return err
					}
					if err := thin[t.Name][i].mask(p.Device, x, x, first); err != nil {
						return err
					}
				}
				if err := p.Device.Elect(b.Key, b.Models, 0); err != nil {
					return err
				}
				pos, neg, err := p.Device.Signs(b.Key)
				if err != nil {
					return err
				}
				balance[j] += pos - neg
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	var sum int64
	for _, n := range balance {
		sum += n
	}
	if sum > 0 {
		return 1, nil
	}
	return -1, nil
}

// releasing is deltas that drops the tensor's pages after each pass.
func (p *Problem) releasing(model int, t Tensor) kernel.Source {
	s := p.deltas(model, t)
	blocks := s.Blocks
	s.Blocks = func(ctx context.Context, visit func(int64, []float32) error) error {
		defer p.release(t.Name)
		return blocks(ctx, visit)
	}
	return s
}

func newBlock(n int64, models int) *Block {
	b := &Block{Base: make([]float32, n), Out: make([]float32, n), Key: make([]float32, n)}
	for range models {
		b.Models = append(b.Models, make([]float32, n))
	}
	return b
}

func (b *Block) resize(n int64) {
	b.Base, b.Out, b.Key = b.Base[:n], b.Out[:n], b.Key[:n]
	for i := range b.Models {
		b.Models[i] = b.Models[i][:n]
	}
}
