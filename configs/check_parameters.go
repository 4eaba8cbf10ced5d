package configs

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// level is one `parameters:` mapping and what may stand in it.
type level struct {
	path   string
	values Parameters
	allow  []Param
	what   string // for messages: "a model", "the recipe"
}

// checkParameters holds every parameter to the method's table: known, in its
// place, in its form and in its range, and present where it must be.
func checkParameters(d *decoder, r *Recipe, m Method) {
	both := slices.Concat(m.Model, m.Recipe)
	shared := slices.DeleteFunc(slices.Clone(both), func(p Param) bool { return p.Kind == List })
	checkLevel(d, m, level{"parameters", r.Parameters, shared, "the recipe"})
	for i, model := range r.Models {
		checkLevel(d, m, level{join(index("models", i), "parameters"), model.Parameters, m.Model, "a model"})
	}
	for i, s := range r.Slices {
		path := index("slices", i)
		checkLevel(d, m, level{join(path, "parameters"), s.Parameters, shared, "a slice"})
		for j, source := range s.Sources {
			checkLevel(d, m, level{join(path, join(index("sources", j), "parameters")), source.Parameters, m.Model, "a source"})
		}
	}
	checkRequired(d, r, m)
	if strings.HasPrefix(m.Name, "della") {
		checkDella(d, r)
	}
}

func checkLevel(d *decoder, m Method, l level) {
	for _, name := range d.params[l.path] {
		path := join(l.path, name)
		if i := slices.IndexFunc(l.allow, func(p Param) bool { return p.Name == name }); i >= 0 {
			if v, ok := l.values[name]; ok {
				checkValue(d, path, l.allow[i], v)
			}
			continue
		}
		failParameter(d, m, l, name)
	}
}

// failParameter says why a parameter does not belong to this level.
func failParameter(d *decoder, m Method, l level, name string) {
	if d.full() {
		return
	}
	path := join(l.path, name)
	names := func(params []Param) (all []string) {
		for _, p := range params {
			all = append(all, p.Name)
		}
		return all
	}
	switch {
	case slices.Contains(names(m.Recipe), name):
		d.failKey(path, "", "%q has no effect on %s (mergekit would drop it silently): it belongs under the recipe's own `parameters`", name, l.what)
	case slices.Contains(names(m.Model), name):
		d.failKey(path, "", "%q belongs to each model: put it under `models[].parameters`", name)
	case len(l.allow) == 0:
		d.failKey(path, "", "merge_method %s has no parameters of %s; remove %q", m.Name, l.what, clip(name))
	case slices.Contains(parameterNames(), name):
		d.failKey(path, "", "%q is not a parameter of merge_method %s; it has %s", name, m.Name, strings.Join(names(l.allow), ", "))
	default:
		if near := nearest(name, names(slices.Concat(m.Model, m.Recipe))); near != "" {
			d.failKey(path, near, "unknown parameter %q of merge_method %s", clip(name), m.Name)
			return
		}
		d.failKey(path, "", "unknown parameter %q; merge_method %s has %s", clip(name), m.Name, strings.Join(names(l.allow), ", "))
	}
}

func checkValue(d *decoder, path string, p Param, v Value) {
	constant, isConstant := v.Constant()
	switch p.Kind {
	case Switch:
		for _, f := range v.All() {
			if f != 0 && f != 1 {
				d.failAt(path, "%s: want true or false, not %v", p.Name, f)
				return
			}
		}
		return
	case List:
		if len(v.cases) > 0 || len(v.numbers) == 0 {
			d.failAt(path, "%s: want a list of numbers, one for each partition, P1 first", p.Name)
			return
		}
	case Plain, Whole:
		if !isConstant {
			d.failAt(path, "%s: want one number; gradients and filters have no meaning here", p.Name)
			return
		}
		if p.Kind == Whole && constant != math.Trunc(constant) {
			d.failAt(path, "%s: want a whole number, not %v", p.Name, constant)
			return
		}
	}
	for _, f := range v.All() {
		if !p.Allowed.Contains(f) {
			d.failAt(path, "%s: %v is out of range; want a number %s%s", p.Name, f, p.Allowed, densityHint(p, f))
			return
		}
	}
}

