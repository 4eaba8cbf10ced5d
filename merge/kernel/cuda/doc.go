// Package cuda runs the operations of merging on NVIDIA GPUs, with the bits of the reference.
//
// Nothing of CUDA is needed to build it: the kernels are embedded PTX, which the driver compiles, and the driver's
// library is opened when it is asked for. On other systems, and without a driver, Open says ErrNone.
//
// # How a call goes
//
// A [Device] has lanes: a stream each, with a buffer on the GPU and its mirror, pinned, on the host. A call takes a
// lane and goes through its slices in slices that fit: inputs are copied to the mirror and on to the GPU, kernels run,
// outputs come back the same way, and only when the stream has been waited for without an error are they copied to the
// caller. Sums come back block by block (kernel.BlockSize) and are added on the host, in order, so that slices change
// nothing. Several lanes overlap copies in both directions with kernels.
//
// # What can go wrong
//
//   - No memory: the lane's buffer is halved until it fits; below a MiB the CPU does the rest of the call. The next call
//     tries the GPU again.
//   - Any other error: the GPU is lost. Nothing more is asked of it, as its memory may hold anything; the slice that was
//     under way and all later calls are the other GPUs' or the CPU's. [Device.Err] says why.
//   - A GPU that computes other bits: every kernel is compared with the reference before a Device is returned.
//
// In none of these does a call fail, or leave half a slice. Options.Note hears of each once.
//
// # What this cannot reach yet
//
// With slices in the host's memory, each operation moves its operands over the bus: several times the bytes that a
// merge needs, and slower than the CPU's own memory. The way out is an interface beside kernel.Device that a caller may
// ask a device for, and that says whole merges of a tensor rather than operations:
//
//	type Resident interface {
//		// Hold keeps stored elements of a model's tensor on the device, if there is room; nil if not.
//		Hold(src []byte, f kernel.Format) (Tensor, error)
//		// Merge decodes, subtracts, amplifies, adds and encodes held tensors in one pass, so that a candidate of a
//		// search moves nothing but its result.
//		Merge(dst []byte, f kernel.Format, base Tensor, experts []Tensor, treatments []Treatment) error
//	}
//
// The kernels, lanes and budgets serve it as they are.
package cuda
