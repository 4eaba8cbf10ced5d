package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"mergebot/merge/kernel"
	interpreter "mergebot/merge/kernel/cuda/ptx"
	"mergebot/merge/kernel/kerneltest"
)

var parsed = sync.OnceValues(func() (*interpreter.Module, error) { return interpreter.Parse(string(ptx)) })

// TestTable: the table describes the PTX, and kernels/ the layouts here.
func TestTable(t *testing.T) {
	t.Parallel()
	m := module(t)
	if m.Version != "6.3" || m.Target != "sm_75" {
		t.Errorf("PTX %s for %s", m.Version, m.Target)
	}
	if len(kernels) != len(m.Kernels) {
		t.Errorf("%d kernels in the table, %d in the PTX", len(kernels), len(m.Kernels))
	}
	types := map[paramKind]string{ptr: "u64", u64: "u64", u32: "u32", f32: "f32"}
	for _, spec := range kernels {
		k := m.Kernels[spec.Name]
		if k == nil {
			t.Errorf("%s is not in the PTX", spec.Name)
			continue
		}
		var want []string
		for _, p := range spec.Params {
			want = append(want, types[p])
		}
		if !slices.Equal(want, k.Params) {
			t.Errorf("%s: the table says %v, the PTX %v", spec.Name, want, k.Params)
		}
	}
	if unsafe.Sizeof(blockStats{}) != 32 || unsafe.Sizeof(blockOutliers{}) != 16 || unsafe.Sizeof(blockSift{}) != 8 ||
		unsafe.Sizeof(cut{}) != 16 || unsafe.Sizeof(chance{}) != 16 {
		t.Error("a layout is not what kernels/ says")
	}
}

func module(t *testing.T) *interpreter.Module {
	t.Helper()
	m, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestKernelsConform runs what every device must pass, on the PTX.
func TestKernelsConform(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the interpreter takes seconds; TestKernels runs")
	}
	kerneltest.Run(t, interpreted{module: module(t)})
}

// TestKernels: every kernel on inputs of every kind, in lengths around threads,
// blocks and turns.
func TestKernels(t *testing.T) {
	t.Parallel()
	d := interpreted{module: module(t)}
	lengths := []int{0, 1, 17, 255, 257, 4097, 9000}
	if testing.Short() {
		lengths = []int{0, 257, 4097}
	}
	for _, c := range checks {
		t.Run(c.kernel, func(t *testing.T) {
			t.Parallel()
			for kind := range inputKinds {
				for _, n := range lengths {
					if err := c.compare(d, kind, n); err != nil {
						t.Fatalf("%s, %d elements: %v", kind, n, err)
					}
				}
			}
			if testing.Short() {
				return
			}
			one := interpreted{module: d.module, grid: 1}
			if err := c.compare(one, "random", turns); err != nil {
				t.Fatalf("several turns: %v", err)
			}
		})
	}
	for _, spec := range kernels {
		if !slices.ContainsFunc(checks, func(c check) bool { return c.kernel == spec.Name }) {
			t.Errorf("%s is not checked", spec.Name)
		}
	}
}

// turns elements make a lone block of any kernel take more than one turn.
const turns = sumSpan + 4096 + 5

// inputKinds are how tests fill arrays.
var inputKinds = map[string]func(r *rand.Rand) float32{
	"random":    func(r *rand.Rand) float32 { return float32(r.NormFloat64() * 0.02) },
	"tied":      func(r *rand.Rand) float32 { return float32(r.IntN(9)-4) * 0x1p-12 },
	"subnormal": func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32() & 0x80ffffff) },
	"any bits":  func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32()) },
	"odd": func(r *rand.Rand) float32 {
		return []float32{0, 1, -0x1p-12, 65504, 65520, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)),
			float32(math.Copysign(0, -1))}[r.IntN(9)]
	},
}

// arrays are what kernels work on.
type arrays struct{ x, y, z []float32 }

func fill(kind string, n int) arrays {
	r := rand.New(rand.NewPCG(5, uint64(n)))
	all := make([]float32, 3*n)
	for i := range all {
		all[i] = inputKinds[kind](r)
	}
	return arrays{all[:n:n], all[n : 2*n : 2*n], all[2*n:]}
}

// check runs the operation of one kernel: what it returns must be equal on all devices.
type check struct {
	kernel string
	run    func(d kernel.Device, a arrays) ([]uint64, error)
}

