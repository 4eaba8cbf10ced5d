package peertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// architectures are recipes over checkpoints in the layouts of today's architectures, made by transformers' own classes.
var architectures = corpus{folder: "architectures", models: writeArchitectures,
	// mergekit's table has no biases for LLaMA, and so drops them.
	inferred: []string{"llama-bias-linear", "llama-bias-slices", "llama-bias-ties"},
	// mergekit rounds what it reads, and each step, to dtype.
	precise: []string{
		"dtype-bfloat16", "dtype-bfloat16-karcher", "dtype-bfloat16-out-float32", "dtype-bfloat16-ties", "dtype-float16-out-bfloat16",
		"example-bio-merge", "example-gradient-slerp", "example-linear", "example-ties", "gemma3-published-task_arithmetic",
	},
}

// TestLayouts holds the recorded layouts to what transformers writes.
func TestLayouts(t *testing.T) {
	peers(t)
	b := newBench(t)
	var now, kept map[string]modelLayout
	b.script(t, "layouts.py", nil, &now)
	if *update {
		data, err := json.Marshal(now)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenPath("layouts"), append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	readJSON(t, goldenPath("layouts"), &kept)
	if len(kept) != len(now) {
		t.Errorf("%d layouts, the golden file has %d", len(now), len(kept))
	}
	for name, l := range now {
		if !reflect.DeepEqual(kept[name].Tensors, l.Tensors) || compact(t, kept[name].Config) != compact(t, l.Config) {
			t.Errorf("%s: transformers writes\n%s %v, the golden file has\n%s %v", name, l.Config, l.Tensors, kept[name].Config, kept[name].Tensors)
		}
	}
}

// compact is a JSON text without its blanks.
func compact(t *testing.T, text json.RawMessage) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestArchitectures needs no mergekit.
func TestArchitectures(t *testing.T) { architectures.recorded(t) }

// TestMergekitArchitectures asks mergekit.
func TestMergekitArchitectures(t *testing.T) { architectures.asked(t) }

// TestArchitectureGoldIsWhole finds recipes that were not recorded.
func TestArchitectureGoldIsWhole(t *testing.T) { architectures.whole(t) }

// modelLayout is how transformers stores a model of an architecture: its config.json and the shapes of its tensors.
type modelLayout struct {
	Config  json.RawMessage    `json:"config"`
	Tensors map[string][]int64 `json:"tensors"`
}

// fineTunes are the models made of each layout: one to start from, named as the layout, and three fine-tuned from it.
var fineTunes = []string{"-math", "-law", "-code"}

// stored are the layouts whose models are not in fp32, and models that are in another type than their layout's others.
var stored = map[string]checkpoint.DType{
	"mistral": checkpoint.BF16, "mistral-math": checkpoint.BF16, "mistral-law": checkpoint.F16,
	"phi2-law": checkpoint.F16,
}

// writeArchitectures writes the models of every layout into dir.
func writeArchitectures(t testing.TB, dir string) {
	t.Helper()
	data, err := os.ReadFile(goldenPath("layouts"))
	if err != nil {
		t.Fatal(err)
	}
	var layouts map[string]modelLayout
	if err := json.Unmarshal(data, &layouts); err != nil {
		t.Fatal(err)
	}
	for name, l := range layouts {
		l.write(t, filepath.Join(dir, name), name, "")
		for _, end := range fineTunes {
			l.write(t, filepath.Join(dir, name+end), name+end, name)
		}
	}
}

func (l modelLayout) write(t testing.TB, dir, name, like string) {
	t.Helper()
	dtype, format := checkpoint.F32, kernel.F32
	switch stored[name] {
	case checkpoint.F16:
		dtype, format = checkpoint.F16, kernel.F16
	case checkpoint.BF16:
		dtype, format = checkpoint.BF16, kernel.BF16
	}
	var outputs []checkpoint.Output
	if strings.HasPrefix(name, "gpt-neox") { // the masks that old checkpoints store: mergekit stops without
		for i := range 3 {
			at := fmt.Sprintf("gpt_neox.layers.%d.attention.", i)
			outputs = append(outputs, checkpoint.Output{Name: at + "bias", DType: checkpoint.Bool, Shape: []int64{1, 1, 32, 32}},
				checkpoint.Output{Name: at + "masked_bias", DType: dtype}, checkpoint.Output{Name: at + "rotary_emb.inv_freq", DType: dtype, Shape: []int64{2}})
		}
	}
	for _, tensor := range slices.Sorted(maps.Keys(l.Tensors)) {
		outputs = append(outputs, checkpoint.Output{Name: tensor, DType: dtype, Shape: l.Tensors[tensor]})
	}
	w, err := checkpoint.Create(dir, outputs, checkpoint.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.WriteShard(t.Context(), 0, func(o checkpoint.Output, put func([]byte) error) error {
		b := make([]byte, o.Size())
		if o.DType == checkpoint.Bool {
			return put(b)
		}
		if err := kernel.CPU().Encode(b, madeUp(name, like, o), format); err != nil {
			return err
		}
		return put(b)
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), l.Config, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
}
