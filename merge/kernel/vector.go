//go:build (amd64 || arm64) && !purego

package kernel

import (
	"math"
	"slices"
	"unsafe"
)

// vector runs the operations in assembly, block by block: assembly cannot be
// preempted, so that a call is kept to a few microseconds. A block's last
// elements, fewer than vectorStep, are the reference's.
type vector struct {
	plain
	set isa
}

// vectorStep is how many elements every assembly loop takes at once.
const vectorStep = 32

func (v vector) Name() string { return "cpu (" + v.set.String() + ")" }

// blocks calls f with runs of n elements from first, n a multiple of vectorStep
// and at most BlockSize, and returns where the rest begins.
func blocks(n int, f func(first, n int)) (rest int) {
	rest = n &^ (vectorStep - 1)
	for first := 0; first < rest; first += BlockSize {
		f(first, min(BlockSize, rest-first))
	}
	return rest
}

// bytesOf is x as it is stored: vector devices are little endian.
func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

func (v vector) Decode(dst []float32, src []byte, f Format) error {
	equal(len(dst)*f.Size(), len(src))
	rest := 0
	switch f {
	case F32:
		copy(bytesOf(dst), src)
		return nil
	case F16:
		rest = blocks(len(dst), func(i, n int) { v.decodeHalf(&dst[i], &src[2*i], n) })
	case BF16:
		rest = blocks(len(dst), func(i, n int) { v.decodeBrain(&dst[i], &src[2*i], n) })
	}
	return v.plain.Decode(dst[rest:], src[rest*f.Size():], f)
}

func (v vector) Encode(dst []byte, src []float32, f Format) error {
	equal(len(dst), len(src)*f.Size())
	rest := 0
	switch f {
	case F32:
		copy(dst, bytesOf(src))
		return nil
	case F16:
		rest = blocks(len(src), func(i, n int) { v.encodeHalf(&dst[2*i], &src[i], n) })
	case BF16:
		rest = blocks(len(src), func(i, n int) { v.encodeBrain(&dst[2*i], &src[i], n) })
	}
	return v.plain.Encode(dst[rest*f.Size():], src[rest:], f)
}

func (v vector) Round(dst, src []float32, f Format) error {
	equal(len(dst), len(src))
	rest := 0
	switch f {
	case F16:
		rest = blocks(len(src), func(i, n int) { v.roundHalf(&dst[i], &src[i], n) })
	case BF16:
		rest = blocks(len(src), func(i, n int) { v.roundBrain(&dst[i], &src[i], n) })
	}
	return v.plain.Round(dst[rest:], src[rest:], f)
}

func (v vector) Delta(dst, base, expert []float32) error {
	equal(len(dst), len(base))
	equal(len(dst), len(expert))
	rest := blocks(len(dst), func(i, n int) { v.subtract(&dst[i], &expert[i], &base[i], n) })
	return v.plain.Delta(dst[rest:], base[rest:], expert[rest:])
}

func (v vector) Scale(dst, x []float32, c float32) error {
	equal(len(dst), len(x))
	rest := blocks(len(dst), func(i, n int) { v.scale(&dst[i], &x[i], n, c) })
	return v.plain.Scale(dst[rest:], x[rest:], c)
}

func (v vector) Divide(dst, x []float32, c float32) error {
	equal(len(dst), len(x))
	rest := blocks(len(dst), func(i, n int) { v.divide(&dst[i], &x[i], n, c) })
	return v.plain.Divide(dst[rest:], x[rest:], c)
}

func (v vector) AddScaled(dst, x []float32, c float32) error {
	equal(len(dst), len(x))
	rest := blocks(len(dst), func(i, n int) { v.addScaled(&dst[i], &x[i], n, c) })
	return v.plain.AddScaled(dst[rest:], x[rest:], c)
}

// chunks calls f with the blocks of n elements, each split where assembly ends.
func chunks(n int, f func(first, rest, last int)) {
	for first := 0; first < n; first += BlockSize {
		last := min(first+BlockSize, n)
		f(first, first+(last-first)&^(vectorStep-1), last)
	}
}

func (v vector) Stats(s *Stats, d []float32) error {
	b := newBlockStats()
	chunks(len(d), func(first, rest, last int) {
		if first < rest {
			v.addStats(&b, &d[first], rest-first)
		}
		b.add(d[rest:last])
		b.close(s, d[first:last])
	})
	b.finish(s, len(d))
	return nil
}

func (v vector) Outliers(o []Outliers, d []float32, above []float64) error {
	equal(len(o), len(above))
	chunks(len(d), func(first, rest, last int) {
		for j := range o { // inside, while the block is in the cache
			var l lanes
			t, n := floor32(above[j]), 0
			if first < rest {
				n = v.addAbove(&l, &d[first], rest-first, t)
			}
			o[j].Count += int64(n + l.addAbove(d[rest:last], t))
			o[j].SumAbs += l.total()
		}
	})
	return nil
}

