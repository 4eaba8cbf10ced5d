"""Makes scorers_more.jsonl: generated answers and outputs with the verdicts that the graders' originals give.

    python scorers_more.py --peers DIR --seed 10 --rounds 14 > scorers_more.jsonl

DIR holds checkouts of GAIR-NLP/abel (3a24ef2), hendrycks/math (985bdc1), EleutherAI/lm-evaluation-harness (4e7e0d4),
openai/grade-school-math (3101c7d) and The-FinAI/PIXIU (da45ac4), each in a folder of the repository's own name. Their
functions are called as they are; nothing of them is kept here. Python 3.11, sympy 1.12, antlr4-python3-runtime 4.11.0,
math-verify 0.8.0, latex2sympy2_extended 1.10.2, pylatexenc 2.10, numpy 1.24.2, mpmath 1.3.0.

A row has the form of scorers.jsonl. A case for which a scorer needs more than 20 seconds is left out.
"""
import argparse
import ast
import json
import os
import random
import re
import signal
import sys
import tempfile
import types
import warnings
from collections import defaultdict

warnings.filterwarnings("ignore")


# ---------------------------------------------------------------- the peers

def functions(path, names, space):
    """Executes only the named top-level definitions of a file, so that its imports of torch and the like are not needed."""
    with open(path, encoding="utf-8") as f:
        tree = ast.parse(f.read())
    for node in tree.body:
        name = getattr(node, "name", None)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        if name in names:
            exec(compile(ast.Module([node], []), path, "exec"), space)
    return types.SimpleNamespace(**{n: space[n] for n in names})


