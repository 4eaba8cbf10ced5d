package main

import (
	"fmt"
	"strings"
)

// recipe is one merge that is timed.
type recipe struct {
	name string
	// text is the recipe over n experts in folders beside it.
	text func(m models) string
	// base says that the base is read, experts how many of the experts; −1 is all.
	base    bool
	experts int
	// whole is false where only the layers that the result has are read: as many bytes as are written.
	whole bool
	// alone marks a method that mergekit has not.
	alone bool
	// random marks methods that draw: their results are compared by size.
	random bool
}

// recipes are all of them, in the order of the table.
var recipes = []recipe{
	{name: "linear", text: together("linear", false, "weight: %w"), experts: -1, whole: true},
	{name: "task_arithmetic", text: together("task_arithmetic", true, "weight: %w"), base: true, experts: -1, whole: true},
	{name: "ties", text: together("ties", true, "weight: %w, density: 0.2"), base: true, experts: -1, whole: true},
	{name: "dare_ties", text: together("dare_ties", true, "weight: %w, density: 0.2"), base: true, experts: -1, whole: true, random: true},
	{name: "della", text: together("della", true, "weight: %w, density: 0.2"), base: true, experts: -1, whole: true, random: true},
	{name: "breadcrumbs", text: together("breadcrumbs", true, "weight: %w, density: 0.2"), base: true, experts: -1, whole: true},
	{name: "sce", text: together("sce", true, ""), base: true, experts: -1, whole: true},
	{name: "model_stock", text: together("model_stock", true, ""), base: true, experts: -1, whole: true},
	{name: "slerp", text: slerp, base: true, experts: 1, whole: true},
	{name: "passthrough", text: halves, experts: 2},
	{name: "magnitude", text: together("magnitude", true, "weight: %w, density: 0.2"), base: true, experts: -1, whole: true, alone: true},
	{name: "dppa", text: together("dppa", true, "density: 0.2, ratios: [%r]"), base: true, experts: -1, whole: true, alone: true},
}

// together lists all experts under models. In parameters %w is a weight and %r
// two ratios, others for each model.
func together(method string, base bool, parameters string) func(models) string {
	return func(m models) string {
		var b strings.Builder
		fmt.Fprintf(&b, "merge_method: %s\n", method)
		if base {
			b.WriteString("base_model: ./base\n")
		}
		b.WriteString("models:\n")
		for i := range m.experts {
			p := strings.NewReplacer("%w", fmt.Sprint(0.4+0.1*float64(i%3)), "%r", fmt.Sprintf("%v, %v", 1.5+0.1*float64(i%3), 0.6+0.2*float64(i%3))).Replace(parameters)
			fmt.Fprintf(&b, "  - {model: ./%s, parameters: {%s}}\n", expert(i), p)
		}
		b.WriteString("dtype: bfloat16\n")
		return b.String()
	}
}

func slerp(models) string {
	return "merge_method: slerp\nbase_model: ./base\nmodels:\n  - {model: ./base}\n  - {model: ./" + expert(0) + "}\nparameters: {t: 0.4}\ndtype: bfloat16\n"
}

// halves takes the first half of the layers from one expert, the rest from
// another.
func halves(m models) string {
	half := max(1, m.layers/2)
	return fmt.Sprintf("merge_method: passthrough\nslices:\n"+
		"  - {sources: [{model: ./%s, layer_range: [0, %d]}]}\n"+
		"  - {sources: [{model: ./%s, layer_range: [%d, %d]}]}\n"+
		"dtype: bfloat16\n", expert(0), half, expert(1), half, m.layers)
}

func expert(i int) string { return fmt.Sprintf("expert%d", i+1) }

// reads are the folders that a recipe reads.
func (r recipe) reads(m models) []string {
	n := r.experts
	if n < 0 {
		n = m.experts
	}
	var dirs []string
	if r.base {
		dirs = append(dirs, "base")
	}
	for i := range n {
		dirs = append(dirs, expert(i))
	}
	return dirs
}

// moved is how many bytes of weights a merge must read and write at least.
func (r recipe) moved(m models) int64 {
	if !r.whole {
		return 2 * m.bytes
	}
	return int64(len(r.reads(m))+1) * m.bytes
}

// choose picks recipes by name; none given are all.
func choose(names []string) ([]recipe, error) {
	if len(names) == 0 {
		return recipes, nil
	}
	var out []recipe
	for _, n := range names {
		found := false
		for _, r := range recipes {
			if r.name == n {
				out, found = append(out, r), true
			}
		}
		if !found {
			var have []string
			for _, r := range recipes {
				have = append(have, r.name)
			}
			return nil, fmt.Errorf("there is no recipe %q; there are %s", n, strings.Join(have, ", "))
		}
	}
	return out, nil
}
