//go:build linux && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"mergebot/merge/kernel"
	"mergebot/merge/kernel/kerneltest"
)

// notes collects what a device says.
type notes struct {
	mu  sync.Mutex
	all []string
}

func (n *notes) add(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, s)
}

func (n *notes) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

// device opens a fake's GPUs, without the proof's calls.
func (f *fake) device(t *testing.T, o Options) (*Device, *notes) {
	t.Helper()
	heard := new(notes)
	o.Library, o.Note, o.unproven = f.library, heard.add, true
	if o.Least == 0 {
		o.Least = 1
	}
	d, err := OpenAll(o)
	if err != nil {
		t.Fatal(err)
	}
	return d, heard
}

// TestConformance runs the tests of every device through the binding: arguments, copies, slices.
func TestConformance(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: nothing here runs side by side")
	}
	f := newFake(t)
	d, heard := f.device(t, Options{Lanes: 2})
	kerneltest.Run(t, d)
	if gpu, cpu := d.Counts(); cpu != 0 || gpu == 0 {
		t.Errorf("%d calls ran on the GPU and %d on the CPU", gpu, cpu)
	}
	d.Close()
	f.clean(t)
	if all := heard.list(); len(all) > 0 {
		t.Errorf("it said %q", all)
	}
}

// TestProof: a GPU that computes anything differently is not used, whatever it is.
func TestProof(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: nothing here runs side by side")
	}
	f := newFake(t)
	d, err := Open(0, Options{Library: f.library})
	if err != nil {
		t.Fatal(err)
	}
	if d.Name() != "cuda (Fake 0 (sm_90))" {
		t.Error(d.Name())
	}
	d.Close()
	f.clean(t)
	for _, k := range kernels {
		if k.Name == "mb_rank" { // no operation of a Device
			continue
		}
		// A kernel that does nothing leaves what the memory held.
		f := newFake(t)
		f.launcher(0)
		f.launcher(newLauncher(f, k.Name))
		if _, err := Open(0, Options{Library: f.library, Memory: arenaLeast}); err == nil || !strings.Contains(err.Error(), "gives other bits than the reference for") {
			t.Errorf("without %s: %v", k.Name, err)
		}
		f.clean(t)
	}
}

// big is longer than a small lane's buffer, and ends within a block.
const big = 5*arenaLeast/16 + 1234

