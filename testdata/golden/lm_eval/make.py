"""Makes the samples_*.jsonl beside it with lm-evaluation-harness itself (lm_eval 0.4.13, Python 3.11, without torch): its dummy
model, made to give the outputs below, on four small tasks.

    python make.py OUT_DIR
"""
import os
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")

import lm_eval.models.dummy
from lm_eval.__main__ import cli_evaluate

OUTPUTS = {
    "bags": " She has 3*6=18 apples.\n#### 18",
    "2,400": " It is 2400/2 = <<2400/2=1200>>1200.\n#### 1200\n",
    "7 less": " 7 less 9 is 2.\n#### 2",
    "half of one": " Half of one is $\\boxed{\\dfrac12}$.\nFinal Answer: The final answer is $0.5$. I hope it is correct.",
    "Sentiment": " The sentiment is positive.",
}
lm_eval.models.dummy.DummyLM.generate_until = lambda self, requests, disable_tqdm=False: [
    next(v for k, v in OUTPUTS.items() if k in r.args[0]) for r in requests]

DATA = {
    "gsm8k": """{"question": "She has 3 bags of 6 apples. How many?", "answer": "3*6=18\\n#### 18"}
{"question": "Half of 2,400?", "answer": "2400/2=1200\\n#### 1,200"}
{"question": "7 less 9?", "answer": "7-9=-2\\n#### -2"}
""",
    "math": """{"problem": "What is half of one?", "level": "Level 1", "type": "Algebra", "solution": "It is $\\\\boxed{\\\\frac{1}{2}}$."}
""",
    "choice": """{"id": 4, "input": "Profit rose. Sentiment?", "options": ["Negative", "Positive", "Neutral"], "gold_index": 1}
""",
}
DATA["loglikelihood"] = DATA["choice"]

# The filters of gsm8k are the harness's own.
TASKS = {
    "gsm8k": r"""
output_type: generate_until
doc_to_text: "Question: {{question}}\nAnswer:"
doc_to_target: "{{answer}}"
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true, regexes_to_ignore: [",", "\\$", "(?s).*#### ", "\\.$"]}]
generation_kwargs: {until: ["Question:", "</s>", "<|im_end|>"], do_sample: false, temperature: 0.0}
filter_list:
  - {name: strict-match, filter: [{function: regex, regex_pattern: "#### (\\-?[0-9\\.\\,]+)"}, {function: take_first}]}
  - {name: flexible-extract, filter: [{function: regex, group_select: -1, regex_pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)"}, {function: take_first}]}
""",
    "math": r"""
output_type: generate_until
doc_to_text: "Problem:\n{{problem}}\n\nSolution:"
doc_to_target: "{{solution}}"
metric_list: [{metric: exact_match}]
generation_kwargs: {until: ["Problem:"]}
""",
    "choice": r"""
output_type: generate_until
doc_to_text: "{{input}}"
doc_to_target: "{{options[gold_index]}}"
metric_list: [{metric: exact_match}]
generation_kwargs: {until: ["\n\n"]}
""",
    "loglikelihood": """
output_type: multiple_choice
doc_to_text: "{{input}}"
doc_to_choice: "{{options}}"
doc_to_target: "{{gold_index}}"
metric_list: [{metric: acc}]
""",
}

with tempfile.TemporaryDirectory() as d:
    for name, task in TASKS.items():
        data = os.path.join(d, name + ".jsonl")
        with open(data, "w") as f:
            f.write(DATA[name])
        with open(os.path.join(d, name + ".yaml"), "w") as f:
            f.write(f"task: {name}_mini\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\nnum_fewshot: 0\n" + task)
    sys.argv[1:] = ["--model", "dummy", "--include_path", d, "--tasks", ",".join(n + "_mini" for n in TASKS), "--output_path", sys.argv[1], "--log_samples"]
    cli_evaluate()
