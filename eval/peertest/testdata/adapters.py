"""Makes LoRA adapters of every kind on tiny made-up models, and merges each by PEFT: adapters.py DIR

DIR/MODEL           the models
DIR/adapters/NAME   an adapter as PEFT saves it, and
                    merged.safetensors: the tensors that merge_and_unload changes, computed in fp32
                    exact.safetensors: the same in fp64, rounded to fp32 once
"""
import json
import os
import shutil
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

OUT = sys.argv[1]


def llama(dtype, biases=False):
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, attention_bias=biases, max_position_embeddings=32, tie_word_embeddings=False)
    return scatter(LlamaForCausalLM(config)).to(dtype)


def gpt2(dtype):
    torch.manual_seed(2)
    config = GPT2Config(vocab_size=20, n_positions=8, n_embd=16, n_layer=1, n_head=4)
    return scatter(GPT2LMHeadModel(config)).to(dtype)


def scatter(model):
    """Gives every parameter values of its own: biases and norms start as zeros and ones."""
    for p in model.parameters():
        p.data += 0.1 * torch.randn(p.shape)
    return model


MODELS = {"llama": lambda: llama(torch.float32), "llama-biases": lambda: llama(torch.float32, True), "llama-bf16": lambda: llama(torch.bfloat16), "gpt2": lambda: gpt2(torch.float32)}

ATTENTION = ["q_proj", "k_proj", "v_proj"]
CONV1D = ["c_attn", "c_proj", "c_fc"]
ADAPTERS = {
    "plain": ("llama", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])),
    "rank-stable": ("llama", dict(r=3, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "up_proj"])),
    "patterns": ("llama", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj", "gate_proj"],
                               rank_pattern={"down_proj": 2, r"^model\.layers\.0\.self_attn\.q_proj": 7},
                               alpha_pattern={"layers.1.self_attn.v_proj": 3, r"mlp\.(gate|up)_proj": 7})),
    "saved-modules": ("llama", dict(r=2, target_modules=["o_proj"], modules_to_save=["lm_head", "post_attention_layernorm"])),
    "embeddings": ("llama", dict(r=3, lora_alpha=4, target_modules=["embed_tokens", "k_proj"])),
    "output-layer": ("llama", dict(r=5, lora_alpha=4, target_modules=["lm_head"])),
    "bias-all": ("llama-biases", dict(r=2, bias="all", target_modules=["q_proj"])),
    "bias-lora-only": ("llama-biases", dict(r=2, bias="lora_only", target_modules=["q_proj", "down_proj"])),
    "bias-low-rank": ("llama-biases", dict(r=2, lora_alpha=3, lora_bias=True, target_modules=ATTENTION)),
    "dora": ("llama", dict(r=4, lora_alpha=6, use_dora=True, target_modules=ATTENTION + ["down_proj"])),
    "dora-rank-stable": ("llama", dict(r=2, lora_alpha=3, use_dora=True, use_rslora=True, target_modules=["up_proj"])),
    "dora-embeddings": ("llama", dict(r=3, use_dora=True, target_modules=["embed_tokens", "o_proj"])),
    "bfloat16": ("llama-bf16", dict(r=4, target_modules=["q_proj", "gate_proj"])),
    "conv1d": ("gpt2", dict(r=3, target_modules=CONV1D)),
    "conv1d-dora": ("gpt2", dict(r=3, use_dora=True, target_modules=CONV1D)),
    "tied-embeddings": ("gpt2", dict(r=3, target_modules=["wte"])),
}


def train(model):
    """Stands for training: every parameter that it would change gets another value."""
    for name, p in model.named_parameters():
        if p.requires_grad:
            factor = 1 + 0.2 * torch.randn(p.shape)
            p.data = p.data * factor.to(p.dtype) if "lora_magnitude_vector" in name else (p.data + 0.1 * torch.randn(p.shape)).to(p.dtype)


def merged(base, adapter, dtype):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    model = PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
    return model.to(dtype).merge_and_unload().state_dict()


for name, make in MODELS.items():
    make().save_pretrained(os.path.join(OUT, name))
    os.remove(os.path.join(OUT, name, "generation_config.json"))

for seed, (name, (base, settings)) in enumerate(ADAPTERS.items()):
    torch.manual_seed(100 + seed)
    folder, path = os.path.join(OUT, "adapters", name), os.path.join(OUT, base)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(path), LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **settings))
    train(model)
    with tempfile.TemporaryDirectory() as work:
        model.save_pretrained(work)
        os.makedirs(folder, exist_ok=True)
        shutil.copy(os.path.join(work, "adapter_model.safetensors"), folder)
        with open(os.path.join(work, "adapter_config.json")) as f:
            config = json.load(f)
        config["base_model_name_or_path"] = "tiny/" + base
        for key, value in config.items():  # sets are saved in any order
            if key in ("target_modules", "modules_to_save") and isinstance(value, list):
                config[key] = sorted(value)
        with open(os.path.join(folder, "adapter_config.json"), "w") as f:
            json.dump(config, f, indent=1, sort_keys=False)
            f.write("\n")
    before = load_file(os.path.join(path, "model.safetensors"))
    for file, dtype in [("merged.safetensors", torch.float32), ("exact.safetensors", torch.float64)]:
        after = {k: v.to(torch.float32).contiguous() for k, v in merged(path, folder, dtype).items() if k in before}
        changed = {k: v for k, v in after.items() if not torch.equal(v, before[k].to(torch.float32))}
        save_file(changed, os.path.join(folder, file))
