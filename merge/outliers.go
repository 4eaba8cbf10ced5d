package merge

import (
	"context"
	"math"

	"mergebot/merge/dppa"
	"mergebot/merge/kernel"
)

const (
	// tailMost is how many elements all tails may keep, 8 bytes each.
	tailMost = 1 << 24
	// tailMargin allows for means that turn out smaller than the samples'.
	tailMargin = 0.9
	// sampleBlocks are read of every linear to guess its mean.
	sampleBlocks = 4
)

// guessTails prepares the first pass to keep what outliers will be among: a few
// blocks of every linear tell the means well enough. Where the guess fails, the
// linear is read again.
func (s *measurer) guessTails(ctx context.Context) error {
	means := make([]float64, len(s.out.Tensors))
	layers, counts := make([]float64, len(s.out.Layers)), make([]float64, len(s.out.Layers))
	var sum, total float64
	base, delta := make([]float32, kernel.BlockSize), make([]float32, kernel.BlockSize)
	for i, m := range s.out.Tensors {
		if m.Kind != dppa.LinearKind {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		t := s.tensorOf(i)
		mean, err := s.sampleMean(t, base, delta)
		if err != nil {
			return err
		}
		n := float64(t.count)
		means[i] = mean
		layers[m.Layer] += mean * n
		counts[m.Layer] += n
		sum += mean * n
		total += n
	}
	s.tails = make([]*kernel.Tail, len(s.out.Tensors))
	for i, m := range s.out.Tensors {
		if m.Kind == dppa.LinearKind {
			above := s.thresholds(means[i], layers[m.Layer]/max(counts[m.Layer], 1), sum/max(total, 1))
			n := float64(s.tensorOf(i).count)
			s.tails[i] = kernel.NewTail(float32(tailMargin*min(above[0], above[1])), int(tailMost*n/total))
		}
	}
	return nil
}

// sampleMean is the mean |delta| of a few blocks. base and delta are of a block's length.
func (s *measurer) sampleMean(t *tensor, base, delta []float32) (float64, error) {
	blocks := (t.count + kernel.BlockSize - 1) / kernel.BlockSize
	sum, count := 0.0, 0
	for k := range min(blocks, sampleBlocks) {
		first := blocks * k / sampleBlocks * kernel.BlockSize
		n := min(kernel.BlockSize, t.count-first)
		b, d := base[:n], delta[:n]
		if err := s.read(0, t, b, first); err != nil {
			return 0, err
		}
		if err := s.read(1, t, d, first); err != nil {
			return 0, err
		}
		if err := s.dev.Delta(d, b, d); err != nil {
			return 0, err
		}
		for _, x := range d {
			sum += math.Abs(float64(x))
		}
		count += len(d)
	}
	return sum / float64(max(count, 1)), nil
}

// thresholds are above what an element of a linear is an outlier of the linear,
// and of its layer, by the mean magnitudes of both and of all linears.
func (s *measurer) thresholds(linear, layer, all float64) [2]float64 {
	if s.pruning.Mean == "model" && s.pruning.Kind == PruneDP {
		linear, layer = all, all
	}
	return [2]float64{s.rule.LinearFactor * linear, s.rule.LayerFactor * layer}
}

// outliers counts them, in the tails of the first pass or else in a second.
func (s *measurer) outliers(ctx context.Context) error {
	var sum, count float64
	for _, t := range s.out.Tensors {
		if t.Kind == dppa.LinearKind {
			sum += t.Stats.SumAbs
			count += float64(t.Stats.Count)
		}
	}
	overall := sum / max(count, 1)
	above := make([][2]float64, len(s.out.Tensors))
	found := make([][]kernel.Outliers, len(s.out.Tensors))
	for i, t := range s.out.Tensors {
		if t.Kind != dppa.LinearKind {
			continue
		}
		above[i] = s.thresholds(t.Stats.MeanAbs(), s.out.Layers[t.Layer].MeanAbs, overall)
		linear, ok := s.tails[i].Outliers(above[i][0])
		layer, ok2 := s.tails[i].Outliers(above[i][1])
		if ok && ok2 {
			found[i] = []kernel.Outliers{linear, layer}
			s.advance(t.Stats.Count)
		}
	}
	s.tails = nil
	err := s.each(ctx, func(i int) bool { return s.out.Tensors[i].Kind == dppa.LinearKind && found[i] == nil }, func(ctx context.Context, i int, t *tensor) error {
		found[i] = make([]kernel.Outliers, 2)
		return s.keys(t).Blocks(ctx, func(_ int64, d []float32) error { return s.dev.Outliers(found[i], d, above[i][:]) })
	})
	if err != nil {
		return err
	}
	for i := range s.out.Tensors {
		if t := &s.out.Tensors[i]; found[i] != nil {
			t.Outliers = &found[i][0]
			t.Significance = s.rule.Significance(t.Outliers.Count, t.Outliers.SumAbs, t.Stats.Count)
			l := &s.out.Layers[t.Layer]
			l.Outliers.Count += found[i][1].Count
			l.Outliers.SumAbs += found[i][1].SumAbs
		}
	}
	for i := range s.out.Layers {
		l := &s.out.Layers[i]
		l.Significance = s.rule.Significance(l.Outliers.Count, l.Outliers.SumAbs, l.Count)
	}
	return nil
}
