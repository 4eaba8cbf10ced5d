package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// good is a whole recipe; tests change one line of it.
const good = `merge_method: dppa
base_model: org/base
models:
  - model: org/math
    parameters: {density: 0.2}
  - model: org/law@v2
    parameters:
      density: 0.1
dtype: bfloat16
mergebot:
  seed: 7
  dppa: {fluctuation: 0.05}
  search: {limit: 200, coefficient: common}
  domains:
    math: {expert: org/math, tasks: [gsm8k, math]}
    law: {expert: org/law, tasks: [scotus]}
  evaluate: {tasks: {math: {grader: hendrycks, max_tokens: 64}}}
  gates:
    - {domain: math, min_ratio: 0.9}
    - {task: scotus, min_score: 0.5}
  publish: {repo: acme/both, license: llama2}
  schedule: "0 2 * * *"
`

func parse(t testing.TB, src string) *Recipe {
	t.Helper()
	r, err := Parse("r.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParse(t *testing.T) {
	t.Parallel()
	r := parse(t, good)
	if r.MergeMethod != "dppa" || r.BaseModel.String() != "org/base" || len(r.Models) != 2 || r.DType != "bfloat16" {
		t.Errorf("recipe: %+v", r)
	}
	if r.Path != "r.yaml" || string(r.Source) != good {
		t.Errorf("source not kept: %q", r.Path)
	}
	law := r.Models[1]
	if law.Model.Repo != "org/law" || law.Model.Revision != "v2" || law.Model.Pos != (Position{6, 12}) || law.Pos != (Position{6, 5}) {
		t.Errorf("model: %+v", law)
	}
	private := true
	want := Mergebot{
		Semantics: "mergekit",
		Seed:      7,
		DPPA:      DPPA{Preset: "paper", Pruning: "dp", Mean: "unit", Fluctuation: 0.05, OutlierFactor: 5, Partition: 0.1, Other: "prune"},
		Search: &Search{Methods: []int{1, 2}, Ratios: Range{Min: 0, Max: 4, Step: 0.1}, Coefficient: "common",
			Coefficients: Range{Min: 0.3, Max: 1.2, Step: 0.1}, Patience: 4, Limit: 200},
		Domains: []Domain{
			{Name: "math", Expert: ModelRef{Repo: "org/math", Pos: Position{15, 20}}, Tasks: []string{"gsm8k", "math"}, Pos: Position{15, 5}},
			// The revision is the model's, so that both name the same commit.
			{Name: "law", Expert: ModelRef{Repo: "org/law", Revision: "v2", Pos: Position{16, 19}}, Tasks: []string{"scotus"}, Pos: Position{16, 5}},
		},
		Evaluate: Evaluate{Engine: "auto", Tasks: map[string]TaskOptions{"math": {Grader: "hendrycks", MaxTokens: 64}}},
		Gates:    []Gate{{Domain: "math", MinRatio: 0.9, Pos: Position{19, 7}}, {Task: "scotus", MinScore: 0.5, Pos: Position{20, 7}}},
		Publish:  &Publish{Repo: "acme/both", Private: &private, License: "llama2"},
		Schedule: "0 2 * * *",
	}
	if !reflect.DeepEqual(r.Mergebot, want) {
		t.Errorf("mergebot:\n got %+v\nwant %+v", r.Mergebot, want)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	r := parse(t, "merge_method: linear\nmodels: [{model: a/b, parameters: {weight: 1}}]\n")
	if want := mergebotDefaults(); !reflect.DeepEqual(r.Mergebot, want) {
		t.Errorf("without the section: %+v", r.Mergebot)
	}
	one := "merge_method: dppa\nbase_model: a/b\nmodels: [{model: a/c, parameters: {density: 0.2}}]\n"
	for _, c := range []struct {
		section string
		want    DPPA
	}{
		{"{}", DPPA{"paper", "dp", "unit", 0.08, 5, 0.1, "prune"}},
		{"{fluctuation: 0.1, preset: reference-code}", DPPA{"reference-code", "dp", "unit", 0.1, 5, 0.1, "keep"}},
		{"{pruning: dare, other: keep}", DPPA{"paper", "dare", "unit", 0.08, 5, 0.1, "keep"}},
	} {
		if got := parse(t, one+"mergebot: {dppa: "+c.section+"}\n").Mergebot.DPPA; got != c.want {
			t.Errorf("dppa: %s: got %+v", c.section, got)
		}
	}
	owl := parse(t, strings.Replace(one, "dppa", "owl", 1))
	if owl.Mergebot.DPPA.Pruning != "owl" {
		t.Errorf("merge_method owl prunes by %s", owl.Mergebot.DPPA.Pruning)
	}
}

// mistakes pairs a change of the good recipe with what is said of it. schema
// says that the JSON schema sees it, too.
var mistakes = []struct {
	name, from, to, want string
	schema               bool
}{
	{"misspelt", "dtype:", "dtyp:", `r.yaml:9:1: unknown key "dtyp", did you mean "dtype"?`, true},
	{"misspelt deep", "fluctuation:", "fluctuations:", `r.yaml:12:10: unknown key "fluctuations", did you mean "fluctuation"?`, true},
	{"unheard of", "dtype:", "colour:", `r.yaml:9:1: unknown key "colour"; known here: name, merge_method`, true},
	{"parameter at top", "dtype: bfloat16", "normalize: true", "r.yaml:9:1: \"normalize\" has no effect here (mergekit would drop it silently): it is a parameter and belongs under `parameters`", true},
	{"parameter beside model", "    parameters: {density: 0.2}", "    density: 0.2", "r.yaml:5:5: \"density\" has no effect here (mergekit would drop it silently): it is a parameter and belongs under `models[0].parameters`", true},
	{"misspelt parameter at top", "dtype: bfloat16", "normalise: true", "r.yaml:9:1: unknown key \"normalise\"; parameters belong under `parameters`, did you mean \"normalize\"?", true},
	{"ours at top", "dtype: bfloat16", "seed: 7", `belongs under ` + "`mergebot`", true},
	{"theirs below", "  seed: 7", "  dtype: float16", `r.yaml:11:3: "dtype" does not belong here: it belongs at the top level`, true},
	{"one level off", "  seed: 7", "  patience: 7", "r.yaml:11:3: \"patience\" does not belong here: it belongs under `mergebot.search`", true},
	{"modules", "dtype: bfloat16", "modules: {}", `r.yaml:9:1: "modules": models with several towers cannot be merged yet`, true},
	{"remote code", "dtype: bfloat16", "trust_remote_code: true", `"trust_remote_code": mergebot never runs code from a model`, true},
	{"revision beside model", "    parameters: {density: 0.2}", "    revision: main", `write the revision after the model: org/name@revision`, true},
	{"mistyped text", "dtype: bfloat16", "dtype: 16", "r.yaml:9:8: want text, not the number 16; put it in quotes", true},
	{"mistyped list", "tasks: [scotus]", "tasks: scotus", `want a list, not the text "scotus"`, true},
	{"mistyped mapping", "dppa: {fluctuation: 0.05}", "dppa: paper", `want a mapping, not the text "paper"`, true},
	{"mistyped number", "density: 0.1", `density: "0.1"`, `r.yaml:8:16: want a number, not the text "0.1"; remove the quotes`, true},
	{"infinite number", "density: 0.1", "density: .inf", "want a finite number, not the number .inf", false},
	{"mistyped count", "limit: 200", "limit: 2.5", "want a whole number, not the number 2.5", true},
	{"negative seed", "seed: 7", "seed: -7", "-7 is out of range", true},
	{"twice", "dtype: bfloat16", "dtype: bfloat16\ndtype: float16", `r.yaml:10:1: "dtype" is given twice; the first is in line 9`, false},
	{"no method", "merge_method: dppa\n", "", "r.yaml:1:1: merge_method is missing", true},
	{"unknown method", "merge_method: dppa", "merge_method: dpa", `r.yaml:1:15: unknown merge_method "dpa", did you mean "dppa"?`, true},
	{"refused method", "merge_method: dppa", "merge_method: arcee_fusion", "merge_method arcee_fusion is not taken: it draws an unseeded random sample", true},
	{"no base", "base_model: org/base\n", "", "merge_method dppa needs a base_model", true},
	{"slices, too", "dtype: bfloat16", "slices: []", "r.yaml:9:1: a recipe has either models or slices, not both", true},
	{"bad repo", "model: org/math", "model: org/a/math", `"org/a/math" is not a repository: it has more than one slash`, false},
	{"base among experts", "model: org/law@v2", "model: org/base", "the base has no delta to itself", false},
	{"repeated model", "model: org/law@v2", "model: org/math", "org/math is in the list already, in line 4", false},
	{"unknown type", "dtype: bfloat16", "dtype: bf16", `dtype: unknown type "bf16"; want float16, bfloat16, float32, did you mean "bfloat16"?`, true},
	{"unknown parameter", "density: 0.1", "densty: 0.1", `r.yaml:8:7: unknown parameter "densty" of merge_method dppa, did you mean "density"?`, true},
	{"missing parameter", "density: 0.1", "weight: 1", "r.yaml:6:5: merge_method dppa needs the parameter density here", false},
	{"foreign parameter", "density: 0.1", "gamma: 0.1", `"gamma" is not a parameter of merge_method dppa; it has density, weight, ratios`, true},
	{"density in percent", "density: 0.1", "density: 20", "r.yaml:8:16: density: 20 is out of range; want a number above 0 to 1 (the share kept: 20 % is 0.2)", true},
	{"density of nothing", "density: 0.1", "density: 0", "density: 0 is out of range", true},
	{"gradient where one number is due", "density: 0.1", "density: [0.1, 0.2]", "density: want one number; gradients and filters have no meaning here", true},
	{"too few ratios", "{density: 0.2}", "{density: 0.2, ratios: [1.8]}", "density 0.2 in steps of 0.1 has 2 partitions, P1 first; the list has 1", false},
	{"one ratio as number", "{density: 0.2}", "{density: 0.1, ratios: [1.8, [1]]}", "want a finite number, not a list", true},
	{"too many partitions", "{fluctuation: 0.05}", "{partition: 0.001}", "density 0.2 in steps of 0.001 has 200 partitions; 50 is the most", false},
	{"unknown preset", "{fluctuation: 0.05}", "{preset: papr}", `"papr" is not known; want paper or reference-code, did you mean "paper"?`, true},
	{"preset with a will of its own", "{fluctuation: 0.05}", "{preset: reference-code, other: prune}", "preset reference-code has other: keep", false},
	{"unknown search method", "{limit: 200,", "{methods: [1, 3],", "no search method 3; want 1 or 2", true},
	{"nothing sought", "coefficient: common", "methods: []", "nothing is sought", false},
	{"coefficients for nothing", "coefficient: common", "coefficients: [1]", "no coefficient is sought", false},
	{"step of nothing", "limit: 200", "ratios: {step: 0}", "0 is not a step", false},
	{"endless range", "limit: 200", "ratios: {step: 1.0e-9}", "is more than 1000 values", false},
	{"range backwards", "limit: 200", "ratios: {min: 5}", "max 4 is less than min 5", false},
	{"list backwards", "limit: 200", "ratios: [1, 0.5]", "0.5 after 1: the list must ascend", false},
	{"unknown task", "tasks: [scotus]", "tasks: [scotas]", `unknown task "scotas"; known: gsm8k, math, fiqa_sa, fpb, scotus, unfair_tos, did you mean "scotus"?`, true},
	{"unknown expert", "expert: org/law", "expert: org/lew", `org/lew is not one of the recipe's models, did you mean "org/law"?`, false},
	{"base as expert", "expert: org/law", "expert: org/base", "org/base is the base", false},
	{"no expert", "expert: org/law, ", "", "domain law has no expert", true},
	{"options without a task", "{math: {grader", "{fpb: {grader", "no domain has the task fpb, so this has no effect", false},
	{"unknown domain", "domain: math", "domain: maths", `no domain "maths", did you mean "math"?`, false},
	{"gate on both", "{domain: math,", "{domain: math, task: math,", "a gate has either a domain or a task", true},
	{"gate without a mark", ", min_ratio: 0.9", "", "a gate has a min_ratio", true},
	{"gate in percent", "min_score: 0.5", "min_score: 50", "50 is out of range", true},
	{"publish to nobody", "repo: acme/both", "repo: both", `"both" has no owner; write org/name`, true},
	{"licence in words", "license: llama2", "license: The Llama 2 licence", "is not a licence's name", true},
	{"six fields", `"0 2 * * *"`, `"0 0 2 * * *"`, "not a cron line", false},
	{"zone without times", `"0 2 * * *"`, `TZ=UTC`, "a time zone and no times", false},
	{"every second", `"0 2 * * *"`, `"@every 1s"`, "more often than once a minute", false},
	{"password in an engine", "evaluate: {", "evaluate: {engine: 'http://u:hunter2@h', ", "a server holds one model and a recipe scores several", true},
	{"unknown engine", "evaluate: {", "evaluate: {engine: vlm, ", "unknown engine; want auto, llama.cpp, vllm", true},
	{"other selection", "mergebot:", "mergebot:\n  selection: train", `"train" is not known; want test`, true},
	{"nothing to select on", "tasks: {", "tasks: {gsm8k: {select: none}, ", "there are no rows to judge the search and the gates on", false},
	{"selecting on what is reported", "tasks: {", "tasks: {gsm8k: {select: test, split: test}, ", "the search and the gates would be judged on the very rows that are reported", false},
	{"selection said twice", "mergebot:\n", "mergebot:\n  selection: test\n  evaluate: {tasks: {gsm8k: {select: train}}}\n", "selection: test says already", false},
	{"raw template", "dtype: bfloat16", "chat_template: '{{ x }}'", "a template's text is not taken from a recipe", true},
	{"foreign tokenizer", "dtype: bfloat16", "tokenizer_source: org/mth", `"org/mth" is not one of the recipe's models; want base, union or one of them, did you mean "org/math"?`, false},
	{"forced without source", "dtype: bfloat16", "tokenizer: {tokens: {x: {force: true}}}", "force needs a source", false},
	{"a stranger's token", "dtype: bfloat16", "tokenizer: {tokens: {x: {source: org/mth}}}", `org/mth is not one of the recipe's models, whose embeddings are at hand, did you mean "org/math"?`, false},
	{"token of nobody", "dtype: bfloat16", "tokenizer: {tokens: {x: {source: {kind: model_token, token: y}}}}", "the model is missing", true},
	{"token twice named", "dtype: bfloat16", "tokenizer: {tokens: {x: {source: {kind: model_token, model: org/math, token: y, token_id: 3}}}}", "by its text (token) or by its id (token_id)", true},
	{"token not named", "dtype: bfloat16", "tokenizer: {tokens: {x: {source: {kind: model_token, model: org/math}}}}", "by its text (token) or by its id (token_id)", true},
	{"negative id", "dtype: bfloat16", "tokenizer: {tokens: {x: {source: {kind: model_token, model: org/math, token_id: -1}}}}", "-1 is not an id", true},
	{"kind of source", "dtype: bfloat16", "tokenizer: {tokens: {x: {source: {kind: zeros}}}}", `unknown kind "zeros"; want zero or model_token, did you mean "zero"?`, true},
	{"zero of a model", "dtype: bfloat16", "tokenizer: {tokens: {x: {source: {kind: zero, model: org/math}}}}", "kind: zero takes nothing from a model", true},
	{"padding", "dtype: bfloat16", "tokenizer: {pad_to_multiple_of: 70000}", "70000 is not a count from 0 to 65536", true},
	{"another vocabulary than a search's", "dtype: bfloat16", "tokenizer_source: union", "write tokenizer_source: base", false},
	{"two tokenizers", "dtype: bfloat16", "tokenizer_source: base\ntokenizer: {source: base}", "tokenizer_source and tokenizer say the same thing", true},
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	for _, c := range mistakes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if strings.Count(good, c.from) == 0 {
				t.Fatalf("the recipe has no %q", c.from)
			}
			src := strings.Replace(good, c.from, c.to, 1)
			_, err := Parse("r.yaml", []byte(src))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got:\n%v\nwant %s", err, c.want)
			}
			var errs Errors
			if err != nil && !errors.As(err, &errs) {
				t.Errorf("%T is not Errors", err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("a password is in the message")
			}
			if c.schema {
				if schema.Validate(asJSON(t, []byte(src))) == nil {
					t.Error("the schema lets it pass")
				}
			}
		})
	}
}

