package method

import (
	"cmp"
	"fmt"
	"strings"
)

//go:generate env UPDATE_DOCS=1 go test -run=TestDocs -count=1 .

// Table renders the registry as the Markdown table of docs/methods.md: mergekit's
// formulas, and what the papers' semantics change.
func Table() string {
	var b strings.Builder
	b.WriteString("| method | does | formula | with `semantics: paper` | parameters (default) | source |\n| --- | --- | --- | --- | --- | --- |\n")
	cell := strings.NewReplacer("|", "\\|")
	for _, m := range All() {
		var ps []string
		for _, p := range m.Parameters {
			where := ""
			if p.PerModel {
				where = ", per model"
			}
			ps = append(ps, fmt.Sprintf("`%s` (%s%s)", p.Name, p.Default, where))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", m.Name, cell.Replace(m.Summary), cell.Replace(m.Formula), cmp.Or(cell.Replace(m.Paper), "the same"), strings.Join(ps, ", "), cell.Replace(m.Source))
	}
	return b.String()
}