// operations are every method on data of several slices; results as bits.
func operations(x, y []float32) []proof {
	v := [][]float32{x, y}
	cuts := []kernel.Cut{{Threshold: 0x1p-8}, {Threshold: 0x1p-12, Index: 200000}}
	inPlace := func(name string, f func(d kernel.Device, dst []float32) error) proof {
		return proof{name, func(d kernel.Device) ([]float64, error) {
			dst := slices.Clone(y)
			err := f(d, dst)
			return widened(dst), err
		}}
	}
	return []proof{
		inPlace("delta", func(d kernel.Device, dst []float32) error { return d.Delta(dst, x, dst) }),
		inPlace("add scaled", func(d kernel.Device, dst []float32) error { return d.AddScaled(dst, x, 0.3) }),
		inPlace("amplify", func(d kernel.Device, dst []float32) error {
			return d.Amplify(dst, dst, dst, 5, cuts, []float32{2, 0.5})
		}),
		inPlace("random", func(d kernel.Device, dst []float32) error {
			return d.AmplifyRandom(dst, dst, 5, 3, []float64{0.5}, []float32{2})
		}),
		inPlace("elect", func(d kernel.Device, dst []float32) error { return d.Elect(dst, v, 0) }),
		inPlace("agree", func(d kernel.Device, dst []float32) error { return d.Agree(dst, dst, v, []float32{1, 2}) }),
		{"stats", func(d kernel.Device) ([]float64, error) {
			var s kernel.Stats
			err := d.Stats(&s, x)
			return []float64{float64(s.Count), float64(s.Zeros), s.SumAbs, s.SumSq, float64(s.Min), float64(s.Max)}, err
		}},
		{"outliers", func(d kernel.Device) ([]float64, error) {
			o := make([]kernel.Outliers, 1)
			err := d.Outliers(o, x, []float64{0.01})
			return []float64{float64(o[0].Count), o[0].SumAbs}, err
		}},
		{"dot", func(d kernel.Device) ([]float64, error) {
			var sum float64
			err := d.Dot(&sum, x, y)
			return []float64{sum}, err
		}},
		{"signs", func(d kernel.Device) ([]float64, error) {
			p, m, err := d.Signs(x)
			return []float64{float64(p), float64(m)}, err
		}},
		{"high", func(d kernel.Device) ([]float64, error) {
			h := new(kernel.HighCounts)
			err := d.High(h, x)
			return widened(h[:]), err
		}},
		{"low", func(d kernel.Device) ([]float64, error) {
			slot := new([1 << 15]uint8)
			slot[magnitude(0x1p-12)>>16] = 1
			h := make([]kernel.LowCounts, 1)
			err := d.Low(h, x, slot)
			return widened(h[0][:]), err
		}},
		{"sift", func(d kernel.Device) ([]float64, error) {
			keys, at := make([]uint32, len(x)), make([]uint32, len(x))
			below, found, err := d.Sift(keys, at, x, 0x1p-12, 0x1p-9)
			return append(append(widened(keys[:found]), widened(at[:found])...), float64(below)), err
		}},
		{"nth", func(d kernel.Device) ([]float64, error) {
			pos, seen, err := d.Nth(x, 0x1p-12, 20000)
			return []float64{float64(pos), float64(seen)}, err
		}},
		{"nth of none", func(d kernel.Device) ([]float64, error) {
			pos, seen, err := d.Nth(x, 0x1p-12, 1<<40)
			return []float64{float64(pos), float64(seen)}, err
		}},
	}
}

// wanted are the operations with their results by the reference.
var wanted = sync.OnceValues(func() (all []proof, results [][]float64) {
	all = operations(awkward(big, 1), awkward(big, 2))
	for _, p := range all {
		want, _ := p.run(kernel.Plain())
		results = append(results, want)
	}
	return all, results
})

// agree compares the first few operations, all if 0, with the reference.
func agree(t *testing.T, d kernel.Device, what string, few int) {
	t.Helper()
	all, results := wanted()
	if few == 0 {
		few = len(all)
	}
	for i, p := range all[:few] {
		got, err := p.run(d)
		if err != nil || !slices.EqualFunc(results[i], got, sameBits) {
			t.Errorf("%s: %s differs from the reference (%v)", what, p.name, err)
		}
	}
}

// TestSlices: tensors larger than the memory are cut, with the same result, and the memory that was allowed is not
// exceeded by all lanes together.
func TestSlices(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	d, heard := f.device(t, Options{Lanes: 4, Memory: 5<<20 + 17})
	if d.Lanes() != 4 {
		t.Errorf("%d lanes", d.Lanes())
	}
	var g sync.WaitGroup
	for range 3 {
		g.Go(func() { agree(t, d, "slices", 0) })
	}
	g.Wait()
	if held := f.held(); held == 0 || held > 5<<20+17 {
		t.Errorf("%d bytes are held", held)
	}
	if gpu, cpu := d.Counts(); cpu != 0 || gpu == 0 {
		t.Errorf("%d calls ran on the GPU and %d on the CPU: %q", gpu, cpu, heard.list())
	}
	d.Close()
	f.clean(t)
	agree(t, d, "closed", 1)
}

