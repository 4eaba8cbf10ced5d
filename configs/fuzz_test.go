package configs

import (
	"errors"
	"os"
	"slices"
	"testing"
)

// FuzzParse holds Parse to its word: no panic, errors in order and in bounds,
// and what passes can be hashed and asked for its values.
func FuzzParse(f *testing.F) {
	for _, path := range examplePaths(f) {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte(good))
	f.Add([]byte("models: &a [{<<: *a}]\nmergebot: {schedule: TZ=}\n"))
	f.Add([]byte("merge_method: slerp\nslices: [{base_model: a/b, sources: [{model: a/b, layer_range: [0, 1]}, {model: a/c, layer_range: [1, 2]}]}]\nparameters: {t: {filter: mlp, value: [0, 1]}}\n"))
	f.Add([]byte("merge_method: ties\nslices: [{sources: [{model: {model: a/b, lora: ./c}, layer_range: [0, 1]}]}]\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		r, err := Parse("f.yaml", src)
		if err != nil {
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 || len(errs) > maxProblems+1 {
				t.Fatalf("%T of %d", err, len(errs))
			}
			if !slices.IsSortedFunc(errs, func(a, b Error) int { return a.Line - b.Line }) {
				t.Errorf("not in order: %v", errs)
			}
			for _, e := range errs {
				if e.Line < 1 || e.Column < 1 || e.Message == "" || len(e.Error()) > 2000 {
					t.Errorf("%+v", e)
				}
			}
			return
		}
		if len(r.Hash()) != 64 {
			t.Error("no hash")
		}
		for _, s := range r.Stack() {
			if m, _ := method(r.MergeMethod); m.Base == BaseRequired && s.base(m) < 0 {
				t.Error("a slice without its base")
			}
		}
		if n := len(r.Inputs()); len(r.Experts()) > n || n == 0 {
			t.Errorf("%d inputs, experts %v", n, r.Experts())
		}
		for i := range r.Inputs() {
			r.ParameterNumber(i, "weight", "model.layers.0.mlp.up_proj.weight", 0.5, 1)
		}
		if s := r.Mergebot.Search; s != nil && (len(s.Ratios.Grid()) > maxGrid || len(s.Coefficients.Grid()) > maxGrid) {
			t.Error("grid out of bounds")
		}
	})
}
