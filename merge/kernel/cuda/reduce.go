package cuda

import (
	"fmt"
	"math"
	"unsafe"

	"mergebot/merge/kernel"
)

// magnitude returns |x| as bits, whose integer order is the order of magnitudes.
func magnitude(x float32) uint32 { return math.Float32bits(x) &^ (1 << 31) }

// blocks is how many blocks n elements make.
func blocks(n int) int { return (n + kernel.BlockSize - 1) / kernel.BlockSize }

// sizeOf is the bytes of n values.
func sizeOf[T any](n int) int { return n * int(unsafe.Sizeof(*new(T))) }

// Stats: see kernel.Device. Sums of blocks are added here, in their order.
func (d *Device) Stats(s *kernel.Stats, x []float32) error {
	return d.run(len(x), cost{each: 4, regions: 2}, func(l *lane, from, to int) error {
		in, n := input(l, x[from:to]), to-from
		out := l.output(sizeOf[blockStats](blocks(n)))
		l.launch("mb_stats", n, out, in, uint64(n))
		if err := l.finish(); err != nil {
			return err
		}
		add(s, view[blockStats](l, out), n)
		return nil
	}, func(from, to int) error { return d.cpu.Stats(s, x[from:to]) })
}

// add puts the sums of blocks, of n elements, into s.
func add(s *kernel.Stats, blocks []blockStats, n int) {
	lo, hi := float32(math.Inf(1)), float32(math.Inf(-1))
	for i := range blocks {
		b := &blocks[i]
		s.SumAbs += b.SumAbs
		s.SumSq += b.SumSq
		s.Zeros += int64(b.Zeros)
		s.NonFinite += int64(b.NonFinite)
		lo, hi = min(lo, b.Min), max(hi, b.Max)
	}
	if lo <= hi { // else nothing but NaN
		lo, hi = lo+0, hi+0 // −0 becomes +0
		if s.Count == 0 {
			s.Min, s.Max = lo, hi
		}
		s.Min, s.Max = min(s.Min, lo), max(s.Max, hi)
	}
	s.Count += int64(n)
}

// Outliers: see kernel.Device.
func (d *Device) Outliers(o []kernel.Outliers, x []float32, above []float64) error {
	equal(len(o), len(above))
	fixed := len(above) * alignment
	return d.run(len(x), cost{4 + len(above), fixed, 1}, func(l *lane, from, to int) error {
		in, n := input(l, x[from:to]), to-from
		outs := make([]region, len(above))
		for j, t := range above {
			outs[j] = l.output(sizeOf[blockOutliers](blocks(n)))
			l.launch("mb_outliers", n, outs[j], in, uint64(n), floor32(t))
		}
		if err := l.finish(); err != nil {
			return err
		}
		for j := range outs {
			for _, b := range view[blockOutliers](l, outs[j]) {
				o[j].Count += int64(b.Count)
				o[j].SumAbs += b.SumAbs
			}
		}
		return nil
	}, func(from, to int) error { return d.cpu.Outliers(o, x[from:to], above) })
}

