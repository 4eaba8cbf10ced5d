"""Makes tiny models by transformers' own classes: layouts.py IN.json OUT.json

OUT has, for each architecture, the config.json that transformers writes and the names and shapes of the tensors in its
model.safetensors. IN is not read."""
import json
import os
import sys
import tempfile

import safetensors
import torch
import transformers as tr

# A decoder of three layers, its four heads on two of keys and values.
SMALL = dict(
    vocab_size=32, hidden_size=16, intermediate_size=20, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)
EXPERTS = dict(SMALL, num_hidden_layers=2)
VISION = dict(
    hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4,
    vision_use_head=False,
)
TEXT = dict(SMALL, head_dim=8, sliding_window=8, tie_word_embeddings=True)

MODELS = {
    "llama": tr.LlamaConfig(**SMALL),
    "llama-bias": tr.LlamaConfig(**SMALL, attention_bias=True, mlp_bias=True),
    "mistral": tr.MistralConfig(**SMALL),
    "mixtral": tr.MixtralConfig(**EXPERTS, num_local_experts=2),
    "qwen2": tr.Qwen2Config(**SMALL, tie_word_embeddings=True),
    "qwen3": tr.Qwen3Config(**SMALL, head_dim=8, tie_word_embeddings=True),
    "qwen3-moe": tr.Qwen3MoeConfig(**EXPERTS, head_dim=8, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=12),
    "gemma2": tr.Gemma2Config(**TEXT),
    "gemma3": tr.Gemma3TextConfig(**TEXT),
    "gemma3-vision": tr.Gemma3Config(text_config=TEXT, vision_config=VISION, mm_tokens_per_image=4),
    "phi2": tr.PhiConfig(**dict(SMALL, num_key_value_heads=4)),
    "phi3": tr.Phi3Config(**SMALL),
    "gpt-neox": tr.GPTNeoXConfig(**{k: v for k, v in SMALL.items() if k != "num_key_value_heads"}),
    "gpt2": tr.GPT2Config(
        vocab_size=32, n_positions=32, n_embd=16, n_layer=3, n_head=4, n_inner=20, bos_token_id=1, eos_token_id=2
    ),
}


def layout(config):
    cls = tr.AutoModelForImageTextToText if config.model_type == "gemma3" else tr.AutoModelForCausalLM
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        cls.from_config(config).save_pretrained(folder)
        with open(os.path.join(folder, "config.json")) as f:
            written = json.load(f)
        with safetensors.safe_open(os.path.join(folder, "model.safetensors"), "np") as f:
            return {"config": written, "tensors": {k: f.get_slice(k).get_shape() for k in sorted(f.keys())}}


layouts = {name: layout(config) for name, config in MODELS.items()}
# The checkpoints that Google published have the older names of the vision tower.
tensors = layouts["gemma3-vision"]["tensors"]
layouts["gemma3-published"] = {
    "config": layouts["gemma3-vision"]["config"],
    "tensors": {k.replace("vision_tower.", "vision_tower.vision_model."): v for k, v in tensors.items()},
}
with open(sys.argv[2], "w") as f:
    json.dump(layouts, f)
