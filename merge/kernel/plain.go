package kernel

import (
	"fmt"
	"runtime"
)

// Plain returns the reference device: plain Go, any platform, never failing.
func Plain() Device { return plain{} }

type plain struct{}

var _ Device = plain{}

func (plain) Name() string { return "cpu (go)" }
func (plain) Lanes() int   { return runtime.GOMAXPROCS(0) }

// equal panics on slices of different length: see Device.
func equal(a, b int) {
	if a != b {
		panic(fmt.Sprintf("kernel: lengths %d and %d differ", a, b))
	}
}

func (plain) Delta(dst, base, expert []float32) error {
	equal(len(dst), len(base))
	equal(len(dst), len(expert))
	base, expert = base[:len(dst)], expert[:len(dst)]
	for i := range dst {
		dst[i] = expert[i] - base[i]
	}
	return nil
}

func (plain) Scale(dst, x []float32, c float32) error {
	equal(len(dst), len(x))
	for i, v := range x {
		dst[i] = c * v
	}
	return nil
}

func (plain) Divide(dst, x []float32, c float32) error {
	equal(len(dst), len(x))
	for i, v := range x {
		dst[i] = v / c
	}
	return nil
}

func (plain) AddScaled(dst, x []float32, c float32) error {
	equal(len(dst), len(x))
	dst = dst[:len(x)]
	if c == 1 { // the product is exact: saves a multiplication
		for i, v := range x {
			dst[i] += v
		}
		return nil
	}
	for i, v := range x {
		dst[i] += float32(c * v) // the conversion forbids fusing
	}
	return nil
}

func (plain) High(h *HighCounts, key []float32) error {
	for _, x := range key {
		h[magnitude(x)>>16&(1<<15-1)]++
	}
	return nil
}

func (plain) Low(h []LowCounts, key []float32, slot *[1 << 15]uint8) error {
	for _, x := range key {
		m := magnitude(x)
		if s := slot[m>>16&(1<<15-1)]; s != 0 {
			h[s-1][m&(1<<16-1)]++
		}
	}
	return nil
}

func (plain) Sift(keys, at []uint32, key []float32, lo, hi float32) (below, found int, err error) {
	siftable(keys, at, key)
	l, h := magnitude(lo), magnitude(hi)
	for i, x := range key {
		switch m := magnitude(x); {
		case m < l:
			below++
		case m <= h:
			keys[found], at[found] = m, uint32(i)
			found++
		}
	}
	return below, found, nil
}

// siftable panics where Sift lacks room.
func siftable(keys, at []uint32, key []float32) {
	if len(keys) < len(key) || len(at) < len(key) {
		panic(fmt.Sprintf("kernel: room for %d and %d of %d candidates", len(keys), len(at), len(key)))
	}
}

func (plain) Nth(key []float32, value float32, skip int64) (int, int64, error) {
	t := magnitude(value)
	var seen int64
	for i, x := range key {
		if magnitude(x) == t {
			if seen == skip {
				return i, seen, nil
			}
			seen++
		}
	}
	return -1, seen, nil
}

func (plain) Amplify(dst, delta, key []float32, first int64, cuts []Cut, ratios []float32) error {
	equal(len(dst), len(delta))
	equal(len(dst), len(key))
	equal(len(cuts), len(ratios))
	if len(cuts) == 0 {
		for i, d := range delta {
			dst[i] = 0 * d
		}
		return nil
	}
	dst, key = dst[:len(delta)], key[:len(delta)]
	least := magnitude(cuts[len(cuts)-1].Threshold) // the largest set's: most elements lie below it
	for i, d := range delta {
		m := magnitude(key[i])
		var r float32
		if m >= least {
			for j := range cuts {
				t := magnitude(cuts[j].Threshold)
				if m > t || m == t && first+int64(i) >= cuts[j].Index {
					r = ratios[j]
					break
				}
			}
		}
		dst[i] = r * d
	}
	return nil
}

func (plain) AmplifyRandom(dst, delta []float32, first int64, stream uint64, rates []float64, ratios []float32) error {
	equal(len(dst), len(delta))
	equal(len(rates), len(ratios))
	dst = dst[:len(delta)]
	for i, d := range delta {
		u := float64(uniform53(stream, first+int64(i))) * 0x1p-53
		var r float32
		for j, p := range rates {
			if u >= p {
				r = ratios[j]
				break
			}
		}
		dst[i] = r * d
	}
	return nil
}

func (plain) Elect(sign []float32, v [][]float32, zero float32) error {
	for _, x := range v {
		equal(len(sign), len(x))
	}
	for i := range sign {
		var sum float32
		for _, x := range v {
			sum += x[i]
		}
		switch {
		case sum > 0:
			sign[i] = 1
		case sum < 0:
			sign[i] = -1
		default:
			sign[i] = zero
		}
	}
	return nil
}

func (plain) Signs(x []float32) (positive, negative int64, err error) {
	for _, v := range x {
		if v > 0 {
			positive++
		} else if v < 0 {
			negative++
		}
	}
	return positive, negative, nil
}

func (plain) Agree(dst, sign []float32, v [][]float32, weights []float32) error {
	equal(len(dst), len(sign))
	for _, x := range v {
		equal(len(dst), len(x))
	}
	if weights != nil {
		equal(len(weights), len(v))
	}
	for i, s := range sign {
		var sum, total float32
		for k, x := range v {
			if d := x[i]; d > 0 && s > 0 || d < 0 && s < 0 {
				sum += d
				if weights != nil {
					total += weights[k]
				}
			}
		}
		if total != 0 {
			sum /= total
		}
		dst[i] = sum
	}
	return nil
}