class Peers:
    def __init__(self, root):
        import numpy
        import sympy
        from math_verify import parse, verify
        from sympy.parsing.latex import parse_latex
        self.mv_parse, self.mv_verify = parse, verify

        sys.path.insert(0, os.path.join(root, "abel", "evaluation"))
        import math_normalization
        self.abel = math_normalization
        space = dict(vars(math_normalization), os=os, re=re, json=json, tqdm=lambda x, total=0: x)
        self.abel_results = functions(os.path.join(root, "abel", "evaluation", "inference.py"), ["get_results"], space).get_results

        self.hendrycks = functions(os.path.join(root, "math", "modeling", "math_equivalence.py"),
                                   ["_fix_fracs", "_fix_a_slash_b", "_remove_right_units", "_fix_sqrt", "_strip_string", "is_equiv"], {})
        self.last_boxed = functions(os.path.join(root, "math", "modeling", "dataset", "util.py"), ["last_boxed_only_string"], {}).last_boxed_only_string
        self.remove_boxed = functions(os.path.join(root, "math", "modeling", "eval_math_gpt.py"), ["remove_boxed"], {}).remove_boxed

        harness = os.path.join(root, "lm-evaluation-harness", "lm_eval")
        logger = types.SimpleNamespace(debug=lambda *a: None, error=lambda *a: None)
        self.minerva = functions(os.path.join(harness, "tasks", "minerva_math", "utils.py"),
                                 ["timeout", "is_equiv", "get_unnormalized_answer", "SUBSTITUTIONS", "REMOVED_EXPRESSIONS", "normalize_final_answer"],
                                 {"re": re, "signal": signal, "sympy": sympy, "parse_latex": parse_latex, "eval_logger": logger})
        # get_unnormalized_answer's regular expression is searched in the text; is_equiv sets its own alarm.
        space = {"re": re, "Filter": object, "register_filter": lambda name: lambda c: c, "Any": object}
        RegexFilter = functions(os.path.join(harness, "filters", "extraction.py"), ["RegexFilter"], annotations(space)).RegexFilter
        self.strict = RegexFilter("#### (\\-?[0-9\\.\\,]+)")
        self.flexible = RegexFilter("(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1)
        self.exact = functions(os.path.join(harness, "api", "metrics.py"), ["exact_match_hf_evaluate"],
                               {"np": numpy, "re": re}).exact_match_hf_evaluate
        self.official = functions(os.path.join(root, "grade-school-math", "grade_school_math", "dataset.py"),
                                  ["ANS_RE", "INVALID_ANS", "extract_answer", "is_correct"], {"re": re})
        self.pixiu = pixiu(os.path.join(root, "PIXIU", "src", "tasks", "flare.py"))
        self.work = tempfile.mkdtemp()
        os.makedirs(os.path.join(self.work, "data", "test"))

    def abel_full(self, gold, output):
        """get_results on files of one row."""
        where = os.getcwd()
        os.chdir(self.work)
        out, sys.stdout = sys.stdout, open(os.devnull, "w")
        try:
            with open("data/test/test.jsonl", "w") as f:
                f.write(json.dumps({"target": gold, "source": "math", "tag": {}}) + "\n")
            with open("pred.jsonl", "w") as f:
                f.write(json.dumps({"response": output}) + "\n")
            self.abel_results("pred.jsonl", "all")
            with open("pred.jsonl") as f:
                return json.loads(f.read())
        finally:
            sys.stdout.close()
            sys.stdout = out
            os.chdir(where)

    def verify(self, gold, output):
        return bool(self.mv_verify(self.mv_parse(gold), self.mv_parse(output)))


def annotations(space):
    # Annotations of the peer's methods name types that are only imported for checking.
    import builtins
    space["__builtins__"] = dict(vars(builtins))
    for n in ("Iterable", "Sequence"):
        space[n] = defaultdict(lambda: object)
    space["Iterable"] = space["Sequence"] = Subscript()
    return space


class Subscript:
    def __getitem__(self, _):
        return object


def pixiu(path):
    with open(path, encoding="utf-8") as f:
        tree = ast.parse(f.read())
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Classification":
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == "process_results":
                    space = {}
                    exec(compile(ast.Module([part], []), path, "exec"), space)
                    me = types.SimpleNamespace(LOWER_CASE=True, CALCULATE_MCC=True)
                    return lambda doc, results: space["process_results"](me, doc, results)
    raise SystemExit(path + ": no Classification.process_results")


# ---------------------------------------------------------------- verdicts

def judge_equiv(p, c):
    gold, pred = c["gold"], c["model_output"]
    a, b = p.abel.normalize_final_answer(gold), p.abel.normalize_final_answer(pred)
    m, n = p.minerva.normalize_final_answer(gold), p.minerva.normalize_final_answer(pred)
    extracted = {"abel_norm_gold": a, "abel_norm_pred": b, "minerva_norm_gold": m, "minerva_norm_pred": n}
    for side, s in (("gold", gold), ("pred", pred)):
        try:
            extracted["hendrycks_strip_" + side] = p.hendrycks._strip_string(s)
        except Exception:
            pass
    correct = {"abel": bool(p.abel.check_sympy_equivalence(a, b)),
               "hendrycks": bool(p.hendrycks.is_equiv(pred, gold)),
               "minerva": bool(p.minerva.is_equiv(n, m)),
               "math_verify": p.verify("$" + gold + "$", "$" + pred + "$")}
    return extracted, correct


def judge_math(p, c):
    gold, out = c["gold"], c["model_output"]
    r = p.abel_full(gold, out)
    boxed = p.last_boxed(out)
    boxed = p.remove_boxed(boxed) if boxed is not None else None
    answer = p.minerva.normalize_final_answer(p.minerva.get_unnormalized_answer(out))
    extracted = {"abel": r["pred"], "abel_gold": r["gold"], "hendrycks_boxed": boxed, "minerva": answer}
    correct = {"abel": bool(r["result"]), "hendrycks_boxed": bool(boxed is not None and p.hendrycks.is_equiv(boxed, gold)),
               "minerva": bool(p.minerva.is_equiv(answer, p.minerva.normalize_final_answer(gold))),
               "lm_eval_math_verify": p.verify("The solution is $\\boxed{" + gold + "}$.", out)}
    return extracted, correct


def judge_gsm8k(p, c):
    gold, out = c["gold"], c["model_output"]
    r = p.abel_full(gold, out)
    extracted = {"abel": r["pred"], "abel_gold": r["gold"], "gsm8k_official": p.official.extract_answer(out)}
    correct = {"abel": bool(r["result"]), "gsm8k_official": bool(p.official.is_correct(out, {"answer": "#### " + gold}))}
    for name, f in (("lm_eval_strict", p.strict), ("lm_eval_flexible", p.flexible)):
        extracted[name] = f.apply([[out]], [{}])[0][0]
        correct[name] = bool(p.exact([extracted[name]], ["It is so.\n#### " + gold], regexes_to_ignore=[",", "\\$", "(?s).*#### ", "\\.$"],
                                     ignore_case=True)["exact_match"])
    correct["math_verify"] = p.verify("$" + gold + "$", out)
    return extracted, correct


def judge_choice(p, c):
    out, options = c["model_output"], c["options"]
    gold = c["gold"] if isinstance(c["gold"], list) else [c["gold"]]
    cs = [o for o in options if o in out]
    ci = [o for o in options if o.lower() in out.lower()]
    right = [options[i] for i in gold]
    correct = {"paper_contains_cs": any(o in right for o in cs), "paper_contains_ci": any(o in right for o in ci),
               "ref_only_gold_ci": bool(ci) and all(o in right for o in ci)}
    extracted = {"contained_cs": cs, "contained_ci": ci}
    if len(gold) == 1:
        r = p.pixiu({"choices": options, "gold": gold[0]}, [out])
        correct["pixiu"] = bool(r["acc"])
        extracted["pixiu"] = r["f1"][0]
    return extracted, correct


# ---------------------------------------------------------------- answers

def frac(r, a, b):
    """Spellings of a/b."""
    return r.choice([f"\\frac{{{a}}}{{{b}}}", f"\\dfrac{{{a}}}{{{b}}}", f"\\tfrac{{{a}}}{{{b}}}", f"{a}/{b}", f"\\frac{{{a}}}{{{b}}}",
                     f"\\frac{a}{b}" if len(str(a)) == len(str(b)) == 1 else f"\\frac {{{a}}} {{{b}}}", f"\\frac{{{a}}} {{{b}}}",
                     f"\\frac {a}{b}" if len(str(a)) == len(str(b)) == 1 else f"{{{a}}}/{{{b}}}", f"({a})/({b})", f"{a} / {b}", f"{a}\\div {b}", f"\\cfrac{{{a}}}{{{b}}}"])


def thousands(n):
    return f"{n:,}"


def answers(r):
    """One (category, gold, [prediction, …]) of a random kind; the predictions are right, nearly right, or wrong."""
    i = lambda lo=1, hi=99: r.randint(lo, hi)
    v = lambda: r.choice("xyznabkmtp")
    kind = r.choice(["int", "int", "thousands", "decimal", "decimal", "frac", "frac", "frac", "mixed", "sqrt", "sqrt", "pi", "percent", "money", "units", "units",
                     "degrees", "words", "words", "tuple", "tuple", "interval", "interval", "union", "set", "matrix", "equation", "equation", "poly",
                     "poly", "rational", "power", "log", "trig", "abs", "factorial", "base", "inequality", "pm", "complex", "exp", "scientific",
                     "floor", "repeating", "letter", "function", "dots", "time", "ratio", "recursive", "empty", "product"])
    if kind == "int":
        n = r.choice([0, i(1, 9), i(), i(), i(100, 99999), -i()])
        return kind, str(n), [str(n), f"{n}.0", f"{n}.", f"+{n}", f"0{n}", f"{n}/1", f"{n + 1}", str(-n), f"--{n}", f"- {abs(n)}", f"{n}.00", f"{n - 1} + 1", f"{2 * n}/2", f"{n}a", f"{n} ", f"n = {n}", f"\\mathbf{{{n}}}", f"{{{n}}}", f"({n})", f"({n}", f"{n})", f"**{n}**", f"{n}\\text{{ or }}{n + 1}", f"{n}\\,", f"\\;{n}", f"{n}\n", f"{n}\\\\", f"{n}!", f"-{n}", f"\u2212{abs(n)}", "".join(chr(0x660 + int(d)) if d.isdigit() else d for d in str(n)), "".join(chr(0xFF10 + int(d)) if d.isdigit() else d for d in str(n)), f"{n}\u00b2", f"{n},", f"{n};", f"\\frac{{{2 * n}}}{{2}}", f"{n} \\times 1", f"{n}*1", f"{n}\u00d71", f"\\sqrt{{{n * n}}}", f"{n:e}", f"{n}_{{10}}", f"{n}^1", f"\\boxed{{{n}}}", f"\\text{{{n}}}", f"approximately {n}", f"\\approx {n}", f"{n}\\text{{th}}", f"{n}th", f"{n}\\mathrm{{th}}", f"${n}$", f"\\({n}\\)", f"{n}$", f"the answer is {n}", f"{n}\u00b0"]
    if kind == "thousands":
        n = r.choice([i(1000, 9999), i(10000, 999999), i(1000000, 99999999)])
        t = thousands(n)
        return kind, r.choice([str(n), t, t.replace(",", ",\\!"), t.replace(",", "{,}")]), [str(n), t, t.replace(",", ",\\!"), t.replace(",", "{,}"), t.replace(",", " "), t.replace(",", ", "), t.replace(",", "."), t + ".00", t + ".0", t + ".", t[:-1], t.replace(",", "\\,"), str(n + 1), thousands(n + 10), t.replace(",", "'"), t.replace(",", "\\ "), "\\$" + t, "$" + t + "$", t + "\\text{ people}", t + " dollars", t.replace(",", "\u2009"), "-" + t, t + "," , str(n) + ".00", f"{n / 1000}\\times 10^3", f"{n // 1000},{n % 1000}"]
    if kind == "decimal":
        a, b = i(0, 50), i(1, 999)
        s = f"{a}.{b}"
        return kind, s, [s, s + "0", s + "00", s[1:] if a < 10 else s, f"\\frac{{{a}{b}}}{{{10 ** len(str(b))}}}", f"{a}{b}/{10 ** len(str(b))}", s + "1", "+" + s, "-" + s, "0" + s, s + ".", f"{a},{b}", f"{a}.{b}\\%", f"{a}. {b}", f"{a} .{b}", f"{round(float(s), 1)}", f"{float(s) * 100:g}\\%", f"\\approx {s}", f"{s}...", f"{s}\\ldots", f"{s}\\text{{ cm}}", f"\\${s}", f".{b}", f"0.{b}+{a}", f"{a}+0.{b}", f"{s}x", f"{float(s):e}", f"{a}{{.}}{b}", f"{s}\\pi", f"{s}^{{2}}", f"{s}999999", f"2\\cdot {float(s) / 2:g}"]
    if kind == "frac":
        a, b = i(1, 30), i(2, 30)
        s = r.choice(["", "", "-"])
        k = i(2, 5)
        return kind, s + f"\\frac{{{a}}}{{{b}}}", [s + frac(r, a, b), s + frac(r, a, b), s + frac(r, a, b), s + frac(r, a, b), s + frac(r, a * k, b * k), s + frac(r, b, a), s + f"{a / b:.4f}", s + f"{a / b}", f"\\frac{{{s}{a}}}{{{b}}}", f"\\frac{{{a}}}{{{s}{b}}}", f"{s}\\frac{{{a}.0}}{{{b}}}", f"{s}{a}\\cdot\\frac{{1}}{{{b}}}", f"{s}{a} \\times {b}^{{-1}}", f"{s}{{{a} \\over {b}}}", f"{s}\\left(\\frac{{{a}}}{{{b}}}\\right)", f"{s}({a}/{b})", f"{s}\\frac{{{a}}}{{{b}}}.", f"{s}\\frac{{{a}}}{{{b}}}\\text{{ m}}", f"{s}\\frac{{{a}}}{{{b}}} \\text{{ inches}}", f"{s}\\frac{{{a}}}{{{b}+0}}", f"{s}{a}\u2044{b}", f"{s}\\frac{{{a + b}}}{{{b}}}-1", f"{s}\\frac{{{a}}}{{{b}}}\\%", f"{s}\\frac{{\\,{a}\\,}}{{{b}}}", f"{s}\\displaystyle\\frac{{{a}}}{{{b}}}", f"{s}\\frac{{{a}x}}{{{b}x}}", f"{s}\\frac{{{a}}}{{{b}}}x", f"1-\\frac{{{b - a}}}{{{b}}}", f"{s}{a}:{b}", f"P={s}\\frac{{{a}}}{{{b}}}", f"{s} \\frac{a}{{{b}}}", f"{s}\\frac{{{a}}}{b}", f"\\boxed{{{s}\\frac{{{a}}}{{{b}}}}}", f"\\text{{{s}{a}/{b}}}", f"{s}\u00bd", f"{s}\\frac{{{a}}}{{{b}}}+0", f"{s}\\frac{{\\frac{{{a}}}{{2}}}}{{\\frac{{{b}}}{{2}}}}", f"{s}\\frac{a}{b}", f"{s}\\frac {{{a}}}{{{b}}}"]
    if kind == "mixed":
        w, a, b = i(1, 12), i(1, 8), i(9, 16)
        improper = f"\\frac{{{w * b + a}}}{{{b}}}"
        spell = [f"{w}\\frac{{{a}}}{{{b}}}", f"{w} \\frac{{{a}}}{{{b}}}", f"{w} {a}/{b}", f"{w}\\dfrac{{{a}}}{{{b}}}", f"{w}+\\frac{{{a}}}{{{b}}}", f"{w}~\\frac{{{a}}}{{{b}}}", f"{w}\\ {a}/{b}", f"{w}-{a}/{b}", f"{w}\\tfrac{{{a}}}{{{b}}}", f"{w}\\text{{ and }}\\frac{{{a}}}{{{b}}}"]
        return kind, r.choice([improper, spell[0], improper]), spell + [improper, f"{w * b + a}/{b}", f"{w + a / b:.3f}", f"-{spell[0]}", f"\\frac{{{w * a}}}{{{b}}}", f"{w}\\frac{a}{b}", f"{w}\\cdot\\frac{{{a}}}{{{b}}}"]
    if kind == "sqrt":
        a, b, c = i(1, 12), r.choice([2, 3, 5, 6, 7, 10, 11, 13]), i(2, 6)
        head = "" if a == 1 else str(a)
        return kind, r.choice([f"{head}\\sqrt{{{b}}}", f"{head}\\sqrt{{{b}}}", f"\\frac{{{head}\\sqrt{{{b}}}}}{{{c}}}", f"{c}+{head}\\sqrt{{{b}}}"]), [f"{head}\\sqrt{{{b}}}", f"{head}\\sqrt{b}", f"{head} \\sqrt {b}", f"\\sqrt{{{a * a * b}}}", f"{head}\\cdot\\sqrt{{{b}}}", f"{head}*\\sqrt{{{b}}}", f"{head}{b}^{{1/2}}", f"{head}\\cdot{b}^{{\\frac12}}", f"{head}\\sqrt[2]{{{b}}}", f"{head}\\sqrt[3]{{{b}}}", f"\\frac{{{a * b}}}{{\\sqrt{{{b}}}}}", f"\\frac{{{head}\\sqrt{{{b}}}}}{{{c}}}", f"\\frac{{{a}}}{{{c}}}\\sqrt{{{b}}}", f"{head}\\sqrt{{{b}}}/{c}", f"\\sqrt{{\\frac{{{a * a * b}}}{{{c * c}}}}}", f"{c}+{head}\\sqrt{{{b}}}", f"{head}\\sqrt{{{b}}}+{c}", f"{c} - {head}\\sqrt{{{b}}}", f"{a * b ** 0.5:.4f}", f"{a * b ** 0.5}", f"\\sqrt{{{b}}}{a}", f"{head}\\sqrt({b})", f"{head}sqrt({b})", f"{head}sqrt{{{b}}}", f"{head}\u221a{b}", f"{head}\\sqrt{{{b}}}\\text{{ cm}}", f"\\sqrt{{{b}}}\\cdot {a}", f"({head}\\sqrt{{{b}}})", f"-{head}\\sqrt{{{b}}}", f"\\pm {head}\\sqrt{{{b}}}", f"{head}b\\sqrt{{{b}}}", f"\\sqrt{{{b}}}^2", f"\\sqrt{{{a}}}\\sqrt{{{b}}}", f"\\sqrt[4]{{{a ** 4 * b ** 2}}}", f"{head}\\sqrt{{\\vphantom{{1}}{b}}}", f"{head}\\sqrt{{ {b} }}", f"{head}\\sqrt{{{b}}}.", f"\\sqrt{{{a}}}{b}", f"{a} \\sqrt{{{b}}} \\text{{ units}}", f"{head}\\sqrt{{-{b}}}"]
    if kind == "pi":
        a, b = i(1, 20), i(2, 12)
        return kind, r.choice([f"{a}\\pi", f"\\frac{{{a}\\pi}}{{{b}}}", f"{a}\\pi"]), [f"{a}\\pi", f"{a} \\pi", f"\\pi {a}", f"\\pi\\cdot {a}", f"{a}\\cdot\\pi", f"{a}\u03c0", f"{a} \u03c0", f"{a}pi", f"{a} pi", f"{a}*\\pi", f"{a * 3.14159:.2f}", f"\\frac{{{a}\\pi}}{{{b}}}", f"\\frac{{{a}}}{{{b}}}\\pi", f"{a}\\pi/{b}", f"\\frac{{\\pi}}{{{b}}}\\cdot {a}", f"\\frac{{{2 * a}\\pi}}{{2}}", f"{a}\\pi\\text{{ cm}}^2", f"{a}\\pi \\text{{ square units}}", f"-{a}\\pi", f"{a}\\pi^2", f"\\frac{{{a}\\pi}}{{{b}}} \\text{{ radians}}", f"{a}\\Pi", f"{180 * a / b:g}^\\circ", f"{a}\\pi r^2", f"\\pi\\sqrt{{{a * a}}}", f"{a}{{\\pi}}", f"{a}\\mathrm{{\\pi}}", f"({a}\\pi)", f"{a}\\pi."]
    if kind == "percent":
        n = r.choice([i(1, 100), f"{i(1, 99)}.{i(1, 9)}", i(100, 300)])
        d = f"{float(n) / 100:g}"
        return kind, r.choice([f"{n}\\%", f"{n}", f"{n}%", d]), [f"{n}\\%", f"{n}%", f"{n}", f"{n} \\%", f"{n} %", f"{n} percent", f"{n}\\text{{ percent}}", f"{n}\\text{{%}}", f"{n}\\text{{ \\%}}", d, f"\\frac{{{n}}}{{100}}", f"{n}\\%.", f"{n}.0\\%", f"{n}pct", f"{n} per cent", f"${n}\\%$", f"${n}$%", f"-{n}\\%", f"{float(n) + 1:g}\\%", f"{n}\\% \\text{{ off}}", f"{n}\\textrm{{%}}", f"{n}\\\\%", f"{n}\\mathrm{{\\%}}", f"{n}\\%\\text{{ increase}}", f"x={n}\\%", f"{n}\\,\\%", f"{n}\u066a"]
    if kind == "money":
        n = r.choice([i(1, 500), f"{i(1, 99)}.{i(10, 99)}", f"{i(1, 99)}.{i(1, 9)}0", i(1000, 90000)])
        return kind, str(n), [f"\\${n}", f"${n}", f"${n}$", f"$\\${n}$", f"\\$ {n}", f"{n} dollars", f"{n}\\$", f"{n}$", f"USD {n}", f"\u20ac{n}", f"\\${float(n):,.2f}", f"\\${float(n):,.2f}.", f"{float(n):.2f}", f"\\text{{\\${n}}}", f"{n}\\text{{ dollars}}", f"{n} cents", f"{n}\\text{{ cents}}", f"-\\${n}", f"\\$-{n}", f"\\${n}.", f"\\mathdollar {n}", f"{n} \\text{{ USD}}", f"\\pounds {n}", f"\\textdollar {n}", f"$ {n}", f"$ {n} $", f"\\${n}\\text{{ per hour}}", f"\\boxed{{\\${n}}}"]
    if kind == "units":
        n = r.choice([i(), i(), f"\\frac{{{i(1, 9)}}}{{{i(2, 9)}}}", f"{i()}.{i(1, 9)}", f"{i()}\\pi", f"{i(2, 9)}\\sqrt{{{i(2, 9)}}}"])
        u = r.choice(["cm", "inches", "square inches", "meters", "miles", "hours", "minutes", "km", "mph", "units", "square units", "cubic feet", "feet", "ft", "m", "degrees", "apples", "students", "ways", "points", "pounds", "kg", "grams", "days", "years", "cents", "digits", "edges", "m^2", "miles per hour", "seconds", "ounces", "gallons", "people", "books", "sq. ft", "yards", "marbles", "integers", "sides", "coins", "liters"])
        return kind, str(n), [f"{n} {u}", f"{n}\\text{{ {u}}}", f"{n} \\text{{ {u}}}", f"{n}\\text{{{u}}}", f"{n}\\,\\text{{{u}}}", f"{n}\\ \\text{{{u}}}", f"{n}\\mbox{{ {u}}}", f"{n} \\mbox{{{u}}}", f"{n}\\mathrm{{ {u}}}", f"{n}\\textrm{{ {u}}}", f"{n}\\;\\mathrm{{{u}}}", f"{n}\\text{{ {u}}}^2", f"{n}\\text{{ {u}}}^3", f"{n}\\text{{ {u}}}^{{2}}", f"{n}~\\text{{{u}}}", f"{n}{u}", f"{n} {u}.", f"{n}\\text{{ {u}}}.", f"${n}$ {u}", f"${n}\\text{{ {u}}}$", f"{n}-{u}", f"{n} {u.title()}", f"\\text{{{n} {u}}}", f"{n}\\quad\\text{{{u}}}", f"{u}", f"{n}\\hspace{{1mm}}\\text{{{u}}}", f"{n}\\text{{ {u} }}", f"{n} \\text{{ {u} and }} 2", f"{n}\\text{{}}", f"{n}\\text{{.}}", f"{n}\\text{{s}}", f"{n}\\text{{m}}", f"{n}\\text{{m}}^2", f"{n}\\textit{{ {u}}}", f"{n}\\text{{ {u}/s}}", f"{n}\\text{{ }}{u}", f"a {n}", f"an {n} {u}"]
    if kind == "degrees":
        n = r.choice([i(1, 360), f"{i(1, 180)}.5", f"-{i(1, 90)}"])
        return kind, r.choice([str(n), f"{n}^\\circ", f"{n}^{{\\circ}}"]), [f"{n}", f"{n}^\\circ", f"{n}^{{\\circ}}", f"{n} ^\\circ", f"{n}^ \\circ", f"{n}\\degree", f"{n} degrees", f"{n}\\text{{ degrees}}", f"{n}\u00b0", f"{n}^{{\\circ}}\\text{{C}}", f"{n}^\\circ F", f"{n}^\\circ.", f"{n}^o", f"{n}^{{o}}", f"\\angle A = {n}^\\circ", f"{n}^{{ \\circ}}", f"{n} \\text{{deg}}", f"{n}\\pi/180", f"{n}^0", f"{n}\\textdegree", f"{n}\u00ba", f"{n}^\\circ 30'"]
    if kind == "words":
        w = r.choice(["even", "odd", "yes", "no", "Yes", "No", "Monday", "Tuesday", "ellipse", "parabola", "circle", "hyperbola", "Evelyn", "Briana", "Navin", "no solution", "none", "infinite", "undefined", "true", "false", "blue", "east", "Alice", "not possible", "left", "AB", "ABC", "C", "B, D", "obtuse", "neither", "two lines", "Alpha", "Brenda", "August", "rectangle", "cosine", "sin", "July 4", "6 PM", "Step 2", "inf", "dot", "quadratic", "Wednesday", "Saturday", "die", "order", "pi", "decreasing", "empty"])
        return kind, r.choice([f"\\text{{{w}}}", f"\\text{{{w}}}", w]), [w, f"\\text{{{w}}}", f"\\text{{ {w} }}", f"\\textbf{{{w}}}", f"\\mathrm{{{w}}}", f"\\mbox{{{w}}}", f"\\textit{{{w}}}", f"\\textrm{{{w}}}", f"\\text {w}", w.lower(), w.upper(), w.title(), w + ".", f"\\text{{{w}.}}", f"\\text{{{w}}}.", f'"{w}"', f"'{w}'", f"the {w}", f"a {w}", f"an {w}", f"It is {w}", w[::-1], "".join(sorted(w)), w + "s", f"$\\text{{{w}}}$", f"\\text{{({w})}}", f"({w})", f"{w}\n", f"**{w}**", f"\\boxed{{\\text{{{w}}}}}", w.replace(" ", "\\ "), w.replace(" ", "~"), f"\\emph{{{w}}}", f"{w}!", f"{w}?", f"not {w}", f"\\text{{{w}}}\\text{{ or }}\\text{{odd}}", f"\\underline{{{w}}}", f"\\mathbf{{{w}}}", f"\\mathsf{{{w}}}", f"\\operatorname{{{w}}}"]
    if kind == "tuple":
        n = r.choice([2, 2, 3])
        xs = [r.choice([str(i(-9, 9)), f"\\frac{{{i(1, 9)}}}{{{i(2, 9)}}}", f"{i(0, 9)}.5", f"{i(1, 9)}\\pi", f"\\sqrt{{{i(2, 9)}}}", v(), f"-{i(1, 9)}", str(i(-20, 20))]) for _ in range(n)]
        j = ",".join(xs)
        ys = [x.replace("\\frac", "\\dfrac") for x in xs]
        zs = [re.sub(r"\\frac\{(\d)\}\{(\d)\}", r"\1/\2", x) for x in xs]
        return kind, f"({j})", [f"({j})", f"({', '.join(xs)})", f"( {' , '.join(xs)} )", f"\\left({j}\\right)", f"\\left( {', '.join(xs)} \\right)", j, ", ".join(xs), f"({','.join(xs[::-1])})", f"[{j}]", f"\\{{{j}\\}}", f"({','.join(ys)})", f"({','.join(zs)})", f"({j}).", f"({j}", f"{j})", f"(x,y)=({j})", f"({'; '.join(xs)})", f"\\langle {j}\\rangle", f"x={xs[0]},y={xs[1]}", f"({j},0)", f"\\big({j}\\big)", f"(\\,{j}\\,)", f"({','.join('+' + x for x in xs)})", f"({',~'.join(xs)})", f"\\text{{({j})}}", f"\\boxed{{({j})}}", f"$({j})$", f"(({xs[0]}),{','.join(xs[1:])})", f"({','.join(x + '.0' if x.isdigit() else x for x in xs)})", "\\begin{pmatrix}" + "\\\\".join(xs) + "\\end{pmatrix}", "(" + ",\\ ".join(xs) + ")", "(" + ",\\,".join(xs) + ")", f"\\lparen {j}\\rparen"]
    if kind == "interval":
        lo, hi = r.choice(["-\\infty", str(-i(1, 9)), "0", f"-\\frac{{{i(1, 9)}}}{{2}}", "-\\sqrt{2}"]), r.choice(["\\infty", str(i(1, 9)), f"\\frac{{{i(1, 9)}}}{{2}}", f"{i(1, 9)}.5", "\\pi"])
        a = "(" if "inf" in lo else r.choice("([")
        b = ")" if "inf" in hi else r.choice(")]")
        return kind, f"{a}{lo},{hi}{b}", [f"{a}{lo},{hi}{b}", f"{a}{lo}, {hi}{b}", f"\\left{a}{lo},{hi}\\right{b}", f"{a} {lo} , {hi} {b}", f"({lo},{hi})", f"[{lo},{hi}]", f"({lo},{hi}]", f"[{lo},{hi})", f"{lo} < x < {hi}", f"{lo} \\le x \\le {hi}", f"{lo} \\leq x < {hi}", f"x \\in {a}{lo},{hi}{b}", f"x\\in {a}{lo},{hi}{b}", f"{a}{lo.replace('frac', 'dfrac')},{hi.replace('frac', 'tfrac')}{b}", f"{a}{lo},+{hi}{b}", f"{a}{hi},{lo}{b}", f"{a}{lo};{hi}{b}", f"{lo},{hi}", f"\\text{{{a}{lo},{hi}{b}}}", f"{a}{lo},{hi}{b}.", f"x > {lo}", f"x<{hi}", f"{a}{lo},{hi}{b}\\cup({hi},20)", f"{a}{lo},\\ {hi}{b}", f"\\left{a} {lo}, {hi} \\right{b}", f"x\\geq {lo}", f"{lo}\\to {hi}", f"\\mathbb{{R}}", f"{a}-\\inf,{hi}{b}", f"{a}{lo},inf{b}"]
    if kind == "union":
        a, b, c = -i(1, 9), i(0, 5), i(6, 12)
        s = f"(-\\infty,{a})\\cup({b},{c}]"
        return kind, s, [s, s.replace("\\cup", " \\cup "), s.replace("\\cup", "\\cup "), s.replace("\\cup", "\\bigcup"), s.replace("\\cup", " U "), s.replace("\\cup", ","), s.replace("\\cup", "\\text{ or }"), s.replace(",", ", "), f"({b},{c}]\\cup(-\\infty,{a})", f"\\left(-\\infty,{a}\\right)\\cup\\left({b},{c}\\right]", f"(-\\infty,{a}]\\cup({b},{c}]", f"x<{a}\\text{{ or }}{b}<x\\le {c}", s.replace("(-\\infty", "(-\\infty "), f"(-\\infty,{a})\\cup({b},{c})", f"x\\in {s}", s + ".", s.replace("\\cup", "\u222a"), s.replace("\\infty", "\u221e"), f"(-\\infty,{a})\\cap({b},{c}]"]
    if kind == "set":
        xs = r.sample([str(k) for k in range(-9, 20)], r.choice([2, 2, 3, 4]))
        if r.random() < 0.3:
            xs[0] = f"\\frac{{{i(1, 9)}}}{{{i(2, 9)}}}"
        j = ",".join(xs)
        return kind, r.choice([j, f"\\{{{j}\\}}", j]), [j, ", ".join(xs), f"\\{{{j}\\}}", f"\\{{ {', '.join(xs)} \\}}", f"\\left\\{{{j}\\right\\}}", ",".join(xs[::-1]), f"\\{{{','.join(xs[::-1])}\\}}", " \\text{ and } ".join(xs), " and ".join(xs), "\\text{ or }".join(xs), ", ".join(xs[:-1]) + "\\text{ and }" + xs[-1], ", ".join(xs[:-1]) + ", and " + xs[-1], ";".join(xs), "; ".join(xs), f"({j})", f"[{j}]", f"{{{j}}}", ",".join("x=" + x for x in xs), "x=" + j, "x=" + " or x=".join(xs), f"x\\in\\{{{j}\\}}", ",".join(xs[:-1]), j + ",99", ",\\ ".join(xs), ",\\,".join(xs), ",~".join(xs), j + ".", ",".join(sorted(xs)), "$" + "$, $".join(xs) + "$", "$" + "$ and $".join(xs) + "$", "\\quad".join(xs), " ".join(xs), ",".join(xs + [xs[0]]), f"\\lbrace {j}\\rbrace", ",\\text{ }".join(xs), ",x_2=".join(xs[:2])]
    if kind == "matrix":
        a = [[str(i(-9, 9)) for _ in range(r.choice([1, 2]))] for _ in range(2)]
        a[1] = (a[1] * 2)[:len(a[0])]
        body = " \\\\ ".join(" & ".join(row) for row in a)
        m = lambda env, s: f"\\begin{{{env}}} {s} \\end{{{env}}}"
        return kind, m("pmatrix", body), [m("pmatrix", body), m("pmatrix", body).replace(" ", ""), m("bmatrix", body), m("vmatrix", body), m("matrix", body), f"\\left({m('matrix', body)}\\right)", f"\\left[{m('matrix', body)}\\right]", m("pmatrix", body.replace("\\\\", "\\\\\n")), m("pmatrix", body.replace("&", " & ")), m("pmatrix", body + " \\\\"), f"\\left(\\begin{{array}}{{cc}} {body} \\end{{array}}\\right)", m("pmatrix", " \\\\ ".join(" & ".join(row[::-1]) for row in a[::-1])), m("smallmatrix", body), body, f"({','.join(x for row in a for x in row)})", "A=" + m("pmatrix", body), m("pmatrix", body) + ".", f"\\mathbf{{A}}={m('pmatrix', body)}", m("pmatrix", body.replace(a[0][0], a[0][0] + ".0"))]
    if kind == "equation":
        m, b, x = i(2, 9), i(1, 9), v()
        g = r.choice([f"y={m}x+{b}", f"{x}={m}", f"x^2+y^2={b}", f"{m}x+{b}y={m * b}", f"f(x)={m}x-{b}", f"y={m}x+{b}"])
        return kind, g, [g, g.replace("=", " = "), g.split("=")[1], "=".join(g.split("=")[::-1]), f"y={m}x+{b}", f"y = {b} + {m}x", f"{m}x-y+{b}=0", f"y-{b}={m}x", f"{x}={m}", f"{x} = {m}.0", f"w={m}", f"{x}:={m}", f"{x}\\approx {m}", f"{x}={m}={m}", f"{m}={x}", f"x=1={m}", f"{m}x+{b}", f"{b}+{m}x", f"f({x})={m}x-{b}", f"f(x)=-{b}+{m}x", f"y&={m}x+{b}", f"y=\\frac{{{2 * m}x+{2 * b}}}{{2}}", f"abc={m}", f"{x}_1={m}", f"{x}={m}\\text{{ cm}}", f"{x}\\le {m}", f"{x}\\ne {m}", f"\\text{{{x}}}={m}", f"{x}=-{m}", f"x^2 + y^2 = {b}", f"y^2+x^2={b}", f"(x)^2+(y)^2={b}", f"{2 * m}x+{2 * b}y={2 * m * b}", f"{x}\\equiv {m}", f"{x}\\equiv {m}\\pmod{{{b}}}", f"{x}=={m}"]
    if kind == "poly":
        a, b, x = i(1, 9), i(1, 9), v()
        g = r.choice([f"{x}^2+{a + b}{x}+{a * b}", f"{a}{x}+{b}", f"{a}{x}^3-{b}{x}", f"({x}+{a})({x}-{b})", f"{a}{x}^2-{b}"])
        return kind, g, [g, g.replace("+", " + "), f"({x}+{a})({x}+{b})", f"({x}+{b})({x}+{a})", f"\\left({x}+{a}\\right)\\left({x}+{b}\\right)", f"({x}+{a})\\cdot({x}+{b})", f"{x}({x}+{a + b})+{a * b}", f"{x}^{{2}}+{a + b}{x}+{a * b}", f"{a * b}+{a + b}{x}+{x}^2", f"{b}+{a}{x}", f"{a}\\cdot {x}+{b}", f"{a}*{x}+{b}", f"{a}{x}-{b}", f"{a}({x}+{b})", f"{x}({a}{x}^2-{b})", f"-{b}{x}+{a}{x}^3", f"{a}{x}^{{3}}-{b}{x}", f"{x}^2+{a - b}{x}-{a * b}" if a >= b else f"{x}^2-{b - a}{x}-{a * b}", f"({x}-{b})({x}+{a})", f"{a}{x}^2 - {b}", f"-({b}-{a}{x}^2)", f"{a}{x}**2-{b}", f"{a}{x}\u00b2-{b}", f"{a}{x.upper()}^2-{b}", f"{g}+C", f"{g}=0", f"\\boxed{{{g}}}", f"{g}.", f"({x}+{a})^2", f"{x}^2+{2 * a}{x}+{a * a}", f"{x}\\cdot {x}+{a + b}{x}+{a * b}", f"{x}{x}+{a + b}{x}+{a * b}", f"\\frac{{{a}{x}}}{{1}}+{b}", f"{x} {a}+{b}", f"\\frac{{{x}^3+{a}{x}}}{{{x}}}"]
    if kind == "rational":
        a, b, x = i(1, 9), i(1, 9), v()
        g = r.choice([f"\\frac{{{a}}}{{{x}+{b}}}", f"\\frac{{{x}+{a}}}{{{x}-{b}}}", f"\\frac{{1}}{{{x}^2}}", f"\\frac{{{a}{x}}}{{{b}}}"])
        return kind, g, [g, g.replace("frac", "dfrac"), f"{a}/({x}+{b})", f"{a}({x}+{b})^{{-1}}", f"\\frac{{{2 * a}}}{{2{x}+{2 * b}}}", f"\\frac{{{a}}}{{{b}+{x}}}", f"\\frac{{-{a}}}{{-{x}-{b}}}", f"({x}+{a})/({x}-{b})", f"\\frac{{{x}-{b}+{a + b}}}{{{x}-{b}}}", f"1+\\frac{{{a + b}}}{{{x}-{b}}}", f"{x}^{{-2}}", f"1/{x}^2", f"(1/{x})^2", f"\\left(\\frac{{1}}{{{x}}}\\right)^2", f"\\frac{{{a}}}{{{b}}}{x}", f"{a}{x}/{b}", f"{a}/{b}{x}", f"\\frac{{{a}}}{{{b}}} {x}", f"{x}\\cdot\\frac{{{a}}}{{{b}}}", f"{a / b:g}{x}", f"\\frac{{{x}}}{{{b}}}\\cdot {a}", f"\\frac{{{a}{x}^2}}{{{b}{x}}}", f"-\\frac{{{x}+{a}}}{{{b}-{x}}}", f"\\frac{{{a}}}{{{x}}}+\\frac{{{a}}}{{{b}}}", f"\\frac{x}{b}", f"\\frac {{{a}}}{{{x}+{b}}}"]
    if kind == "power":
        a, b, x = i(2, 9), i(2, 9), v()
        g = r.choice([f"{a}^{{{b}}}", f"{a}^{b}", f"{x}^{{{b}}}", f"{a}^{{{b}}}", f"2^{{{10 * a}}}", f"{a}^{{{x}}}"])
        return kind, g, [g, f"{a}^{b}", f"{a}^{{{b}}}", str(a ** b), f"{a ** b:,}", f"{a}**{b}", f"{a}\\cdot {a}^{{{b - 1}}}", f"{a}^{{{b - 1}}}\\cdot {a}", f"{x}^{b}", f"{x}^{{{b}}}", f"({x})^{{{b}}}", f"{x}^{{{b}.0}}", f"2^{{{10 * a}}}", f"4^{{{5 * a}}}", f"1024^{{{a}}}", f"2^{10 * a}", f"2^({10 * a})", f"{a}^{x}", f"({a})^{x}", f"{a}^{{{x}}}", f"\\left({a}\\right)^{{{b}}}", f"{a}^{{-{b}}}", f"\\frac{{1}}{{{a}^{{{b}}}}}", f"\\frac{{1}}{{{a ** b}}}", f"-{a}^{{{b}}}", f"(-{a})^{{{b}}}", f"{a * a}^{{{b}/2}}", f"{a}^{{\\frac{{{2 * b}}}{{2}}}}", f"{x}^{b}{x}", f"{a}^{b}{b}", f"{{{a}}}^{{{b}}}", f"{a}\u00b3", f"{a}^{{{b}^{{2}}}}", f"{a}^{b}^2", f"10^{{{a}}}", f"1e{a}"]
    if kind == "log":
        a, b = i(2, 9), i(2, 4)
        g = r.choice([f"\\log_{{{a}}} {a ** b}", f"\\ln {a}", f"\\log_{a} {b}", f"\\log {a}", f"\\ln {a}"])
        return kind, g, [g, str(b), f"\\log_{{{a}}}{a ** b}", f"\\log_{a}{a ** b}", f"\\log_{a} {{{a ** b}}}", f"\\log_{a}({a ** b})", f"\\ln({a})", f"\\ln{{{a}}}", f"\\ln {a}", f"\\log {a}", f"\\log({a})", f"\\log_e {a}", f"\\log_{{10}} {a}", f"\\lg {a}", f"\\log_{a} {b}", f"\\frac{{\\ln {b}}}{{\\ln {a}}}", f"\\frac{{\\log {b}}}{{\\log {a}}}", f"\\log_{{{a}}}{{{b}}}", f"\\log_{{{a}}}\\left({b}\\right)", f"\\log_{a * a} {b * b}", f"-\\ln\\frac{{1}}{{{a}}}", f"\\ln {a * b}-\\ln {b}", f"\\frac{{1}}{{2}}\\ln {a * a}", f"ln {a}", f"log {a}", f"\\text{{ln }}{a}", f"\\ln |{a}|", f"\\ln {a} x", f"\\log_2 {a}", f"2\\log_{a} {b}", f"\\log_{a} {b}^2"]
    if kind == "trig":
        f, x, a = r.choice(["sin", "cos", "tan"]), r.choice(["x", "\\theta", "a", "t"]), i(2, 5)
        g = r.choice([f"\\{f} {x}", f"\\{f}^2 {x}", f"{a}\\{f} {a}{x}", "\\frac{\\sqrt{3}}{2}", "1", f"\\{f} {a * 10}^\\circ", "\\sin 2x", "\\frac{\\pi}{4}"])
        return kind, g, [g, f"\\{f}({x})", f"\\{f}{{{x}}}", f"\\{f}\\left({x}\\right)", f"{f} {x}", f"{f}({x})", f"\\{f}^2({x})", f"(\\{f} {x})^2", f"\\{f}^{{2}}{x}", "1-\\cos^2 x", "\\sin^2 x+\\cos^2 x", "\\sin^2 \\theta+\\cos^2 \\theta", f"{a}\\{f}({a}{x})", f"\\{f}({a}{x})\\cdot {a}", f"\\{f} {a}{x}", "\\sin \\frac{\\pi}{3}", "\\sin(\\pi/3)", "\\cos 30^\\circ", "\\sin 60^\\circ", f"\\{f} {a * 10}", f"\\{f}({a * 10}^{{\\circ}})", "2\\sin x\\cos x", "2 \\sin x \\cos x", "\\sin(2x)", "\\arctan 1", "\\tan^{-1} 1", "\\arcsin\\frac{\\sqrt2}{2}", "\\frac{\\sin x}{\\cos x}", "\\frac{1}{\\cot x}", "\\sec x", "\\csc x", "\\cos(-x)", "-\\sin x", "\\sin(x+y)", "\\operatorname{sin} x", "\\sin x y", "\\sin^{-1} x", "\\arcsin x"]
    if kind == "abs":
        x, a = v(), i(1, 9)
        g = r.choice([f"|{x}|", f"|{x}-{a}|", f"{a}|{x}|", str(a)])
        return kind, g, [g, f"|{x}|", f"\\left|{x}\\right|", f"\\lvert {x}\\rvert", f"\\vert {x}\\vert", f"|-{x}|", f"\\mid {x}\\mid", f"|{a}-{x}|", f"|{x} - {a}|", f"\\left| {x}-{a} \\right|", f"{a}\\left|{x}\\right|", f"|{a}{x}|", f"|{x}|{a}", f"{a}\\cdot|{x}|", f"|-{a}|", f"|{a}|", f"\\sqrt{{{x}^2}}", x, f"abs({x})", f"\\|{x}\\|", f"|{x}|+0", f"||{x}||", f"|{x}||{x}|", f"|{x}|^2"]
    if kind == "factorial":
        n = i(3, 9)
        import math
        f = math.factorial(n)
        g = r.choice([f"{n}!", str(f), f"\\binom{{{n}}}{{2}}", str(n * (n - 1) // 2)])
        return kind, g, [f"{n}!", str(f), f"{f:,}", f"{n}\\cdot {n - 1}!", f"{n}({n - 1})!", f"\\frac{{{n + 1}!}}{{{n + 1}}}", f"\\binom{{{n}}}{{2}}", f"\\dbinom{{{n}}}{{2}}", f"\\binom{n}{2}", f"{{{n} \\choose 2}}", f"\\frac{{{n}!}}{{2!{n - 2}!}}", f"\\frac{{{n}!}}{{2!({n - 2})!}}", f"C({n},2)", f"_{n}C_2", str(n * (n - 1) // 2), f"{n}!!", f"({n})!", f"({n - 1}+1)!", f"{n} !", f"\\frac{{{n}\\cdot {n - 1}}}{{2}}", f"\\binom{{{n}}}{{{n - 2}}}", f"n!", f"{n}!+1", f"{n}\\times {n - 1}!", f"P({n},2)"]
    if kind == "base":
        n, b = "".join(r.choice("01234") for _ in range(r.choice([2, 3, 4]))).lstrip("0") or "1", r.choice([5, 6, 7, 8, 9])
        return kind, r.choice([f"{n}_{b}", f"{n}_{{{b}}}", n]), [n, f"{n}_{b}", f"{n}_{{{b}}}", f"{n} _{b}", f"({n})_{b}", f"{n}_{{{b + 1}}}", f"{n}_{b + 1}", f"{n}_{{\\text{{{b}}}}}", f"{n}_\\text{{{b}}}", f"{int(n, 5)}", f"{int(n, 5)}_{{10}}", f"{n}\\text{{ base }}{b}", f"{n} base {b}", f"{n}_b", f"\\text{{{n}}}_{b}", f"{n}1_{b}", f"{n}_{{{b}}}.", f"0{n}_{b}", f"A{n}_{{16}}", f"{n[0]},{n[1:]}_{b}"]
    if kind == "inequality":
        x, a, b = v(), i(-9, 0), i(1, 9)
        g = r.choice([f"{a}<{x}<{b}", f"{x}>{b}", f"{x}\\ge {b}", f"{x}\\leq {b}", f"{a}\\le {x}\\le {b}"])
        return kind, g, [g, f"{a}<{x}<{b}", f"{a} < {x} < {b}", f"{b}>{x}>{a}", f"({a},{b})", f"[{a},{b}]", f"{x}>{b}", f"{x} > {b}", f"{b}<{x}", f"{x}\\gt {b}", f"({b},\\infty)", f"({b}, \\infty)", f"{x}\\ge {b}", f"{x}\\geq {b}", f"{x}>={b}", f"{x}\u2265{b}", f"{b}\\le {x}", f"[{b},\\infty)", f"{x}\\le {b}", f"{x}\\leqslant {b}", f"{x} \\leq {b}", f"(-\\infty,{b}]", f"{a}\\leq {x}\\leq {b}", f"{x}\\in[{a},{b}]", f"{x}-{b}>0", f"2{x}>{2 * b}", str(b), f"{x}={b}", f"{x}<{b}", f"{x}\\not={b}", f"-{x}<-{b}"]
    if kind == "pm":
        a, b = i(1, 9), r.choice([2, 3, 5, 7])
        g = r.choice([f"\\pm {a}", f"{a}\\pm\\sqrt{{{b}}}", f"{a},-{a}", f"\\pm\\sqrt{{{b}}}"])
        return kind, g, [g, f"\\pm {a}", f"\\pm{a}", f"\\mp {a}", f"{a},-{a}", f"-{a},{a}", f"{a}, -{a}", f"\\{{{a},-{a}\\}}", f"{a}\\text{{ and }}-{a}", f"{a}\\text{{ or }}-{a}", str(a), f"\u00b1{a}", f"+/-{a}", f"{a}\\pm\\sqrt{{{b}}}", f"{a} \\pm \\sqrt{b}", f"{a}+\\sqrt{{{b}}},{a}-\\sqrt{{{b}}}", f"{a}-\\sqrt{{{b}}}, {a}+\\sqrt{{{b}}}", f"\\pm \\sqrt {b}", f"\\sqrt{{{b}}},-\\sqrt{{{b}}}", f"x=\\pm {a}", f"\\pm\\frac{{{2 * a}}}{{2}}", f"{a}+\\sqrt{{{b}}}", f"\\frac{{{2 * a}\\pm\\sqrt{{{4 * b}}}}}{{2}}"]
    if kind == "complex":
        a, b = i(-9, 9), i(1, 9)
        g = f"{a}+{b}i"
        return kind, r.choice([g, g, f"{b}i", "i", "-i", f"\\frac{{{a}+{b}i}}{{2}}"]), [g, f"{a} + {b}i", f"{b}i+{a}", f"{b}i + {a}", f"{a}-{b}i", f"{a}+i{b}", f"{a}+{b}\\cdot i", f"{a}+{b}\\mathrm{{i}}", f"{a}+{b}\\text{{i}}", f"({a}+{b}i)", f"{a}+{b}j", f"{a}+{b}I", f"{b}i", f"i{b}", "i", "-i", "-1i", "1i", "0-i", f"\\sqrt{{-{b * b}}}", f"{b}\\sqrt{{-1}}", f"\\frac{{{a}+{b}i}}{{2}}", f"\\frac{{{a}}}{{2}}+\\frac{{{b}}}{{2}}i", f"\\frac{{{a}}}{{2}}+\\frac{{{b}i}}{{2}}", f"{a / 2}+{b / 2}i", f"({a}+{b}i)/2", f"{a}+{b}i.", f"-{b}i^2", f"{b}", f"z={g}", f"\\frac{{1}}{{i}}", f"e^{{i\\pi}}", f"\\operatorname{{cis}} {a}"]
    if kind == "exp":
        a = i(2, 9)
        g = r.choice([f"e^{{{a}}}", "e", f"{a}e", f"e^{{-{a}}}", f"\\frac{{1}}{{e}}", f"e^{{{a}x}}"])
        return kind, g, [g, f"e^{a}", f"e^{{{a}}}", f"\\exp({a})", f"\\exp {a}", f"\\mathrm{{e}}^{{{a}}}", f"\\text{{e}}^{a}", f"(e)^{a}", f"{2.718281828 ** a:.3f}", "2.71828", "\\exp(1)", f"e\\cdot {a}", f"{a} e", f"e{a}", f"\\frac{{1}}{{e^{{{a}}}}}", f"\\frac{{1}}{{e^{a}}}", f"e^{{-1}}", "1/e", "e^{-1}", f"e^{{{a}}}x", f"(e^x)^{{{a}}}", f"(e^{{{a}}})^x", f"e^{{x\\cdot {a}}}", f"e^{{x{a}}}", f"e^{a}x", f"E^{a}"]
    if kind == "scientific":
        m, e = f"{i(1, 9)}.{i(1, 99)}", i(2, 9)
        full = f"{float(m) * 10 ** e:.0f}"
        return kind, r.choice([f"{m}\\times 10^{{{e}}}", full, f"{m}\\times 10^{e}", f"{m}\\times 10^{{-{e}}}"]), [f"{m}\\times 10^{{{e}}}", f"{m}\\times 10^{e}", f"{m} \\times 10^{{{e}}}", f"{m}\\cdot 10^{{{e}}}", f"{m} \\cdot 10^{e}", f"{m}*10^{e}", f"{m}\u00d710^{e}", f"{m}x10^{e}", f"{m}e{e}", f"{m}E{e}", f"{m}\\times10^{{{e + 1}}}", full, f"{int(full):,}", f"{m}\\times 10^{{-{e}}}", f"{float(m) / 10 ** e:.{e + 2}f}", f"{m}\\times 10^{{{e}}}\\text{{ m}}", f"10^{{{e}}}\\times {m}", f"{m} \\times {{10}}^{{{e}}}", f"{m}0\\times 10^{e}"]
    if kind == "floor":
        n, d = i(1, 20), i(1, 9)
        g = r.choice([str(n), f"\\lfloor {n}.{d}\\rfloor", f"\\lceil {n}.{d}\\rceil"])
        return kind, g, [str(n), str(n + 1), f"\\lfloor {n}.{d}\\rfloor", f"\\left\\lfloor {n}.{d}\\right\\rfloor", f"\\lceil {n}.{d}\\rceil", f"\\left\\lceil {n}.{d} \\right\\rceil", f"\\lfloor {n}.{d} \\rfloor + 1", f"[{n}.{d}]", f"\\lfloor x\\rfloor", f"\\lfloor -{n}.{d}\\rfloor", f"-\\lceil {n}.{d}\\rceil", f"\\lfloor\\sqrt{{{n * n + 1}}}\\rfloor", f"\\gcd({n},{2 * n})", f"\\max({n},1)", f"\\min\\{{{n},99\\}}", f"{n}\\bmod 100", f"{n}\\pmod{{100}}"]
    if kind == "repeating":
        d = i(1, 8)
        return kind, r.choice([f"0.\\overline{{{d}}}", f"\\frac{{{d}}}{{9}}"]), [f"0.\\overline{{{d}}}", f"0.\\overline{d}", f"0.{d}{d}{d}\\ldots", f"0.{d}{d}{d}...", f"\\frac{{{d}}}{{9}}", f"{d}/9", f"0.{str(d) * 6}", f"0.{str(d) * 12}", f".\\overline{{{d}}}", f"0.\\bar{{{d}}}", f"0.({d})", f"0.\\dot{{{d}}}", f"0.{d}\\overline{{{d}}}", f"\\overline{{AB}}", f"{d}\\overline{{{d}}}"]
    if kind == "letter":
        c = r.choice("ABCDE")
        return kind, r.choice([f"\\text{{({c})}}", c, f"\\text{{{c}}}", f"({c})"]), [c, f"({c})", f"\\text{{({c})}}", f"\\textbf{{({c})}}", f"\\text{{{c}}}", f"\\mathrm{{({c})}}", c.lower(), f"({c.lower()})", f"{c}.", f"{c})", f"Option {c}", f"\\boxed{{{c}}}", f"{c}, D", f"\\text{{{c},D}}", f"\\textbf{{({c}) }}", f"\\textbf{{({c})}}\\ 12", f"{c}: 12", "F", f"\\mathbf{{{c}}}", f"[{c}]", f"{{{c}}}", f"choice {c}"]
    if kind == "function":
        x, a = v(), i(2, 9)
        g = r.choice([f"f({x})", f"f(x)={a}x", f"{a}f(x)", f"f^{{-1}}({x})", f"{x}_{{{a}}}", f"{x}_n", f"{a}\\mathbf{{v}}", f"\\vec{{{x}}}", "P(A)"])
        return kind, g, [g, f"f({x})", f"f ({x})", f"f\\left({x}\\right)", f"g({x})", f"f({a})", f"f(x)={a}x", f"{a}x", f"f(x) = x\\cdot {a}", f"{a}f(x)", f"f(x)\\cdot {a}", f"f(x){a}", f"f^{{-1}}({x})", f"f^{{-1}}", f"{x}_{{{a}}}", f"{x}_{a}", f"{x}_{{ {a} }}", f"{x}{a}", f"{x}_n", f"{x}_{{n}}", f"{a}\\mathbf{{v}}", f"{a}v", f"{a}\\vec{{v}}", f"\\vec{{{x}}}", f"\\overrightarrow{{{x}}}", "P(A)", "P(B)", "\\mathbb{P}(A)", f"f'({x})", f"f''({x})", f"\\alpha", "\\theta", "\\hat{x}", f"{x}'", f"{x}^*", f"\\bar{{{x}}}", f"{x}(x+1)", f"{x}^2 + {x}", f"{x}*{x}+{x}"]
    if kind == "dots":
        a = i(1, 9)
        return kind, r.choice([f"1,2,\\ldots,{a}", f"1,2,\\dots", f"1+2+\\cdots+{a}"]), [f"1,2,\\ldots,{a}", f"1,2,\\dots,{a}", f"1,2,...,{a}", f"1, 2, \\ldots, {a}", f"1,2,\\cdots,{a}", "1,2,\\dots", "1,2,\\ldots", "1,2,...", "1,2", f"1+2+\\cdots+{a}", f"1+2+\\ldots+{a}", f"1+2+...+{a}", str(a * (a + 1) // 2), f"\\sum_{{k=1}}^{{{a}}} k", f"1,2,{a}"]
    if kind == "time":
        h, m = i(1, 12), i(10, 59)
        g = f"{h}:{m}"
        return kind, r.choice([g, f"{g}\\text{{ p.m.}}", f"{g} \\text{{ PM}}"]), [g, f"{g} PM", f"{g} p.m.", f"{g}\\text{{ p.m.}}", f"{g}\\text{{ PM}}", f"{g} \\text{{ pm}}", f"0{g}", f"{h}.{m}", f"{h} : {m}", f"{h}/{m}", f"{h + 12}:{m}", f"{g}:00", f"{g}\\text{{ a.m.}}", f"{h}\\text{{ hours }}{m}\\text{{ minutes}}", f"\\frac{{{h}}}{{{m}}}"]
    if kind == "ratio":
        a, b = i(1, 9), i(1, 9)
        return kind, r.choice([f"{a}:{b}", f"{a}\\text{{ to }}{b}", f"\\frac{{{a}}}{{{b}}}"]), [f"{a}:{b}", f"{a} : {b}", f"{a}\\colon {b}", f"{a} to {b}", f"{a}\\text{{ to }}{b}", f"{a}/{b}", f"\\frac{{{a}}}{{{b}}}", f"{2 * a}:{2 * b}", f"{b}:{a}", f"{a}{{:}}{b}", f"{a}:{b}:1", f"{a}-{b}", f"{a / b:g}"]
    if kind == "recursive":
        a, b = i(2, 9), i(2, 9)
        g = f"\\sqrt{{{a}+\\sqrt{{{b}}}}}"
        return kind, g, [g, g.replace("+", " + "), f"({a}+\\sqrt{{{b}}})^{{1/2}}", f"\\sqrt{{\\sqrt{{{b}}}+{a}}}", f"\\sqrt{{{a}+{b}^{{1/2}}}}", f"\\sqrt{{{a}+\\sqrt{b}}}", f"\\sqrt{{{a}}}+\\sqrt{{{b}}}", f"\\frac{{\\sqrt{{{4 * a}+4\\sqrt{{{b}}}}}}}{{2}}", f"{(a + b ** .5) ** .5:.3f}", f"\\sqrt{{{a}-\\sqrt{{{b}}}}}", f"\\frac{{{a}+\\sqrt{{{b}}}}}{{\\sqrt{{{a}+\\sqrt{{{b}}}}}}}", f"\\left(\\sqrt{{{a}+\\sqrt{{{b}}}}}\\right)"]
    if kind == "product":
        x, y, a = v(), v(), i(2, 9)
        g = r.choice([f"{a}{x}{y}", f"\\frac{{{x}}}{{{y}}}", f"{x}{y}", f"{x}+{y}", f"{x}^2{y}"])
        return kind, g, [g, f"{a}{y}{x}", f"{a}\\cdot {x}\\cdot {y}", f"{a} {x} {y}", f"{x}{y}{a}", f"{a}*{x}*{y}", f"{x}/{y}", f"\\frac{x}{y}", f"{x}{y}^{{-1}}", f"{x}\\div {y}", f"{y}{x}", f"{x}\\cdot {y}", f"{x} \\times {y}", f"{x}({y})", f"({x})({y})", f"{y}+{x}", f"{x} + {y}", f"{x}-{y}", f"{x}{x}{y}", f"{y}{x}^2", f"{x}^{{2}}{y}", f"{x}\\cdot {x}{y}", f"({x}{y}){x}", f"{x.upper()}{y.upper()}", f"{a}{x} {y}", f"{a}({x}{y})"]
    gold = str(i(0, 9))
    return "empty", gold, ["", " ", ".", "$$", "\\boxed{}", "\\text{}", "?", "-", "{}", "()", "\\", "\n", "None", "N/A", "$", "\\frac", "\\sqrt", "=", "...", "\\ldots", "0", "a ", "\\ ", "####", "%", "\\%"]


def respell(r, s):
    """A change of spelling that any answer may have."""
    return r.choice([
        lambda: s, lambda: s, lambda: s, lambda: s, lambda: s, lambda: s, lambda: f"${s}$", lambda: f"\\boxed{{{s}}}", lambda: f"$\\boxed{{{s}}}$",
        lambda: s + ".", lambda: s + "$.", lambda: f" {s} ", lambda: f"x = {s}", lambda: f"\\text{{{s}}}", lambda: f"$${s}$$", lambda: f"\\({s}\\)", lambda: f"\\[{s}\\]",
        lambda: s.replace("(", "\\left(").replace(")", "\\right)"), lambda: s.replace(" ", ""), lambda: s.replace("+", " + ").replace("=", " = "),
        lambda: s.replace("frac", "dfrac"), lambda: s + "\n", lambda: f"{{{s}}}", lambda: s + ",", lambda: f"\\displaystyle {s}", lambda: s.replace("-", "\u2212"),
        lambda: f"({s})", lambda: s + "</s>", lambda: f"**{s}**", lambda: f"-{s}", lambda: s.replace(",", ", "), lambda: f"\\fbox{{{s}}}", lambda: f"f(x)={s}", lambda: s + "\\\\",
        lambda: s.replace(" ", "\\ "), lambda: s.replace(" ", "~"), lambda: s.replace("\\", "\\\\"), lambda: f"\\mathbf{{{s}}}", lambda: s + " ", lambda: s + "\\!", lambda: "\\," + s,
    ])()


def equiv_cases(r):
    kind, gold, preds = answers(r)
    for pred in r.sample(preds, min(4, len(preds))):
        yield {"task": "math_equiv", "category": kind, "gold": gold, "model_output": respell(r, pred)}


REASONING = ["She counts them one by one. ", "We have $x=3$ and $y = 4$, so the sum is $3+4=7$. ", "Let me think step by step.\nFirst, 2 + 3 = 5.\nThen 5 * 4 = 20.\n",
             "In 2 days she sells 16 - 3 - 4 = 9 eggs.\n", "The total is \\boxed{99}, or is it? ", "There are 1,200 of them, each costs $3.50. ", "", "Let $n$ be the number.\n\\[ n^2 = 49 \\]\n",
             "To answer this Question we count. ", "Half of 48 is 48/2=24. ", "Multiply by 100% to get 25%. ", "The answer: first 3, then 4. ", "#### 7\n", "\\begin{align*} x&=2\\\\ y&=3 \\end{align*} ",
             "It is \u00bd of it. ", "**Step 1:** add.\n**Step 2:** done.\n", "Answer:\n"]

SHAPES = [
    ("abel_fmt", ["#### {a}", "\n#### {a}", "#### {a}\n", "\nThe answer is {a}\n#### {a}", "#### ${a}$", "#### {a}.", "#### \\boxed{{{a}}}", "####  {a}", "#### {a} "]),
    ("abel_trailing", ["#### {a}\n\n", "#### {a}\nI hope this helps!", "#### {a}\n \n", "#### {a}\r\n", "#### {a}\nQuestion: what?", "#### {a}\n\nQuestion:\nHow many?\n#### 5", "#### {a}Question 2"]),
    ("abel_eos", ["#### {a}</s>", "#### {a} </s>", "#### {a}</s></s>", "#### {a}</s>\n", "#### {a}<s>", "#### </s>{a}", "#### {a}<|im_end|>", "#### {a}</s>."]),
    ("abel_multi", ["#### 10\n#### {a}", "#### {a}\n#### 10", "#### 10 #### {a}", "#### {a} #### {a}", "#### {a}\n\nSo #### {a}"]),
    ("abel_nospace", ["####{a}", "### {a}", "##### {a}", "#### \n{a}", "#### x = {a}", "#### The answer is {a}", "#### {a} dollars", "#### {a} apples", "#### \\${a}", "#### ${a}", "#### **{a}**", "#### {a}%", "#### {a}\\%", "#### {a}\\text{{ cm}}"]),
    ("boxed", ["Hence \\boxed{{{a}}}.", "Hence $\\boxed{{{a}}}$.", "So $$\\boxed{{{a}}}$$", "\\[\\boxed{{{a}}}\\]", "\\boxed{{ {a} }}", "\\boxed {{{a}}}", "$\\boxed {a}$.", "\\boxed{{{a}", "\\fbox{{{a}}}", "\\boxed{{x={a}}}", "\\boxed{{\\text{{{a}}}}}", "\\boxed{{\\${a}}}", "\\boxed{{{a}\\text{{ cm}}}}", "$\\boxed{{10}}$, no, $\\boxed{{{a}}}$.", "$\\boxed{{{a}}}$ and not $\\boxed{{10}}$", "\\boxed{{\\boxed{{{a}}}}}", "\\boxed{{}} {a}", "$\\boxed{{{a}}}$ or $\\boxed{{10}}$", "\\boxed{{{a}}}\n#### {a}", "The answer is $\\boxed{{{a}}}$. I hope it is correct."]),
    ("minerva_fmt", ["Final Answer: The final answer is ${a}$. I hope it is correct.", "Final Answer: The final answer is {a}. I hope it is correct.", "Final Answer: The final answer is ${a}$.", "Final Answer: The final answer is ${a}$", "Final Answer: The final answer is $10$. I hope it is correct.\nFinal Answer: The final answer is ${a}$. I hope it is correct.", "final answer: the final answer is {a}. I hope it is correct.", "Final Answer: The final answer is: ${a}$. I hope it is correct.", "Final Answer: The final answer is\n${a}$. I hope it is correct.", "Final Answer: The final answer is $\\boxed{{{a}}}$. I hope it is correct.", "Final Answer: The final answer is {a}"]),
    ("answer_is", ["The answer is: {a}", "The answer is {a}.", "The answer is ${a}$.", "The answer is: ${a}$", "The answer is **{a}**.", "So the final answer is {a}.", "Therefore, the answer is $x={a}$.", "The answer is: {a}\nDone.", "Answer: {a}", "**Answer:** {a}", "The answer is 10. Sorry. The answer is: {a}."]),
    ("prose", ["So it is {a}.", "so it is ${a}$", "It is {a}, clearly.", "So {a} of the 20 are left.", "from $x=3$ we get ${a}$", "Thus x = {a}", "Thus \\({a}\\) it is.", "Thus \\[{a}\\]", "That makes {a} in 3 days.", "= {a}", "{a}", "{a}\n", "I do not know."]),
    ("long", ["She counts. " * 60 + "#### {a}", "#### {a} " + "She counts. " * 60, "\n\n#### {a}\n"]),
]


def output(r, a):
    category, shapes = r.choice(SHAPES)
    return category, r.choice(REASONING) + r.choice(shapes).format(a=a)


def math_cases(r):
    _, gold, preds = answers(r)
    for a in [gold, r.choice(preds)]:
        category, out = output(r, a)
        yield {"task": "math", "category": category, "gold": gold, "model_output": out}


def gsm8k_cases(r):
    n = r.choice([r.randint(0, 99), r.randint(0, 99), r.randint(100, 999), r.randint(1000, 99999), -r.randint(1, 99), r.randint(1000000, 9999999)])
    gold = r.choice([str(n), str(n), f"{n:,}"])
    spell = [str(n), str(n), f"{n:,}", f"{n}.0", f"{n}.00", f"{n:,}.00", f"${n}", f"\\${n:,}", f"{n} eggs", f"{n}%", f"{n}.", f"{n + 1}", f"-{abs(n)}", f"\u2212{abs(n)}", f"{n}/1", f"{2 * n}/2", f"{n - 1}+1={n}", f"{n:,}".replace(",", " "), f"\\frac{{{2 * n}}}{{2}}", f"{n}kg", f"{n}-", f"{n},", f"{n}.5", f"+{n}", f"*{n}*", f"{n}\u20ac", "".join(chr(0x660 + int(d)) if d.isdigit() else d for d in str(n)), f"$ {n}", f"${n}.00", f"{n} {n + 1}", f"{n}or{n + 2}", "$", ".", ",,", "-", f"({n})", f"{n}th", f"{n}:00", f"x={n}", f"0{n}", f"{n} 1/2"]
    for a in [r.choice(spell), r.choice(spell)]:
        category, out = output(r, a)
        yield {"task": "gsm8k", "category": category, "gold": gold, "model_output": out}


CHOICES = {
    "FiQA_SA": ["Negative", "Positive", "Neutral"],
    "FPB": ["Negative", "Positive", "Neutral"],
    "SCOTUS": ["Criminal Procedure", "Civil Rights", "First Amendment", "Due Process", "Privacy", "Attorneys", "Unions", "Economic Activity",
               "Judicial Power", "Federalism", "Interstate Relations", "Federal Taxation", "Miscellaneous"],
    "UNFAIR_ToS": ["Limitation of liability", "Unilateral termination", "Unilateral change", "Content removal", "Contract by using", "Choice of law",
                   "Jurisdiction", "Arbitration", "None"],
}


def choice_cases(r):
    task = r.choice(list(CHOICES))
    options = CHOICES[task][:]
    if r.random() < 0.3:
        r.shuffle(options)
    gold = r.randrange(len(options))
    o, other = options[gold], r.choice(options)
    shape, out = r.choice([
        ("exact", o), ("exact", other), ("case", o.lower()), ("case", o.upper()), ("case", o.swapcase()), ("sentence", f"The answer is {o}."), ("sentence", f"I would say {o.lower()}, because {other} does not fit."),
        ("negation", f"It is not {o}."), ("several", f"{o} or {other}"), ("several", f"{other}, {o}"), ("list", "; ".join(options)), ("empty", ""), ("empty", " \n"), ("none", "I cannot tell."),
        ("substring", f"non{o.lower()}ly"), ("substring", o + "s"), ("hyphen", o.replace(" ", "-")), ("newline", o.replace(" ", "\n")), ("newline", o + "\n\n" + other), ("quote", f'"{o}"'), ("markdown", f"**{o}**"),
        ("nbsp", o.replace(" ", "\u00a0")), ("double", o.replace(" ", "  ")), ("letter", "ABCDEFGHIJKLM"[gold]), ("number", f"({gold + 1})"), ("cut", o[:-1]), ("long", "Because of this and that. " * 40 + o),
        ("unicode", o.replace("i", "\u0131")), ("unicode", o.replace("i", "\u0130")), ("unicode", o.replace("s", "\u017f")), ("accent", o.replace("e", "\u00e9")), ("eos", o + "</s>"), ("prompt", f"Options: {', '.join(options)}\nAnswer: {other}"), ("joined", o + other),
    ])
    if task == "UNFAIR_ToS":
        gold = sorted({gold, r.randrange(len(options))}) if r.random() < 0.3 else [gold]
    yield {"task": task, "category": shape, "options": options, "gold": gold, "reference": [options[i] for i in (gold if isinstance(gold, list) else [gold])], "model_output": out}


MAKERS = {"equiv": (equiv_cases, judge_equiv, 10), "math": (math_cases, judge_math, 5), "gsm8k": (gsm8k_cases, judge_gsm8k, 4), "choice": (choice_cases, judge_choice, 4)}


class TooSlow(BaseException):
    pass


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--peers", required=True)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--rounds", type=int, default=60)
    ap.add_argument("--kinds", default=",".join(MAKERS))
    args = ap.parse_args()
    p = Peers(os.path.abspath(args.peers))
    r = random.Random(args.seed)
    late = False

    def alarm(*_):
        # The originals catch everything, so the alarm is remembered besides being raised.
        nonlocal late
        late = True
        raise TooSlow

    signal.signal(signal.SIGVTALRM, alarm)
    seen, n = set(), 0
    for _ in range(args.rounds):
        for kind in args.kinds.split(","):
            make, judge, times = MAKERS[kind]
            for _ in range(times):
                for c in make(r):
                    key = json.dumps([c["task"], c["gold"], c["model_output"], c.get("options")])
                    if key in seen:
                        continue
                    seen.add(key)
                    late = False
                    signal.setitimer(signal.ITIMER_VIRTUAL, 20)
                    try:
                        c["expected_extracted"], c["expected_correct_by"] = judge(p, c)
                    except TooSlow:
                        pass
                    finally:
                        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                    if late:
                        continue
                    print(json.dumps({"id": f"more-{args.seed}-{n:05d}", **c}, separators=(",", ":")), flush=True)
                    n += 1


if __name__ == "__main__":
    main()
