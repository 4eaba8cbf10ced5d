package checkpoint

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// adapterGold holds tiny models, adapters of every kind, and what PEFT makes of them. eval/peertest's -update makes it
// anew, by its testdata/adapters.py.
const adapterGold = "testdata/lora"

// adapterBases are the models that the adapters are for, where it is not the first.
var adapterBases = map[string]string{"bias-all": "llama-biases", "bias-lora-only": "llama-biases", "bias-low-rank": "llama-biases", "bfloat16": "llama-bf16", "conv1d": "gpt2", "conv1d-dora": "gpt2", "tied-embeddings": "gpt2"}

func adapterPaths(name string) (base, adapter string) {
	base = adapterBases[name]
	if base == "" {
		base = "llama"
	}
	return filepath.Join(adapterGold, base), filepath.Join(adapterGold, "adapters", name)
}

// TestAdaptersLikePEFT: every tensor of an adapted model is PEFT's, and those that PEFT leaves alone are the model's own.
func TestAdaptersLikePEFT(t *testing.T) {
	t.Parallel()
	list, err := os.ReadDir(filepath.Join(adapterGold, "adapters"))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 16 {
		t.Errorf("only %d adapters", len(list))
	}
	for _, dir := range list {
		t.Run(dir.Name(), func(t *testing.T) {
			t.Parallel()
			base, adapter := adapterPaths(dir.Name())
			c, err := OpenAdapted(base, adapter)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			plain := open(t, base)
			merged, exact := tensorsIn(t, filepath.Join(adapter, "merged.safetensors")), tensorsIn(t, filepath.Join(adapter, "exact.safetensors"))
			changed := 0
			for _, name := range c.Names() {
				info, _ := c.Tensor(name)
				got, own := read(t, c, name), read(t, plain, name)
				want, other := merged[name]
				if !other {
					want = own
				}
				if info.Adapted {
					changed++
				}
				if was, _ := plain.Tensor(name); was.DType != info.DType {
					t.Errorf("%s is said to be %s, the model has %s", name, info.DType, was.DType)
				}
				// Terms may cancel, so an element is measured by the tensor's largest.
				largest := float32(0)
				for _, v := range want {
					largest = max(largest, float32(math.Abs(float64(v))))
				}
				for i := range got {
					if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-6*float64(largest)) || !other && got[i] != own[i] {
						t.Fatalf("%s[%d] is %v, PEFT's %v", name, i, got[i], want[i])
					}
					if e := exact[name]; other && !(math.Abs(float64(got[i]-e[i])) <= 6e-8*math.Abs(float64(e[i]))) {
						t.Fatalf("%s[%d] is %v, in fp64 %v", name, i, got[i], e[i])
					}
				}
			}
			if changed < len(merged) || len(merged) == 0 {
				t.Errorf("%d tensors are adapted, PEFT changed %d", changed, len(merged))
			}
		})
	}
}

// tensorsIn reads a safetensors file of any name.
func tensorsIn(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	c := &Checkpoint{dir: filepath.Dir(path), tensors: map[string]entry{}}
	t.Cleanup(func() { c.Close() })
	if err := c.openAll(weightsLayout{files: []string{filepath.Base(path)}}); err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{}
	for _, name := range c.Names() {
		out[name] = read(t, c, name)
	}
	return out
}

// TestAdaptedBlocks: elements do not depend on the block they are read in, on who else reads, or on a release between.
func TestAdaptedBlocks(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain", "dora", "embeddings", "dora-embeddings", "conv1d", "conv1d-dora", "saved-modules", "bias-low-rank"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, adapter := adapterPaths(name)
			c, err := OpenAdapted(base, adapter)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			for _, tensor := range c.Tensors() {
				if !tensor.Adapted {
					continue
				}
				want := read(t, c, tensor.Name)
				for _, size := range []int64{1, 7, 16, 50} {
					t.Run("", func(t *testing.T) {
						t.Parallel()
						for from := int64(0); from < tensor.Elements(); from += size {
							part := make([]float32, min(size, tensor.Elements()-from))
							if err := c.Floats(tensor.Name, part, from); err != nil {
								t.Error(err)
								return
							}
							for i, v := range part {
								if math.Float32bits(v) != math.Float32bits(want[from+int64(i)]) {
									t.Errorf("%s[%d] read by %d is %v, else %v", tensor.Name, from+int64(i), size, v, want[from+int64(i)])
									return
								}
							}
							if from%3 == 0 {
								c.Release(tensor.Name)
							}
						}
					})
				}
				if err := c.ReadAt(tensor.Name, make([]byte, 4), 0); err == nil || !strings.Contains(err.Error(), "computed") {
					t.Errorf("stored bytes of an adapted tensor: %v", err)
				}
			}
		})
	}
}
