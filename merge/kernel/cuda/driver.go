package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"unsafe"
)

// handle is a CUcontext, CUmodule, CUfunction or CUstream; address is device memory.
type (
	handle  uintptr
	address uint64
)

// driver is what is used of the CUDA driver's library, one field a function. All may be called from any thread; those
// that touch memory, streams or modules want a current context there.
type driver struct {
	init        func(flags uint32) code
	version     func(out *int32) code
	errorName   func(c code, out **byte) code
	errorString func(c code, out **byte) code

	deviceCount     func(out *int32) code
	deviceGet       func(out *int32, ordinal int32) code
	deviceName      func(out *byte, size, device int32) code
	deviceAttribute func(out *int32, attribute, device int32) code

	contextRetain  func(out *handle, device int32) code
	contextRelease func(device int32) code
	contextCurrent func(context handle) code

	moduleLoad     func(out *handle, image *byte, options uint32, keys *int32, values *uintptr) code
	moduleUnload   func(module handle) code
	moduleFunction func(out *handle, module handle, name *byte) code

	memoryInfo  func(free, total *uint64) code
	memoryAlloc func(out *address, size uint64) code
	memoryFree  func(at address) code
	hostAlloc   func(out *unsafe.Pointer, size uint64, flags uint32) code
	hostFree    func(at unsafe.Pointer) code

	upload   func(to address, from unsafe.Pointer, size uint64, stream handle) code
	download func(to unsafe.Pointer, from address, size uint64, stream handle) code
	fill     func(to address, value uint8, size uint64, stream handle) code

	streamCreate  func(out *handle, flags uint32) code
	streamDestroy func(stream handle) code
	streamWait    func(stream handle) code
	launch        func(f handle, gridX, gridY, gridZ, blockX, blockY, blockZ, shared uint32, stream handle, args, extra *unsafe.Pointer) code
}

// symbols are the names in the library and where their functions go. The _v2 forms are those with 64-bit sizes, of CUDA
// 4 and later.
func (d *driver) symbols() []symbol {
	return []symbol{
		{&d.init, "cuInit"}, {&d.version, "cuDriverGetVersion"},
		{&d.errorName, "cuGetErrorName"}, {&d.errorString, "cuGetErrorString"},
		{&d.deviceCount, "cuDeviceGetCount"}, {&d.deviceGet, "cuDeviceGet"},
		{&d.deviceName, "cuDeviceGetName"}, {&d.deviceAttribute, "cuDeviceGetAttribute"},
		{&d.contextRetain, "cuDevicePrimaryCtxRetain"}, {&d.contextRelease, "cuDevicePrimaryCtxRelease_v2"},
		{&d.contextCurrent, "cuCtxSetCurrent"},
		{&d.moduleLoad, "cuModuleLoadDataEx"}, {&d.moduleUnload, "cuModuleUnload"}, {&d.moduleFunction, "cuModuleGetFunction"},
		{&d.memoryInfo, "cuMemGetInfo_v2"}, {&d.memoryAlloc, "cuMemAlloc_v2"}, {&d.memoryFree, "cuMemFree_v2"},
		{&d.hostAlloc, "cuMemHostAlloc"}, {&d.hostFree, "cuMemFreeHost"},
		{&d.upload, "cuMemcpyHtoDAsync_v2"}, {&d.download, "cuMemcpyDtoHAsync_v2"}, {&d.fill, "cuMemsetD8Async"},
		{&d.streamCreate, "cuStreamCreate"}, {&d.streamDestroy, "cuStreamDestroy_v2"}, {&d.streamWait, "cuStreamSynchronize"},
		{&d.launch, "cuLaunchKernel"},
	}
}

type symbol struct {
	function any // pointer to a field of driver
	name     string
}

// Numbers of the driver's interface.
const (
	attributeProcessors = 16
	attributeMajor      = 75
	attributeMinor      = 76

	streamNonBlocking = 1
	hostPortable      = 1 // pinned for every context: any GPU copies from it

	jitErrorLog     = 5
	jitErrorLogSize = 6
)

// start opens the library and asks it how many GPUs there are: one at least, or an error that is ErrNone.
func start(library string) (*driver, int, error) {
	d, err := open(library)
	if err != nil {
		return nil, 0, err
	}
	if err := d.check("cuInit", d.init(0)); err != nil {
		return nil, 0, absent(err)
	}
	var n int32
	if err := d.check("cuDeviceGetCount", d.deviceCount(&n)); err != nil {
		return nil, 0, absent(err)
	}
	if n < 1 {
		return nil, 0, fmt.Errorf("%w: the driver sees none; CUDA_VISIBLE_DEVICES may hide them", ErrNone)
	}
	return d, int(n), nil
}

// absent marks the driver's word that it has no GPU.
func absent(err error) error {
	var e *Error
	if errors.As(err, &e) && (e.Code == codeNoDevice || e.Code == codeStub) {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	return err
}

// check makes an error of a call's code.
func (d *driver) check(call string, c code) error {
	if c == 0 {
		return nil
	}
	e := &Error{Call: call, Code: int(c)}
	var p *byte
	if d.errorName(c, &p) == 0 {
		e.Name = text(p)
	}
	p = nil
	if d.errorString(c, &p) == 0 {
		e.Text = text(p)
	}
	return e
}

// versionText is the newest CUDA that the driver knows: "12.4".
func (d *driver) versionText() string {
	var v int32
	if d.version(&v) != 0 {
		return "unknown"
	}
	return fmt.Sprintf("%d.%d", v/1000, v%1000/10)
}

// text copies a string of C's, "" for none.
func text(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// cstring ends a string as C does.
func cstring(s string) *byte { return &append([]byte(s), 0)[0] }

// until cuts a buffer at its first zero.
func until(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
