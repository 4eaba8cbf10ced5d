package cuda

import (
	"fmt"
	"unsafe"

	"mergebot/merge/kernel"
)

// equal panics on slices of different length: see kernel.Device.
func equal(a, b int) {
	if a != b {
		panic(fmt.Sprintf("cuda: lengths %d and %d differ", a, b))
	}
}

// returned finishes the call and copies an output to where the caller wants it.
func returned[T any](l *lane, dst []T, r region) error {
	if err := l.finish(); err != nil {
		return err
	}
	copy(dst, view[T](l, r))
	return nil
}

// formats are the ends of kernels' names; fp32 needs no kernel.
var formats = map[kernel.Format]string{kernel.F16: "f16", kernel.BF16: "bf16"}

// Decode: see kernel.Device.
func (d *Device) Decode(dst []float32, src []byte, f kernel.Format) error {
	size := f.Size()
	equal(len(dst)*size, len(src))
	if formats[f] == "" {
		return d.cpu.Decode(dst, src, f)
	}
	return d.run(len(dst), cost{each: 6, regions: 2}, func(l *lane, from, to int) error {
		in, n := input(l, src[from*size:to*size]), to-from
		out := l.output(4 * n)
		l.launch("mb_decode_"+formats[f], n, out, in, uint64(n))
		return returned(l, dst[from:to], out)
	}, func(from, to int) error { return d.cpu.Decode(dst[from:to], src[from*size:to*size], f) })
}

// Encode: see kernel.Device.
func (d *Device) Encode(dst []byte, src []float32, f kernel.Format) error {
	size := f.Size()
	equal(len(dst), len(src)*size)
	if formats[f] == "" {
		return d.cpu.Encode(dst, src, f)
	}
	return d.run(len(src), cost{each: 6, regions: 2}, func(l *lane, from, to int) error {
		in, n := input(l, src[from:to]), to-from
		out := l.output(size * n)
		l.launch("mb_encode_"+formats[f], n, out, in, uint64(n))
		return returned(l, dst[from*size:to*size], out)
	}, func(from, to int) error { return d.cpu.Encode(dst[from*size:to*size], src[from:to], f) })
}

// Round: see kernel.Device.
func (d *Device) Round(dst, src []float32, f kernel.Format) error {
	equal(len(dst), len(src))
	if formats[f] == "" {
		return d.cpu.Round(dst, src, f)
	}
	return d.mapped("mb_round_"+formats[f], dst, src, nil, func(from, to int) error {
		return d.cpu.Round(dst[from:to], src[from:to], f)
	})
}

// Delta: see kernel.Device.
func (d *Device) Delta(dst, base, expert []float32) error {
	equal(len(dst), len(base))
	equal(len(dst), len(expert))
	return d.run(len(dst), cost{each: 12, regions: 3}, func(l *lane, from, to int) error {
		b, x, n := input(l, base[from:to]), input(l, expert[from:to]), to-from
		out := l.output(4 * n)
		l.launch("mb_delta", n, out, b, x, uint64(n))
		return returned(l, dst[from:to], out)
	}, func(from, to int) error { return d.cpu.Delta(dst[from:to], base[from:to], expert[from:to]) })
}

// Scale: see kernel.Device.
func (d *Device) Scale(dst, x []float32, c float32) error {
	equal(len(dst), len(x))
	return d.mapped("mb_scale", dst, x, []any{c}, func(from, to int) error { return d.cpu.Scale(dst[from:to], x[from:to], c) })
}

// Divide: see kernel.Device.
func (d *Device) Divide(dst, x []float32, c float32) error {
	equal(len(dst), len(x))
	return d.mapped("mb_divide", dst, x, []any{c}, func(from, to int) error { return d.cpu.Divide(dst[from:to], x[from:to], c) })
}

// mapped runs a kernel (dst, x, n, more…).
func (d *Device) mapped(name string, dst, x []float32, more []any, cpu func(from, to int) error) error {
	return d.run(len(dst), cost{each: 8, regions: 2}, func(l *lane, from, to int) error {
		in, n := input(l, x[from:to]), to-from
		out := l.output(4 * n)
		l.launch(name, n, append([]any{out, in, uint64(n)}, more...)...)
		return returned(l, dst[from:to], out)
	}, cpu)
}