func (v vector) Dot(sum *float64, x, y []float32) error {
	equal(len(x), len(y))
	chunks(len(x), func(first, rest, last int) {
		var l lanes
		if first < rest {
			v.addProducts(&l, &x[first], &y[first], rest-first)
		}
		l.addProducts(x[rest:last], y[rest:last])
		*sum += l.total()
	})
	return nil
}

func (v vector) Sift(keys, at []uint32, key []float32, lo, hi float32) (below, found int, err error) {
	siftable(keys, at, key)
	// Candidates come in index order, and what is written beyond them lies within
	// the elements already seen.
	rest := blocks(len(key), func(i, n int) {
		b, f := v.sift(&keys[found], &at[found], &key[i], n, i, int32(magnitude(lo)), int32(magnitude(hi)))
		below, found = below+b, found+f
	})
	b, f, _ := v.plain.Sift(keys[found:], at[found:], key[rest:], lo, hi)
	for i := range at[found : found+f] {
		at[found+i] += uint32(rest)
	}
	return below + b, found + f, nil
}

func (v vector) Amplify(dst, delta, key []float32, first int64, cuts []Cut, ratios []float32) error {
	equal(len(dst), len(delta))
	equal(len(dst), len(key))
	equal(len(cuts), len(ratios))
	if len(cuts) == 0 {
		return v.Scale(dst, delta, 0)
	}
	// Between the indexes at which a cut's ties begin to be kept, each cut is one
	// comparison: |key| > above, both as integers.
	above := make([]int32, len(cuts))
	for from := 0; from < len(dst); {
		to := len(dst)
		for j, c := range cuts {
			above[j] = int32(magnitude(c.Threshold))
			switch at := c.Index - first; {
			case at <= int64(from):
				above[j]--
			case at < int64(to):
				to = int(at)
			}
		}
		rest := blocks(to-from, func(i, n int) {
			i += from
			v.amplify(&dst[i], &delta[i], &key[i], n, above, &ratios[0])
		}) + from
		if err := v.plain.Amplify(dst[rest:to], delta[rest:to], key[rest:to], first+int64(rest), cuts, ratios); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (v vector) AmplifyRandom(dst, delta []float32, first int64, stream uint64, rates []float64, ratios []float32) error {
	equal(len(dst), len(delta))
	equal(len(rates), len(ratios))
	if len(rates) == 0 {
		return v.Scale(dst, delta, 0)
	}
	above := make([]int64, len(rates))
	for j, p := range rates {
		above[j] = beyond(p)
	}
	rest := blocks(len(dst), func(i, n int) {
		v.amplifyRandom(&dst[i], &delta[i], n, stream+uint64(first+int64(i)+1)*golden, above, &ratios[0])
	})
	return v.plain.AmplifyRandom(dst[rest:], delta[rest:], first+int64(rest), stream, rates, ratios)
}

// beyond is the integer n for which u·2⁻⁵³ ≥ p is u > n.
func beyond(p float64) int64 {
	switch {
	case p <= 0:
		return -1
	case p <= 1:
		return int64(math.Ceil(p*0x1p53)) - 1 // the product is exact
	}
	return 1 << 53 // nothing, for NaN too
}

// alike panics unless all of v are n long.
func alike(n int, v [][]float32) {
	for _, x := range v {
		equal(n, len(x))
	}
}

// tails are the ends of all slices.
func tails(v [][]float32, from int) [][]float32 {
	v = slices.Clone(v)
	for k := range v {
		v[k] = v[k][from:]
	}
	return v
}

func (v vector) Elect(sign []float32, x [][]float32, zero float32) error {
	alike(len(sign), x)
	if len(x) == 0 {
		return v.plain.Elect(sign, x, zero)
	}
	rest := blocks(len(sign), func(i, n int) { v.elect(&sign[i], x, i, n, zero) })
	if rest == len(sign) {
		return nil
	}
	return v.plain.Elect(sign[rest:], tails(x, rest), zero)
}

func (v vector) Signs(x []float32) (positive, negative int64, err error) {
	rest := blocks(len(x), func(i, n int) {
		p, m := v.signs(&x[i], n)
		positive, negative = positive+int64(p), negative+int64(m)
	})
	p, m, err := v.plain.Signs(x[rest:])
	return positive + p, negative + m, err
}

func (v vector) Agree(dst, sign []float32, x [][]float32, weights []float32) error {
	equal(len(dst), len(sign))
	alike(len(dst), x)
	if weights != nil {
		equal(len(weights), len(x))
	}
	if len(x) == 0 {
		return v.plain.Agree(dst, sign, x, weights)
	}
	rest := blocks(len(dst), func(i, n int) { v.agree(&dst[i], &sign[i], x, i, n, unsafe.SliceData(weights)) })
	if rest == len(dst) {
		return nil
	}
	return v.plain.Agree(dst[rest:], sign[rest:], tails(x, rest), weights)
}
