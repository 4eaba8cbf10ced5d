package merge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"mergebot/merge/dppa"
	"mergebot/merge/kernel"
)

// Measure finds which elements of expert − base are kept, in a few passes over
// the two checkpoints: statistics, outliers (dp, owl), and the exact selection of
// every partition's cut. progress, which may be nil, counts elements read.
//
// Embeddings and lm_head are pruned at the plain rate unless Other is keep or
// the preset is reference-code; tensors of one dimension are never pruned.
func Measure(ctx context.Context, dev kernel.Device, base, expert Model, p Pruning, progress func(done, total int64)) (*Measurement, error) {
	m, err := measure(ctx, dev, base, expert, p, progress)
	if err != nil {
		return nil, fmt.Errorf("measure %s against %s: %w", expert.Name, base.Name, err)
	}
	return m, nil
}

// measurer is one Measure under way.
type measurer struct {
	*models
	rule    dppa.Rule
	pruning Pruning
	out     *Measurement

	progress    func(done, total int64)
	mu          sync.Mutex
	done, total int64
}

func measure(ctx context.Context, dev kernel.Device, base, expert Model, p Pruning, progress func(done, total int64)) (*Measurement, error) {
	rule, err := p.check()
	if err != nil {
		return nil, err
	}
	ms, err := open(dev, []Model{base, expert})
	if err != nil {
		return nil, err
	}
	s := &measurer{
		models: ms, rule: rule, pruning: p, progress: progress,
		out: &Measurement{Base: base.Name, Model: expert.Name, Pruning: p, index: map[string]int{}},
	}
	if p.Kind != PruneNone {
		s.out.Rates = dppa.Partitions(dppa.Rate(p.Density), p.Partition)
	}
	s.classify()
	for _, pass := range []func(context.Context) error{s.statistics, s.rates, s.cuts} {
		if err := pass(ctx); err != nil {
			return nil, err
		}
	}
	s.advance(s.total - s.done) // passes that were not needed
	return s.out, nil
}

func (s *measurer) classify() {
	var names []string
	shapes := map[string][]int64{}
	for _, t := range s.layout.tensors {
		if t.float {
			names = append(names, t.name)
			shapes[t.name] = t.shape
		}
	}
	classes, layers := dppa.Classify(names, func(n string) []int64 { return shapes[n] })
	for _, l := range layers {
		s.out.Layers = append(s.out.Layers, LayerMeasurement{Name: l})
	}
	passes := int64(1)
	if s.needsOutliers() {
		passes++
	}
	for i, name := range names {
		t := TensorMeasurement{Name: name, Kind: classes[i].Kind, Layer: classes[i].Layer}
		if s.rule.RankBF16 {
			t.Format, _ = format(s.layout.tensors[s.layout.index[name]].dtype)
		}
		s.out.index[name] = i
		s.out.Tensors = append(s.out.Tensors, t)
		n := s.layout.tensors[s.layout.index[name]].count
		s.total += n
		if t.Kind == dppa.LinearKind {
			s.total += n * (passes - 1)
		}
		if s.pruned(t) && s.pruning.Kind != PruneDARE {
			s.total += n
		}
	}
}

// needsOutliers reports whether rates depend on significances.
func (s *measurer) needsOutliers() bool {
	return s.pruning.Kind == PruneDP || s.pruning.Kind == PruneOWL
}

// pruned reports whether a tensor loses elements at all.
func (s *measurer) pruned(t TensorMeasurement) bool {
	switch {
	case s.pruning.Kind == PruneNone || t.Kind == dppa.VectorKind:
		return false
	case t.Kind == dppa.OtherKind:
		return !s.rule.KeepOthers
	}
	return true
}

