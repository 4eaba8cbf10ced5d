package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkAdapter reads a 4096 × 4096 tensor in bfloat16 by blocks as a merge does, without an adapter (rank 0) and with
// one; bytes are those of the result in fp32.
func BenchmarkAdapter(b *testing.B) {
	const n, block = 4096, 1 << 18
	for _, rank := range []int64{0, 8, 16, 64} {
		b.Run(fmt.Sprintf("rank %d", rank), func(b *testing.B) {
			dir := b.TempDir()
			for name, data := range map[string][]byte{
				singleSafetensors: file(fmt.Sprintf(`{"q.weight":{"dtype":"BF16","shape":[%d,%d],"data_offsets":[0,%d]}}`, n, n, 2*n*n), make([]byte, 2*n*n)),
				AdapterWeights: safetensorsOf(map[string]matrix{adapterPrefix + "q.lora_A.weight": {[]int64{rank, n}, make([]float32, rank*n)},
					adapterPrefix + "q.lora_B.weight": {[]int64{n, rank}, make([]float32, rank*n)}}),
				AdapterConfigName: fmt.Appendf(nil, `{"peft_type": "LORA", "r": %d}`, rank),
			} {
				if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
					b.Fatal(err)
				}
			}
			open := func() (*Checkpoint, error) { return OpenAdapted(dir, dir) }
			if rank == 0 {
				open = func() (*Checkpoint, error) { return Open(dir) }
			}
			c, err := open()
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			dst := make([]float32, block)
			b.SetBytes(4 * n * n)
			b.ReportAllocs()
			for b.Loop() {
				for at := int64(0); at < n*n; at += block {
					if err := c.Floats("q.weight", dst, at); err != nil {
						b.Fatal(err)
					}
				}
				c.Release("q.weight")
			}
		})
	}
}
