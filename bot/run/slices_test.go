package run

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mergebot/configs"
	"mergebot/merge/checkpoint"
)

// TestSlicesOnTheirLines: what does not fit in a stack of layers is found by the plan, on the line of its range.
func TestSlicesOnTheirLines(t *testing.T) {
	t.Parallel()
	family := openFamily(t, func(models string) {
		addModel(t, models, "odd/small", "license: apache-2.0\n", `{"model.layers.0.input_layernorm.weight":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}`, 8)
	})
	for name, c := range map[string]struct {
		recipe string
		want   string // line and a part of the message
	}{
		"beyond the last": {"merge_method: passthrough\nslices:\n  - sources:\n      - model: tiny/math\n        layer_range: [0, 4]\n  - sources:\n      - model: tiny/law\n        layer_range: [3, 5]\n",
			"8 layers do not fit: tiny/law has 4 layers, 0 to 3; the range [3, 5] goes on to layer 4"},
		"uneven": {"merge_method: linear\nparameters: {weight: 1}\nslices:\n  - sources:\n      - model: tiny/math\n        layer_range: [1, 4]\n      - model: tiny/law\n",
			"7 layers do not fit: 4 of tiny/law, but 3 of the source before"},
		"another hidden size": {"merge_method: passthrough\nslices:\n  - sources:\n      - {model: tiny/math, layer_range: [0, 4]}\n  - sources:\n      - model: odd/small\n        layer_range: [0, 1]\n",
			"7 shapes differ: model.layers.4.input_layernorm.weight is [4] in odd/small and [160] in tiny/math"},
		"part of a model to be searched": {"merge_method: task_arithmetic\nbase_model: tiny/base\nparameters: {weight: 1}\nslices:\n  - sources:\n      - model: tiny/math\n        layer_range: [0, 3]\n      - {model: tiny/base, layer_range: [0, 3]}\n" +
			"mergebot: {search: {coefficient: common}, domains: {m: {expert: tiny/math, tasks: [gsm8k]}}}\n", "7 candidates of a search are scored in the base's place"},
		"part of a model to be pruned": {"merge_method: dppa\nbase_model: tiny/base\nslices:\n  - sources:\n      - model: tiny/math\n        layer_range: [0, 3]\n        parameters: {density: 0.2}\n      - {model: tiny/base, layer_range: [0, 3]}\n",
			"6 dppa prunes whole models"},
		"a model that is not there": {"merge_method: passthrough\nslices:\n  - sources:\n      - {model: tiny/maths, layer_range: [0, 4]}\n", "4 repository not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := parse(t, c.recipe)
			_, err := Resolve(t.Context(), family.env(t), r, nil)
			problems, outage := Problems(r, err)
			line, text, _ := strings.Cut(c.want, " ")
			if outage || !slices.ContainsFunc(problems, func(p configs.Error) bool { return fmt.Sprint(p.Line) == line && strings.Contains(p.Message, text) }) {
				t.Errorf("%q is not among %v", c.want, problems)
			}
		})
	}
}

// TestStackedMerge: plan, checkpoint, card and provenance of a taller model say its real size.
func TestStackedMerge(t *testing.T) {
	t.Parallel()
	family := openFamily(t, nil)
	env := family.env(t)
	r := parse(t, `merge_method: task_arithmetic
base_model: tiny/base
slices:
  - sources: [{model: tiny/base, layer_range: [0, 3]}, {model: tiny/math, layer_range: [0, 3]}]
  - sources: [{model: tiny/law, layer_range: [1, 4]}, {model: tiny/base, layer_range: [1, 4]}]
parameters: {weight: [0.2, 0.8]}
dtype: bfloat16
`)
	plan, err := Resolve(t.Context(), env, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "model")
	m, err := Merge(t.Context(), env, r, dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var parameters int64
	for _, x := range c.Tensors() {
		parameters += x.Elements()
	}
	if o := plan.Output; o.Layers != 6 || o.Tensors != len(c.Names()) || o.Parameters != parameters || o.Bytes != m.Bytes || o.Bytes != 2*parameters || o.Tensors != 3+6*9 {
		t.Errorf("the plan says %+v; written are %d tensors, %d parameters, %d bytes", o, len(c.Names()), parameters, m.Bytes)
	}
	config, err := c.Config()
	if err != nil || config["num_hidden_layers"] != 6.0 {
		t.Errorf("config.json: %v, %v", config["num_hidden_layers"], err)
	}
	if v := (&Plan{recipe: r, Lock: plan.Lock, Output: plan.Output}).layersOf(attention{layers: 4}); v.layers != 6 {
		t.Errorf("keys and values of %d layers", v.layers)
	}
	card, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil || !strings.Contains(string(card), "It is stacked from slices of its models: 6 layers, ") {
		t.Errorf("card: %v\n%s", err, card)
	}
	var provenance struct {
		Outputs []struct {
			Path string
			Size int64
		}
		Treatments []struct{ Expert string }
	}
	b, err := os.ReadFile(filepath.Join(dir, provenanceFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &provenance); err != nil {
		t.Fatal(err)
	}
	if len(provenance.Treatments) != 2 || !slices.ContainsFunc(provenance.Outputs, func(f struct {
		Path string
		Size int64
	}) bool {
		return f.Path == "model.safetensors" && f.Size > m.Bytes
	}) {
		t.Errorf("provenance: %+v", provenance)
	}
	// One slice of all layers is the recipe of whole models.
	const one, whole = "slices: [{sources: [{model: tiny/math, layer_range: [0, 4], parameters: {density: 0.2}}, {model: tiny/base, layer_range: [0, 4]}]}]\n",
		"models: [{model: tiny/math, parameters: {density: 0.2}}]\n"
	var files []map[string]string
	for _, form := range []string{one, whole} {
		m, err := Merge(t.Context(), env, parse(t, "merge_method: dppa\nbase_model: tiny/base\n"+form), filepath.Join(t.TempDir(), "model"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, m.Files)
	}
	if a, b := files[0]["model.safetensors"], files[1]["model.safetensors"]; a != b || a == "" {
		t.Errorf("dppa of one slice: %s, of models: %s", a, b)
	}
}
