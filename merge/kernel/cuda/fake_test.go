//go:build linux && (amd64 || arm64)

package cuda

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"

	"mergebot/merge/kernel"
)

// fake is a libcuda of testdata/fakecuda.c, one for each test, whose kernels are the reference: what is tested is the
// way there and back. The kernels themselves are tested where the PTX is.
type fake struct {
	library string

	launcher func(callback uintptr)
	at       func(address, size uint64) unsafe.Pointer
	fail     func(call string, from, count, code int32)
	calls    func(call string) int32
	memory   func(bytes uint64)
	gpus     func(n int32)
	held     func() uint64
	base     func(address uint64, size *uint64) unsafe.Pointer
	faults   func() string
	leaks    func() string

	mu     sync.Mutex
	before func(name string, args []uint64) int32 // a test's hand in the kernels: a code other than 0 fails
}

// compiled is the library, built once.
var compiled = sync.OnceValues(func() ([]byte, error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "fakecuda")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "libcuda.so.1")
	if said, err := exec.Command(cc, "-O1", "-Wall", "-shared", "-fPIC", "-pthread", "-o", out, "testdata/fakecuda.c").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	return os.ReadFile(out)
})

func newFake(t *testing.T) *fake {
	t.Helper()
	image, err := compiled()
	if err != nil {
		if os.Getenv("MERGEBOT_REQUIRE_CC") == "1" {
			t.Fatal(err)
		}
		t.Skipf("the fake driver needs a C compiler: %v", err)
	}
	f := &fake{library: filepath.Join(t.TempDir(), "libcuda.so.1")} // a file of its own has globals of its own
	if err := os.WriteFile(f.library, image, 0o755); err != nil {
		t.Fatal(err)
	}
	lib, err := purego.Dlopen(f.library, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Fatal(err)
	}
	for name, fn := range map[string]any{"fake_launcher": &f.launcher, "fake_at": &f.at, "fake_fail": &f.fail, "fake_calls": &f.calls, "fake_memory": &f.memory,
		"fake_gpus": &f.gpus, "fake_held": &f.held, "fake_base": &f.base, "fake_faults": &f.faults, "fake_leaks": &f.leaks} {
		p, err := purego.Dlsym(lib, name)
		if err != nil {
			t.Fatal(err)
		}
		purego.RegisterFunc(fn, p)
	}
	f.launcher(purego.NewCallback(func(name *byte, args *uint64, n int32, _, _ uint32) int32 {
		return f.execute(text(name), unsafe.Slice(args, n))
	}))
	return f
}

// clean fails the test if the driver was misused, or holds anything still.
func (f *fake) clean(t *testing.T) {
	t.Helper()
	if s := f.faults(); s != "" {
		t.Errorf("the driver was misused:\n%s", s)
	}
	if s := f.leaks(); s != "" {
		t.Errorf("left behind: %s", s)
	}
}

// execute is a kernel. Memory out of bounds is what it is on a GPU: an illegal address.
func (f *fake) execute(name string, args []uint64) (code int32) {
	defer func() {
		if recover() != nil {
			code = codeAddress
		}
	}()
	f.mu.Lock()
	before := f.before
	f.mu.Unlock()
	if before != nil {
		if code := before(name, args); code != 0 {
			return code
		}
	}
	e := execution{f, args}
	e.run(name)
	return 0
}

// execution reads a kernel's arguments.
type execution struct {
	*fake
	args []uint64
}

func gpuView[T any](e execution, at uint64, n int) []T {
	if n == 0 {
		return nil
	}
	p := e.at(at, uint64(n*int(unsafe.Sizeof(*new(T)))))
	if p == nil {
		panic("illegal address")
	}
	return unsafe.Slice((*T)(p), n)
}

func (e execution) floats(arg, n int) []float32 { return gpuView[float32](e, e.args[arg], n) }
func (e execution) float(arg int) float32       { return math.Float32frombits(uint32(e.args[arg])) }
func (e execution) bits(arg int) float32        { return e.float(arg) }

