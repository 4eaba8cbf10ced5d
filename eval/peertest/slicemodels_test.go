package peertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mergebot/merge/checkpoint"
	"mergebot/merge/kernel"
)

// sliceModel is a made-up checkpoint in the tensor layout of its architecture: small, but loadable by its config.
type sliceModel struct {
	name   string
	family string // llama, mistral, gpt_neox, qwen2
	layers int
	like   string // the model that it was fine-tuned from; "" for one that was not
	dtype  checkpoint.DType
	tied   bool
}

// sliceModels are those of the recipes in slices/, each a folder beside the others.
var sliceModels = []sliceModel{
	{name: "llama", family: "llama", layers: 4, dtype: checkpoint.F32},
	{name: "llama-math", family: "llama", layers: 4, like: "llama", dtype: checkpoint.F32},
	{name: "llama-law", family: "llama", layers: 4, like: "llama", dtype: checkpoint.F32},
	{name: "llama-deep", family: "llama", layers: 6, like: "llama", dtype: checkpoint.F32},
	{name: "llama-tied", family: "llama", layers: 5, like: "llama", dtype: checkpoint.F32, tied: true},
	{name: "llama-tied-chat", family: "llama", layers: 5, like: "llama", dtype: checkpoint.F32, tied: true},
	{name: "half", family: "llama", layers: 4, dtype: checkpoint.F16},
	{name: "half-math", family: "llama", layers: 4, like: "half", dtype: checkpoint.F16},
	{name: "half-law", family: "llama", layers: 4, like: "half", dtype: checkpoint.F16},
	{name: "mistral", family: "mistral", layers: 4, dtype: checkpoint.BF16},
	{name: "mistral-chat", family: "mistral", layers: 4, like: "mistral", dtype: checkpoint.BF16},
	{name: "neox", family: "gpt_neox", layers: 4, dtype: checkpoint.F16},
	{name: "neox-chat", family: "gpt_neox", layers: 4, like: "neox", dtype: checkpoint.F16},
	{name: "qwen", family: "qwen2", layers: 4, dtype: checkpoint.F32, tied: true},
	{name: "qwen-math", family: "qwen2", layers: 4, like: "qwen", dtype: checkpoint.F32, tied: true},
}

const (
	sliceHidden = 8
	sliceFFN    = 12
	sliceVocab  = 24
	sliceLength = 8 // positions
)

// writeSliceModels writes them all into dir. Their values are a function of their names.
func writeSliceModels(t testing.TB, dir string) {
	t.Helper()
	for _, m := range sliceModels {
		m.write(t, filepath.Join(dir, m.name))
	}
}

