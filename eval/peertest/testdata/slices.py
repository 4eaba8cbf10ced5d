"""Merges recipes by mergekit: slices.py IN.json OUT.json

IN names the folder of models, the recipes and where their results go: one safetensors file, packed by gzip, of tensors
named RECIPE/TENSOR. OUT has what each result's config.json says of its layers."""
import gzip
import json
import os
import sys

import safetensors.torch
import yaml
from huggingface_hub.errors import StrictDataclassClassValidationError
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

tensors, configs = {}, {}
for name in sorted(sources):
    out = os.path.join(job["work"], name)
    recipe = MergeConfiguration.model_validate(yaml.safe_load(sources[name]))
    config = {}
    try:
        run_merge(recipe, out, MergeOptions(quiet=True, copy_tokenizer=False))
        with open(os.path.join(out, "config.json")) as f:
            config = json.load(f)
    except StrictDataclassClassValidationError:
        pass  # after the weights: mergekit changes the number of layers, and not the list of their types
    for file in sorted(os.listdir(out)):
        if file.endswith(".safetensors"):
            for key, value in safetensors.torch.load_file(os.path.join(out, file)).items():
                tensors[name + "/" + key] = value.clone()
    configs[name] = {"num_hidden_layers": config.get("num_hidden_layers", 0)}

with open(job["tensors"], "wb") as f:
    f.write(gzip.compress(safetensors.torch.save(tensors), mtime=0))
with open(sys.argv[2], "w") as f:
    json.dump(configs, f)
