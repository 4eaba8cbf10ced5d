// Package kernel holds the arithmetic of merging: operations on blocks of
// elements, implemented once per device. [Plain] is the reference, in Go, that
// every other device must equal bit for bit; [CPU] is the fastest that this
// processor has.
//
// Pruning is described by cuts, not masks. The elements of a tensor are ordered
// by (|δ|, index), so the set kept at a pruning rate is one [Cut]; a random
// method's kept set is u_i ≥ p with the counter-based u_i of [Uniform]. Either
// is a few bytes per tensor, whatever its size.
package kernel

import "math"

// BlockSize is the number of elements over which a sum is taken before it is
// added to the running total. Every device sums a block in fp64 as sumLanes
// interleaved partial sums, element i of the block to lane i mod sumLanes, in
// index order; then folds the upper half of the lanes onto the lower until one
// is left; and adds the sums of blocks in index order. That, and not the number
// of threads, the width of a vector or the size of the slices passed, defines
// the result.
const BlockSize = 4096

// sumLanes is a multiple of what vector instructions hold, so that one
// definition suits them all.
const sumLanes = 16

// Format is the storage format of floating-point elements, little endian.
type Format uint8

// The formats that weights are read from and written to.
const (
	F32 Format = iota + 1
	F16
	BF16
)

// Size returns the bytes of one element.
func (f Format) Size() int {
	if f == F32 {
		return 4
	}
	return 2
}

// Stats are sums over a run of elements, taken as [BlockSize] says.
type Stats struct {
	Count     int64   `json:"count"`
	Zeros     int64   `json:"zeros"`                // elements equal to 0
	NonFinite int64   `json:"non_finite,omitempty"` // NaN and ±Inf; the other fields then mean nothing
	SumAbs    float64 `json:"sum_abs"`
	SumSq     float64 `json:"sum_sq"`
	Min       float32 `json:"min"` // signed; a zero is +0
	Max       float32 `json:"max"`
}

// MeanAbs is the mean magnitude, 0 for no elements.
func (s Stats) MeanAbs() float64 {
	if s.Count == 0 {
		return 0
	}
	return s.SumAbs / float64(s.Count)
}

// Outliers are the elements whose magnitude lies strictly above a threshold.
type Outliers struct {
	Count  int64   `json:"count"`
	SumAbs float64 `json:"sum_abs"`
}

// Cut splits the elements of a tensor, ordered by (|key|, index), into a pruned
// and a kept part: pruned are those with |key| < Threshold, and those with
// |key| = Threshold at an index below Index. The zero Cut prunes nothing.
type Cut struct {
	Threshold float32 `json:"threshold"`
	Index     int64   `json:"index"`
}

// Keeps reports whether the element key at index is kept.
func (c Cut) Keeps(key float32, index int64) bool {
	m, t := magnitude(key), magnitude(c.Threshold)
	return m > t || m == t && index >= c.Index
}