// TestMistakesOfMergekit is for methods that dppa's recipe cannot show.
func TestMistakesOfMergekit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, src, want string }{
		{"linear without a weight", "merge_method: linear\nmodels: [{model: a/b}]\n", "r.yaml:2:10: merge_method linear needs the parameter weight here"},
		{"weight for some tensors", "merge_method: linear\nmodels: [{model: a/b, parameters: {weight: [{filter: mlp, value: 1}]}}]\n", "weight is given for some tensors only"},
		{"entry after the last", "merge_method: linear\nmodels: [{model: a/b, parameters: {weight: [{value: 1}, {filter: mlp, value: 2}]}}]\n", "r.yaml:2:57: never reached"},
		{"base that takes no part", "merge_method: linear\nbase_model: a/c\nmodels: [{model: a/b, parameters: {weight: 1}}]\n", "takes nothing from a base"},
		{"normalize of a model", "merge_method: ties\nbase_model: a/b\nmodels: [{model: a/c, parameters: {weight: 1, normalize: true}}]\n", "r.yaml:3:47: \"normalize\" has no effect on a model"},
		{"weight of the base", "merge_method: ties\nbase_model: a/b\nmodels: [{model: a/b, parameters: {weight: 1}}, {model: a/c, parameters: {weight: 1}}]\n", "parameters of the base have no effect"},
		{"switch that is a number", "merge_method: ties\nbase_model: a/b\nmodels: [{model: a/c, parameters: {weight: 1}}]\nparameters: {normalize: 0.5}\n", "normalize: want true or false, not 0.5"},
		{"slerp of three", "merge_method: slerp\nbase_model: a/b\nmodels: [{model: a/b}, {model: a/c}, {model: a/d}]\nparameters: {t: 0.5}\n", "merge_method slerp takes 1 model besides the base; the list has 2"},
		{"slerp without t", "merge_method: slerp\nbase_model: a/b\nmodels: [{model: a/c}]\n", "needs the parameter t here"},
		{"stock of two", "merge_method: model_stock\nbase_model: a/b\nmodels: [{model: a/c}]\n", "takes at least 2 models besides the base; the list has 1"},
		{"unlikely della", "merge_method: della\nbase_model: a/b\nmodels: [{model: a/c, parameters: {weight: 1, density: 0.1}}]\n", "gives chances from -0.05 to 0.25"},
		{"dppa section", "merge_method: linear\nmodels: [{model: a/b, parameters: {weight: 1}}]\nmergebot: {dppa: {mean: unit}}\n", "dppa has no effect with merge_method linear"},
		{"search of linear", "merge_method: linear\nmodels: [{model: a/b, parameters: {weight: 1}}]\nmergebot: {search: {}, domains: {d: {expert: a/b, tasks: [fpb]}}}\n", "search has nothing to seek with merge_method linear"},
		{"ratios for dare", "merge_method: dare_linear\nbase_model: a/b\nmodels: [{model: a/c, parameters: {weight: 1}}]\nmergebot: {search: {methods: [1], coefficient: common}, domains: {d: {expert: a/c, tasks: [fpb]}}}\n", "has no amplification ratios to seek: write methods: [], or merge_method: dppa with mergebot.dppa: {pruning: dare}"},
		{"uneven slices", "merge_method: ties\nbase_model: a/b\nparameters: {weight: 1}\nslices: [{sources: [{model: a/c, layer_range: [0, 4]}, {model: a/d, layer_range: [0, 5]}]}]\n", "5 layers here, 4 in the source before"},
		{"slice without the base", "merge_method: ties\nbase_model: a/b\nparameters: {weight: 1}\nslices:\n- sources: [{model: a/b}, {model: a/c}]\n- sources: [{model: a/c, layer_range: [0, 4]}]\n", "r.yaml:6:12: the base is missing, so that its layers are unknown: list a/b among the sources"},
		{"slice without any base", "merge_method: ties\nparameters: {weight: 1}\nslices:\n- {base_model: a/b, sources: [{model: a/b}, {model: a/c}]}\n- sources: [{model: a/c, layer_range: [0, 4]}]\n", "r.yaml:1:15: merge_method ties needs a base_model"},
		{"one source twice", "merge_method: linear\nparameters: {weight: 1}\nslices:\n- sources:\n  - {model: a/b, layer_range: [0, 4]}\n  - {model: a/b, layer_range: [4, 8]}\n", "r.yaml:6:13: a/b is a source of this slice already, in line 5"},
		{"slice of two for passthrough", "merge_method: passthrough\nslices: [{sources: [{model: a/b, layer_range: [0, 4]}, {model: a/c, layer_range: [0, 4]}]}]\n", "takes 1 model in a slice; this one has 2"},
		{"slice of one for slerp", "merge_method: slerp\nbase_model: a/b\nparameters: {t: 1}\nslices: [{sources: [{model: a/b, layer_range: [0, 4]}]}]\n", "takes 1 model besides the base in a slice; this one has 0"},
		{"slice of one for nuslerp", "merge_method: nuslerp\nparameters: {weight: 1}\nslices: [{sources: [{model: a/b, layer_range: [0, 4]}]}]\n", "takes 2 models in a slice; this one has 1"},
		{"weight of a slice's base", "merge_method: ties\nbase_model: a/b\nslices: [{sources: [{model: a/b, parameters: {weight: 1}}, {model: a/c, parameters: {weight: 1}}]}]\n", "parameters of the base have no effect"},
		{"base of a slice for linear", "merge_method: linear\nparameters: {weight: 1}\nslices: [{base_model: a/b, sources: [{model: a/b}]}]\n", "r.yaml:3:11: merge_method linear takes nothing from a base; remove base_model here"},
		{"residual weight", "merge_method: passthrough\nslices: [{residual_weight: 0.5, sources: [{model: a/b}]}]\n", "r.yaml:2:11: residual_weight has no effect"},
		{"dppa of slices", "merge_method: dppa\nbase_model: a/b\nparameters: {density: 0.1}\nslices: [{sources: [{model: a/b, layer_range: [0, 1]}, {model: a/c, layer_range: [0, 1]}]}, {sources: [{model: a/b, layer_range: [1, 2]}, {model: a/c, layer_range: [1, 2]}]}]\n", "r.yaml:4:1: merge_method dppa prunes whole models"},
		{"dppa with a base of the slice", "merge_method: dppa\nbase_model: a/b\nparameters: {density: 0.1}\nslices: [{base_model: a/c, sources: [{model: a/b}, {model: a/c}]}]\n", "takes the recipe's base_model"},
		{"the paper's ties of slices", "merge_method: ties\nbase_model: a/b\nparameters: {weight: 1}\nslices: [{sources: [{model: a/b, layer_range: [0, 1]}]}, {sources: [{model: a/b, layer_range: [1, 2]}]}]\nmergebot: {semantics: paper}\n", "r.yaml:5:12: the paper's ties ranks the deltas of whole models"},
		{"search of slices", "merge_method: ties\nbase_model: a/b\nparameters: {weight: 1}\nslices: [{sources: [{model: a/b, layer_range: [0, 1]}, {model: a/c, layer_range: [0, 1]}]}, {sources: [{model: a/b, layer_range: [1, 2]}]}]\nmergebot: {search: {coefficient: common}, domains: {d: {expert: a/c, tasks: [fpb]}}}\n", "r.yaml:5:12: candidates of a search are scored in the base's place"},
		{"unlikely della of a source", "merge_method: della\nbase_model: a/b\nparameters: {weight: 1}\nslices: [{parameters: {density: 0.1}, sources: [{model: a/b}, {model: a/c}]}]\n", "gives chances from -0.05 to 0.25"},
		{"too many ratios of a source", "merge_method: dppa\nbase_model: a/b\nslices: [{sources: [{model: a/b}, {model: a/c, parameters: {density: 0.2, ratios: [1, 2, 3]}}]}]\n", "r.yaml:3:83: density 0.2 in steps of 0.1 has 2 partitions"},
		{"empty slice", "merge_method: passthrough\nslices: [{sources: [{model: a/c, layer_range: [4, 4]}]}]\n", "want [first, one after the last]"},
		{"odd filter key", "merge_method: linear\nmodels: [{model: a/b, parameters: {weight: [{filtre: mlp, value: 1}]}}]\n", `unknown key "filtre" in {filter, value}, did you mean "filter"?`},
	} {
		_, err := Parse("r.yaml", []byte(c.src))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got:\n%v\nwant %s", c.name, err, c.want)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	src := "merge_method: ties\ndtyp: x\nmodels:\n  - {modl: a/b}\n  - {model: a/b, parameters: {weight: 1, densty: 0.5}}\nmergebot: {gate: []}\n"
	_, err := Parse("r.yaml", []byte(src))
	var errs Errors
	if !errors.As(err, &errs) {
		t.Fatalf("got %v", err)
	}
	var lines []int
	for _, e := range errs {
		lines = append(lines, e.Line)
	}
	if want := []int{1, 2, 4, 4, 5, 6}; !reflect.DeepEqual(lines, want) {
		t.Errorf("lines %v, want %v:\n%v", lines, want, err)
	}
	var one Error
	if !errors.As(err, &one) || one.File != "r.yaml" {
		t.Errorf("errors.As finds no single error in %v", err)
	}
}

