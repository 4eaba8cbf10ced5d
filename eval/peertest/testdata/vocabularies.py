"""Vocabularies by mergekit and transformers: vocabularies.py IN.json OUT.json

IN names folders: with recipes, mergekit merges them, and OUT has each result's tokens, rows and vocab_size; with
folders, transformers loads their tokenizers, and OUT has the tokens, the ids of the texts, and the conversations."""
import json
import os
import sys

import safetensors.torch
import transformers
import yaml

with open(sys.argv[1]) as f:
    job = json.load(f)

TEXTS = job["texts"]
TALK = [{"role": "user", "content": " ab "}, {"role": "assistant", "content": "cd"}, {"role": "user", "content": "abcd"}]


def load(path):
    return transformers.AutoTokenizer.from_pretrained(path)


def ordered(self):
    """The models in the recipe's order: mergekit's own is that of a set, which changes from run to run."""
    seen = []
    def add(model):
        if model and model not in seen:
            seen.append(model)
    add(self.base_model)
    for entry in self.models or []:
        add(entry.model)
    slices = list(self.slices or [])
    for module in (self.modules or {}).values():  # what mergekit makes of both on the way
        slices += module.slices or []
    for part in slices:
        for source in part.sources:
            add(source.model)
    return seen


def merged(models, work):
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    MergeConfiguration.referenced_models = ordered
    fast = transformers.PreTrainedTokenizerFast
    unordered = fast.get_vocab  # in the order of a hash table, another one in each process
    fast.get_vocab = lambda self: dict(sorted(unordered(self).items(), key=lambda entry: entry[1]))
    out = {}
    os.chdir(models)
    for name, text in sorted(job["recipes"].items()):
        folder = os.path.join(work, name)
        run_merge(MergeConfiguration.model_validate(yaml.safe_load(text)), folder, MergeOptions(quiet=True))
        tensors = {}
        for file in sorted(os.listdir(folder)):
            if file.endswith(".safetensors"):
                tensors.update(safetensors.torch.load_file(os.path.join(folder, file)))
        with open(os.path.join(folder, "config.json")) as f:
            config = json.load(f)
        rows = {key: tensors[key].float().tolist() for key in ("model.embed_tokens.weight", "lm_head.weight") if key in tensors}
        out[name] = {"vocab": load(folder).get_vocab(), "vocab_size": config["vocab_size"], "rows": rows}
    return out


def loaded(folders):
    out = {}
    for name, folder in sorted(folders.items()):
        t = load(folder)
        entry = {"vocab": t.get_vocab(), "ids": [t.encode(text, add_special_tokens=False) for text in TEXTS]}
        if t.chat_template:
            entry["talk"] = [t.apply_chat_template(TALK[:n], tokenize=False, add_generation_prompt=n % 2 == 1) for n in (1, 2, 3)]
        out[name] = entry
    return out


result = {}
if job.get("recipes"):
    result = merged(job["models"], job["work"])
if job.get("folders"):
    result = loaded(job["folders"])
with open(sys.argv[2], "w") as f:
    json.dump(result, f)
