package method

import (
	"slices"
	"testing"

	"mergebot/merge/kernel"
)

// TestPaperIsDocumented: the registry says of exactly those methods that `semantics: paper` changes them whose results it
// changes.
func TestPaperIsDocumented(t *testing.T) {
	t.Parallel()
	tensor := Tensor{Name: "w", Count: 33 * 17, Shape: []int64{33, 17}}
	result := func(m Method, paper bool) []float32 {
		models := []string{"x", "y", "z"}
		if m.Takes != 0 {
			models = models[:m.Takes]
		}
		p := &Problem{
			Device: kernel.Plain(), Tensors: []Tensor{tensor}, Models: models, Base: true, Paper: paper,
			Read: func(model int, _ string, dst []float32, from int64) error {
				for i := range dst {
					at := from + int64(i)
					dst[i] = float32(kernel.Uniform(1, at))
					if model >= 0 {
						dst[i] += float32(kernel.Uniform(uint64(model)+2, at)-0.5) / 1024
					}
				}
				return nil
			},
			Number: func(model int, name, _ string, def float64) float64 {
				switch name {
				case "weight":
					return []float64{1, 0.3, 0.1}[model] // so that weighting decides some signs
				case "density":
					return 0.4
				case "t":
					return 0.3
				case "scale":
					return 1
				}
				return def
			},
			Bool: func(_ int, _, _ string, def bool) bool { return def },
		}
		plan, err := m.Begin(p)
		if err != nil {
			t.Fatal(err)
		}
		f, err := plan.Tensor(t.Context(), tensor.Name)
		if err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
		b := newBlock(tensor.Count, len(models))
		for k, x := range append([][]float32{b.Base}, b.Models...) {
			if err := p.Read(k-1, tensor.Name, x, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := f(b); err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
		return b.Out
	}
	for _, m := range All() {
		if m.Treated { // these have presets of their own
			if m.Paper != "" {
				t.Errorf("%s has no semantics", m.Name)
			}
			continue
		}
		if m.Name == "passthrough" {
			m.Takes = 1
		}
		if differs := !slices.Equal(result(m, false), result(m, true)); differs != (m.Paper != "") {
			t.Errorf("%s: semantics: paper changes the result: %t, the registry says %q", m.Name, differs, m.Paper)
		}
	}
}