// run does what kernels.go says of the kernel, by the reference.
func (e execution) run(name string) {
	p := kernel.Plain()
	n := func(arg int) int { return int(e.args[arg]) }
	switch name {
	case "mb_decode_bf16":
		p.Decode(e.floats(0, n(2)), gpuView[byte](e, e.args[1], 2*n(2)), kernel.BF16)
	case "mb_decode_f16":
		p.Decode(e.floats(0, n(2)), gpuView[byte](e, e.args[1], 2*n(2)), kernel.F16)
	case "mb_encode_bf16":
		p.Encode(gpuView[byte](e, e.args[0], 2*n(2)), e.floats(1, n(2)), kernel.BF16)
	case "mb_encode_f16":
		p.Encode(gpuView[byte](e, e.args[0], 2*n(2)), e.floats(1, n(2)), kernel.F16)
	case "mb_round_bf16":
		p.Round(e.floats(0, n(2)), e.floats(1, n(2)), kernel.BF16)
	case "mb_round_f16":
		p.Round(e.floats(0, n(2)), e.floats(1, n(2)), kernel.F16)
	case "mb_delta":
		p.Delta(e.floats(0, n(3)), e.floats(1, n(3)), e.floats(2, n(3)))
	case "mb_scale":
		p.Scale(e.floats(0, n(2)), e.floats(1, n(2)), e.float(3))
	case "mb_divide":
		p.Divide(e.floats(0, n(2)), e.floats(1, n(2)), e.float(3))
	case "mb_add_scaled":
		p.AddScaled(e.floats(0, n(2)), e.floats(1, n(2)), e.float(3))
	case "mb_stats":
		for b, d := range e.blocks(1, n(2)) {
			var s kernel.Stats
			p.Stats(&s, d)
			gpuView[blockStats](e, e.args[0], blocks(n(2)))[b] = blockStats{s.SumAbs, s.SumSq, s.Min, s.Max, uint32(s.Zeros), uint32(s.NonFinite)}
		}
	case "mb_outliers":
		for b, d := range e.blocks(1, n(2)) {
			var o [1]kernel.Outliers
			p.Outliers(o[:], d, []float64{float64(e.float(3))})
			gpuView[blockOutliers](e, e.args[0], blocks(n(2)))[b] = blockOutliers{o[0].SumAbs, uint64(o[0].Count)}
		}
	case "mb_dot":
		y := e.blocks(2, n(3))
		for b, x := range e.blocks(1, n(3)) {
			sum := 0.0
			p.Dot(&sum, x, y[b])
			gpuView[float64](e, e.args[0], blocks(n(3)))[b] = sum
		}
	case "mb_signs":
		out := gpuView[int64](e, e.args[0], 2)
		pos, neg, _ := p.Signs(e.floats(1, n(2)))
		out[0], out[1] = out[0]+pos, out[1]+neg
	case "mb_high":
		p.High((*kernel.HighCounts)(gpuView[int64](e, e.args[0], 1<<15)), e.floats(1, n(2)))
	case "mb_low":
		slot := (*[1 << 15]uint8)(gpuView[uint8](e, e.args[3], 1<<15))
		most := uint8(0)
		for _, s := range slot {
			most = max(most, s)
		}
		p.Low(gpuView[kernel.LowCounts](e, e.args[0], int(most)), e.floats(1, n(2)), slot)
	case "mb_amplify":
		var cuts []kernel.Cut
		var ratios []float32
		for _, c := range gpuView[cut](e, e.args[5], n(6)) {
			cuts, ratios = append(cuts, kernel.Cut{Threshold: math.Float32frombits(c.Threshold), Index: c.Index}), append(ratios, c.Ratio)
		}
		p.Amplify(e.floats(0, n(3)), e.floats(1, n(3)), e.floats(2, n(3)), int64(e.args[4]), cuts, ratios)
	case "mb_amplify_random":
		var rates []float64
		var ratios []float32
		for _, c := range gpuView[chance](e, e.args[5], n(6)) {
			rates, ratios = append(rates, c.Rate), append(ratios, c.Ratio)
		}
		p.AmplifyRandom(e.floats(0, n(2)), e.floats(1, n(2)), int64(e.args[3]), e.args[4], rates, ratios)
	case "mb_elect":
		p.Elect(e.floats(0, n(3)), e.each(1, n(2), n(3)), e.float(4))
	case "mb_agree":
		var weights []float32
		if e.args[3] != 0 {
			weights = e.floats(3, n(4))
		}
		p.Agree(e.floats(0, n(5)), e.floats(1, n(5)), e.each(2, n(4), n(5)), weights)
	default:
		e.selection(name)
	}
}

func (e execution) selection(name string) {
	p := kernel.Plain()
	n := func(arg int) int { return int(e.args[arg]) }
	switch name {
	case "mb_sift_count":
		out := gpuView[blockSift](e, e.args[0], blocks(n(2)))
		for b, d := range e.blocks(1, n(2)) {
			keys, at := make([]uint32, len(d)), make([]uint32, len(d))
			below, found, _ := p.Sift(keys, at, d, e.bits(3), e.bits(4))
			out[b] = blockSift{uint32(below), uint32(found)}
		}
	case "mb_sift_scan":
		starts, sum := gpuView[uint64](e, e.args[0], n(2)+1), uint64(0)
		for b, c := range gpuView[blockSift](e, e.args[1], n(2)) {
			starts[b] = sum
			sum += uint64(c.Found)
		}
		starts[n(2)] = sum
	case "mb_sift_write":
		all := int(gpuView[uint64](e, e.args[2], blocks(n(4))+1)[blocks(n(4))])
		keys, at := make([]uint32, n(4)), make([]uint32, n(4))
		p.Sift(keys, at, e.floats(3, n(4)), e.bits(5), e.bits(6))
		copy(gpuView[uint32](e, e.args[0], n(4))[:all], keys)
		copy(gpuView[uint32](e, e.args[1], n(4))[:all], at)
	case "mb_nth":
		_ = gpuView[uint64](e, e.args[1], blocks(n(3))+1)
		if pos, _, _ := p.Nth(e.floats(2, n(3)), e.bits(4), int64(e.args[5])); pos >= 0 {
			gpuView[uint64](e, e.args[0], 1)[0] = uint64(pos)
		}
	default:
		panic("no such kernel")
	}
}

// blocks are an array's blocks of kernel.BlockSize elements.
func (e execution) blocks(arg, n int) (all [][]float32) {
	x := e.floats(arg, n)
	for from := 0; from < n; from += kernel.BlockSize {
		all = append(all, x[from:min(from+kernel.BlockSize, n)])
	}
	return all
}

// each are m arrays of n elements, from a list of addresses.
func (e execution) each(arg, m, n int) (all [][]float32) {
	for _, a := range gpuView[uint64](e, e.args[arg], m) {
		all = append(all, gpuView[float32](e, a, n))
	}
	return all
}

// newLauncher is a callback in which one kernel does nothing.
func newLauncher(f *fake, idle string) uintptr {
	return purego.NewCallback(func(name *byte, args *uint64, n int32, _, _ uint32) int32 {
		if text(name) == idle {
			return 0
		}
		return f.execute(text(name), unsafe.Slice(args, n))
	})
}

// ptrOf is a lane's pinned buffer.
func ptrOf(l *lane) unsafe.Pointer { return unsafe.Pointer(&l.host[0]) }
