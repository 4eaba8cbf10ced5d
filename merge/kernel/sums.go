package kernel

import "math"

// lanes are the partial sums of a block: see BlockSize.
type lanes [sumLanes]float64

// total folds the upper half of the lanes onto the lower, three times, and adds
// the two that are left.
func (l *lanes) total() float64 {
	two := func(i int) float64 { return l[i] + l[i+8] }
	four := func(i int) float64 { return two(i) + two(i+4) }
	return (four(0) + four(2)) + (four(1) + four(3))
}

// blockStats are the sums of one block, and what has been counted since the
// first. Assembly knows its layout.
type blockStats struct {
	abs, sq    lanes
	min, max   [sumLanes]float32 // of any elements; their order does not matter
	zeros, odd int64             // odd: NaN or infinite
}

func newBlockStats() (b blockStats) {
	for i := range b.min {
		b.min[i], b.max[i] = float32(math.Inf(1)), float32(math.Inf(-1))
	}
	return b
}

// add puts d, whose first element belongs to lane 0, into the lanes.
func (b *blockStats) add(d []float32) {
	for i, x := range d {
		m := magnitude(x)
		if m == 0 {
			b.zeros++
		}
		a, l := float64(math.Float32frombits(m)), i%sumLanes
		b.abs[l] += a
		b.sq[l] += a * a // exact: 24 bits times 24, so fusing changes nothing
		if x < b.min[l] {
			b.min[l] = x
		}
		if x > b.max[l] {
			b.max[l] = x
		}
	}
}

// close adds the block, which d was, to s and begins the next.
func (b *blockStats) close(s *Stats, d []float32) {
	abs := b.abs.total()
	if math.IsNaN(abs) || math.IsInf(abs, 0) { // finite elements cannot overflow fp64
		for _, x := range d {
			if magnitude(x) >= 0x7f800000 {
				b.odd++
			}
		}
	}
	s.SumAbs += abs
	s.SumSq += b.sq.total()
	b.abs, b.sq = lanes{}, lanes{}
}

// finish adds what is not a sum: n elements were seen.
func (b *blockStats) finish(s *Stats, n int) {
	if n == 0 {
		return
	}
	lo, hi := b.min[0], b.max[0]
	for i := range b.min {
		lo, hi = min(lo, b.min[i]), max(hi, b.max[i])
	}
	if lo <= hi { // else nothing but NaN
		lo, hi = lo+0, hi+0 // −0 becomes +0: which of the two comes first must not matter
		if s.Count == 0 {
			s.Min, s.Max = lo, hi
		}
		s.Min, s.Max = min(s.Min, lo), max(s.Max, hi)
	}
	s.Zeros += b.zeros
	s.NonFinite += b.odd
	s.Count += int64(n)
}

func (plain) Stats(s *Stats, d []float32) error {
	b := newBlockStats()
	for first := 0; first < len(d); first += BlockSize {
		block := d[first:min(first+BlockSize, len(d))]
		b.add(block)
		b.close(s, block)
	}
	b.finish(s, len(d))
	return nil
}

// floor32 is the largest fp32 number ≤ t: for an fp32 a, a > t is a > floor32(t).
func floor32(t float64) float32 {
	f := float32(t)
	if float64(f) > t {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}

// addAbove puts the magnitudes of d above t into the lanes, and counts them.
func (l *lanes) addAbove(d []float32, t float32) (n int) {
	for i, x := range d {
		if a := math.Float32frombits(magnitude(x)); a > t {
			n++
			l[i%sumLanes] += float64(a)
		}
	}
	return n
}

func (plain) Outliers(o []Outliers, d []float32, above []float64) error {
	equal(len(o), len(above))
	for j, t := range above {
		t := floor32(t)
		for first := 0; first < len(d); first += BlockSize {
			var l lanes
			o[j].Count += int64(l.addAbove(d[first:min(first+BlockSize, len(d))], t))
			o[j].SumAbs += l.total()
		}
	}
	return nil
}

// addProducts puts x·y into the lanes.
func (l *lanes) addProducts(x, y []float32) {
	y = y[:len(x)]
	for i, v := range x {
		l[i%sumLanes] += float64(v) * float64(y[i]) // exact, as above
	}
}

func (plain) Dot(sum *float64, x, y []float32) error {
	equal(len(x), len(y))
	for first := 0; first < len(x); first += BlockSize {
		last := min(first+BlockSize, len(x))
		var l lanes
		l.addProducts(x[first:last], y[first:last])
		*sum += l.total()
	}
	return nil
}
