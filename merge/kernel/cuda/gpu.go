package cuda

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// gpu is one GPU: its primary context, the loaded kernels, and the memory that its lanes share.
type gpu struct {
	*driver
	name       string // NVIDIA H100 80GB HBM3 (sm_90)
	device     int32
	processors int
	context    handle
	module     handle
	functions  map[string]handle
	lost       atomic.Pointer[error] // what ended it

	mu     sync.Mutex
	lanes  int   // as many as the budget feeds
	budget int64 // bytes of GPU memory that lanes may hold together
	held   int64 // bytes that they hold
	arena  int64 // bytes of the next lane's buffer; halved when memory runs out
}

// Sizes of a lane's buffer, on the GPU and pinned on the host.
const (
	arenaMost  = 32 << 20
	arenaLeast = 1 << 20
)

// openGPU prepares a GPU. memory and lanes are as in Options.
func openGPU(d *driver, ordinal int, memory int64, lanes int) (*gpu, error) {
	g := &gpu{driver: d, functions: map[string]handle{}}
	if err := g.identify(ordinal); err != nil {
		return nil, err
	}
	if err := g.check("cuDevicePrimaryCtxRetain", g.contextRetain(&g.context, g.device)); err != nil {
		return nil, err
	}
	err := g.bound(func() error {
		if err := g.load(); err != nil {
			return err
		}
		return g.measure(memory, lanes)
	})
	if err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// identify asks for what needs no context.
func (g *gpu) identify(ordinal int) error {
	if err := g.check("cuDeviceGet", g.deviceGet(&g.device, int32(ordinal))); err != nil {
		return err
	}
	name := make([]byte, 256)
	if err := g.check("cuDeviceGetName", g.deviceName(&name[0], int32(len(name)), g.device)); err != nil {
		return err
	}
	var major, minor, processors int32
	for _, a := range []struct {
		out *int32
		key int32
	}{{&major, attributeMajor}, {&minor, attributeMinor}, {&processors, attributeProcessors}} {
		if err := g.check("cuDeviceGetAttribute", g.deviceAttribute(a.out, a.key, g.device)); err != nil {
			return err
		}
	}
	g.name, g.processors = fmt.Sprintf("%s (sm_%d%d)", until(name), major, minor), max(1, int(processors))
	return nil
}

// bound runs f on a thread on which the GPU's context is current.
func (g *gpu) bound(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := g.check("cuCtxSetCurrent", g.contextCurrent(g.context)); err != nil {
		return err
	}
	return f()
}

// load has the driver compile the PTX, and finds the kernels in it.
func (g *gpu) load() error {
	log := make([]byte, 8<<10)
	image := append(append([]byte(nil), ptx...), 0)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&log[0])
	keys := []int32{jitErrorLog, jitErrorLogSize}
	values := []uintptr{uintptr(unsafe.Pointer(&log[0])), uintptr(len(log))}
	c := g.moduleLoad(&g.module, &image[0], uint32(len(keys)), &keys[0], &values[0])
	if err := g.check("cuModuleLoadDataEx", c); err != nil {
		if said := strings.TrimSpace(until(log)); said != "" {
			err = fmt.Errorf("%w; the compiler says: %s", err, said)
		}
		return fmt.Errorf("load the kernels into a driver of CUDA %s: %w", g.versionText(), err)
	}
	for _, k := range kernels { // all of them now: a kernel that is missing is found here, not in a merge
		var f handle
		if err := g.check("cuModuleGetFunction "+k.Name, g.moduleFunction(&f, g.module, cstring(k.Name))); err != nil {
			return err
		}
		g.functions[k.Name] = f
	}
	return nil
}

// measure decides how much memory how many lanes get: what is asked for, else a lane's most each, if a reserve of what is
// free remains for others.
func (g *gpu) measure(memory int64, lanes int) error {
	var free, total uint64
	if err := g.check("cuMemGetInfo_v2", g.memoryInfo(&free, &total)); err != nil {
		return err
	}
	g.budget = memory
	if memory == 0 {
		g.budget = min(int64(free)-int64(total/reserveShare), int64(lanes)*arenaMost)
	}
	g.lanes = int(min(int64(lanes), g.budget/arenaLeast))
	if g.lanes < 1 {
		return fmt.Errorf("%d MiB of the GPU's memory may be used, of %d MiB that are free: %d MiB are the least; raise device_memory, or end what else uses the GPU",
			max(0, g.budget>>20), free>>20, arenaLeast>>20)
	}
	g.arena = min(arenaMost, g.budget/int64(g.lanes)) &^ (arenaLeast - 1)
	return nil
}

// reserveShare: one part of so many of all memory stays free when nobody says how much to use.
const reserveShare = 64

// reserve takes bytes of the budget for a lane's buffer, 0 when none are left.
func (g *gpu) reserve() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held+g.arena > g.budget {
		return 0
	}
	g.held += g.arena
	return g.arena
}

// release gives bytes of the budget back.
func (g *gpu) release(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held -= n
}

// shrink makes arenas smaller than one of n bytes, for which there was no memory. It reports whether that is possible.
func (g *gpu) shrink(n int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n /= 2; n < arenaLeast {
		return false
	}
	g.arena = min(g.arena, n)
	return true
}

// lose marks the GPU as lost; the first cause stays.
func (g *gpu) lose(cause error) error {
	err := fmt.Errorf("%w: %s: %w", ErrLost, g.name, cause)
	g.lost.CompareAndSwap(nil, &err)
	return *g.lost.Load()
}

// close gives the module and the context back.
func (g *gpu) close() {
	_ = g.bound(func() error {
		if g.module != 0 {
			g.moduleUnload(g.module)
		}
		return nil
	})
	g.contextRelease(g.device)
}
