package cuda

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"unsafe"

	"mergebot/merge/kernel"
)

// lane is a stream with a buffer on the GPU and its mirror, pinned, on the host: what lies at an offset of one lies at
// the same offset of the other. One call uses it at a time: it puts its inputs and leaves room for its outputs behind
// them, launches, and finishes; only then may it look at the outputs. The first error sticks until the next call.
type lane struct {
	gpu    *gpu
	stream handle
	device address
	host   []byte

	used int   // bytes that are dealt out
	sent int   // of them, from the start, already copied to the GPU
	out  int   // where the outputs begin
	err  error // of this call
}

// region is a part of a lane's buffer.
type region struct{ at, size int }

// alignment of regions: that of cuMemAlloc, so that kernels may read vectors.
const alignment = 256

// errBudget: the lanes hold all that they may.
var errBudget = errors.New("device_memory is used up")

// errRoom: a slice does not fit the buffer, which is a mistake in how slices are counted.
var errRoom = errors.New("a lane's buffer is too small")

// acquire makes sure that the lane has its stream and buffers. Without memory for them it halves the buffer as far as
// it can go.
func (l *lane) acquire() error {
	g := l.gpu
	if l.stream == 0 {
		if err := g.check("cuStreamCreate", g.streamCreate(&l.stream, streamNonBlocking)); err != nil {
			return err
		}
	}
	for l.host == nil {
		n := g.reserve()
		if n == 0 {
			return errBudget
		}
		err := l.allocate(n)
		if err == nil {
			return nil
		}
		g.release(n)
		if !memory(err) || !g.shrink(n) {
			return err
		}
	}
	return nil
}

func (l *lane) allocate(n int64) error {
	g := l.gpu
	if err := g.check("cuMemAlloc_v2", g.memoryAlloc(&l.device, uint64(n))); err != nil {
		l.device = 0
		return err
	}
	var p unsafe.Pointer
	if err := g.check("cuMemHostAlloc", g.hostAlloc(&p, uint64(n), hostPortable)); err != nil {
		g.memoryFree(l.device)
		l.device = 0
		return err
	}
	l.host = unsafe.Slice((*byte)(p), n)
	return nil
}

// drop gives the buffers back. Nothing may be under way on the stream.
func (l *lane) drop() {
	if l.host == nil {
		return
	}
	l.gpu.hostFree(unsafe.Pointer(&l.host[0]))
	l.gpu.memoryFree(l.device)
	l.gpu.release(int64(len(l.host)))
	l.host, l.device = nil, 0
}

// close gives everything back.
func (l *lane) close() {
	_ = l.gpu.bound(func() error {
		if l.stream != 0 {
			l.gpu.streamWait(l.stream)
		}
		l.drop()
		if l.stream != 0 {
			l.gpu.streamDestroy(l.stream)
			l.stream = 0
		}
		return nil
	})
}

// fits is how many elements of so many bytes fit the buffer, with other bytes beside them: whole blocks, 0 for none.
func (l *lane) fits(c cost) int {
	room := len(l.host) - c.fixed - c.regions*alignment
	// Whatever is a block's own (sums, counts, starts) is under 64 bytes.
	return max(0, room/(c.each*kernel.BlockSize+64)) * kernel.BlockSize
}

// begin forgets the last call.
func (l *lane) begin() { l.used, l.sent, l.out, l.err = 0, 0, -1, nil }

// take deals out a region.
func (l *lane) take(size int) region {
	r := region{l.used, size}
	if r.at+size > len(l.host) {
		if l.err == nil {
			l.err = fmt.Errorf("%w: %d bytes of %d are taken, %d more are wanted", errRoom, l.used, len(l.host), size)
		}
		return region{}
	}
	l.used = min(len(l.host), (r.at+size+alignment-1)&^(alignment-1))
	return r
}

// input takes a region and copies data there, for the GPU to read.
func input[T any](l *lane, data []T) region {
	r := l.take(len(data) * int(unsafe.Sizeof(*new(T))))
	if l.err == nil {
		copy(view[T](l, r), data)
	}
	return r
}

// inputs takes regions for elements [from, to) of several arrays, and one for the list of their addresses.
func inputs(l *lane, arrays [][]float32, from, to int) region {
	list := make([]address, len(arrays))
	for i, a := range arrays {
		list[i] = l.at(input(l, a[from:to]))
	}
	return input(l, list)
}

// output takes a region that the GPU writes, all of it.
func (l *lane) output(size int) region {
	l.send()
	r := l.take(size)
	if l.out < 0 {
		l.out = r.at
	}
	return r
}

