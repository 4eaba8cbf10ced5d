package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"mergebot/merge/kernel"
)

// Options say how GPUs are used. The zero value will do.
type Options struct {
	// Memory is how many bytes of each GPU's memory are used at most, the driver's own (some hundred MiB) not counted; 0
	// takes little, and leaves a reserve of what is free.
	Memory int64
	// CPU computes what the GPU cannot, and calls too small to be worth the way there; nil is kernel.CPU().
	CPU kernel.Device
	// Note hears what went wrong and was gone around, each once. It may be called from any goroutine; nil hears nothing.
	Note func(string)
	// Library is the driver's library; "" is libcuda.so.1.
	Library string
	// Lanes are the calls that each GPU works on at once; 0 suits this machine.
	Lanes int
	// Least is the number of elements from which a call goes to the GPU; 0 is a guess that nobody has measured.
	Least int

	unproven bool // tests count calls
}

// leastElements: below it, the copies and the wait are taken to cost more than the CPU's work.
const leastElements = 1 << 15

// Device is one GPU or several, as a kernel.Device with slices in the host's memory. No call fails: see the package.
type Device struct {
	name  string
	cpu   kernel.Device
	note  func(string)
	least int
	gpus  []*gpu

	lanes chan *lane
	count int           // of lanes at first
	alive atomic.Int64  // lanes that are not retired
	dead  chan struct{} // closed when none is left

	short        sync.Once // has said that memory is short
	onGPU, onCPU atomic.Int64
}

var _ kernel.Device = (*Device)(nil)

// Open prepares the GPU of that number, from 0, proves it against the reference, and returns it. An error is ErrNone
// where there is no driver or no GPU.
func Open(ordinal int, o Options) (*Device, error) {
	d, n, err := start(o.library())
	if err != nil {
		return nil, err
	}
	if ordinal < 0 || ordinal >= n {
		return nil, fmt.Errorf("there is no GPU %d: the driver sees %d, counted from 0", ordinal, n)
	}
	return openEach(d, []int{ordinal}, o)
}

