package hub_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mergebot/hub"
)

// TestLineageBinds: what a parent was made from binds the merge like the parent itself, and whoever states less is named.
func TestLineageBinds(t *testing.T) {
	t.Parallel()
	heir := func(repo, id, of string) hub.ParentLicense { return hub.ParentLicense{Repo: repo, ID: id, Heir: of} }
	mit, apache := hub.ParentLicense{Repo: "a/mit", ID: "mit"}, hub.ParentLicense{Repo: "a/apache", ID: "Apache-2.0"}
	llama := hub.ParentLicense{Repo: "m/llama", ID: "llama2"}
	for name, c := range map[string]struct {
		chosen   string
		parents  []hub.ParentLicense
		want     string
		warnings []string
		fault    string
		blamed   []string
	}{
		"the same on":             {"", []hub.ParentLicense{llama, heir("m/older", "llama2", "m/llama")}, "llama2", nil, "", nil},
		"less than it may":        {"", []hub.ParentLicense{apache, heir("m/llama", "llama2", "a/apache")}, "llama2", []string{"a/apache says apache-2.0, but was made from m/llama, which is under llama2"}, "", nil},
		"chosen against it":       {"apache-2.0", []hub.ParentLicense{apache, heir("m/llama", "llama2", "a/apache")}, "", nil, "m/llama, which a/apache was made from, is under llama2 (its terms go on to derivatives), and apache-2.0 does not keep its terms: publish under llama2 or leave a/apache out", []string{"a/apache"}},
		"two that exclude":        {"", []hub.ParentLicense{llama, mit, heir("x/nc", "cc-by-nc-4.0", "a/mit")}, "", nil, "no one licence", []string{"a/mit"}},
		"no derivatives":          {"", []hub.ParentLicense{mit, apache, heir("x/nd", "cc-by-nd-4.0", "a/mit"), heir("x/nd2", "cc-by-nc-nd-4.0", "a/apache")}, "", nil, "x/nd, which a/mit was made from, is under cc-by-nd-4.0, which allows no derivatives", []string{"a/mit", "a/apache"}},
		"free all the way":        {"", []hub.ParentLicense{apache, heir("a/mit", "mit", "a/apache")}, "apache-2.0", nil, "", nil},
		"its own, less strict":    {"", []hub.ParentLicense{mit, heir("x/apache", "apache-2.0", "a/mit")}, "mit", nil, "", nil},
		"unstated further up":     {"", []hub.ParentLicense{mit, heir("x/none", "", "a/mit")}, "mit", []string{"x/none, which a/mit was made from, states no licence"}, "", nil},
		"the base is the parent":  {"", []hub.ParentLicense{llama, apache, heir("m/llama", "llama2", "a/apache")}, "llama2", []string{"a/apache says apache-2.0"}, "", nil},
		"and is blamed only once": {"mit", []hub.ParentLicense{llama, apache, heir("m/llama", "llama2", "a/apache")}, "", nil, "m/llama is under llama2", []string{"m/llama"}},
	} {
		l, warnings, err := hub.CombineLicenses(hub.License{ID: c.chosen}, c.parents)
		if c.fault != "" {
			var conflicts hub.LicenseConflicts
			if !errors.As(err, &conflicts) || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v", name, err)
				continue
			}
			var blamed []string
			for _, x := range conflicts {
				blamed = append(blamed, x.Parent)
				if x.Chosen != (c.chosen != "") || !strings.HasPrefix(x.Error(), "license: ") {
					t.Errorf("%s: %+v", name, x)
				}
			}
			if !slices.Equal(blamed, c.blamed) {
				t.Errorf("%s: blamed %v", name, blamed)
			}
			continue
		}
		if err != nil || l.ID != c.want || len(warnings) != len(c.warnings) {
			t.Errorf("%s: %+v, %q, %v", name, l, warnings, err)
			continue
		}
		for i, w := range c.warnings {
			if !strings.Contains(warnings[i], w) {
				t.Errorf("%s: %q", name, warnings[i])
			}
		}
	}
}