func TestNotARecipe(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for _, c := range []struct{ name, src, want string }{
		{"empty", "", "r.yaml:1:1: the file is empty"},
		{"comments", "# nothing\n", "the file is empty"},
		{"null", "~\n", "the file is empty"},
		{"list", "- a\n", "r.yaml:1:1: want a mapping such as `merge_method: linear`, not a list"},
		{"text", "linear\n", `not the text "linear"`},
		{"two documents", good + "---\n" + good, "r.yaml:23:1: a second YAML document starts here"},
		{"not YAML", "merge_method: [\n", "r.yaml:1:1: not YAML: did not find expected"},
		{"tabs", "merge_method:\n\tlinear\n", "not YAML: found character that cannot start any token"},
		{"large", "# " + strings.Repeat("x", maxSource) + "\n", "the file is larger than 1 MiB"},
		{"deep", "parameters: {weight: " + deep + "}\n", "want a finite number, not a list"},
		{"itself", "models: [{model: &a {model: *a}}]\n", "nested deeper than 32 levels"},
		{"itself merged", "models: [&a {<<: *a}]\n", "nested deeper than 32 levels"},
		{"bomb", bomb(9, 10), "more than 10000 values, aliases counted each time"},
		{"merged bomb", "a: &a {" + manyKeys(2000) + "}\nmodels:\n  - {<<: [" + strings.TrimSuffix(strings.Repeat("*a,", 500), ",") + "]}\n", "more than 10000 values"},
		{"long key", strings.Repeat("k", 300) + ": 1\n", "key of 300 bytes"},
		{"key of keys", "{a: b}: 1\n", "want a name as key, not a mapping"},
		{"binary", "merge_method: !!binary aGk=\n", "want text"},
	} {
		_, err := Parse("r.yaml", []byte(c.src))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got:\n%.500v\nwant %s", c.name, err, c.want)
		}
	}
}