// floor32 is the largest fp32 number ≤ t: for an fp32 a, a > t is a > floor32(t).
func floor32(t float64) float32 {
	f := float32(t)
	if float64(f) > t {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}

// Dot: see kernel.Device.
func (d *Device) Dot(sum *float64, x, y []float32) error {
	equal(len(x), len(y))
	return d.run(len(x), cost{each: 8, regions: 3}, func(l *lane, from, to int) error {
		a, b, n := input(l, x[from:to]), input(l, y[from:to]), to-from
		out := l.output(sizeOf[float64](blocks(n)))
		l.launch("mb_dot", n, out, a, b, uint64(n))
		if err := l.finish(); err != nil {
			return err
		}
		for _, s := range view[float64](l, out) {
			*sum += s
		}
		return nil
	}, func(from, to int) error { return d.cpu.Dot(sum, x[from:to], y[from:to]) })
}

// Signs: see kernel.Device.
func (d *Device) Signs(x []float32) (positive, negative int64, err error) {
	err = d.run(len(x), cost{4, 16, 2}, func(l *lane, from, to int) error {
		in, n := input(l, x[from:to]), to-from
		out := l.zeros(16)
		l.launch("mb_signs", n, out, in, uint64(n))
		if err := l.finish(); err != nil {
			return err
		}
		counts := view[int64](l, out)
		positive, negative = positive+counts[0], negative+counts[1]
		return nil
	}, func(from, to int) error {
		p, m, err := d.cpu.Signs(x[from:to])
		positive, negative = positive+p, negative+m
		return err
	})
	return positive, negative, err
}

// High: see kernel.Device.
func (d *Device) High(h *kernel.HighCounts, key []float32) error {
	size := sizeOf[int64](len(h))
	return d.run(len(key), cost{4, size, 2}, func(l *lane, from, to int) error {
		in, n := input(l, key[from:to]), to-from
		out := l.zeros(size)
		l.launch("mb_high", n, out, in, uint64(n), uint32(highWindow))
		if err := l.finish(); err != nil {
			return err
		}
		for i, c := range view[int64](l, out) {
			h[i] += c
		}
		return nil
	}, func(from, to int) error { return d.cpu.High(h, key[from:to]) })
}

// Low: see kernel.Device. A slot's histogram is half a MiB, so each takes a pass of its own.
func (d *Device) Low(h []kernel.LowCounts, key []float32, slot *[1 << 15]uint8) error {
	for s := range h {
		if err := d.low(h[s:s+1], key, slot, uint8(s+1)); err != nil {
			return err
		}
	}
	return nil
}

// low counts the elements of one slot.
func (d *Device) low(h []kernel.LowCounts, key []float32, slot *[1 << 15]uint8, number uint8) error {
	var only [1 << 15]uint8
	for i, s := range slot {
		if s == number {
			only[i] = 1
		}
	}
	size := sizeOf[kernel.LowCounts](1)
	return d.run(len(key), cost{4, size + len(only), 3}, func(l *lane, from, to int) error {
		in, table, n := input(l, key[from:to]), input(l, only[:]), to-from
		out := l.zeros(size)
		l.launch("mb_low", n, out, in, uint64(n), table)
		if err := l.finish(); err != nil {
			return err
		}
		for i, c := range view[int64](l, out) {
			h[0][i] += c
		}
		return nil
	}, func(from, to int) error { return d.cpu.Low(h, key[from:to], &only) })
}

// Sift: see kernel.Device.
func (d *Device) Sift(keys, at []uint32, key []float32, lo, hi float32) (below, found int, err error) {
	if len(keys) < len(key) || len(at) < len(key) {
		panic(fmt.Sprintf("cuda: room for %d and %d of %d candidates", len(keys), len(at), len(key)))
	}
	least, most := magnitude(lo), magnitude(hi)
	err = d.run(len(key), cost{each: 12, regions: 5}, func(l *lane, from, to int) error {
		in, n := input(l, key[from:to]), to-from
		counts, starts := l.sifted(in, n, least, most)
		some, where := l.output(4*n), l.output(4*n)
		l.launch("mb_sift_write", n, some, where, starts, in, uint64(n), least, most)
		if err := l.finish(); err != nil {
			return err
		}
		for _, c := range view[blockSift](l, counts) {
			below += int(c.Below)
		}
		all := int(view[uint64](l, starts)[blocks(n)])
		copy(keys[found:], view[uint32](l, some)[:all])
		for i, p := range view[uint32](l, where)[:all] {
			at[found+i] = p + uint32(from)
		}
		found += all
		return nil
	}, func(from, to int) error {
		b, f, err := d.cpu.Sift(keys[found:], at[found:], key[from:to], lo, hi)
		for i := range f {
			at[found+i] += uint32(from)
		}
		below, found = below+b, found+f
		return err
	})
	return below, found, err
}

// sifted counts the blocks' elements between two magnitudes, and where each block's begin.
func (l *lane) sifted(key region, n int, least, most uint32) (counts, starts region) {
	counts = l.output(sizeOf[blockSift](blocks(n)))
	starts = l.output(sizeOf[uint64](blocks(n) + 1))
	l.launch("mb_sift_count", n, counts, key, uint64(n), least, most)
	l.launch("mb_sift_scan", n, starts, counts, uint64(blocks(n)))
	return counts, starts
}

// Nth: see kernel.Device.
func (d *Device) Nth(key []float32, value float32, skip int64) (pos int, seen int64, err error) {
	pos = -1
	if skip < 0 {
		skip = math.MaxInt64 // there is none
	}
	m := magnitude(value)
	err = d.run(len(key), cost{4, 8, 4}, func(l *lane, from, to int) error {
		if pos >= 0 {
			return nil
		}
		in, n := input(l, key[from:to]), to-from
		_, starts := l.sifted(in, n, m, m)
		out := l.zeros(8)
		l.launch("mb_nth", n, out, starts, in, uint64(n), m, uint64(skip-seen))
		if err := l.finish(); err != nil {
			return err
		}
		if all := int64(view[uint64](l, starts)[blocks(n)]); skip-seen >= all {
			seen += all
			return nil
		}
		pos, seen = from+int(view[uint64](l, out)[0]), skip
		return nil
	}, func(from, to int) error {
		if pos >= 0 {
			return nil
		}
		p, s, err := d.cpu.Nth(key[from:to], value, skip-seen)
		if p >= 0 {
			pos = from + p
		}
		seen += s
		return err
	})
	return pos, seen, err
}
