package merge

import (
	"slices"
	"testing"

	"mergebot/configs"
	"mergebot/merge/kernel"
)

// geometricRecipe is a recipe over the family for a method that goes by lengths and angles.
func geometricRecipe(t *testing.T, method, base string, parameters string, models ...string) *configs.Recipe {
	t.Helper()
	src := "merge_method: " + method + "\n"
	if base != "" {
		src += "base_model: acme/" + base + "\n"
	}
	src += "models:\n"
	for _, m := range models {
		src += "  - model: acme/" + m + "\n"
		if m != base && parameters == "" {
			src += "    parameters: {weight: 0.4}\n"
		}
	}
	if parameters != "" {
		src += "parameters: " + parameters + "\n"
	}
	return recipe(t, src+"dtype: float16\n")
}

// TestGeometricIsAFunctionOfThePlan: the threads that share the inner products do not show.
func TestGeometricIsAFunctionOfThePlan(t *testing.T) {
	base := member(t, "base")
	for _, r := range []*configs.Recipe{
		geometricRecipe(t, "slerp", "base", "{t: 0.3}", "math"),
		geometricRecipe(t, "nearswap", "base", "{t: 0.001}", "math"),
		geometricRecipe(t, "nuslerp", "base", "", "math", "law"),
		geometricRecipe(t, "nuslerp", "base", "{weight: 0.4, nuslerp_flatten: false, nuslerp_row_wise: true}", "math", "law"),
		geometricRecipe(t, "multislerp", "base", "", "math", "finance", "law"),
		geometricRecipe(t, "model_stock", "base", "{filter_wise: true}", "math", "finance", "law"),
	} {
		var experts []string
		for _, m := range r.Models {
			experts = append(experts, m.Model.Repo[len("acme/"):])
		}
		sameWithThreads(t, r, &base, experts)
	}
	sameWithThreads(t, geometricRecipe(t, "karcher", "", "{max_iter: 20}", "math", "finance", "law"), nil, []string{"math", "finance", "law"})
}

// TestOptionalBase: a method that needs no base takes deltas from it where there is one. The base has no delta to
// itself, also where it is listed among the models.
func TestOptionalBase(t *testing.T) {
	t.Parallel()
	base, math, law := member(t, "base"), member(t, "math"), member(t, "law")
	const name = "model.layers.1.mlp.up_proj.weight"
	read := func(r *configs.Recipe, base *Model, models ...Model) []float32 {
		var inputs []Input
		for _, m := range models {
			inputs = append(inputs, Input{Model: m})
		}
		mg, err := New(kernel.CPU(), r, base, inputs)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(1)
		for _, d := range mg.Shape(name) {
			n *= d
		}
		x := make([]float32, n)
		if err := mg.Read(name, x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, method := range []string{"nuslerp", "multislerp"} {
		without := read(geometricRecipe(t, method, "", "", "math", "law"), nil, math, law)
		with := read(geometricRecipe(t, method, "base", "", "math", "law"), &base, math, law)
		listed := geometricRecipe(t, method, "base", "", "base", "math", "law")
		if slices.Equal(without, with) {
			t.Errorf("%s: the base makes no difference", method)
		}
		if !slices.Equal(read(listed, &base, base, math, law), with) || !slices.Equal(read(listed, &base, math, law), with) {
			t.Errorf("%s: other numbers with the base among the models", method)
		}
	}
}