// bomb is the laughing one: a list of lists of … lists, by aliases.
func bomb(levels, width int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [1]\n")
	for i := 1; i <= levels; i++ {
		name, before := "a"+string(rune('0'+i)), "*a"+string(rune('0'+i-1))
		b.WriteString(name + ": &" + name + " [" + strings.TrimSuffix(strings.Repeat(before+", ", width), ", ") + "]\n")
	}
	b.WriteString("models: &m\n")
	for range 300 {
		b.WriteString("  - {model: x/y, parameters: {weight: *a1}}\n")
	}
	b.WriteString("slices: [{sources: *m}")
	for range 100 {
		b.WriteString(", {sources: *m}")
	}
	b.WriteString("]\n")
	return b.String()
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1, ", i)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

func TestAliases(t *testing.T) {
	t.Parallel()
	r := parse(t, "merge_method: ties\nbase_model: a/b\nmodels:\n  - model: a/c\n    parameters: &p {weight: 1, density: 0.5}\n  - model: a/d\n    parameters: {<<: *p, weight: 2}\n  - model: a/e\n    parameters: *p\n")
	for i, want := range []float64{1, 2, 1} {
		if w, d := r.ParameterNumber(i, "weight", "x", 0, -1), r.ParameterNumber(i, "density", "x", 0, -1); w != want || d != 0.5 {
			t.Errorf("model %d: weight %v, density %v", i, w, d)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	path := writeFile(t, filepath.Join(dir, "r.yaml"), good)
	if r, err := Load(path); err != nil || r.Path != path {
		t.Errorf("got %v, %v", r, err)
	}
	large := writeFile(t, filepath.Join(dir, "large.yaml"), strings.Repeat("#\n", maxSource))
	if _, err := Load(large); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("large file: %v", err)
	}
}

func TestModelIndex(t *testing.T) {
	t.Parallel()
	r := parse(t, strings.Replace(good, "merge_method: dppa", "merge_method: dppa\nname: both", 1))
	if r.Name != "both" || r.ModelIndex(r.Mergebot.Domains[1].Expert) != 1 || r.ModelIndex(r.BaseModel) != -1 {
		t.Errorf("index of the domain's expert: %d", r.ModelIndex(r.Mergebot.Domains[1].Expert))
	}
	if got := r.Experts(); !reflect.DeepEqual(got, []int{0, 1}) {
		t.Errorf("experts %v", got)
	}
	if got := r.References(); len(got) != 3 || got[0].Repo != "org/base" {
		t.Errorf("references %v", got)
	}
}
