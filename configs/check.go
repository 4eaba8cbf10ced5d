package configs

import (
	"slices"
	"strings"
)

// checkRecipe looks for what the form of a recipe cannot say: that its parts
// fit together. It also settles what the method implies.
func checkRecipe(d *decoder, r *Recipe) {
	m, known := checkMethod(d, r)
	checkForms(d, r)
	checkTypes(d, r)
	checkTokenizer(d, r, m)
	if known {
		checkModels(d, r, m)
		checkStack(d, r, m)
		checkParameters(d, r, m)
	}
	checkSlices(d, r)
	checkMergebot(d, r, m)
}

func checkMethod(d *decoder, r *Recipe) (Method, bool) {
	if !d.written("merge_method") {
		d.failAt("", "merge_method is missing")
		return Method{}, false
	}
	if r.MergeMethod == "" {
		return Method{}, false // mistyped, and said so
	}
	m, ok := method(r.MergeMethod)
	if !ok {
		var names []string
		for _, m := range Methods() {
			if m.Refused == "" {
				names = append(names, m.Name)
			}
		}
		near := nearest(r.MergeMethod, names)
		p := d.place(d.vals, "merge_method")
		if near != "" {
			d.fail(p, near, "unknown merge_method %q", clip(r.MergeMethod))
		} else {
			d.fail(p, "", "unknown merge_method %q; known: %s", clip(r.MergeMethod), strings.Join(names, ", "))
		}
		return Method{}, false
	}
	if m.Refused != "" {
		d.failAt("merge_method", "merge_method %s is not taken: %s", m.Name, m.Refused)
	}
	return m, true
}

func checkForms(d *decoder, r *Recipe) {
	models, slices := d.written("models"), d.written("slices")
	switch {
	case models && slices:
		d.failKey("slices", "", "a recipe has either models or slices, not both")
	case !models && !slices:
		if !d.keyed("modules") { // refused already
			d.failAt("", "nothing to merge: models is missing")
		}
	case models && len(r.Models) == 0:
		d.failAt("models", "nothing to merge: the list is empty")
	case slices && len(r.Slices) == 0:
		d.failAt("slices", "nothing to merge: the list is empty")
	}
}

var (
	dtypes    = []string{"float16", "bfloat16", "float32"}
	dtypeSlip = map[string]string{"fp16": "float16", "half": "float16", "f16": "float16", "bf16": "bfloat16", "fp32": "float32", "f32": "float32", "float": "float32"}
)

func checkTypes(d *decoder, r *Recipe) {
	check := func(path, dtype string) {
		if dtype == "" && !d.written(path) || slices.Contains(dtypes, dtype) {
			return
		}
		near := dtypeSlip[strings.ToLower(dtype)]
		if near == "" {
			near = nearest(strings.TrimPrefix(dtype, "torch."), dtypes)
		}
		if dtype != "" {
			d.fail(d.place(d.vals, path), near, "%s: unknown type %q; want %s", path, clip(dtype), strings.Join(dtypes, ", "))
		}
	}
	check("dtype", r.DType)
	check("out_dtype", r.OutDType)
}

func checkModels(d *decoder, r *Recipe, m Method) {
	own := func(s Slice) bool { return !s.BaseModel.IsZero() }
	ofSlices := len(r.Slices) > 0 && !slices.ContainsFunc(r.Slices, func(s Slice) bool { return !own(s) })
	if m.Base == BaseRequired && r.BaseModel.IsZero() && !d.written("base_model") && !ofSlices {
		d.failAt("merge_method", "merge_method %s needs a base_model", m.Name)
	}
	if len(r.Models) == 0 {
		return
	}
	for i, model := range r.Models {
		path := index("models", i)
		if !d.written(join(path, "model")) {
			d.failAt(path, "the model is missing: {model: org/name}")
			continue
		}
		if first := r.ModelIndex(model.Model); first >= 0 && first < i && !model.Model.IsZero() {
			d.failAt(join(path, "model"), "%s is in the list already, in line %d", clip(model.Model.String()), r.Models[first].Pos.Line)
		}
	}
	checkBaseAmongModels(d, r, m)
	n := len(r.Models)
	if m.Base != BaseIsModel {
		n = len(r.Experts())
	}
	besides := ""
	if m.Base != BaseIsModel {
		besides = " besides the base"
	}
	switch {
	case n < m.Min && m.Min == m.Max, m.Max > 0 && n > m.Max:
		d.failAt("models", "merge_method %s takes %s%s; the list has %d", m.Name, count(m.Max), besides, n)
	case n < m.Min:
		d.failAt("models", "merge_method %s takes at least %s%s; the list has %d", m.Name, count(m.Min), besides, n)
	}
}

func checkBaseAmongModels(d *decoder, r *Recipe, m Method) {
	if r.BaseModel.IsZero() {
		return
	}
	i := r.ModelIndex(r.BaseModel)
	switch {
	case m.Base == BaseIsModel && i < 0:
		d.failAt("base_model", "merge_method %s takes nothing from a base: list %s among the models, too, or remove base_model", m.Name, clip(r.BaseModel.String()))
	case m.Prunes() && i >= 0:
		d.failAt(index("models", i), "the base has no delta to itself: remove it from the models")
	case m.Base != BaseIsModel && i >= 0 && len(r.Models[i].Parameters) > 0:
		d.failAt(join(index("models", i), "parameters"), "parameters of the base have no effect with merge_method %s; remove them", m.Name)
	}
}
