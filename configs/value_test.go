package configs

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestValueAsMergekit pins mergekit 0.1.5's evaluate_setting.
func TestValueAsMergekit(t *testing.T) {
	t.Parallel()
	r := parse(t, `merge_method: ties
base_model: a/base
models:
  - model: a/one
    parameters:
      weight: [0, 1, 3]
      density:
        - {filter: self_attn, value: [0.2, 0.4]}
        - {filter: mlp, value: 0.9}
  - model: a/two
    parameters:
      weight:
        - {filter: "*", value: 7}
  - model: a/three
    parameters:
      density: [{filter: q_proj, value: 0.3}, {value: 0.6}]
parameters:
  weight: 5
  density: [{filter: norm, value: 0.8}]
  normalize: [{filter: mlp, value: false}, {filter: attn, value: yes}]
`)
	const attn, mlp, norm, embed = "model.layers.3.self_attn.q_proj.weight", "model.layers.3.mlp.up_proj.weight", "model.norm.weight", "model.embed_tokens.weight"
	for _, c := range []struct {
		model  int
		name   string
		tensor string
		t      float64
		want   float64
	}{
		{0, "weight", attn, 0, 0},
		{0, "weight", attn, 0.25, 0.5},
		{0, "weight", attn, 0.5, 1},
		{0, "weight", attn, 0.75, 2},
		{0, "weight", attn, 1, 3},
		{0, "weight", embed, 0, 0},   // outside the layers: the gradient's first number
		{0, "density", attn, 1, 0.4}, // a gradient under a filter
		{0, "density", mlp, 1, 0.9},
		{0, "density", norm, 0, 0.8},  // no filter matches: the recipe's value
		{0, "density", embed, 0, -1},  // nor there: the default
		{1, "weight", attn, 0, 7},     // * matches all
		{2, "density", attn, 0, 0.3},  // the first match wins
		{2, "density", embed, 0, 0.6}, // no filter matches all
		{2, "weight", attn, 0, 5},     // the recipe's value
		{-1, "weight", attn, 0, 5},    // the recipe alone
		{-1, "lambda", attn, 0, -1},   // nowhere
	} {
		if got := r.ParameterNumber(c.model, c.name, c.tensor, c.t, -1); got != c.want {
			t.Errorf("model %d, %s of %s at %v: got %v, want %v", c.model, c.name, c.tensor, c.t, got, c.want)
		}
	}
	for _, c := range []struct {
		tensor    string
		def, want bool
	}{{mlp, true, false}, {attn, false, true}, {norm, true, true}, {norm, false, false}} {
		got := c.def
		if v, ok := r.Parameter(r.Stack()[0], 0, "normalize", c.tensor, 0); ok {
			got, _ = v.Bool(c.tensor, 0)
		}
		if got != c.want {
			t.Errorf("normalize of %s, default %v: got %v", c.tensor, c.def, got)
		}
	}
}

func TestGradientOutsideOfUnit(t *testing.T) {
	t.Parallel()
	v := Gradient(1, 2)
	for place, want := range map[float64]float64{-1: 1, 2: 2, 0.5: 1.5} {
		if got, ok := v.Number("x", place); !ok || got != want {
			t.Errorf("at %v: got %v, %v", place, got, ok)
		}
	}
	if _, ok := (Value{}).Number("x", 0); ok {
		t.Error("the zero Value has a number")
	}
	if on, ok := Scalar(0).Bool("x", 0); on || !ok {
		t.Errorf("Scalar(0) as a switch: %v, %v", on, ok)
	}
}

func TestRatios(t *testing.T) {
	t.Parallel()
	r := parse(t, "merge_method: dppa\nbase_model: a/b\nmodels: [{model: a/c, parameters: {density: 0.2, ratios: [1.8, 0.5]}}, {model: a/d, parameters: {density: 0.1, ratios: 1.8}}, {model: a/e, parameters: {density: 0.1}}]\n")
	for i, want := range [][]float64{{1.8, 0.5}, {1.8}, nil} {
		got, ok := r.Models[i].Ratios()
		if !cmp.Equal(got, want) || ok != (want != nil) {
			t.Errorf("model %d: %v, %v", i, got, ok)
		}
	}
	copied, _ := r.Models[0].Ratios()
	copied[0] = 9
	if again, _ := r.Models[0].Ratios(); again[0] != 1.8 {
		t.Error("the recipe's ratios can be changed from outside")
	}
}

func TestGrid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r    Range
		want []float64
	}{
		{Range{Min: 0.3, Max: 1.2, Step: 0.1}, []float64{0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2}},
		{Range{Min: 0, Max: 1, Step: 0.4}, []float64{0, 0.4, 0.8}},
		{Range{Min: 2, Max: 2, Step: 1}, []float64{2}},
		{Range{Values: []float64{1, 1.5}}, []float64{1, 1.5}},
	} {
		if got := c.r.Grid(); !cmp.Equal(got, c.want) {
			t.Errorf("%+v: got %v", c.r, got)
		}
	}
	if n := len((Range{Min: 0, Max: 4, Step: 0.1}).Grid()); n != 41 {
		t.Errorf("0 to 4 by 0.1 has %d values", n)
	}
	r := parse(t, "merge_method: dppa\nbase_model: a/b\nmodels: [{model: a/c, parameters: {density: 0.2}}]\nmergebot: {domains: {d: {expert: a/c, tasks: [fpb]}}, search: {ratios: {max: 2}, coefficients: [0.5, 1], coefficient: common}}\n")
	s := r.Mergebot.Search
	if want := (Range{Min: 0, Max: 2, Step: 0.1}); !cmp.Equal(s.Ratios, want) {
		t.Errorf("ratios: %+v; what is left out keeps its default", s.Ratios)
	}
	if want := (Range{Values: []float64{0.5, 1}}); !cmp.Equal(s.Coefficients, want) {
		t.Errorf("coefficients: %+v", s.Coefficients)
	}
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	d := dppaDefaults(PresetPaper)
	for density, want := range map[float64]int{0.1: 1, 0.2: 2, 0.25: 3, 0.3: 3, 0.05: 1, 1: 10} {
		if got := d.Partitions(density); got != want {
			t.Errorf("density %v: %d partitions, want %d", density, got, want)
		}
	}
}

func TestInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		i    Interval
		want string
		in   []float64
		out  []float64
	}{
		{share, "above 0 to 1", []float64{1e-9, 1}, []float64{0, 1.1}},
		{unit, "from 0 to 1", []float64{0, 1}, []float64{-0.1, 1.1}},
		{positive, "above 0", []float64{1e-9, 1e9}, []float64{0}},
		{notNegative, "0 or more", []float64{0}, []float64{-1e-9}},
		{Interval{Low: 0, High: 1, OpenHigh: true}, "from 0 below 1", []float64{0}, []float64{1}},
	} {
		if got := c.i.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		for _, f := range c.in {
			if !c.i.Contains(f) {
				t.Errorf("%s refuses %v", c.want, f)
			}
		}
		for _, f := range append(c.out, math.NaN()) {
			if c.i.Contains(f) {
				t.Errorf("%s takes %v", c.want, f)
			}
		}
	}
}

func TestValueJSON(t *testing.T) {
	t.Parallel()
	v := Value{cases: []valueCase{{"mlp", Gradient(0, 1)}, {"", Scalar(0.5)}}}
	got, err := json.Marshal([]Value{Scalar(2), Gradient(1, 2), v})
	if want := `[2,[1,2],[{"filter":"mlp","value":[0,1]},{"value":0.5}]]`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}
