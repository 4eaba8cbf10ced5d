package kernel_test

import (
	"testing"

	"mergebot/merge/kernel"
)

// BenchmarkCPU reports GB/s of fp32 read, next to memory copy.
func BenchmarkCPU(b *testing.B) {
	const n = 64 * kernel.BlockSize
	x, y, out := numbers(n), numbers(n), make([]float32, n)
	raw := make([]byte, 2*n)
	cuts := []kernel.Cut{{Threshold: 0.02}, {Threshold: 0.01}}
	high, slot := new(kernel.HighCounts), new([1 << 15]uint8)
	slot[0x3c00] = 1
	low := make([]kernel.LowCounts, 1)
	for _, op := range []struct {
		name  string
		bytes int64
		run   func() error
	}{
		{"copy", 4 * n, func() error { copy(out, x); return nil }},
		{"decode f16", 2 * n, func() error { return dev.Decode(out, raw, kernel.F16) }},
		{"decode bf16", 2 * n, func() error { return dev.Decode(out, raw, kernel.BF16) }},
		{"encode f16", 4 * n, func() error { return dev.Encode(raw, x, kernel.F16) }},
		{"encode bf16", 4 * n, func() error { return dev.Encode(raw, x, kernel.BF16) }},
		{"delta", 8 * n, func() error { return dev.Delta(out, x, y) }},
		{"stats", 4 * n, func() error { return dev.Stats(new(kernel.Stats), x) }},
		{"outliers", 4 * n, func() error { return dev.Outliers(make([]kernel.Outliers, 1), x, []float64{0.01}) }},
		{"dot", 8 * n, func() error { return dev.Dot(new(float64), x, y) }},
		{"high", 4 * n, func() error { return dev.High(high, x) }},
		{"low", 4 * n, func() error { return dev.Low(low, x, slot) }},
		{"amplify", 4 * n, func() error { return dev.Amplify(out, x, x, 0, cuts, []float32{1.8, 1}) }},
		{"amplify random", 4 * n, func() error {
			return dev.AmplifyRandom(out, x, 0, 1, []float64{0.9, 0.8}, []float32{5, 5})
		}},
		{"add scaled", 8 * n, func() error { return dev.AddScaled(out, x, 0.5) }},
		{"elect", 8 * n, func() error { return dev.Elect(out, [][]float32{x, y}, 1) }},
		{"agree", 12 * n, func() error { return dev.Agree(out, x, [][]float32{x, y}, []float32{1, 1}) }},
	} {
		b.Run(op.name, func(b *testing.B) {
			b.SetBytes(op.bytes)
			for b.Loop() {
				must(b, op.run())
			}
		})
	}
}