// TestLost: whichever call of the driver fails, and whenever, no result differs; the GPU is let alone afterwards.
func TestLost(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"cuCtxSetCurrent", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemsetD8Async", "cuLaunchKernel", "cuStreamSynchronize", "cuStreamCreate", "cuMemAlloc_v2", "cuMemHostAlloc"} {
		for _, nth := range []int32{1, 2, 3} {
			if testing.Short() && nth != 2 {
				continue
			}
			t.Run(fmt.Sprint(call, nth), func(t *testing.T) {
				t.Parallel()
				f := newFake(t)
				d, heard := f.device(t, Options{Lanes: 1, Memory: 1 << 20})
				f.fail(call, nth, 1, 214)
				agree(t, d, call, 0)
				if nth > 1 && d.Err() == nil && (call == "cuStreamCreate" || call == "cuMemAlloc_v2" || call == "cuMemHostAlloc") {
					return // a lane needs one
				}
				if err := d.Err(); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "CUDA_ERROR_ECC_UNCORRECTABLE") {
					t.Errorf("lost: %v", err)
				}
				if said := heard.list(); len(said) != 1 || !strings.Contains(said[0], "the CPU goes on") {
					t.Errorf("it said %q", said)
				}
				calls := f.calls("cuLaunchKernel")
				agree(t, d, call, 2)
				if f.calls("cuLaunchKernel") != calls {
					t.Error("a lost GPU was called")
				}
				if s := f.faults(); s != "" {
					t.Errorf("the driver was misused:\n%s", s)
				}
			})
		}
	}
}

// TestMemory: without memory slices become smaller, then the CPU computes, and says so once; when there is memory again
// the GPU is used again.
func TestMemory(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"cuMemAlloc_v2", "cuMemHostAlloc", "cuLaunchKernel"} {
		if testing.Short() && call != "cuLaunchKernel" {
			continue
		}
		f := newFake(t)
		d, _ := f.device(t, Options{Lanes: 1, Memory: 8 << 20})
		f.fail(call, 1, 2, codeMemory)
		agree(t, d, "twice without", 0)
		if _, cpu := d.Counts(); cpu != 0 || d.Err() != nil || f.held() != 2<<20 {
			t.Errorf("%s: %d calls on the CPU, %d bytes held, %v", call, cpu, f.held(), d.Err())
		}
		d.Close()
		f.clean(t)

		f = newFake(t)
		d, heard := f.device(t, Options{Lanes: 1, Memory: 8 << 20})
		f.fail(call, 1, 1<<30, codeMemory)
		agree(t, d, "without", 0)
		if gpu, cpu := d.Counts(); gpu != 0 || cpu == 0 || d.Err() != nil || f.held() != 0 {
			t.Errorf("%s: %d calls on the GPU, %d on the CPU, %d bytes held, %v", call, gpu, cpu, f.held(), d.Err())
		}
		if said := heard.list(); len(said) != 1 || !strings.Contains(said[0], "memory is short") {
			t.Errorf("it said %q", said)
		}
		f.fail(call, 0, 0, 0)
		agree(t, d, "again", 0)
		if gpu, _ := d.Counts(); gpu == 0 {
			t.Error("the GPU is not used again")
		}
		d.Close()
		f.clean(t)
	}
}

// TestSeveral: calls are dealt to all GPUs, and those of a lost one go to the others.
func TestSeveral(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.gpus(3)
	d, heard := f.device(t, Options{Lanes: 2})
	if d.Lanes() != 6 || d.Name() != "cuda (Fake 0 (sm_90), Fake 1 (sm_90), Fake 2 (sm_90))" {
		t.Error(d.Lanes(), d.Name())
	}
	agree(t, d, "three", 0)
	if n := f.calls("cuStreamCreate"); n != 6 {
		t.Errorf("%d lanes were used", n)
	}
	f.fail("cuLaunchKernel", 1, 1, codeAddress)
	agree(t, d, "two", 0)
	f.fail("cuLaunchKernel", 1, 1, codeAddress)
	agree(t, d, "one", 0)
	if _, cpu := d.Counts(); cpu != 2 || len(heard.list()) != 2 {
		t.Errorf("%d calls on the CPU; it said %q", cpu, heard.list())
	}
	f.fail("cuLaunchKernel", 1, 1, codeAddress)
	var g sync.WaitGroup
	for range 8 { // none hangs
		g.Go(func() { agree(t, d, "none", 3) })
	}
	g.Wait()
	d.Close()
}