// densityHint helps those who think in percent or in pruning rates.
func densityHint(p Param, f float64) string {
	switch {
	case p.Name != "density":
		return ""
	case f > 1 && f <= 100:
		return fmt.Sprintf(" (the share kept: %v %% is %v)", f, f/100)
	case f == 0:
		return " (the share kept; to leave a model out, remove it)"
	}
	return " (the share kept)"
}

// checkRequired finds models that lack a value the method cannot do without,
// for all tensors or for some.
func checkRequired(d *decoder, r *Recipe, m Method) {
	covers := func(name string, levels ...Parameters) (some, all bool) {
		for _, values := range levels {
			if v, ok := values[name]; ok {
				some, all = true, all || v.total()
			}
		}
		return some, all
	}
	check := func(path string, p Param, levels ...Parameters) {
		// A key of that name with a slip in it has its own error, which says all there is to say.
		slip := func(key string) bool { return key != p.Name && nearest(key, []string{p.Name}) == p.Name }
		if slices.ContainsFunc(d.params[join(path, "parameters")], slip) || slices.ContainsFunc(d.params["parameters"], slip) {
			return
		}
		if !p.Required || d.stray || d.keyed(join(join(path, "parameters"), p.Name)) && levels[0][p.Name].empty() {
			return // not needed, or written and wrong already
		}
		switch some, all := covers(p.Name, levels...); {
		case all:
		case some:
			d.failAt(path, "%s is given for some tensors only; add an entry without a filter", p.Name)
		default:
			d.failAt(path, "merge_method %s needs the parameter %s here: parameters: {%s: …}", m.Name, p.Name, p.Name)
		}
	}
	for _, p := range m.Recipe {
		if len(r.Slices) == 0 {
			check("", p, r.Parameters)
		}
		for i, s := range r.Slices {
			check(index("slices", i), p, s.Parameters, r.Parameters)
		}
	}
	isInput := func(ref, base ModelRef) bool {
		return !ref.IsZero() && (m.Base == BaseIsModel || base.IsZero() || !ref.Same(base))
	}
	for _, p := range m.Model {
		if d.keyed(join("parameters", p.Name)) && r.Parameters[p.Name].empty() {
			continue
		}
		for i, model := range r.Models {
			if isInput(model.Model, r.BaseModel) {
				check(index("models", i), p, model.Parameters, r.Parameters)
			}
		}
		for i, s := range r.Slices {
			base := s.BaseModel
			if base.IsZero() {
				base = r.BaseModel
			}
			for j, source := range s.Sources {
				if isInput(source.Model, base) {
					check(join(index("slices", i), index("sources", j)), p, source.Parameters, s.Parameters, r.Parameters)
				}
			}
		}
	}
}

// checkDella holds density ± epsilon within (0, 1): they are chances. A density
// of 1 keeps all and draws nothing.
func checkDella(d *decoder, r *Recipe) {
	check := func(path string, levels ...Parameters) {
		get := func(name string, def float64) (float64, bool) {
			for _, values := range levels {
				if v, ok := values[name]; ok {
					return v.Constant()
				}
			}
			return def, true
		}
		density, plain := get("density", 1)
		epsilon, alsoPlain := get("epsilon", 0.15)
		if plain && alsoPlain && density < 1 && (density-epsilon <= 0 || density+epsilon >= 1) {
			d.failAt(path, "density %v with epsilon %v gives chances from %.3g to %.3g; both must lie between 0 and 1", density, epsilon, density-epsilon, density+epsilon)
		}
	}
	for i, model := range r.Models {
		check(index("models", i), model.Parameters, r.Parameters)
	}
	for i, s := range r.Slices {
		for j, source := range s.Sources {
			check(join(index("slices", i), index("sources", j)), source.Parameters, s.Parameters, r.Parameters)
		}
	}
}