// compare runs it on the reference and on d.
func (c check) compare(d kernel.Device, kind string, n int) error {
	want, err := c.run(kernel.Plain(), fill(kind, n))
	if err != nil {
		return err
	}
	got, err := c.run(d, fill(kind, n))
	if err != nil {
		return err
	}
	if len(want) != len(got) {
		return fmt.Errorf("%d results, the reference gives %d", len(got), len(want))
	}
	for i := range want {
		if want[i] != got[i] {
			return fmt.Errorf("result %d is %x, the reference gives %x", i, got[i], want[i])
		}
	}
	return nil
}

// elements makes a check of an operation on elements, to a dst that is not x.
func elements(name string, run func(d kernel.Device, dst []float32, a arrays) error) check {
	return check{name, func(d kernel.Device, a arrays) ([]uint64, error) {
		dst := slices.Clone(a.y)
		err := run(d, dst, a)
		return float32s(dst), err
	}}
}

// encoding makes a check of a format's encoder.
func encoding(name string, f kernel.Format) check {
	return check{name, func(d kernel.Device, a arrays) ([]uint64, error) {
		dst := make([]byte, 2*len(a.x))
		err := d.Encode(dst, a.x, f)
		return integers(words(dst)), err
	}}
}

func float32s(x []float32) []uint64 {
	all := make([]uint64, len(x))
	for i, v := range x {
		if v != v {
			v = float32(math.NaN())
		}
		all[i] = uint64(math.Float32bits(v))
	}
	return all
}

func integers[T uint16 | uint32 | int64](x []T) []uint64 {
	all := make([]uint64, len(x))
	for i, v := range x {
		all[i] = uint64(v)
	}
	return all
}

func float64Bits(x float64) uint64 {
	if x != x {
		x = math.NaN()
	}
	return math.Float64bits(x)
}

// raw are the bits of x as elements of 16 bits.
func raw(x []float32) []byte {
	b := make([]byte, 2*len(x))
	for i, v := range x {
		u := math.Float32bits(v)
		b[2*i], b[2*i+1] = byte(u>>8), byte(u>>16)
	}
	return b
}

// cuts of the inputs' kinds: one inside ties.
var cuts = []kernel.Cut{{Threshold: 0x1p-11, Index: 3000}, {Threshold: 0x1p-12, Index: 100}}