// both takes an output that the GPU first reads. It must be the last of the inputs.
func (l *lane) both(x []float32) region {
	r := input(l, x)
	l.send()
	l.out = r.at
	return r
}

// zeros takes an output that is zero before the kernel runs.
func (l *lane) zeros(size int) region {
	r := l.output(size)
	if l.err == nil && size > 0 {
		l.err = l.gpu.check("cuMemsetD8Async", l.gpu.fill(l.at(r), 0, uint64(size), l.stream))
	}
	return r
}

// send copies the inputs so far to the GPU.
func (l *lane) send() {
	if l.err != nil || l.sent == l.used || l.out >= 0 {
		return // after the first output comes nothing that the host wrote
	}
	n := l.used - l.sent
	l.err = l.gpu.check("cuMemcpyHtoDAsync_v2", l.gpu.upload(l.device+address(l.sent), unsafe.Pointer(&l.host[l.sent]), uint64(n), l.stream))
	l.sent = l.used
}

// at is a region's address on the GPU.
func (l *lane) at(r region) address { return l.device + address(r.at) }

// launch queues a kernel over n elements. Arguments are regions, addresses, or numbers of the parameters' kinds.
func (l *lane) launch(name string, n int, args ...any) {
	l.send()
	if l.err != nil {
		return
	}
	i := slices.IndexFunc(kernels, func(k kernelSpec) bool { return k.Name == name })
	if i < 0 {
		l.err = fmt.Errorf("there is no kernel %s", name)
		return
	}
	spec := &kernels[i]
	values, err := l.pack(spec, args)
	if err != nil {
		l.err = err
		return
	}
	// The driver copies the values before it returns.
	var pin runtime.Pinner
	defer pin.Unpin()
	pointers := make([]unsafe.Pointer, len(values)+1)
	if len(values) > 0 {
		pin.Pin(&values[0])
	}
	for i := range values {
		pointers[i] = unsafe.Pointer(&values[i])
	}
	l.err = l.gpu.check("cuLaunchKernel "+name, l.gpu.driver.launch(l.gpu.functions[name],
		l.grid(spec, n), 1, 1, uint32(spec.Block), 1, 1, uint32(spec.Shared), l.stream, &pointers[0], nil))
}

// grid is how many blocks of threads take n elements: one turn for each, or as many as fill the GPU.
func (l *lane) grid(k *kernelSpec, n int) uint32 {
	if k.Span == 0 {
		return 1
	}
	return uint32(max(1, min((n+k.Span-1)/k.Span, blocksPerProcessor*l.gpu.processors)))
}

// blocksPerProcessor of 256 threads fill a multiprocessor.
const blocksPerProcessor = 8

// finish copies the outputs back and waits. Only when it returns nil has everything happened.
func (l *lane) finish() error {
	if l.err == nil && l.out >= 0 && l.used > l.out {
		n := l.used - l.out
		l.err = l.gpu.check("cuMemcpyDtoHAsync_v2", l.gpu.download(unsafe.Pointer(&l.host[l.out]), l.device+address(l.out), uint64(n), l.stream))
	}
	// Waited for after an error, too: what was queued before it still reads and writes the buffers.
	if err := l.gpu.check("cuStreamSynchronize", l.gpu.streamWait(l.stream)); l.err == nil {
		l.err = err
	}
	return l.err
}

// view is a region of the host's buffer.
func view[T any](l *lane, r region) []T {
	n := r.size / int(unsafe.Sizeof(*new(T)))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&l.host[r.at])), n)
}

// pack puts a kernel's arguments into slots of 8 bytes, each of its parameter's kind.
func (l *lane) pack(k *kernelSpec, args []any) ([]uint64, error) {
	if len(args) != len(k.Params) {
		return nil, fmt.Errorf("kernel %s has %d parameters, not %d", k.Name, len(k.Params), len(args))
	}
	values := make([]uint64, len(args))
	for i, a := range args {
		var kind paramKind
		switch v := a.(type) {
		case region:
			kind, values[i] = ptr, uint64(l.at(v))
		case address:
			kind, values[i] = ptr, uint64(v)
		case uint64:
			kind, values[i] = u64, v
		case uint32: // both machines are little endian: the slot's first bytes
			kind, values[i] = u32, uint64(v)
		case float32:
			kind, values[i] = f32, uint64(math.Float32bits(v))
		}
		if kind != k.Params[i] {
			return nil, fmt.Errorf("kernel %s: argument %d is a %T", k.Name, i, a)
		}
	}
	return values, nil
}
