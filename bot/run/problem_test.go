package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mergebot/configs"
	"mergebot/hub"
	"mergebot/hub/embedded"
)

// TestProblemsOnTheirLines: everything that is wrong with what a recipe names is found at once, each on its own line.
func TestProblemsOnTheirLines(t *testing.T) {
	t.Parallel()
	family := openFamily(t, func(models string) {
		addModel(t, models, "odd/small", "license: apache-2.0\n", `{"model.norm.weight":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}`, 8)
		addModel(t, models, "odd/free", "license: mit\nbase_model: odd/withheld\n", `{"model.norm.weight":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}`, 8)
		addModel(t, models, "odd/withheld", "license: cc-by-nc-4.0\n", `{"model.norm.weight":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}`, 8)
		addModel(t, models, "odd/fixed", "license: cc-by-nd-4.0\n", `{"model.norm.weight":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}`, 8)
	})
	const head = "merge_method: ties\nbase_model: tiny/base\nmodels:\n"
	for name, c := range map[string]struct {
		recipe string
		want   []string // line and a part of the message
	}{
		"models": {head + "  - {model: tiny/maths, parameters: {weight: 1}}\n  - {model: tiny/law@v9, parameters: {weight: 1}}\n  - {model: odd/small, parameters: {weight: 1}}\n",
			[]string{"4 repository not found", "5 revision not found", "6 tiny/base has"}},
		"the base": {"merge_method: ties\nbase_model: tiny/bass\nmodels:\n  - {model: tiny/math, parameters: {weight: 1}}\n", []string{"2 repository not found"}},
		"no base": {"merge_method: linear\nmodels:\n  - {model: tiny/math, parameters: {weight: 1}}\n  - {model: odd/small, parameters: {weight: 1}}\n",
			[]string{"4 shapes differ: model.norm.weight"}},
		"data sets": {head + "  - {model: tiny/math, parameters: {weight: 1}}\nmergebot:\n  domains:\n    m:\n      expert: tiny/math\n      tasks:\n        - gsm8k\n        - math\n" +
			"  evaluate:\n    tasks:\n      gsm8k: {revision: v9}\n", []string{"11 task math: ", "14 task gsm8k: "}},
		"a data set of its own": {head + "  - {model: tiny/math, parameters: {weight: 1}}\nmergebot:\n  domains: {m: {expert: tiny/math, tasks: [gsm8k]}}\n" +
			"  evaluate:\n    tasks:\n      gsm8k:\n        dataset: nobody/nothing\n", []string{"10 task gsm8k: "}},
		"a token that is not there": {"merge_method: linear\ntokenizer:\n  tokens:\n    <new>:\n      source: tiny/math\nmodels:\n  - {model: tiny/math, parameters: {weight: 1}}\n", []string{"5 tiny/math has no token"}},
		"a token's own id":          {"merge_method: linear\ntokenizer:\n  source: tiny/math\n  tokens:\n    <new>:\n      source: {kind: model_token, model: tiny/math, token_id: 99999}\nmodels:\n  - {model: tiny/math, parameters: {weight: 1}}\n", []string{"6 token_id 99999 is not one of"}},
		"licence chosen":            {"merge_method: linear\nmodels:\n  - {model: odd/free, parameters: {weight: 1}}\nmergebot:\n  publish:\n    repo: a/b\n    license: mit\n", []string{"7 license: odd/withheld, which odd/free was made from, is under cc-by-nc-4.0"}},
		"no derivatives":            {"merge_method: linear\nmodels:\n  - {model: odd/small, parameters: {weight: 1}}\n  - {model: odd/fixed, parameters: {weight: 1}}\n", []string{"4 license: odd/fixed is under"}},
		"an adapter":                {"merge_method: linear\nmodels:\n  - {model: tiny/base+tiny/math, parameters: {weight: 1}}\n", []string{"3 tiny/math is no adapter: it has no adapter_config.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := parse(t, c.recipe)
			_, err := Resolve(t.Context(), family.env(t), r, nil)
			problems, outage := Problems(r, err)
			if outage {
				t.Errorf("an outage: %v", err)
			}
			lines := map[string]bool{}
			for _, want := range c.want {
				line, text, _ := strings.Cut(want, " ")
				lines[line] = true
				if !slices.ContainsFunc(problems, func(p configs.Error) bool { return fmt.Sprint(p.Line) == line && strings.Contains(p.Message, text) }) {
					t.Errorf("%q is not among %v", want, problems)
				}
			}
			for _, p := range problems {
				if p.File != "recipes/r.yaml" || p.Column < 1 || strings.Contains(p.Message, "\n") || strings.HasPrefix(p.Message, p.File) || strings.Contains(p.Message, "request Root") || !lines[fmt.Sprint(p.Line)] {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}

// TestOutageIsNoProblem: what fails on the way is not the recipe's fault, whatever else is wrong with it.
func TestOutageIsNoProblem(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, f *familyHub, env *Env) context.Context{
		"rate limit": func(t *testing.T, f *familyHub, _ *Env) context.Context {
			f.faults.Add(embedded.Fault{Kind: embedded.FaultRateLimit, Path: "/api/*", Delay: time.Hour, Count: -1})
			return t.Context()
		},
		"offline": func(t *testing.T, f *familyHub, env *Env) context.Context {
			env.Hub = must(hub.New(hub.Options{Endpoint: f.URL, Cache: t.TempDir(), Anonymous: true, Offline: true}))
			return t.Context()
		},
		"out of time": func(t *testing.T, _ *familyHub, _ *Env) context.Context {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
			t.Cleanup(cancel)
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			family := openFamily(t, nil)
			env := family.env(t)
			ctx := spoil(t, family, env)
			r := parse(t, familyRecipe)
			_, err := Resolve(ctx, env, r, nil)
			if err == nil {
				t.Fatal("no error")
			}
			if problems, outage := Problems(r, err); !outage || len(problems) > 0 || strings.Contains(err.Error(), "\n") {
				t.Errorf("outage %t, problems %v: %v", outage, problems, err)
			}
		})
	}
	r := parse(t, mergeRecipe)
	if p, outage := Problems(r, nil); len(p) > 0 || outage {
		t.Error("no error has problems")
	}
	wrong := &hub.Error{Op: "x", Err: hub.ErrUnauthorized}
	if p, outage := Problems(r, fmt.Errorf("around: %w", at(r.BaseModel.Pos, wrong))); len(p) > 0 || !outage {
		t.Errorf("a wrong token is the recipe's: %v", p)
	}
	both := findings{at(r.BaseModel.Pos, refuse("a")), at(r.BaseModel.Pos, &hub.Error{Op: "x", Err: hub.ErrNetwork})}
	if p, outage := Problems(r, both.err()); len(p) != 1 || p[0].Line != 2 || !outage {
		t.Errorf("both: %v, %t", p, outage)
	}
	if p, outage := Problems(r, errors.New("never heard of")); len(p) > 0 || !outage {
		t.Errorf("unknown: %v, %t", p, outage)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestMayPublish: only to organisations that the settings name.
func TestMayPublish(t *testing.T) {
	t.Parallel()
	r := parse(t, mergeRecipe)
	for _, c := range []struct {
		to []string
		ok bool
	}{{nil, true}, {[]string{}, false}, {[]string{"ACME"}, true}, {[]string{"acm", "other"}, false}} {
		err := MayPublish(r, c.to)
		if (err == nil) != c.ok {
			t.Errorf("%v: %v", c.to, err)
		}
		if p, outage := Problems(r, err); err != nil && (outage || len(p) != 1 || p[0].Line != 7 || !strings.Contains(p[0].Message, "serve.publish_to") || !errors.Is(err, ErrRecipe)) {
			t.Errorf("%v: %v", c.to, p)
		}
	}
}
