package checkpoint

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzAdapterConfig: whatever adapter_config.json holds, there is a scale that is a number, or an error of one line.
func FuzzAdapterConfig(f *testing.F) {
	list, err := filepath.Glob(filepath.Join(adapterGold, "adapters", "*", AdapterConfigName))
	if err != nil || len(list) == 0 {
		f.Fatal(err, len(list))
	}
	for _, path := range list {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"peft_type":"LORA","r":1048576,"lora_alpha":1e308,"rank_pattern":{"(a|b)*":2,"^x":3},"use_rslora":true}`))
	f.Add([]byte(`{"peft_type":"LOKR"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseAdapterConfig(data)
		if err != nil {
			return
		}
		for _, module := range []string{"", "model.layers.0.self_attn.q_proj", string(data[:min(len(data), 40)])} {
			scale, rank := c.scale(module)
			if math.IsNaN(scale) || math.IsInf(scale, 0) || rank < 1 || rank > maxRank {
				t.Fatalf("scale %v, rank %d", scale, rank)
			}
		}
	})
}

// FuzzAdapterNames: whatever an adapter's tensors are called and however they are shaped, they fit or are refused, and
// what fits is what the model has.
func FuzzAdapterNames(f *testing.F) {
	for _, name := range []string{adapterPrefix + "m.q.lora_A.weight", adapterPrefix + "m.q.lora_B.weight", adapterPrefix + "m.e.lora_embedding_A", adapterPrefix + "m.q.base_layer.bias",
		adapterPrefix + ".lora_A.weight", adapterPrefix, "lora_A.weight", adapterPrefix + "m.q.lora_magnitude_vector", adapterPrefix + "lm_head.weight", adapterPrefix + "x.m.q.bias", adapterPrefix + "\n"} {
		f.Add(name, adapterPrefix+"m.q.lora_B.weight", int64(2), int64(3), int64(4), int64(2), false)
	}
	f.Fuzz(func(t *testing.T, first, second string, a, b, c, d int64, tied bool) {
		model := []Tensor{{Name: "m.q.weight", DType: F32, Shape: []int64{4, 3}}, {Name: "m.q.bias", DType: F32, Shape: []int64{4}},
			{Name: "m.e.weight", DType: BF16, Shape: []int64{3, 4}}, {Name: "lm_head.weight", DType: F32, Shape: []int64{5, 3}}, {Name: "m.n", DType: I64, Shape: []int64{3}}}
		config := &AdapterConfig{rank: 2, alpha: 4}
		adapter := []Tensor{{Name: first, DType: F32, Shape: []int64{a, b}}, {Name: second, DType: F32, Shape: []int64{c, d}}}
		changes, err := config.plan(model, adapter, tied)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 3000 {
				t.Fatalf("%q", err)
			}
			return
		}
		for name, ch := range changes {
			if ch.tensor != name || ch.a == "" && ch.whole == "" && ch.add == "" {
				t.Fatalf("%s: %+v", name, ch)
			}
			if ch.a != "" && (ch.rank != 2 || ch.b == "" || a*b*c*d != 2*2*12) {
				t.Fatalf("%v %v applied: %+v", adapter[0].Shape, adapter[1].Shape, ch)
			}
		}
	})
}
