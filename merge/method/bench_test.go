package method

import (
	"math/rand/v2"
	"testing"

	"mergebot/merge/kernel"
)

// BenchmarkMethod merges a base and three models of 4096 × 4096 elements, from memory, on one goroutine; bytes are those
// of the four in fp32.
func BenchmarkMethod(b *testing.B) {
	const n = 4096
	tensor := Tensor{Name: "w", Count: n * n, Shape: []int64{n, n}}
	r := rand.New(rand.NewPCG(1, 2))
	all := make([][]float32, 4) // a period of each, the base first
	for k := range all {
		all[k] = make([]float32, blockElements+4096)
		for i := range all[k] {
			all[k][i] = float32(r.NormFloat64() / 64)
			if k > 0 {
				all[k][i] = all[0][i] + all[k][i]/64
			}
		}
	}
	for _, c := range []struct {
		method string
		paper  bool
		number map[string]float64
	}{
		{"linear", false, nil}, {"task_arithmetic", false, nil}, {"ties", false, map[string]float64{"density": 0.3}}, {"ties", true, map[string]float64{"density": 0.3}},
		{"dare_ties", false, map[string]float64{"density": 0.3}}, {"della", false, map[string]float64{"density": 0.3}}, {"della_linear", true, map[string]float64{"density": 0.3}},
		{"breadcrumbs", false, map[string]float64{"density": 0.3}}, {"sce", false, map[string]float64{"select_topk": 0.3}}, {"sce", false, nil},
		{"ram", false, nil}, {"ramplus_tl", false, nil}, {"model_stock", false, nil}, {"karcher", false, nil}, {"multislerp", false, nil},
	} {
		name := c.method
		if c.paper {
			name += " paper"
		}
		if len(c.number) == 0 {
			name += " plain"
		}
		b.Run(name, func(b *testing.B) {
			p := &Problem{
				Device: lane{kernel.CPU()}, Tensors: []Tensor{tensor}, Models: []string{"x", "y", "z"}, Base: true, Paper: c.paper,
				Read: func(model int, _ string, dst []float32, from int64) error {
					for len(dst) > 0 {
						m := copy(dst, all[model+1][from%int64(len(all[0])):])
						dst, from = dst[m:], from+int64(m)
					}
					return nil
				},
				Number: func(_ int, name, _ string, def float64) float64 {
					if x, ok := c.number[name]; ok {
						return x
					}
					if name == "weight" {
						return 0.4
					}
					return def
				},
				Bool: func(_ int, _, _ string, def bool) bool { return def },
			}
			m, err := Get(c.method)
			if err != nil {
				b.Fatal(err)
			}
			block := newBlock(blockElements, 3)
			b.SetBytes(4 * 4 * n * n)
			for b.Loop() {
				plan, err := m.Begin(p)
				if err != nil {
					b.Fatal(err)
				}
				f, err := plan.Tensor(b.Context(), tensor.Name)
				if err != nil {
					b.Fatal(err)
				}
				for first := int64(0); first < tensor.Count; first += blockElements {
					block.First = first
					for k, x := range append([][]float32{block.Base}, block.Models...) {
						if err := p.Read(k-1, tensor.Name, x, first); err != nil {
							b.Fatal(err)
						}
					}
					if err := f(block); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// lane is a device that one goroutine keeps busy.
type lane struct{ kernel.Device }

func (lane) Lanes() int { return 1 }