// each runs f on the tensors that want it, several at once, large ones first.
func (s *measurer) each(ctx context.Context, want func(TensorMeasurement) bool, f func(ctx context.Context, i int, t *tensor) error) error {
	var order []int
	for i, t := range s.out.Tensors {
		if want(t) {
			order = append(order, i)
		}
	}
	at := func(i int) *tensor { return &s.layout.tensors[s.layout.index[s.out.Tensors[i].Name]] }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(at(b).count, at(a).count) })
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, s.dev.Lanes()))
	for _, i := range order {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			t := at(i)
			s.prefetch(t)
			defer s.release(t)
			if err := f(ctx, i, t); err != nil {
				return fmt.Errorf("tensor %s: %w", t.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// statistics is the first pass, over every tensor.
func (s *measurer) statistics(ctx context.Context) error {
	all := func(TensorMeasurement) bool { return true }
	err := s.each(ctx, all, func(ctx context.Context, i int, t *tensor) error {
		st := &s.out.Tensors[i].Stats
		if err := s.keys(t).Blocks(ctx, func(_ int64, d []float32) error { return s.dev.Stats(st, d) }); err != nil {
			return err
		}
		if st.NonFinite > 0 {
			return fmt.Errorf("%d of %d elements of the delta are NaN or infinite: one of the two checkpoints is damaged or overflowed", st.NonFinite, st.Count)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range s.out.Tensors {
		if t.Kind == dppa.LinearKind {
			l := &s.out.Layers[t.Layer]
			l.Count += t.Stats.Count
			l.MeanAbs += t.Stats.SumAbs
		}
	}
	for i := range s.out.Layers {
		l := &s.out.Layers[i]
		l.MeanAbs /= float64(max(l.Count, 1))
	}
	return nil
}

// rates is the second pass, over the linears, where rates depend on outliers.
func (s *measurer) rates(ctx context.Context) error {
	if s.needsOutliers() {
		if err := s.outliers(ctx); err != nil {
			return err
		}
	}
	switch s.pruning.Kind {
	case PruneDP:
		return s.rateLinears()
	case PruneOWL:
		s.rateLayers()
	default:
		s.ratePlain(func(t TensorMeasurement) bool { return true })
	}
	return nil
}

func (s *measurer) outliers(ctx context.Context) error {
	var sum, count float64
	for _, t := range s.out.Tensors {
		if t.Kind == dppa.LinearKind {
			sum += t.Stats.SumAbs
			count += float64(t.Stats.Count)
		}
	}
	overall := sum / max(count, 1)
	found := make([][]kernel.Outliers, len(s.out.Tensors))
	linears := func(t TensorMeasurement) bool { return t.Kind == dppa.LinearKind }
	err := s.each(ctx, linears, func(ctx context.Context, i int, t *tensor) error {
		m := &s.out.Tensors[i]
		unit, layer := m.Stats.MeanAbs(), s.out.Layers[m.Layer].MeanAbs
		if s.pruning.Mean == "model" && s.pruning.Kind == PruneDP {
			unit, layer = overall, overall
		}
		above := []float64{s.rule.LinearFactor * unit, s.rule.LayerFactor * layer}
		found[i] = make([]kernel.Outliers, 2)
		return s.keys(t).Blocks(ctx, func(_ int64, d []float32) error { return s.dev.Outliers(found[i], d, above) })
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

// rateLinears computes DP's Θ for every partition.
func (s *measurer) rateLinears() error {
	var linears []dppa.Linear
	var which []int
	layers := s.occupied()
	var significances []float64
	for _, l := range s.out.Layers {
		if l.Count > 0 {
			significances = append(significances, l.Significance)
		}
	}
	for i, t := range s.out.Tensors {
		if t.Kind == dppa.LinearKind {
			linears = append(linears, dppa.Linear{Layer: layers[t.Layer], Count: t.Stats.Count, Significance: t.Significance})
			which = append(which, i)
		}
	}
	d := dppa.Difference(significances, linears, s.pruning.Fluctuation)
	for i := range s.out.Layers {
		if j, ok := layers[i]; ok {
			s.out.Layers[i].Difference, s.out.Layers[i].Normalised = d.Layer[j], d.NormLayer[j]
		}
	}
	for j, i := range which {
		s.out.Tensors[i].Difference, s.out.Tensors[i].Normalised = d.Linear[j], d.NormLinear[j]
	}
	for _, alpha := range s.out.Rates {
		rates, err := d.Rates(linears, alpha, s.rule.Clamp)
		if err != nil {
			return err
		}
		for j, i := range which {
			s.out.Tensors[i].Rates = append(s.out.Tensors[i].Rates, rates[j])
		}
	}
	s.ratePlain(func(t TensorMeasurement) bool { return t.Kind == dppa.OtherKind })
	return nil
}

// rateLayers computes OWL's rates for every partition.
func (s *measurer) rateLayers() {
	layers := s.occupied()
	var shares []float64
	for _, l := range s.out.Layers {
		if l.Count > 0 {
			shares = append(shares, float64(l.Outliers.Count)/float64(l.Count))
		}
	}
	for _, alpha := range s.out.Rates {
		rates := dppa.OWL(shares, alpha, s.pruning.Fluctuation)
		for i := range s.out.Tensors {
			if t := &s.out.Tensors[i]; t.Kind == dppa.LinearKind {
				t.Rates = append(t.Rates, rates[layers[t.Layer]])
			}
		}
	}
	s.ratePlain(func(t TensorMeasurement) bool { return t.Kind == dppa.OtherKind })
}

// occupied numbers the layers that have linears.
func (s *measurer) occupied() map[int]int {
	n := map[int]int{}
	for i, l := range s.out.Layers {
		if l.Count > 0 {
			n[i] = len(n)
		}
	}
	return n
}

func (s *measurer) ratePlain(want func(TensorMeasurement) bool) {
	for i := range s.out.Tensors {
		if t := &s.out.Tensors[i]; s.pruned(*t) && want(*t) {
			t.Rates = slices.Clone(s.out.Rates)
		}
	}
}

// cuts is the last pass: exact selection.
func (s *measurer) cuts(ctx context.Context) error {
	if s.pruning.Kind == PruneDARE || s.pruning.Kind == PruneNone {
		return nil
	}
	return s.each(ctx, s.pruned, func(ctx context.Context, i int, t *tensor) error {
		m := &s.out.Tensors[i]
		ranks := make([]int64, len(m.Rates))
		for j, rate := range m.Rates {
			ranks[j] = dppa.Pruned(t.count, rate)
			if s.rule.WholeTies {
				k, err := dppa.CodeRank(t.count, rate)
				if err != nil {
					return err
				}
				ranks[j] = k + 1
			}
		}
		cuts, err := kernel.Select(ctx, s.dev, []kernel.Source{s.keys(t)}, ranks, s.rule.WholeTies)
		if err != nil {
			return err
		}
		m.Cuts = cuts[0]
		return nil
	})
}
