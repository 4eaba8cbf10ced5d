package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Markdown writes the report in short, for a pull request or a terminal: GitHub's dialect, no
// HTML but the <details> that folds the provenance away. Whatever came from outside is either
// escaped or in a code span: it makes no markup, no link, no mention and no reference.
func Markdown(w io.Writer, r Report) error {
	m := &markdown{}
	if s := r.selection(); s != "" {
		m.line("**⚠ %s**", plain(s))
		m.gap()
	}
	m.line("## %s", plain(r.title()))
	m.gap()
	for i, s := range headline(r) {
		if i == 0 {
			m.line("**%s**", plain(s))
		} else {
			m.line("%s", plain(s))
		}
		m.gap()
	}
	m.scores(r)
	m.gates(r)
	m.cautions(r)
	for _, c := range r.Comparisons {
		m.comparison(c)
	}
	m.search(r)
	m.pruning(r)
	m.steps(r)
	m.provenance(r)
	m.reproduce(r)
	m.line("Small figures in brackets are 95 %% intervals: Wilson’s for scores, a paired bootstrap for ratios. Inside the noise means that these items cannot tell the two models apart.")
	if _, err := io.WriteString(w, m.String()); err != nil {
		return fmt.Errorf("write report.md: %w", err)
	}
	return nil
}

type markdown struct{ strings.Builder }

func (m *markdown) line(format string, args ...any) { fmt.Fprintf(m, format+"\n", args...) }
func (m *markdown) gap()                            { m.WriteByte('\n') }

func (m *markdown) row(cells ...string) { m.line("| %s |", strings.Join(cells, " | ")) }

// head starts a table; a name that begins with ">" is a column of numbers.
func (m *markdown) head(names ...string) {
	rules := make([]string, len(names))
	for i, n := range names {
		rules[i] = "---"
		if strings.HasPrefix(n, ">") {
			names[i], rules[i] = n[1:], "--:"
		}
	}
	m.row(names...)
	m.row(rules...)
}

func (m *markdown) scores(r Report) {
	if len(r.Domains) == 0 {
		return
	}
	roles := view{Report: r}.Roles()
	ratios := view{Report: r}.HasRatios()
	names := []string{"Task", ">n"}
	for _, role := range roles {
		names = append(names, ">"+capital(string(role))+", %")
		if role == Single {
			names = append(names, ">Standard error, points")
		}
	}
	if ratios {
		names = append(names, ">Ratio, %", "Against the expert")
	}
	m.head(names...)
	for _, d := range r.Domains {
		for _, t := range d.Tasks {
			m.task(t, roles, ratios)
		}
		if d.Ratio != nil {
			cells := []string{"**" + plain(d.Name) + "**", ""}
			cells = append(cells, make([]string, len(roles))...)
			m.row(append(cells, "**"+bracketed(d.Ratio)+"**", "**"+d.Ratio.comparison()+"**")...)
		}
	}
	m.gap()
}

func (m *markdown) task(t Task, roles []Role, ratios bool) {
	n := ""
	if len(t.Scores) > 0 {
		n = fmt.Sprint(t.Scores[0].N)
	}
	cells := []string{plain(t.Name), n}
	for _, role := range roles {
		score, deviation := undefined, undefined
		if s, ok := t.Score(role); ok {
			score, deviation = percent(s.Accuracy)+" ("+percentRange(s.Low, s.High)+")", points(s.standardError())
		}
		cells = append(cells, score)
		if role == Single {
			cells = append(cells, deviation)
		}
	}
	if ratios {
		cells = append(cells, bracketed(t.Ratio), plain(t.verdict()))
	}
	m.row(cells...)
}

func bracketed(i *Interval) string {
	if i == nil {
		return undefined
	}
	return percent(i.Value) + " (" + percentRange(i.Low, i.High) + ")"
}

func (m *markdown) gates(r Report) {
	for _, g := range r.Gates {
		met := "✓ met"
		if !g.Passed {
			met = "✗ not met"
		}
		m.line("- **%s**: %s, %s", met, plain(g.text()), plain(g.reached()))
	}
	if len(r.Gates) > 0 {
		m.gap()
	}
}

func (m *markdown) cautions(r Report) {
	all := cautions(r)
	if len(all) == 0 {
		return
	}
	m.line("### Read with care")
	m.gap()
	for _, c := range all {
		m.line("- %s", plain(c))
	}
	m.gap()
}

func (m *markdown) comparison(c Comparison) {
	if len(c.Rows) == 0 {
		return
	}
	m.line("### %s", plain(c.Caption))
	m.gap()
	names := []string{"Method"}
	for _, cell := range c.Rows[0].Cells {
		names = append(names, ">"+plain(capital(cell.Domain))+", %")
	}
	m.head(names...)
	for _, row := range c.Rows {
		cells := []string{plain(row.Method)}
		if row.Selection != "" {
			cells[0] += " **(tuned on the reported items)**"
		}
		for _, cell := range row.Cells {
			text := fmt.Sprintf("%s, n %d", bracketed(cell.Ratio), cell.N)
			if cell.Ratio != nil {
				text += ", " + cell.Ratio.comparison()
			}
			cells = append(cells, text)
		}
		m.row(cells...)
	}
	m.gap()
}

func (m *markdown) search(r Report) {
	if r.Search == nil {
		return
	}
	m.line("### Search")
	m.gap()
	for _, a := range r.Search.Experts {
		m.line("- %s: %s, %s", plain(a.name()), plain(a.text()), plural(len(a.Probes), "probe", "probes"))
	}
	if c := r.Search.Coefficient; c != nil {
		m.line("- %s, %s", plain(c.text()), plural(len(c.Probes), "probe", "probes"))
	}
	if r.Search.Source != "" {
		m.line("- judged on %s", plain(r.Search.Source))
	}
	m.gap()
}