// AddScaled: see kernel.Device.
func (d *Device) AddScaled(dst, x []float32, c float32) error {
	equal(len(dst), len(x))
	return d.run(len(dst), cost{each: 8, regions: 2}, func(l *lane, from, to int) error {
		in, n := input(l, x[from:to]), to-from
		sum := l.both(dst[from:to])
		l.launch("mb_add_scaled", n, sum, in, uint64(n), c)
		return returned(l, dst[from:to], sum)
	}, func(from, to int) error { return d.cpu.AddScaled(dst[from:to], x[from:to], c) })
}

// Amplify: see kernel.Device.
func (d *Device) Amplify(dst, delta, key []float32, first int64, cuts []kernel.Cut, ratios []float32) error {
	equal(len(dst), len(delta))
	equal(len(dst), len(key))
	equal(len(cuts), len(ratios))
	list := make([]cut, len(cuts))
	for i, c := range cuts {
		list[i] = cut{Threshold: magnitude(c.Threshold), Ratio: ratios[i], Index: c.Index}
	}
	fixed := len(list) * int(unsafe.Sizeof(cut{}))
	return d.run(len(dst), cost{12, fixed, 4}, func(l *lane, from, to int) error {
		n := to - from
		x, k, by := input(l, delta[from:to]), input(l, key[from:to]), input(l, list)
		out := l.output(4 * n)
		l.launch("mb_amplify", n, out, x, k, uint64(n), uint64(first+int64(from)), by, uint32(len(list)))
		return returned(l, dst[from:to], out)
	}, func(from, to int) error {
		return d.cpu.Amplify(dst[from:to], delta[from:to], key[from:to], first+int64(from), cuts, ratios)
	})
}

// AmplifyRandom: see kernel.Device.
func (d *Device) AmplifyRandom(dst, delta []float32, first int64, stream uint64, rates []float64, ratios []float32) error {
	equal(len(dst), len(delta))
	equal(len(rates), len(ratios))
	list := make([]chance, len(rates))
	for i, p := range rates {
		list[i] = chance{Rate: p, Ratio: ratios[i]}
	}
	fixed := len(list) * int(unsafe.Sizeof(chance{}))
	return d.run(len(dst), cost{8, fixed, 3}, func(l *lane, from, to int) error {
		n := to - from
		x, by := input(l, delta[from:to]), input(l, list)
		out := l.output(4 * n)
		l.launch("mb_amplify_random", n, out, x, uint64(n), uint64(first+int64(from)), stream, by, uint32(len(list)))
		return returned(l, dst[from:to], out)
	}, func(from, to int) error {
		return d.cpu.AmplifyRandom(dst[from:to], delta[from:to], first+int64(from), stream, rates, ratios)
	})
}

// Elect: see kernel.Device.
func (d *Device) Elect(sign []float32, v [][]float32, zero float32) error {
	for _, x := range v {
		equal(len(sign), len(x))
	}
	return d.run(len(sign), cost{4 * (len(v) + 1), 8 * len(v), len(v) + 2}, func(l *lane, from, to int) error {
		in, n := inputs(l, v, from, to), to-from
		out := l.output(4 * n)
		l.launch("mb_elect", n, out, in, uint32(len(v)), uint64(n), zero)
		return returned(l, sign[from:to], out)
	}, func(from, to int) error { return d.cpu.Elect(sign[from:to], parts(v, from, to), zero) })
}

// Agree: see kernel.Device.
func (d *Device) Agree(dst, sign []float32, v [][]float32, weights []float32) error {
	equal(len(dst), len(sign))
	for _, x := range v {
		equal(len(dst), len(x))
	}
	if weights != nil {
		equal(len(weights), len(v))
	}
	return d.run(len(dst), cost{4 * (len(v) + 2), 12 * len(v), len(v) + 4}, func(l *lane, from, to int) error {
		n := to - from
		s, in := input(l, sign[from:to]), inputs(l, v, from, to)
		by := address(0)
		if weights != nil {
			by = l.at(input(l, weights))
		}
		out := l.output(4 * n)
		l.launch("mb_agree", n, out, s, in, by, uint32(len(v)), uint64(n))
		return returned(l, dst[from:to], out)
	}, func(from, to int) error { return d.cpu.Agree(dst[from:to], sign[from:to], parts(v, from, to), weights) })
}

// parts are elements [from, to) of each.
func parts(v [][]float32, from, to int) [][]float32 {
	all := make([][]float32, len(v))
	for i, x := range v {
		all[i] = x[from:to]
	}
	return all
}