// OpenAll prepares every GPU that the driver shows (CUDA_VISIBLE_DEVICES chooses). Calls are dealt to whichever is
// free; the result does not depend on which.
func OpenAll(o Options) (*Device, error) {
	d, n, err := start(o.library())
	if err != nil {
		return nil, err
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return openEach(d, all, o)
}

func openEach(d *driver, ordinals []int, o Options) (*Device, error) {
	if o.Lanes == 0 {
		o.Lanes = max(2, min(8, runtime.GOMAXPROCS(0)/len(ordinals)))
	}
	var gpus []*gpu
	for _, i := range ordinals {
		g, err := openGPU(d, i, o.Memory, o.Lanes)
		if err == nil {
			if err = o.proof(g); err != nil {
				g.close()
			}
		}
		if err != nil {
			for _, g := range gpus {
				g.close()
			}
			return nil, fmt.Errorf("GPU %d: %w", i, err)
		}
		gpus = append(gpus, g)
	}
	return newDevice(gpus, o), nil
}

func (o Options) proof(g *gpu) error {
	if o.unproven {
		return nil
	}
	return prove(g)
}

func (o Options) library() string {
	if o.Library != "" {
		return o.Library
	}
	return "libcuda.so.1"
}

func newDevice(gpus []*gpu, o Options) *Device {
	d := &Device{cpu: o.CPU, note: o.Note, least: o.Least, gpus: gpus, dead: make(chan struct{})}
	if d.cpu == nil {
		d.cpu = kernel.CPU()
	}
	if d.note == nil {
		d.note = func(string) {}
	}
	if d.least == 0 {
		d.least = leastElements
	}
	most := 0
	var names []string
	for _, g := range gpus {
		d.count += min(g.lanes, o.Lanes)
		most = max(most, min(g.lanes, o.Lanes))
		names = append(names, g.name)
	}
	d.name = "cuda (" + strings.Join(names, ", ") + ")"
	d.lanes = make(chan *lane, d.count)
	d.alive.Store(int64(d.count))
	for i := range most { // dealt in turn, so that few calls at once use all GPUs
		for _, g := range gpus {
			if i < min(g.lanes, o.Lanes) {
				d.lanes <- &lane{gpu: g}
			}
		}
	}
	return d
}

// Name says which GPUs run: "cuda (NVIDIA H100 80GB HBM3 (sm_90))".
func (d *Device) Name() string { return d.name }

// Lanes is how many calls are worked on at once.
func (d *Device) Lanes() int { return d.count }

// Err is what ended GPUs, an ErrLost, and nil while all are well.
func (d *Device) Err() error {
	var all []error
	for _, g := range d.gpus {
		if err := g.lost.Load(); err != nil {
			all = append(all, *err)
		}
	}
	return errors.Join(all...)
}

// Counts are the calls that a GPU did in full, and those that the CPU did, in whole or in part.
func (d *Device) Counts() (gpu, cpu int64) { return d.onGPU.Load(), d.onCPU.Load() }

// Close waits for the calls under way and gives everything back. Calls after it run on the CPU.
func (d *Device) Close() {
	d.drain()
	for _, g := range d.gpus {
		g.close()
	}
}

// drain closes the lanes, and leaves the GPUs as they are.
func (d *Device) drain() {
	for d.alive.Load() > 0 {
		select {
		case l := <-d.lanes:
			if l.gpu.lost.Load() == nil {
				l.close()
			}
			d.retire()
		case <-d.dead:
		}
	}
}

// take waits for a lane; nil when no GPU is left.
func (d *Device) take() *lane {
	for {
		select {
		case l := <-d.lanes:
			if l.gpu.lost.Load() == nil {
				return l
			}
			d.retire()
		case <-d.dead:
			return nil
		}
	}
}

// retire counts a lane that is not given back. What it held of a lost GPU goes with the process.
func (d *Device) retire() {
	if d.alive.Add(-1) == 0 {
		close(d.dead)
	}
}

// cost is what a call needs of a lane's buffer: bytes for each element, fixed bytes, and regions, that are aligned.
type cost struct{ each, fixed, regions int }

// run does a call of n elements slice by slice: on the GPU as long as it goes well, the rest on the CPU. gpu may write
// to the caller's memory only after lane.finish returned nil, so that a slice is done or untouched.
func (d *Device) run(n int, c cost, gpu func(l *lane, from, to int) error, cpu func(from, to int) error) error {
	if n == 0 {
		return nil
	}
	done := 0
	if n >= d.least {
		done = d.slices(n, c, gpu)
	}
	if done == n {
		d.onGPU.Add(1)
		return nil
	}
	d.onCPU.Add(1)
	return cpu(done, n)
}

// slices returns how many elements the GPU has done.
func (d *Device) slices(n int, c cost, gpu func(l *lane, from, to int) error) (done int) {
	l := d.take()
	if l == nil {
		return 0
	}
	err := l.gpu.bound(func() error {
		for done < n {
			if err := l.acquire(); err != nil {
				return err
			}
			l.begin()
			to, err := min(n, done+l.fits(c)), errRoom
			if to > done {
				err = gpu(l, done, to)
			}
			if memory(err) {
				held := int64(len(l.host))
				l.drop()
				if !errors.Is(err, errRoom) && l.gpu.shrink(held) {
					continue
				}
			}
			if err != nil {
				return err
			}
			done = to
		}
		return nil
	})
	switch {
	case err == nil:
	case memory(err):
		d.short.Do(func() { d.note(fmt.Sprintf("the GPU's memory is short, the CPU does what does not fit: %v", err)) })
	case l.gpu.lost.Load() == nil:
		d.note(fmt.Sprintf("%v; the CPU goes on, the result is the same", l.gpu.lose(err)))
	}
	d.lanes <- l // take retires those of a lost GPU
	return done
}

// Find says what GPUs the driver shows, without using one; library is as in Options.
func Find(library string) ([]string, error) {
	d, n, err := start(Options{Library: library}.library())
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range n {
		g := &gpu{driver: d}
		if err := g.identify(i); err != nil {
			return nil, fmt.Errorf("GPU %d: %w", i, err)
		}
		names = append(names, g.name)
	}
	return names, nil
}
