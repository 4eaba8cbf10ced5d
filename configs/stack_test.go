package configs

import (
	"slices"
	"testing"
)

// TestStack: one form for both kinds of recipes.
func TestStack(t *testing.T) {
	t.Parallel()
	names := func(s Slice) (out []string) {
		for _, source := range s.Sources {
			out = append(out, source.Model.String())
		}
		return out
	}
	models := parse(t, "merge_method: ties\nbase_model: a/b\nparameters: {weight: 1}\nmodels: [{model: a/c}, {model: a/d}]\n")
	if s := models.Stack(); len(s) != 1 || !slices.Equal(names(s[0]), []string{"a/c", "a/d", "a/b"}) || !models.Whole() {
		t.Errorf("models: %v, whole %v", names(s[0]), models.Whole())
	}
	listed := parse(t, "merge_method: ties\nbase_model: a/b\nmodels: [{model: a/b}, {model: a/c, parameters: {weight: 1}}]\n")
	if s := listed.Stack(); !slices.Equal(names(s[0]), []string{"a/b", "a/c"}) || !slices.Equal(listed.Experts(), []int{1}) {
		t.Errorf("the base among the models: %v, experts %v", names(s[0]), listed.Experts())
	}
	linear := parse(t, "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: a/c}, {model: a/d}]\n")
	if s := linear.Stack(); !slices.Equal(names(s[0]), []string{"a/c", "a/d"}) {
		t.Errorf("without a base: %v", names(s[0]))
	}
	stacked := parse(t, `merge_method: task_arithmetic
base_model: a/b
slices:
  - sources: [{model: a/b, layer_range: [0, 2]}, {model: a/d, layer_range: [0, 2], parameters: {weight: 2}}]
  - sources: [{model: a/c, layer_range: [1, 2]}, {model: a/b, layer_range: [1, 2]}]
  - {sources: [{model: a/d, layer_range: [0, 1]}, {model: a/e, layer_range: [0, 1]}], base_model: a/e}
parameters: {weight: 1}
`)
	var inputs []string
	for _, m := range stacked.Inputs() {
		inputs = append(inputs, m.Model.String())
	}
	if !slices.Equal(inputs, []string{"a/b", "a/d", "a/c", "a/e"}) || !slices.Equal(stacked.Experts(), []int{1, 2, 3}) || stacked.Whole() {
		t.Errorf("inputs %v, experts %v", inputs, stacked.Experts())
	}
	if s := stacked.Stack(); s[1].BaseModel.String() != "a/b" || s[2].BaseModel.String() != "a/e" || s[0].Sources[1].LayerRange[1] != 2 {
		t.Errorf("%+v", s)
	}
	if w := stacked.ParameterNumber(1, "weight", "x", 0, -1); w != 2 {
		t.Errorf("weight of the first slice's source: %v", w)
	}
	// The recipe's base is an expert where another base's slice merges it.
	other := parse(t, "merge_method: slerp\nbase_model: a/b\nparameters: {t: 0.5}\nslices: [{sources: [{model: a/b}, {model: a/c}], base_model: a/c}]\n")
	if got := other.Experts(); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("experts %v", got)
	}
	own := parse(t, "merge_method: ties\nparameters: {weight: 1}\nslices: [{sources: [{model: a/b, layer_range: [0, 1]}, {model: a/c, layer_range: [0, 1]}], base_model: a/c}]\n")
	if own.Whole() || !slices.Equal(own.Experts(), []int{0, 1}) {
		t.Errorf("experts without a recipe's base: %v", own.Experts())
	}
}

// TestPrecedence: source, slice, recipe; a value whose filters match nothing falls through.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	r := parse(t, `merge_method: linear
slices:
  - sources:
      - {model: a/b, parameters: {weight: [{filter: mlp, value: [1, 3]}]}}
      - {model: a/c, parameters: {weight: {filter: norm, value: 7}}}
    parameters: {weight: [{filter: attn, value: 5}], normalize: [true, false, true]}
parameters: {weight: 9, normalize: false}
`)
	s := r.Stack()[0]
	for _, c := range []struct {
		source int
		tensor string
		t      float64
		want   float64
	}{
		{0, "l.mlp.w", 0.5, 2}, {0, "l.attn.w", 0.5, 5}, {0, "l.norm.w", 0.5, 9}, {1, "l.norm.w", 1, 7}, {1, "l.attn.w", 1, 5}, {1, "l.mlp.w", 1, 9}, {-1, "l.mlp.w", 1, 9},
	} {
		v, ok := r.Parameter(s, c.source, "weight", c.tensor, c.t)
		if f, _ := v.Number(c.tensor, c.t); !ok || f != c.want {
			t.Errorf("source %d, %s at %v: %v, want %v", c.source, c.tensor, c.t, f, c.want)
		}
	}
	for place, want := range map[float64]bool{0: true, 0.4: true, 0.5: false, 0.9: false, 1: true} {
		v, ok := r.Parameter(s, -1, "normalize", "x", place)
		if on, _ := v.Bool("x", place); !ok || on != want {
			t.Errorf("normalize at %v: %v", place, on)
		}
	}
	if _, ok := r.Parameter(s, 0, "scale", "x", 0); ok {
		t.Error("a parameter that is nowhere was found")
	}
}
