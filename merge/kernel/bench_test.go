package kernel_test

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"mergebot/merge/kernel"
)

// BenchmarkDevices prints, for every operation and device, GB/s of what the
// operation must read and write, and how much that is of a memory copy's, reads
// and writes counted too. Copies of the same size take turns with the operation;
// the best of all rounds counts for both, since other work on the machine only
// slows down. "cached" is 1 MiB a slice, as merging works; "memory" is 64 MiB.
func BenchmarkDevices(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"cached", 1 << 18}, {"memory", 1 << 24}} {
		data := newOperands(size.n)
		for _, op := range operations {
			for _, d := range kernel.Devices() {
				b.Run(fmt.Sprintf("%s/%s/%s", op.name, d.Name(), size.name), func(b *testing.B) {
					run, copied := time.Duration(1<<62), time.Duration(1<<62)
					for b.Loop() {
						start := time.Now()
						must(b, op.run(d, data))
						middle := time.Now()
						copy(data.out, data.x)
						run, copied = min(run, middle.Sub(start)), min(copied, time.Since(middle))
					}
					rate := float64(op.bytes*size.n) / float64(run.Nanoseconds())
					b.ReportMetric(rate, "GB/s")
					b.ReportMetric(100*rate*float64(copied.Nanoseconds())/float64(8*size.n), "%memcpy")
				})
			}
		}
	}
}

// operands are what benchmarks work on.
type operands struct {
	x, y, z, out []float32
	raw          []byte
	keys, at     []uint32
}

func newOperands(n int) operands {
	d := operands{x: numbers(n), y: make([]float32, n), z: make([]float32, n), out: make([]float32, n),
		raw: make([]byte, 2*n), keys: make([]uint32, kernel.BlockSize), at: make([]uint32, kernel.BlockSize)}
	for i := range d.y {
		d.y[i], d.z[i] = d.x[(i+7777)%n], -d.x[(i+333)%n]
	}
	return d
}

var (
	twoCuts   = []kernel.Cut{{Threshold: 0.02, Index: 1000}, {Threshold: 0.01}}
	twoRatios = []float32{1.8, 1}
)

// operations, with the bytes of one element that each reads and writes.
var operations = []struct {
	name  string
	bytes int
	run   func(d kernel.Device, o operands) error
}{
	{"decode f16", 6, func(d kernel.Device, o operands) error { return d.Decode(o.out, o.raw, kernel.F16) }},
	{"decode bf16", 6, func(d kernel.Device, o operands) error { return d.Decode(o.out, o.raw, kernel.BF16) }},
	{"decode f32", 8, func(d kernel.Device, o operands) error {
		return d.Decode(o.out, unsafe.Slice((*byte)(unsafe.Pointer(&o.x[0])), 4*len(o.x)), kernel.F32)
	}},
	{"encode f16", 6, func(d kernel.Device, o operands) error { return d.Encode(o.raw, o.x, kernel.F16) }},
	{"encode bf16", 6, func(d kernel.Device, o operands) error { return d.Encode(o.raw, o.x, kernel.BF16) }},
	{"round bf16", 8, func(d kernel.Device, o operands) error { return d.Round(o.out, o.x, kernel.BF16) }},
	{"delta", 12, func(d kernel.Device, o operands) error { return d.Delta(o.out, o.x, o.y) }},
	{"scale", 8, func(d kernel.Device, o operands) error { return d.Scale(o.out, o.x, 0.7) }},
	{"divide", 8, func(d kernel.Device, o operands) error { return d.Divide(o.out, o.x, 0.7) }},
	{"add scaled", 12, func(d kernel.Device, o operands) error { return d.AddScaled(o.out, o.x, 0.5) }},
	{"stats", 4, func(d kernel.Device, o operands) error { return d.Stats(new(kernel.Stats), o.x) }},
	{"outliers", 4, func(d kernel.Device, o operands) error {
		return d.Outliers(make([]kernel.Outliers, 1), o.x, []float64{0.01})
	}},
	{"two outliers", 4, func(d kernel.Device, o operands) error {
		return d.Outliers(make([]kernel.Outliers, 2), o.x, []float64{0.01, 0.012})
	}},
	{"dot", 8, func(d kernel.Device, o operands) error { return d.Dot(new(float64), o.x, o.y) }},
	{"signs", 4, func(d kernel.Device, o operands) error { _, _, err := d.Signs(o.x); return err }},
	{"sift", 4, func(d kernel.Device, o operands) error {
		for first := 0; first < len(o.x); first += kernel.BlockSize {
			if _, _, err := d.Sift(o.keys, o.at, o.x[first:first+kernel.BlockSize], 0.01, 0.0105); err != nil {
				return err
			}
		}
		return nil
	}},
	{"amplify one", 8, func(d kernel.Device, o operands) error {
		return d.Amplify(o.out, o.x, o.x, 0, twoCuts[:1], twoRatios[:1])
	}},
	{"amplify two", 8, func(d kernel.Device, o operands) error { return d.Amplify(o.out, o.x, o.x, 0, twoCuts, twoRatios) }},
	{"amplify random", 8, func(d kernel.Device, o operands) error {
		return d.AmplifyRandom(o.out, o.x, 0, 1, []float64{0.8}, []float32{5})
	}},
	{"elect of 3", 16, func(d kernel.Device, o operands) error { return d.Elect(o.out, [][]float32{o.x, o.y, o.z}, 1) }},
	{"agree of 3", 20, func(d kernel.Device, o operands) error {
		return d.Agree(o.out, o.z, [][]float32{o.x, o.y, o.z}, nil)
	}},
	{"agree weighted", 20, func(d kernel.Device, o operands) error {
		return d.Agree(o.out, o.z, [][]float32{o.x, o.y, o.z}, []float32{0.4, 0.5, 0.3})
	}},
}
