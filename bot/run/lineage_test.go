package run

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mergebot/hub"
)

const oneTensor = `{"model.norm.weight":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}`

// TestLineage: cards are followed upwards, in circles, past what is missing, and not for ever.
func TestLineage(t *testing.T) {
	t.Parallel()
	family := openFamily(t, func(models string) {
		addModel(t, models, "acme/llama", "license: llama2\nbase_model: acme/child\n", oneTensor, 8) // a circle
		addModel(t, models, "acme/child", "license: apache-2.0\nbase_model:\n- acme/llama\n- acme/gone\n- 'LLaMA 2, from https://example.org <b>'\n- ../../etc\n", oneTensor, 8)
		long, many := "license: mit\nbase_model: acme/g0\n", "license: mit\nbase_model:\n"
		addModel(t, models, "acme/long", long, oneTensor, 8)
		for i := range 8 {
			addModel(t, models, fmt.Sprintf("acme/g%d", i), fmt.Sprintf("license: mit\nbase_model: acme/g%d\n", i+1), oneTensor, 8)
		}
		for i := range 40 {
			many += fmt.Sprintf("- none/m%d\n", i)
		}
		addModel(t, models, "acme/many", many, oneTensor, 8)
	})
	plan := func(model string) *Plan {
		p, err := Resolve(t.Context(), family.env(t), parse(t, "merge_method: linear\nmodels: [{model: "+model+", parameters: {weight: 1}}]\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := plan("acme/child")
	var got []string
	for _, a := range p.Lock.Models[0].Lineage {
		got = append(got, a.Repo+" "+a.Of+" "+a.License+" "+a.Unread)
	}
	want := []string{"acme/llama acme/child llama2 ", "acme/gone acme/child  missing or private",
		"LLaMA 2, from https://example.org <b> acme/child  that names no repository", "../../etc acme/child  that names no repository"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("lineage\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if p.License.ID != "llama2" || !strings.Contains(strings.Join(p.Warnings, "\n"), "acme/child says apache-2.0, but was made from acme/llama, which is under llama2") ||
		!strings.Contains(strings.Join(p.Warnings, "\n"), "made from acme/gone, whose licence cannot be checked: missing or private") {
		t.Errorf("licence %+v, warnings %q", p.License, p.Warnings)
	}
	if l := plan("acme/long").Lock.Models[0].Lineage; len(l) != generations || l[4].Repo != "acme/g4" {
		t.Errorf("%d generations: %+v", len(l), l)
	}
	if l := plan("acme/many").Lock.Models[0].Lineage; len(l) != mostAncestors {
		t.Errorf("%d ancestors were asked for", len(l))
	}
	r := parse(t, "merge_method: linear\nmodels: [{model: acme/child, parameters: {weight: 1}}]\nmergebot: {publish: {repo: a/b, license: apache-2.0}}\n")
	_, err := Resolve(t.Context(), family.env(t), r, nil)
	var conflicts *hub.LicenseConflict
	if !errors.Is(err, ErrRecipe) || !errors.As(err, &conflicts) || conflicts.Parent != "acme/child" || !conflicts.Chosen {
		t.Errorf("apache-2.0 over llama2: %v", err)
	}
	// Without a plan's purpose nobody's ancestors are asked for.
	if m, _, err := lockModel(t.Context(), family.env(t), r.Models[0].Model, nil); err != nil || m.Lineage != nil {
		t.Errorf("%+v, %v", m.Lineage, err)
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("org/name\x00\n\xff" + strings.Repeat("é", 100))
	f.Fuzz(func(t *testing.T, s string) {
		if got := printable(s); len(got) > 100 || strings.ContainsAny(got, "\n\r\x00\x7f") {
			t.Errorf("%q became %q", s, got)
		}
	})
}
