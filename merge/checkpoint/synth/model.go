package main

import (
	"fmt"

	"mergebot/merge/checkpoint"
)

// model is the shape of a LLaMA.
type model struct {
	hidden, layers, intermediate, vocab, heads, kvHeads int64
	tied                                                bool
}

var presets = map[string]model{
	"tiny": {hidden: 64, layers: 2, intermediate: 160, vocab: 256, heads: 4, kvHeads: 2},
	"1.1b": {hidden: 2048, layers: 22, intermediate: 5632, vocab: 32000, heads: 32, kvHeads: 4},
	"7b":   {hidden: 4096, layers: 32, intermediate: 11008, vocab: 32000, heads: 32, kvHeads: 32},
}

// override takes the dimensions that were given, by the names of their flags.
func (m *model) override(shape map[string]*int64) {
	for name, field := range map[string]*int64{
		"hidden": &m.hidden, "layers": &m.layers, "intermediate": &m.intermediate,
		"vocab": &m.vocab, "heads": &m.heads, "kv-heads": &m.kvHeads,
	} {
		if v := *shape[name]; v != 0 {
			*field = v
		}
	}
}

func (m model) check() error {
	for _, v := range []int64{m.hidden, m.layers, m.intermediate, m.vocab, m.heads, m.kvHeads} {
		if v < 1 || v > 1<<24 {
			return fmt.Errorf("a dimension of %d is out of range", v)
		}
	}
	if m.hidden%m.heads != 0 || m.heads%m.kvHeads != 0 {
		return fmt.Errorf("%d heads must divide hidden size %d, and %d key and value heads the heads", m.heads, m.hidden, m.kvHeads)
	}
	return nil
}

// tensors lists a LlamaForCausalLM's weights.
func (m model) tensors(d checkpoint.DType) []checkpoint.Output {
	var out []checkpoint.Output
	add := func(name string, shape ...int64) {
		out = append(out, checkpoint.Output{Name: name + ".weight", DType: d, Shape: shape})
	}
	kv := m.hidden / m.heads * m.kvHeads
	add("model.embed_tokens", m.vocab, m.hidden)
	for l := range m.layers {
		layer := fmt.Sprintf("model.layers.%d.", l)
		add(layer+"input_layernorm", m.hidden)
		add(layer+"self_attn.q_proj", m.hidden, m.hidden)
		add(layer+"self_attn.k_proj", kv, m.hidden)
		add(layer+"self_attn.v_proj", kv, m.hidden)
		add(layer+"self_attn.o_proj", m.hidden, m.hidden)
		add(layer+"post_attention_layernorm", m.hidden)
		add(layer+"mlp.gate_proj", m.intermediate, m.hidden)
		add(layer+"mlp.up_proj", m.intermediate, m.hidden)
		add(layer+"mlp.down_proj", m.hidden, m.intermediate)
	}
	add("model.norm", m.hidden)
	if !m.tied {
		add("lm_head", m.vocab, m.hidden)
	}
	return out
}

func (m model) config(d checkpoint.DType) map[string]any {
	return map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama",
		"hidden_size": m.hidden, "num_hidden_layers": m.layers, "intermediate_size": m.intermediate,
		"vocab_size": m.vocab, "num_attention_heads": m.heads, "num_key_value_heads": m.kvHeads,
		"tie_word_embeddings": m.tied, "torch_dtype": d.TorchName(), "hidden_act": "silu",
		"rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 2048,
		"initializer_range": initStd, "attention_bias": false,
		"bos_token_id": 1, "eos_token_id": 2, "transformers_version": "4.37.2", "use_cache": true,
	}
}