func (m sliceModel) write(t testing.TB, dir string) {
	t.Helper()
	var outputs []checkpoint.Output
	add := func(name string, dtype checkpoint.DType, shape ...int64) {
		outputs = append(outputs, checkpoint.Output{Name: name, DType: dtype, Shape: shape})
	}
	m.tensors(func(name string, shape ...int64) { add(name, m.dtype, shape...) })
	if m.family == "gpt_neox" { // what old checkpoints store, and mergekit wants to see
		for l := range m.layers {
			at := fmt.Sprintf("gpt_neox.layers.%d.attention.", l)
			add(at+"bias", checkpoint.Bool, 1, 1, sliceLength, sliceLength)
			add(at+"masked_bias", m.dtype)
			add(at+"rotary_emb.inv_freq", m.dtype, 1)
		}
	}
	w, err := checkpoint.Create(dir, outputs, checkpoint.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.WriteShard(t.Context(), 0, func(o checkpoint.Output, put func([]byte) error) error {
		b := make([]byte, o.Size())
		if o.DType == checkpoint.Bool {
			return put(b)
		}
		f := map[checkpoint.DType]kernel.Format{checkpoint.F32: kernel.F32, checkpoint.F16: kernel.F16, checkpoint.BF16: kernel.BF16}[o.DType]
		if err := kernel.CPU().Encode(b, madeUp(m.name, m.like, o), f); err != nil {
			return err
		}
		return put(b)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(m.config()), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
}

// tensors calls add for each weight.
func (m sliceModel) tensors(add func(name string, shape ...int64)) {
	const h, f, v = sliceHidden, sliceFFN, sliceVocab
	if m.family == "gpt_neox" {
		add("gpt_neox.embed_in.weight", v, h)
		for l := range m.layers {
			at := fmt.Sprintf("gpt_neox.layers.%d.", l)
			for _, x := range []struct {
				name    string
				out, in int64
			}{{"attention.query_key_value", 3 * h, h}, {"attention.dense", h, h}, {"mlp.dense_h_to_4h", f, h}, {"mlp.dense_4h_to_h", h, f}} {
				add(at+x.name+".weight", x.out, x.in)
				add(at+x.name+".bias", x.out)
			}
			for _, n := range []string{"input_layernorm", "post_attention_layernorm"} {
				add(at+n+".weight", h)
				add(at+n+".bias", h)
			}
		}
		add("gpt_neox.final_layer_norm.weight", h)
		add("gpt_neox.final_layer_norm.bias", h)
		add("embed_out.weight", v, h)
		return
	}
	kv := int64(h)
	if m.family != "llama" { // two heads share keys and values
		kv = h / 2
	}
	add("model.embed_tokens.weight", v, h)
	for l := range m.layers {
		at := fmt.Sprintf("model.layers.%d.", l)
		for _, x := range []struct {
			name string
			out  int64
		}{{"q", h}, {"k", kv}, {"v", kv}} {
			add(at+"self_attn."+x.name+"_proj.weight", x.out, h)
			if m.family == "qwen2" {
				add(at+"self_attn."+x.name+"_proj.bias", x.out)
			}
		}
		add(at+"self_attn.o_proj.weight", h, h)
		add(at+"mlp.gate_proj.weight", f, h)
		add(at+"mlp.up_proj.weight", f, h)
		add(at+"mlp.down_proj.weight", h, f)
		add(at+"input_layernorm.weight", h)
		add(at+"post_attention_layernorm.weight", h)
	}
	add("model.norm.weight", h)
	if !m.tied {
		add("lm_head.weight", v, h)
	}
}

// madeUp is a tensor of a model: that of the model that it was fine-tuned from (like; "" without), each element a little
// moved; no two deltas of a tensor are of one size in fp32, so that no cut falls among equals.
func madeUp(model, like string, o checkpoint.Output) []float32 {
	x := make([]float32, o.Size()/int64(o.DType.Size()))
	origin := model
	if like != "" {
		origin = like
	}
	base, delta := kernel.Stream(1, origin+"/"+o.Name), kernel.Stream(2, model+"/"+o.Name)
	for i := range x {
		v := 0.2 * (kernel.Uniform(base, int64(i)) - 0.5)
		if strings.Contains(o.Name, "norm") && strings.HasSuffix(o.Name, "weight") {
			v++
		}
		if like != "" {
			v += 0.03 * (kernel.Uniform(delta, int64(i)) - 0.5)
		}
		x[i] = float32(v)
	}
	return x
}

func (m sliceModel) config() string {
	common := fmt.Sprintf(`"hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": 2, "vocab_size": %d, "max_position_embeddings": %d, "tie_word_embeddings": %v`,
		sliceHidden, sliceFFN, m.layers, sliceVocab, sliceLength, m.tied)
	switch m.family {
	case "gpt_neox":
		return `{"architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "rotary_pct": 0.5, ` + common + "}\n"
	case "mistral":
		return `{"architectures": ["MistralForCausalLM"], "model_type": "mistral", "num_key_value_heads": 1, ` + common + "}\n"
	case "qwen2":
		types := strings.TrimSuffix(strings.Repeat(`"full_attention", `, m.layers), ", ")
		return `{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "num_key_value_heads": 1, "layer_types": [` + types + `], ` + common + "}\n"
	}
	return `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_key_value_heads": 2, ` + common + "}\n"
}