// checks are of every kernel, by the operation that uses it.
var checks = []check{
	elements("mb_decode_bf16", func(d kernel.Device, dst []float32, a arrays) error { return d.Decode(dst, raw(a.x), kernel.BF16) }),
	elements("mb_decode_f16", func(d kernel.Device, dst []float32, a arrays) error { return d.Decode(dst, raw(a.x), kernel.F16) }),
	encoding("mb_encode_bf16", kernel.BF16),
	encoding("mb_encode_f16", kernel.F16),
	elements("mb_round_bf16", func(d kernel.Device, dst []float32, a arrays) error { return d.Round(dst, a.x, kernel.BF16) }),
	elements("mb_round_f16", func(d kernel.Device, dst []float32, a arrays) error { return d.Round(dst, a.x, kernel.F16) }),
	elements("mb_delta", func(d kernel.Device, dst []float32, a arrays) error { return d.Delta(dst, a.x, a.z) }),
	elements("mb_scale", func(d kernel.Device, dst []float32, a arrays) error { return d.Scale(dst, a.x, 1.1) }),
	elements("mb_divide", func(d kernel.Device, dst []float32, a arrays) error { return d.Divide(dst, a.x, 0.3) }),
	elements("mb_add_scaled", func(d kernel.Device, dst []float32, a arrays) error { return d.AddScaled(dst, a.x, -0.7) }),
	{"mb_stats", func(d kernel.Device, a arrays) ([]uint64, error) {
		var s kernel.Stats
		err := d.Stats(&s, a.x)
		return []uint64{uint64(s.Count), uint64(s.Zeros), uint64(s.NonFinite), float64Bits(s.SumAbs), float64Bits(s.SumSq),
			float64Bits(float64(s.Min)), float64Bits(float64(s.Max))}, err
	}},
	{"mb_outliers", func(d kernel.Device, a arrays) ([]uint64, error) {
		o := make([]kernel.Outliers, 2)
		err := d.Outliers(o, a.x, []float64{0x1p-12, math.Nextafter(0x1p-11, 0)})
		return []uint64{uint64(o[0].Count), float64Bits(o[0].SumAbs), uint64(o[1].Count), float64Bits(o[1].SumAbs)}, err
	}},
	{"mb_dot", func(d kernel.Device, a arrays) ([]uint64, error) {
		sum := 0.1
		err := d.Dot(&sum, a.x, a.y)
		return []uint64{float64Bits(sum)}, err
	}},
	{"mb_signs", func(d kernel.Device, a arrays) ([]uint64, error) {
		p, m, err := d.Signs(a.x)
		return []uint64{uint64(p), uint64(m)}, err
	}},
	{"mb_high", func(d kernel.Device, a arrays) ([]uint64, error) {
		h := new(kernel.HighCounts)
		err := d.High(h, a.x)
		return integers(h[:]), err
	}},
	{"mb_low", func(d kernel.Device, a arrays) ([]uint64, error) {
		slot, h := new([1 << 15]uint8), make([]kernel.LowCounts, 2)
		slot[0x3980], slot[0] = 1, 2 // 2^-12, and the smallest
		err := d.Low(h, a.x, slot)
		return slices.Concat(integers(h[0][:]), integers(h[1][:])), err
	}},
	{"mb_sift_count", sift}, {"mb_sift_write", sift},
	{"mb_sift_scan", func(d kernel.Device, a arrays) ([]uint64, error) {
		counts := make([]blockSift, min(len(a.x), 1000))
		starts := make([]uint64, len(counts)+1)
		for i := range counts {
			counts[i].Found = math.Float32bits(a.x[i])
			starts[i+1] = starts[i] + uint64(counts[i].Found)
		}
		if gpu, ok := d.(interpreted); ok {
			clear(starts)
			return starts, gpu.launch("mb_sift_scan", len(counts), starts, counts, uint64(len(counts)))
		}
		return starts, nil
	}},
	{"mb_nth", func(d kernel.Device, a arrays) (all []uint64, err error) {
		for _, skip := range []int64{0, 1, 900, 1 << 40} {
			pos, seen, err := d.Nth(a.x, 0x1p-12, skip)
			if err != nil {
				return nil, err
			}
			all = append(all, uint64(pos), uint64(seen))
		}
		return all, nil
	}},
	elements("mb_amplify", func(d kernel.Device, dst []float32, a arrays) error {
		return d.Amplify(dst, a.x, a.z, 64, cuts, []float32{1.8, 0.5})
	}),
	elements("mb_amplify_random", func(d kernel.Device, dst []float32, a arrays) error {
		return d.AmplifyRandom(dst, a.x, 1<<33, kernel.Stream(7, "math/a"), []float64{0.9, 0.5}, []float32{1.8, 0.5})
	}),
	elements("mb_elect", func(d kernel.Device, dst []float32, a arrays) error {
		return d.Elect(dst, [][]float32{a.x, dst, a.z}, -1) // in place
	}),
	elements("mb_agree", func(d kernel.Device, dst []float32, a arrays) error {
		if err := d.Agree(dst, a.z, [][]float32{a.x, a.y, a.z}, []float32{1, 0.5, -1.5}); err != nil {
			return err
		}
		return d.Agree(dst, dst, [][]float32{a.x, a.y}, nil)
	}),
	{"mb_rank", func(d kernel.Device, a arrays) ([]uint64, error) {
		width := min(600, len(a.x))
		if width == 0 {
			return nil, nil
		}
		rows := min(len(a.x)/width, 3)
		key, rank := a.x[:rows*width], make([]uint32, rows*width)
		if gpu, ok := d.(interpreted); ok {
			err := gpu.rank(rank, key, width)
			return integers(rank), err
		}
		for r := range rows {
			new(kernel.Ranker).Rank(rank[r*width:][:width], key[r*width:][:width])
		}
		return integers(rank), nil
	}},
}

func sift(d kernel.Device, a arrays) ([]uint64, error) {
	keys, at := make([]uint32, len(a.x)), make([]uint32, len(a.x))
	below, found, err := d.Sift(keys, at, a.x, 0x1p-12, 0x1p-11)
	return slices.Concat([]uint64{uint64(below), uint64(found)}, integers(keys[:found]), integers(at[:found])), err
}
