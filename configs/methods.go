package configs

import "slices"

// Base says what a method does with base_model.
type Base int

// What a method does with base_model.
const (
	BaseIsModel  Base = iota // nothing of its own: when given, it is one of the models
	BaseOptional             // deltas are taken from it when it is given
	BaseRequired             // deltas are taken from it
)

// Kind is the form of a parameter's value.
type Kind int

// The forms of a parameter's value.
const (
	Number Kind = iota // a number, a gradient or filters
	Switch             // true or false, in the same forms
	Plain              // one number for the whole merge, no gradient, no filters
	Whole              // one whole number for the whole merge
	List               // a list of numbers, one for each partition
)

// Param is a parameter that a merge method understands.
type Param struct {
	Name     string
	Kind     Kind
	Allowed  Interval
	Required bool
	Default  float64
	Doc      string // a line for people
}

// Method is a merge method that a recipe may name. Whether this build can also
// run it is for the merge package to say.
type Method struct {
	Name string
	Base Base
	// How many models it takes, the base not counted unless it is a model like
	// any other; Max 0 is any number.
	Min, Max int
	Model    []Param // of a model; the recipe's own value holds where a model has none
	Recipe   []Param // of the recipe alone
	Refused  string  // why mergebot does not take it, or ""
}

// Methods lists every method that recipes may name, with its parameters:
// mergekit 0.1.4's, then the DPPA paper's. Defaults are mergekit's, also where
// they surprise.
func Methods() []Method {
	weight := Param{Name: "weight", Allowed: anyNumber, Required: true, Doc: "share of this model in the sum"}
	density := Param{Name: "density", Allowed: share, Default: 1, Doc: "share of the delta that is kept"}
	epsilon := Param{Name: "epsilon", Allowed: Interval{Low: 0, High: 1, OpenLow: true, OpenHigh: true}, Default: 0.15, Doc: "how far the chance to be kept varies around the density"}
	gamma := Param{Name: "gamma", Allowed: Interval{Low: 0, High: 1, OpenHigh: true}, Default: 0.01, Doc: "share of the largest deltas that is dropped"}
	eps := Param{Name: "eps", Kind: Plain, Allowed: positive, Default: 1e-8, Doc: "what counts as zero"}
	int8Mask := Param{Name: "int8_mask", Kind: Switch, Doc: "accepted for mergekit's sake, without effect on the result"}
	scaled := func(normalize, rescale float64) []Param {
		return []Param{
			{Name: "normalize", Kind: Switch, Default: normalize, Doc: "divide by the sum of the weights"},
			{Name: "rescale", Kind: Switch, Default: rescale, Doc: "scale what is kept up to the size of the whole delta"},
			{Name: "lambda", Allowed: anyNumber, Default: 1, Doc: "factor of the summed deltas"},
			int8Mask,
		}
	}
	vectors := func(name string, normalize, rescale float64, model ...Param) Method {
		return Method{Name: name, Base: BaseRequired, Min: 1, Model: append([]Param{weight}, model...), Recipe: scaled(normalize, rescale)}
	}
	t := Param{Name: "t", Allowed: unit, Required: true, Doc: "0 is the base, 1 the other model"}
	overlap := Param{Name: "epsilon", Kind: Plain, Allowed: notNegative, Default: 1e-5, Doc: "deltas up to this count as none"}

	pruned := []Param{
		{Name: "density", Kind: Plain, Allowed: share, Required: true, Doc: "share of the delta that is kept"},
		{Name: "weight", Kind: Plain, Allowed: anyNumber, Default: 1, Doc: "coefficient of this expert's delta"},
	}
	amplified := append(slices.Clone(pruned), Param{
		Name: "ratios", Kind: List, Allowed: notNegative, Doc: "amplification ratio of each partition, P1 first; without it 1, or what the search finds"})
	return []Method{
		{Name: "linear", Min: 1, Model: []Param{weight}, Recipe: []Param{
			{Name: "normalize", Kind: Switch, Default: 1, Doc: "divide by the sum of the weights"}}},
		{Name: "slerp", Base: BaseRequired, Min: 1, Max: 1, Recipe: []Param{t}},
		{Name: "nuslerp", Base: BaseOptional, Min: 2, Max: 2, Model: []Param{weight}, Recipe: []Param{
			{Name: "nuslerp_flatten", Kind: Switch, Default: 1, Doc: "treat a tensor as one vector"},
			{Name: "nuslerp_row_wise", Kind: Switch, Doc: "when not flattened, each column of a weight is a vector, not each row"}}},
		{Name: "multislerp", Base: BaseOptional, Min: 1, Model: []Param{weight}, Recipe: []Param{
			{Name: "normalize_weights", Kind: Switch, Default: 1, Doc: "divide the weights by their sum"}, eps}},
		{Name: "karcher", Min: 1, Recipe: []Param{
			{Name: "max_iter", Kind: Whole, Allowed: Interval{Low: 1, High: 10000}, Default: 10, Doc: "most steps towards the mean"},
			{Name: "tol", Kind: Plain, Allowed: positive, Default: 1e-5, Doc: "stop when a step is shorter"}}},
		vectors("task_arithmetic", 0, 0),
		vectors("ties", 1, 0, density),
		vectors("dare_linear", 0, 1, density),
		vectors("dare_ties", 0, 1, density),
		vectors("della", 1, 1, density, epsilon),
		vectors("della_linear", 0, 1, density, epsilon),
		vectors("breadcrumbs", 0, 0, density, gamma),
		vectors("breadcrumbs_ties", 0, 0, density, gamma),
		{Name: "model_stock", Base: BaseRequired, Min: 2, Recipe: []Param{
			{Name: "filter_wise", Kind: Switch, Doc: "one angle a row, not one a tensor"}}},
		{Name: "sce", Base: BaseRequired, Min: 1, Recipe: []Param{
			{Name: "select_topk", Allowed: share, Default: 1, Doc: "share of the positions with the largest variance that is kept"}, int8Mask}},
		{Name: "nearswap", Base: BaseRequired, Min: 1, Max: 1, Recipe: []Param{
			{Name: "t", Allowed: notNegative, Required: true, Doc: "models closer than this swap"}}},
		{Name: "ram", Base: BaseRequired, Min: 1, Recipe: []Param{overlap}},
		{Name: "ramplus_tl", Base: BaseRequired, Min: 1, Recipe: []Param{overlap,
			{Name: "r", Kind: Plain, Allowed: anyNumber, Default: 0.1, Doc: "how much unique deltas are scaled up"},
			{Name: "alpha", Kind: Plain, Allowed: notNegative, Default: 0.2, Doc: "limit of that scaling"}}},
		{Name: "passthrough", Min: 1, Max: 1, Model: []Param{
			{Name: "scale", Allowed: anyNumber, Default: 1, Doc: "factor of the weights"}}},
		{Name: "arcee_fusion", Base: BaseRequired, Min: 1, Max: 1,
			Refused: "it draws an unseeded random sample of every large tensor, so no run can be reproduced"},
		{Name: "dppa", Base: BaseRequired, Min: 1, Model: amplified},
		{Name: "magnitude", Base: BaseRequired, Min: 1, Model: pruned},
		{Name: "owl", Base: BaseRequired, Min: 1, Model: pruned},
	}
}

// method finds a method by its name.
func method(name string) (Method, bool) {
	all := Methods()
	i := slices.IndexFunc(all, func(m Method) bool { return m.Name == name })
	if i < 0 {
		return Method{}, false
	}
	return all[i], true
}

// Prunes says that the method prunes each expert whole, as mergebot.dppa says,
// and adds what is left to the base.
func (m Method) Prunes() bool { return m.Name == "dppa" || m.Name == "magnitude" || m.Name == "owl" }

// Sums says that the method adds weighted deltas to a base, so that one
// coefficient for all of them means something.
func (m Method) Sums() bool {
	return m.Base == BaseRequired && slices.ContainsFunc(m.Model, func(p Param) bool { return p.Name == "weight" })
}

// parameterNames lists the names of every method's parameters, each once.
func parameterNames() []string {
	var names []string
	for _, m := range Methods() {
		for _, p := range slices.Concat(m.Model, m.Recipe) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