// TestOpen: what people read where there is no GPU to be used, and that nothing is left behind.
func TestOpen(t *testing.T) {
	t.Parallel()
	if _, err := OpenAll(Options{Library: "/nowhere/libcuda.so.1"}); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "--gpus all") {
		t.Error(err)
	}
	for _, c := range []struct {
		call string
		code int32
		want string
	}{
		{"cuInit", codeNoDevice, "no CUDA GPU: cuInit: made to fail (CUDA_ERROR_FAKE, 100): see what nvidia-smi says"},
		{"cuInit", codeMismatch, "the driver was updated"},
		{"cuInit", codeNotReady, "nvidia-fabricmanager"},
		{"cuInit", codeStub, "no CUDA GPU: .*stub"},
		{"cuDevicePrimaryCtxRetain", codeBusy, "GPU 0: cuDevicePrimaryCtxRetain: .*another process has the GPU alone"},
		{"cuDevicePrimaryCtxRetain", codeMemory, "end what else uses the GPU's memory"},
		{"cuDevicePrimaryCtxRetain", 806, "MPS"},
		{"cuModuleLoadDataEx", codeOldPTX, "load the kernels into a driver of CUDA 12.4: .*too old"},
		{"cuModuleLoadDataEx", codeJIT, "libnvidia-ptxjitcompiler"},
		{"cuModuleGetFunction", 500, "cuModuleGetFunction mb_decode_bf16"},
		{"cuMemGetInfo_v2", codeUnknown, "nvidia_uvm"},
		{"cuMemAlloc_v2", codeMemory, "prove .*no memory"},
		{"cuLaunchKernel", codeLaunch, "the GPU is lost: Fake 0"},
	} {
		f := newFake(t)
		f.fail(c.call, 1, 1<<30, c.code)
		_, err := OpenAll(Options{Library: f.library, Memory: arenaLeast})
		if err == nil || !matches(err.Error(), c.want) {
			t.Errorf("%s %d: %v", c.call, c.code, err)
		}
		if s := f.faults(); s != "" {
			t.Error(s)
		}
		if s := f.leaks(); s != "" && !errors.Is(err, ErrLost) {
			t.Errorf("%s %d leaves %s", c.call, c.code, s)
		}
	}
	f := newFake(t)
	f.gpus(0)
	if _, err := OpenAll(Options{Library: f.library}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if _, err := Open(3, Options{Library: newFake(t).library}); err == nil || !strings.Contains(err.Error(), "there is no GPU 3: the driver sees 1") {
		t.Error(err)
	}
	f = newFake(t)
	f.memory(arenaLeast)
	if _, err := OpenAll(Options{Library: f.library}); err == nil || !strings.Contains(err.Error(), "1 MiB are the least") {
		t.Error(err)
	}
	f.clean(t)
}

// TestSmall: small calls stay on the CPU.
func TestSmall(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	d, _ := f.device(t, Options{Least: 1000})
	defer d.Close()
	x := make([]float32, 999)
	if err := d.Scale(x, x, 2); err != nil {
		t.Fatal(err)
	}
	if gpu, cpu := d.Counts(); gpu != 0 || cpu != 1 {
		t.Error(gpu, cpu)
	}
}

// TestArguments: arguments that do not suit a kernel's parameters never reach the driver.
func TestArguments(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	d, _ := f.device(t, Options{Lanes: 1})
	defer d.Close()
	for _, args := range [][]any{
		{region{}, region{}, uint64(1)},                   // one is missing
		{region{}, region{}, float32(2), uint64(1)},       // their order
		{region{}, uint64(1), region{}, float32(2)},       //
		{region{}, region{}, 1, float32(math.Pi)},         // an int
		{region{}, region{}, uint32(1), float32(math.Pi)}, // too short
	} {
		d.slices(1, cost{each: 4}, func(l *lane, _, _ int) error {
			if l.launch("mb_scale", 1, args...); l.err == nil {
				t.Errorf("%v is accepted", args)
			}
			return nil
		})
	}
	if n := f.calls("cuLaunchKernel"); n != 0 {
		t.Errorf("%d launches", n)
	}
}

func matches(s, pattern string) bool {
	return strings.Contains(s, pattern) || regexp.MustCompile(pattern).MatchString(s)
}