// Device runs the operations. It is the boundary under which assembly and GPU
// code slot in, and every implementation passes the same tests.
//
// Promises every device keeps:
//   - Determinism and parity: the results, sums included, equal the reference's
//     bit for bit (NaN payloads excepted). Products and sums are rounded one by
//     one: no fused multiply-add, no reassociation, no flush to zero.
//   - Slices that an operation reads together have equal length; a mismatch is a
//     programming error and panics. An operation writes only what it says, and
//     dst may be the same slice as an input, but not overlap it otherwise.
//   - Operations that accumulate (Stats, Outliers, Dot) are called with successive
//     runs of one tensor, each but the last a multiple of BlockSize long.
//   - All methods may be called from several goroutines at once.
//   - A returned error means that the device failed (lost, out of memory); what
//     was written is then undefined. The reference never fails.
type Device interface {
	// Name says what runs, for reports: "cpu (go)".
	Name() string
	// Lanes is how many goroutines calling at once keep the device busy.
	Lanes() int

	// Decode widens stored elements to fp32, exactly.
	Decode(dst []float32, src []byte, f Format) error
	// Encode rounds fp32 to the stored format, to nearest even; overflow gives ±Inf.
	Encode(dst []byte, src []float32, f Format) error
	// Round is Encode followed by Decode.
	Round(dst, src []float32, f Format) error

	// Delta is dst = expert − base.
	Delta(dst, base, expert []float32) error
	// Scale is dst = c·x.
	Scale(dst, x []float32, c float32) error
	// Divide is dst = x / c.
	Divide(dst, x []float32, c float32) error
	// AddScaled is dst = dst + c·x, the product rounded first.
	AddScaled(dst, x []float32, c float32) error

	// Stats adds the elements of d to s.
	Stats(s *Stats, d []float32) error
	// Outliers adds to o[j] the elements with |d| > above[j], compared in fp64.
	Outliers(o []Outliers, d []float32, above []float64) error
	// Dot adds Σ x·y to sum.
	Dot(sum *float64, x, y []float32) error
	// High counts the elements by the upper 15 bits of |key|: bits 16 to 30.
	High(h *HighCounts, key []float32) error
	// Low counts, for every element whose upper bits have a slot (slot[upper]
	// is its number plus one, 0 means none), the lower 16 bits in h[number].
	Low(h []LowCounts, key []float32, slot *[1 << 15]uint8) error
	// Sift writes the bits of |key| and the positions of the elements with lo ≤ |key| ≤ hi
	// (compared as bits, so that NaN lies above ∞), in index order, to
	// keys[:found] and at[:found], and counts those with |key| < lo. keys and at
	// are as long as key at least; the rest of them is undefined afterwards.
	Sift(keys, at []uint32, key []float32, lo, hi float32) (below, found int, err error)
	// Nth finds the element number skip (from 0) among those with |key| = |value|.
	// It returns its position, or −1, and the number of such elements before it
	// (all of them, when it is not there).
	Nth(key []float32, value float32, skip int64) (pos int, seen int64, err error)

	// Amplify is dst[i] = r·delta[i] where r is ratios[j] of the first cut j that
	// keeps key[i] at index first+i, and 0 where none does. The kept sets are
	// nested: each contains the one before it.
	Amplify(dst, delta, key []float32, first int64, cuts []Cut, ratios []float32) error
	// AmplifyRandom is Amplify with the kept sets Uniform(stream, index) ≥ rates[j],
	// rates falling.
	AmplifyRandom(dst, delta []float32, first int64, stream uint64, rates []float64, ratios []float32) error

	// Elect writes the sign (−1, 1) of the sum of v in order, and zero where the
	// sum is 0.
	Elect(sign []float32, v [][]float32, zero float32) error
	// Signs counts positive and negative elements.
	Signs(x []float32) (positive, negative int64, err error)
	// Agree is dst = Σ v_i over those whose sign is sign's (zeros never agree), in
	// order; with weights also divided by Σ weights_i of the same i, where that is
	// not 0.
	Agree(dst, sign []float32, v [][]float32, weights []float32) error
}

// HighCounts and LowCounts are the histograms of exact selection.
type (
	HighCounts [1 << 15]int64
	LowCounts  [1 << 16]int64
)

func fromMagnitude(m uint32) float32 { return math.Float32frombits(m) }

// magnitude returns |x| as bits, whose integer order is the order of magnitudes.
func magnitude(x float32) uint32 { return math.Float32bits(x) &^ (1 << 31) }

// golden is the increment of splitmix64's counter.
const golden = 0x9E3779B97F4A7C15

// Stream is the key of one tensor's random numbers: seed ⊕ fnv1a64(name), where
// name is "model/tensor".
func Stream(seed uint64, name string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return h ^ seed
}

// Uniform is element index of a stream, in [0, 1): 53 bits of splitmix64 at
// counter index+1. Being a function of the index, masks are the same whatever
// the order of evaluation, and those of different rates are nested.
func Uniform(stream uint64, index int64) float64 {
	return float64(uniform53(stream, index)) * 0x1p-53
}

func uniform53(stream uint64, index int64) uint64 {
	return splitmix53(stream + uint64(index+1)*golden)
}

// splitmix53 is the upper 53 bits of splitmix64's output at a counter.
func splitmix53(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return (z ^ z>>31) >> 11
}
