package cuda

import _ "embed"

// ptx is what `make ptx` compiles kernels/ to, for every GPU since sm_75 (Turing)
// and every driver since CUDA 10: see kernels/compile.sh.
//
//go:embed kernels/mergebot.ptx
var ptx []byte

// paramKind is the type of a kernel's parameter, which is as long as it says and
// aligned to that; an address has 64 bits.
type paramKind uint8

const (
	ptr paramKind = iota + 1 // an address on the device, 0 only where it says so
	u32
	u64
	f32
)

// kernelSpec is a kernel as it must be launched: blocks of threads and grids of
// blocks have one dimension.
type kernelSpec struct {
	Name   string
	Params []paramKind
	// Block is the number of threads in a block.
	Block int
	// Shared is the dynamic shared memory of a block, in bytes: none uses any.
	Shared int
	// Span is how many elements (rows, for mb_rank) a block takes in one turn.
	// ⌈n/Span⌉ blocks need one turn; any smaller grid takes more, with the same
	// result, and a larger one idles. 0: the grid must be one block.
	Span int
}

// blockThreads is the number of threads in every block.
const blockThreads = 256

// sumSpan is a turn of sums: a thread is one of the 16 partial sums of a block of
// kernel.BlockSize elements.
const sumSpan = blockThreads / 16 * 4096

// What sums write for each block of kernel.BlockSize elements, to be added up in
// the order of blocks. Layouts are those of kernels/sums.cuh.
type (
	// blockStats are 32 bytes. Min and max are +Inf and −Inf where all elements
	// are NaN, and of either sign where they are 0.
	blockStats struct {
		SumAbs, SumSq    float64
		Min, Max         float32
		Zeros, NonFinite uint32
	}
	// blockOutliers are 16 bytes.
	blockOutliers struct {
		SumAbs float64
		Count  uint64
	}
	// blockSift are 8 bytes.
	blockSift struct {
		Below, Found uint32
	}
)

// What decides an element's amplification. Layouts are those of kernels/amplify.cuh.
type (
	// cut is a kernel.Cut with its ratio, 16 bytes.
	cut struct {
		Threshold uint32 // bits of |threshold|
		Ratio     float32
		Index     int64
	}
	// chance is a pruning rate with its ratio, 16 bytes.
	chance struct {
		Rate  float64
		Ratio float32
		_     uint32
	}
)

// highWindow is the first of the 8192 bins that mb_high counts in shared memory:
// those of magnitudes from 2^-60 to 2^4. The others are right too, but slower.
const highWindow = 67 << 7

