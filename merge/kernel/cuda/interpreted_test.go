package cuda

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"mergebot/merge/kernel"
	interpreter "mergebot/merge/kernel/cuda/ptx"
)

// interpreted is a device that runs the PTX without a GPU, launched as kernels.go
// says, in grids so small that blocks take several turns. An error is a fault of
// a kernel.
type interpreted struct {
	module *interpreter.Module
	grid   int // if not 0, instead of half of what one turn needs
}

var _ kernel.Device = interpreted{}

func (interpreted) Name() string { return "ptx (interpreted)" }
func (interpreted) Lanes() int   { return 1 }

// launch runs a kernel on n elements. Slices are passed by address, and
// slices of slices as an array of addresses.
func (d interpreted) launch(name string, n int, args ...any) error {
	i := slices.IndexFunc(kernels, func(k kernelSpec) bool { return k.Name == name })
	spec, k := kernels[i], d.module.Kernels[name]
	grid := d.grid
	if grid == 0 || spec.Span == 0 {
		grid = 1
		if spec.Span != 0 {
			grid = max(1, (n+spec.Span-1)/spec.Span/2)
		}
	}
	memory, at := new(interpreter.Memory), map[*byte]uint64{}
	values := make([]uint64, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case uint32:
			values[i] = uint64(a)
		case uint64:
			values[i] = a
		case float32:
			values[i] = uint64(math.Float32bits(a))
		case [][]float32:
			list := make([]uint64, len(a))
			for j, x := range a {
				list[j] = place(memory, at, x)
			}
			values[i] = place(memory, at, list)
		case []float32:
			values[i] = place(memory, at, a)
		case []uint16:
			values[i] = place(memory, at, a)
		case []uint8:
			values[i] = place(memory, at, a)
		case []uint32:
			values[i] = place(memory, at, a)
		case []uint64:
			values[i] = place(memory, at, a)
		case []float64:
			values[i] = place(memory, at, a)
		case []blockStats:
			values[i] = place(memory, at, a)
		case []blockOutliers:
			values[i] = place(memory, at, a)
		case []blockSift:
			values[i] = place(memory, at, a)
		case []cut:
			values[i] = place(memory, at, a)
		case []chance:
			values[i] = place(memory, at, a)
		default:
			panic(fmt.Sprintf("an argument is %T", a))
		}
	}
	return k.Launch(memory, grid, spec.Block, values...)
}

// place maps a slice once, at an address that is not better aligned than it need
// be; nil is the address 0.
func place[T any](m *interpreter.Memory, at map[*byte]uint64, x []T) uint64 {
	if x == nil {
		return 0
	}
	p := (*byte)(unsafe.Pointer(unsafe.SliceData(x)))
	if a, ok := at[p]; ok && len(x) > 0 {
		return a
	}
	size := int(unsafe.Sizeof(*new(T)))
	a := m.Alloc(unsafe.Slice(p, len(x)*size), min(size, 8))
	at[p] = a
	return a
}

func words(b []byte) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}

func (d interpreted) Decode(dst []float32, src []byte, f kernel.Format) error {
	if f == kernel.F32 {
		return kernel.Plain().Decode(dst, src, f)
	}
	return d.launch("mb_decode_"+formats[f], len(dst), dst, words(src), uint64(len(dst)))
}

func (d interpreted) Encode(dst []byte, src []float32, f kernel.Format) error {
	if f == kernel.F32 {
		return kernel.Plain().Encode(dst, src, f)
	}
	return d.launch("mb_encode_"+formats[f], len(src), words(dst), src, uint64(len(src)))
}

func (d interpreted) Round(dst, src []float32, f kernel.Format) error {
	if f == kernel.F32 {
		return kernel.Plain().Round(dst, src, f)
	}
	return d.launch("mb_round_"+formats[f], len(src), dst, src, uint64(len(src)))
}

func (d interpreted) Delta(dst, base, expert []float32) error {
	return d.launch("mb_delta", len(dst), dst, base, expert, uint64(len(dst)))
}

func (d interpreted) Scale(dst, x []float32, c float32) error {
	return d.launch("mb_scale", len(dst), dst, x, uint64(len(dst)), c)
}

func (d interpreted) Divide(dst, x []float32, c float32) error {
	return d.launch("mb_divide", len(dst), dst, x, uint64(len(dst)), c)
}

func (d interpreted) AddScaled(dst, x []float32, c float32) error {
	return d.launch("mb_add_scaled", len(dst), dst, x, uint64(len(dst)), c)
}

func (d interpreted) Stats(s *kernel.Stats, x []float32) error {
	out := make([]blockStats, blocks(len(x)))
	if err := d.launch("mb_stats", len(x), out, x, uint64(len(x))); err != nil || len(x) == 0 {
		return err
	}
	add(s, out, len(x))
	return nil
}