func (m *markdown) pruning(r Report) {
	if len(r.Measurements) == 0 {
		return
	}
	m.line("### Pruning")
	m.gap()
	m.head("Expert", "Pruning", ">Density, %", ">Rates, %", ">Delta rms", ">Mean magnitude")
	for _, e := range r.Measurements {
		low, high, any := e.rateRange()
		rates := ""
		if any {
			rates = percentRange(low, high)
		}
		m.row(code(e.Expert), plain(e.Pruning), percent(e.Density), rates, small(e.Delta.RMS), small(e.Delta.MeanAbs))
	}
	m.gap()
}

func (m Measurement) rateRange() (low, high float64, any bool) {
	for _, row := range m.Rates {
		for _, v := range row {
			if !any {
				low, high, any = v, v, true
			}
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high, any
}

func (m *markdown) steps(r Report) {
	if len(r.Steps) == 0 {
		return
	}
	m.line("### Steps")
	m.gap()
	m.head("Step", ">Times", ">From the ledger", ">Time", ">Bytes")
	for _, g := range r.stepGroups() {
		bytes := ""
		if g.Bytes > 0 {
			bytes = size(g.Bytes)
		}
		m.row(plain(g.Name), fmt.Sprint(g.Steps), fmt.Sprint(g.Cached), plain(seconds(g.Seconds)), bytes)
	}
	m.gap()
}

func (m *markdown) provenance(r Report) {
	m.line("<details><summary>Provenance</summary>")
	m.gap()
	if r.Plan.ID != "" {
		m.line("Plan %s, mergebot %s", code(r.Plan.ID), plain(r.Tool.Version))
		m.gap()
	}
	if len(r.Plan.Lock) > 0 {
		m.head("Input", "Used as", "Commit", "Licence", ">Bytes")
		for _, l := range r.Plan.Lock {
			license := "not stated"
			if l.License != "" {
				license = plain(l.License)
			}
			m.row(code(l.Repo), plain(strings.TrimSpace(l.Kind+" "+l.Role)), code(l.SHA), license, size(l.Bytes))
		}
		m.gap()
	}
	if len(r.Files) > 0 {
		m.head("File written", ">Bytes", "SHA-256")
		for _, f := range r.Files {
			m.row(code(f.Path), fmt.Sprint(f.Size), code(f.SHA256))
		}
		m.gap()
	}
	if r.Recipe.YAML != "" {
		m.line("Recipe, SHA-256 %s:", code(r.Recipe.SHA256))
		m.gap()
		m.WriteString(fenced("yaml", r.Recipe.YAML))
		m.gap()
	}
	m.line("</details>")
	m.gap()
}

func (m *markdown) reproduce(r Report) {
	if len(r.Reproduce) == 0 {
		return
	}
	m.line("### How to reproduce")
	m.gap()
	m.WriteString(fenced("sh", strings.Join(r.Reproduce, "\n")))
	m.gap()
}

// zeroWidth is put after a character that would start a mention, a reference or a link.
const zeroWidth = "\u200b"

// plain makes a text of unknown origin safe inside a line or a table cell. Markdown's own
// characters are escaped; what GitHub looks for after rendering (@name, #12, GH-12, ://, www.)
// is broken by a space of no width, since escapes are gone by then.
func plain(s string) string {
	s = strings.Join(strings.Fields(visible(s)), " ")
	var b strings.Builder
	if digits := len(s) - len(strings.TrimLeft(s, "0123456789")); listMark(s[digits:]) {
		b.WriteString(s[:digits] + `\`)
		s = s[digits:]
	}
	var before rune
	for i, r := range s {
		after, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
		switch {
		case r == '@' || r == '#':
			b.WriteString(`\` + string(r) + zeroWidth)
		case r == '_' && wordy(before) && wordy(after):
			b.WriteRune(r) // within a word it means nothing
		case strings.ContainsRune("\\`*_[]<>|~!&$^", r):
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
		before = r
	}
	return autolinks.Replace(b.String())
}

// listMark says whether a text, after leading digits, would begin a list or underline a heading.
func listMark(s string) bool {
	return s != "" && (strings.ContainsRune("-+=", rune(s[0])) || strings.HasPrefix(s, ". ") || strings.HasPrefix(s, ") ") || s == "." || s == ")")
}

func wordy(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

var autolinks = strings.NewReplacer("://", ":"+zeroWidth+"//", "www.", "www"+zeroWidth+".", "WWW.", "WWW"+zeroWidth+".",
	"GH-", "GH"+zeroWidth+"-", "gh-", "gh"+zeroWidth+"-")

// code is a code span around a text of unknown origin, also inside a table cell, where even code
// must not hold a bare pipe. "" stays empty.
func code(s string) string {
	s = strings.Join(strings.Fields(visible(s)), " ")
	if s == "" {
		return ""
	}
	fence := strings.Repeat("`", longestRun(s)+1)
	pad := ""
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		pad = " "
	}
	s = strings.ReplaceAll(s, `\|`, `\`+zeroWidth+"|") // GitHub would read \\| as an escaped backslash and a column's end
	return fence + pad + strings.ReplaceAll(s, "|", `\|`) + pad + fence
}

// fenced is a code block whose fence is longer than any run of backticks within.
func fenced(language, s string) string {
	fence := strings.Repeat("`", max(3, longestRun(s)+1))
	return fence + language + "\n" + strings.TrimRight(visible(s), "\n") + "\n" + fence + "\n"
}

func longestRun(s string) int {
	longest, run := 0, 0
	for _, r := range s {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}
