package merge

import (
	"testing"

	"mergebot/configs"
	"mergebot/merge/kernel"
)

// TestSparseIsAFunctionOfThePlan is TestWriteIsAFunctionOfThePlan for the
// methods that thin deltas out by rank, by outliers, by variance or by overlap.
func TestSparseIsAFunctionOfThePlan(t *testing.T) {
	base := member(t, "base")
	for method, parameters := range map[string]string{
		"della": "weight: 0.5, density: 0.3", "della_linear": "weight: 0.5, density: 0.3, epsilon: 0.25",
		"breadcrumbs": "weight: 0.5, density: 0.3, gamma: 0.004", "breadcrumbs_ties": "weight: 0.5, density: 0.3",
		"sce": "select_topk: 0.2", "ram": "epsilon: 0.01", "ramplus_tl": "epsilon: 0.01, alpha: 3",
	} {
		if testing.Short() && method != "della" && method != "sce" {
			continue // these two have all that runs in parallel
		}
		sameWithThreads(t, sparseRecipe(t, method, parameters), &base, domains)
	}
	r := recipe(t, "merge_method: passthrough\nmodels: [{model: acme/math, parameters: {scale: 0.7}}]\n")
	sameWithThreads(t, r, nil, []string{"math"})
}

// TestSparseDigest: every parameter of these methods is in the digest.
func TestSparseDigest(t *testing.T) {
	t.Parallel()
	base := member(t, "base")
	var inputs []Input
	for _, d := range domains {
		inputs = append(inputs, Input{Model: member(t, d)})
	}
	for _, c := range []struct{ method, parameters, changed string }{
		{"della", "weight: 1, density: 0.5", "weight: 1, density: 0.5, epsilon: 0.2"},
		{"breadcrumbs", "weight: 1, density: 0.5", "weight: 1, density: 0.5, gamma: 0.2"},
		{"sce", "select_topk: 0.5", "select_topk: [0.5, 0.6]"},
		{"ram", "epsilon: 0.5", "epsilon: 0.6"},
		{"ramplus_tl", "r: 0.5", "r: 0.6"},
		{"ramplus_tl", "alpha: 0.5", "alpha: 0.6"},
	} {
		var digests []string
		for _, parameters := range []string{c.parameters, c.changed} {
			m, err := New(kernel.CPU(), sparseRecipe(t, c.method, parameters), &base, inputs)
			if err != nil {
				t.Fatal(err)
			}
			digests = append(digests, m.Digest())
		}
		if digests[0] == digests[1] {
			t.Errorf("%s: %s and %s have the same digest", c.method, c.parameters, c.changed)
		}
	}
}

// sparseRecipe merges the family's experts, all with the same parameters.
func sparseRecipe(t *testing.T, method, parameters string) *configs.Recipe {
	t.Helper()
	return recipe(t, "merge_method: "+method+"\nbase_model: acme/base\nmodels: [{model: acme/math}, {model: acme/finance}, {model: acme/law}]\n"+
		"parameters: {"+parameters+"}\ndtype: float16\nmergebot: {seed: 7}\n")
}
