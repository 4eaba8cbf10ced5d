"""Merges recipes by mergekit: recipes.py IN.json OUT.json

IN names the folder of models, the recipes and where their results go: one safetensors file, packed by gzip, of tensors
named RECIPE/TENSOR. OUT has what each result's config.json says of its layers.

Recipes that IN calls inferred are merged without mergekit's table of architectures, so that it takes the tensors from
transformers' model; those that it calls precise are merged in float32, then rounded to the type that they ask for.
Experts, which mergekit writes as transformers holds them in memory, get the names that checkpoints have."""
import gzip
import json
import os
import sys

import safetensors.torch
import yaml
from huggingface_hub.errors import StrictDataclassClassValidationError
from mergekit.architecture.json_definitions import NAME_TO_ARCH
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions

with open(sys.argv[1]) as f:
    job = json.load(f)
sources = {}
for name, path in job["recipes"].items():
    with open(path) as f:
        sources[name] = f.read()
os.chdir(job["models"])  # where the recipes' ./name is


def parts(key, value, kind):
    """Yields a tensor by the names of its checkpoint: experts are stored one by one, the parts of Gemma 3 side by side."""
    if kind == "gemma3":
        key = key.replace("model.language_model.", "language_model.model.")
        key = key.removeprefix("model.") if not key.startswith("model.layers") else key
    layer, fused, name = key.partition(".mlp.experts.")
    if kind not in ("mixtral", "qwen3_moe"):
        yield key, value
    elif not fused:
        yield key.replace(".mlp.gate.", ".block_sparse_moe.gate.") if kind == "mixtral" else key, value
    else:
        stored = layer + (".block_sparse_moe.experts.%d." if kind == "mixtral" else ".mlp.experts.%d.")
        gate, up, down = ("w1", "w3", "w2") if kind == "mixtral" else ("gate_proj", "up_proj", "down_proj")
        for i, expert in enumerate(value):
            if name == "down_proj":
                yield stored % i + down + ".weight", expert
            else:
                half = expert.shape[0] // 2
                yield stored % i + gate + ".weight", expert[:half]
                yield stored % i + up + ".weight", expert[half:]


tensors, configs = {}, {}
table = dict(NAME_TO_ARCH)
for name in sorted(sources):
    out = os.path.join(job["work"], name)
    recipe = yaml.safe_load(sources[name])
    if name in (job["precise"] or []):
        recipe["out_dtype"] = recipe.get("out_dtype", recipe["dtype"])
        recipe["dtype"] = "float32"
    NAME_TO_ARCH.clear()
    inferred = name in (job["inferred"] or [])
    if not inferred:
        NAME_TO_ARCH.update(table)
    config = {}
    try:
        run_merge(MergeConfiguration.model_validate(recipe), out, MergeOptions(quiet=True, copy_tokenizer=False))
        with open(os.path.join(out, "config.json")) as f:
            config = json.load(f)
    except StrictDataclassClassValidationError:
        pass  # after the weights: mergekit changes the number of layers, and not the list of their types
    except Exception as e:
        if not os.environ.get("TRY"):
            raise RuntimeError(name) from e
        print("FAILED", name, repr(e)[:300])
        continue
    for file in sorted(os.listdir(out)):
        if file.endswith(".safetensors"):
            for key, value in safetensors.torch.load_file(os.path.join(out, file)).items():
                for key, value in parts(key, value, config.get("model_type")):
                    tensors[name + "/" + key] = value.clone()
    config = config.get("text_config", config)
    layers = config.get("num_hidden_layers", config.get("n_layer", 0))
    configs[name] = {"num_hidden_layers": 0 if inferred else layers}  # without its table it does not know where to write it

with open(job["tensors"], "wb") as f:
    f.write(gzip.compress(safetensors.torch.save(tensors), mtime=0))
with open(sys.argv[2], "w") as f:
    json.dump(configs, f)