// kernels are all that the PTX holds. n counts elements; float arrays are fp32
// unless it says otherwise; an output may be the same array as an input of the
// same element size, but not overlap it otherwise. Counters (of mb_high, mb_low,
// mb_signs) are added to: zero them first.
var kernels = []kernelSpec{
	// (dst, src, n): dst[n] from src[n] of uint16, exactly.
	{Name: "mb_decode_bf16", Params: []paramKind{ptr, ptr, u64}, Block: blockThreads, Span: blockThreads},
	{Name: "mb_decode_f16", Params: []paramKind{ptr, ptr, u64}, Block: blockThreads, Span: blockThreads},
	// (dst, src, n): dst[n] of uint16 from src[n], to nearest even.
	{Name: "mb_encode_bf16", Params: []paramKind{ptr, ptr, u64}, Block: blockThreads, Span: blockThreads},
	{Name: "mb_encode_f16", Params: []paramKind{ptr, ptr, u64}, Block: blockThreads, Span: blockThreads},
	// (dst, src, n): both in turn.
	{Name: "mb_round_bf16", Params: []paramKind{ptr, ptr, u64}, Block: blockThreads, Span: blockThreads},
	{Name: "mb_round_f16", Params: []paramKind{ptr, ptr, u64}, Block: blockThreads, Span: blockThreads},

	// (dst, base, expert, n): dst = expert − base.
	{Name: "mb_delta", Params: []paramKind{ptr, ptr, ptr, u64}, Block: blockThreads, Span: blockThreads},
	// (dst, x, n, c): dst = c·x.
	{Name: "mb_scale", Params: []paramKind{ptr, ptr, u64, f32}, Block: blockThreads, Span: blockThreads},
	// (dst, x, n, c): dst = x / c.
	{Name: "mb_divide", Params: []paramKind{ptr, ptr, u64, f32}, Block: blockThreads, Span: blockThreads},
	// (dst, x, n, c): dst = dst + c·x.
	{Name: "mb_add_scaled", Params: []paramKind{ptr, ptr, u64, f32}, Block: blockThreads, Span: blockThreads},

	// (out, d, n): out[⌈n/4096⌉] of blockStats.
	{Name: "mb_stats", Params: []paramKind{ptr, ptr, u64}, Block: blockThreads, Span: sumSpan},
	// (out, d, n, above): out[⌈n/4096⌉] of blockOutliers; above is the largest fp32
	// number not above the threshold.
	{Name: "mb_outliers", Params: []paramKind{ptr, ptr, u64, f32}, Block: blockThreads, Span: sumSpan},
	// (out, x, y, n): out[⌈n/4096⌉] of fp64, each a block's Σ x·y.
	{Name: "mb_dot", Params: []paramKind{ptr, ptr, ptr, u64}, Block: blockThreads, Span: sumSpan},
	// (out, x, n): out[2] of uint64 counts positive, then negative elements.
	{Name: "mb_signs", Params: []paramKind{ptr, ptr, u64}, Block: blockThreads, Span: blockThreads},

	// (h, key, n, window): h[1<<15] of uint64 by bits 16 to 30; window is highWindow.
	{Name: "mb_high", Params: []paramKind{ptr, ptr, u64, u32}, Block: blockThreads, Span: 8 * blockThreads},
	// (h, key, n, slot): h[slots][1<<16] of uint64 by bits 0 to 15 of the elements
	// whose upper bits have a slot: slot[1<<15] of uint8, 0 for none, else its
	// number plus one.
	{Name: "mb_low", Params: []paramKind{ptr, ptr, u64, ptr}, Block: blockThreads, Span: blockThreads},
	// (out, key, n, lo, hi): out[⌈n/4096⌉] of blockSift: how many |key| are under
	// lo, and how many are from lo to hi, bits of magnitudes all.
	{Name: "mb_sift_count", Params: []paramKind{ptr, ptr, u64, u32, u32}, Block: blockThreads, Span: 4096},
	// (starts, counts, blocks): starts[blocks+1] of uint64: what blockSift found
	// before each block; in all, last. One block of threads.
	{Name: "mb_sift_scan", Params: []paramKind{ptr, ptr, u64}, Block: blockThreads},
	// (keys, at, starts, key, n, lo, hi): keys and at, of uint32, hold the bits and
	// the positions of what mb_sift_count found, in index order; starts are
	// mb_sift_scan's. n is under 2^32.
	{Name: "mb_sift_write", Params: []paramKind{ptr, ptr, ptr, ptr, u64, u32, u32}, Block: blockThreads, Span: 4096},
	// (pos, starts, key, n, value, skip): pos[1] of uint64 is the position of the
	// element number skip (from 0) with the bits of |value|; starts are of
	// mb_sift_count with lo = hi = value. Where there are fewer, pos stays.
	{Name: "mb_nth", Params: []paramKind{ptr, ptr, ptr, u64, u32, u64}, Block: blockThreads, Span: 4096},

	// (dst, delta, key, n, first, cuts, m): cuts[m] of cut; first is the index of
	// key[0] (int64).
	{Name: "mb_amplify", Params: []paramKind{ptr, ptr, ptr, u64, u64, ptr, u32}, Block: blockThreads, Span: blockThreads},
	// (dst, delta, n, first, stream, chances, m): chances[m] of chance.
	{Name: "mb_amplify_random", Params: []paramKind{ptr, ptr, u64, u64, u64, ptr, u32}, Block: blockThreads, Span: blockThreads},

	// (sign, v, m, n, zero): v[m] of addresses, each of n elements.
	{Name: "mb_elect", Params: []paramKind{ptr, ptr, u32, u64, f32}, Block: blockThreads, Span: blockThreads},
	// (dst, sign, v, weights, m, n): weights[m], or the address 0.
	{Name: "mb_agree", Params: []paramKind{ptr, ptr, ptr, ptr, u32, u64}, Block: blockThreads, Span: blockThreads},

	// (rank, key, rows, width, scratch): rank[rows][width] of uint32, as
	// kernel.Ranker's of each row of key[rows][width]; width is under 2^32.
	// scratch[grid][2][width] of uint64 is overwritten.
	{Name: "mb_rank", Params: []paramKind{ptr, ptr, u64, u64, ptr}, Block: blockThreads, Span: 1},
}