func (d interpreted) Outliers(o []kernel.Outliers, x []float32, above []float64) error {
	for j, t := range above {
		out := make([]blockOutliers, blocks(len(x)))
		if err := d.launch("mb_outliers", len(x), out, x, uint64(len(x)), floor32(t)); err != nil {
			return err
		}
		for _, b := range out {
			o[j].Count += int64(b.Count)
			o[j].SumAbs += b.SumAbs
		}
	}
	return nil
}

func (d interpreted) Dot(sum *float64, x, y []float32) error {
	out := make([]float64, blocks(len(x)))
	err := d.launch("mb_dot", len(x), out, x, y, uint64(len(x)))
	for _, s := range out {
		*sum += s
	}
	return err
}

func (d interpreted) Signs(x []float32) (positive, negative int64, err error) {
	out := make([]uint64, 2)
	err = d.launch("mb_signs", len(x), out, x, uint64(len(x)))
	return int64(out[0]), int64(out[1]), err
}

func (d interpreted) High(h *kernel.HighCounts, key []float32) error {
	counts := unsafe.Slice((*uint64)(unsafe.Pointer(&h[0])), len(h))
	return d.launch("mb_high", len(key), counts, key, uint64(len(key)), uint32(highWindow))
}

func (d interpreted) Low(h []kernel.LowCounts, key []float32, slot *[1 << 15]uint8) error {
	counts := unsafe.Slice((*uint64)(unsafe.Pointer(&h[0][0])), len(h)<<16)
	return d.launch("mb_low", len(key), counts, key, uint64(len(key)), slot[:])
}

// sift counts what lies between two magnitudes, and where each block's begins.
func (d interpreted) sift(key []float32, lo, hi uint32) (counts []blockSift, starts []uint64, err error) {
	n := blocks(len(key))
	counts, starts = make([]blockSift, n), make([]uint64, n+1)
	if err := d.launch("mb_sift_count", len(key), counts, key, uint64(len(key)), lo, hi); err != nil {
		return nil, nil, err
	}
	return counts, starts, d.launch("mb_sift_scan", n, starts, counts, uint64(n))
}

func (d interpreted) Sift(keys, at []uint32, key []float32, lo, hi float32) (below, found int, err error) {
	l, h := magnitude(lo), magnitude(hi)
	counts, starts, err := d.sift(key, l, h)
	if err != nil {
		return 0, 0, err
	}
	for _, c := range counts {
		below += int(c.Below)
	}
	found = int(starts[len(counts)])
	// No more room than is needed: a kernel that writes more must fault.
	keys, at = keys[:found:found], at[:found:found]
	return below, found, d.launch("mb_sift_write", len(key), keys, at, starts, key, uint64(len(key)), l, h)
}

func (d interpreted) Nth(key []float32, value float32, skip int64) (int, int64, error) {
	m := magnitude(value)
	_, starts, err := d.sift(key, m, m)
	if err != nil {
		return 0, 0, err
	}
	pos := []uint64{math.MaxUint64}
	if err := d.launch("mb_nth", len(key), pos, starts, key, uint64(len(key)), m, uint64(skip)); err != nil {
		return 0, 0, err
	}
	return int(pos[0]), min(skip, int64(starts[len(starts)-1])), nil
}

func (d interpreted) Amplify(dst, delta, key []float32, first int64, cuts []kernel.Cut, ratios []float32) error {
	list := make([]cut, len(cuts))
	for i, c := range cuts {
		list[i] = cut{magnitude(c.Threshold), ratios[i], c.Index}
	}
	return d.launch("mb_amplify", len(dst), dst, delta, key, uint64(len(dst)), uint64(first), list, uint32(len(list)))
}

func (d interpreted) AmplifyRandom(dst, delta []float32, first int64, stream uint64, rates []float64, ratios []float32) error {
	list := make([]chance, len(rates))
	for i, p := range rates {
		list[i] = chance{Rate: p, Ratio: ratios[i]}
	}
	return d.launch("mb_amplify_random", len(dst), dst, delta, uint64(len(dst)), uint64(first), stream, list, uint32(len(list)))
}

func (d interpreted) Elect(sign []float32, v [][]float32, zero float32) error {
	return d.launch("mb_elect", len(sign), sign, v, uint32(len(v)), uint64(len(sign)), zero)
}

func (d interpreted) Agree(dst, sign []float32, v [][]float32, weights []float32) error {
	return d.launch("mb_agree", len(dst), dst, sign, v, weights, uint32(len(v)), uint64(len(dst)))
}

// rank is kernel.Ranker's Rank of each row.
func (d interpreted) rank(rank []uint32, key []float32, width int) error {
	rows := len(key) / max(1, width)
	return d.launch("mb_rank", rows, rank, key, uint64(rows), uint64(width), make([]uint64, 2*width*max(1, rows)))
}
