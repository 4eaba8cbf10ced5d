package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"text/tabwriter"
)

//go:embed paired.html.tmpl
var pairedTemplate string

// Paired is two models of any two runs compared on the items that both answered: B against A, as in a
// diff. Items only one of them answered are counted and left out.
type Paired struct {
	SchemaVersion int          `json:"schema_version"` // set by PairedJSON
	A             Side         `json:"a"`
	B             Side         `json:"b"`
	Tasks         []PairedTask `json:"tasks"`
	Warnings      []string     `json:"warnings,omitempty"` // what else differs, one sentence each
}

// Side is one of the two: a role of a run.
type Side struct {
	Folder string `json:"folder"` // as given
	Title  string `json:"title"`
	Role   Role   `json:"role"`
	Plan   string `json:"plan,omitempty"`
}

// PairedTask is the comparison on one task.
type PairedTask struct {
	Name   string  `json:"name"`
	ModelA string  `json:"model_a"`
	ModelB string  `json:"model_b"`
	N      int     `json:"n"` // items that both answered: all numbers are about these
	A      float64 `json:"a"` // accuracies on them
	B      float64 `json:"b"`
	ErrA   float64 `json:"stderr_a"` // standard errors of these
	ErrB   float64 `json:"stderr_b"`
	// Difference is B − A with its paired bootstrap interval, in fractions of 1.
	Difference Interval     `json:"difference"`
	Gained     []PairedItem `json:"gained"` // B right, A wrong
	Lost       []PairedItem `json:"lost"`   // A right, B wrong
	P          float64      `json:"p"`      // McNemar's exact test, two-sided
	Words      string       `json:"words"`
	// OnlyA and OnlyB count items that the other run lacks; Changed those that it puts or answers
	// differently under the same id.
	OnlyA   int `json:"only_a"`
	OnlyB   int `json:"only_b"`
	Changed int `json:"changed"`
}

// LeftOut is how many items were not compared.
func (t PairedTask) LeftOut() int { return t.OnlyA + t.OnlyB + t.Changed }

// PairedItem is an item that one of the two has right; LinkA and LinkB lead to its answers from the
// folder of compare.html, "" where there is no such page.
type PairedItem struct {
	ID    string `json:"id"`
	LinkA string `json:"link_a,omitempty"`
	LinkB string `json:"link_b,omitempty"`
}

// PairedWords says what McNemar's test and the interval allow to be claimed of B against A.
func PairedWords(gained, lost int, p float64) string {
	if gained == 0 && lost == 0 {
		return "inside the noise (no item differs)"
	}
	what := "inside the noise"
	if p < noise {
		what = "B is worse"
		if gained > lost {
			what = "B is better"
		}
	}
	return fmt.Sprintf("%s (%s; %d lost, %d gained)", what, probability(p), lost, gained)
}

// PairedJSON writes compare.json.
func PairedJSON(w io.Writer, p Paired) error {
	p.SchemaVersion = SchemaVersion
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return fmt.Errorf("write compare.json: %w", err)
	}
	return nil
}

// PairedText writes the comparison for a terminal, without colour.
func PairedText(w io.Writer, p Paired) error {
	var b strings.Builder
	for _, s := range []struct {
		name string
		Side
	}{{"A", p.A}, {"B", p.B}} {
		fmt.Fprintf(&b, "%s  %s\n", s.name, visible(s.text()))
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TASK\tN\tLEFT OUT\tA, %\tB, %\tB − A, POINTS\t95 % INTERVAL\tB AGAINST A")
	for _, x := range p.Tasks {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", visible(x.Name), x.N, x.LeftOut(), percent(x.A), percent(x.B),
			signed(x.Difference.Value), signedRange(x.Difference), visible(x.Words))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", strings.Join(strings.Fields(visible(s)), " "))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

// text names a side in a line.
func (s Side) text() string {
	out := fmt.Sprintf("%s of %s", s.Role, s.Title)
	if s.Folder != "" {
		out += " (" + s.Folder + ")"
	}
	return out
}

// signed is a difference of fractions in points: "+1.5", "−0.3", "0.0".
func signed(f float64) string {
	s := percent(f)
	switch {
	case s == "0.0" || s == undefined:
		return s
	case f > 0:
		return "+" + s
	}
	return "−" + strings.TrimPrefix(s, "-")
}

func signedRange(i Interval) string { return signed(i.Low) + " to " + signed(i.High) }

// PairedHTML writes compare.html. Like report.html it has no script and loads nothing; its links lead
// to the items of both runs, relative to the folder that it was made for.
func PairedHTML(w io.Writer, p Paired) error {
	funcs := template.FuncMap{"signed": signed, "signedRange": signedRange,
		"side": func(s Side) template.HTML { return shown(s.text(), maxShown) }}
	t, err := template.New("paired").Funcs(pageFuncs()).Funcs(itemFuncs()).Funcs(funcs).Parse(pairedTemplate)
	if err != nil {
		return fmt.Errorf("parse the comparison's page: %w", err)
	}
	err = t.Execute(w, struct {
		Paired
		CSS    template.CSS
		Policy string
	}{p, template.CSS(pageCSS), policy(pageCSS, "")})
	if err != nil {
		return fmt.Errorf("write compare.html: %w", err)
	}
	return nil
}
