package report

import (
	"fmt"
	"io"
	"regexp"
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
		m.line("**⚠ %s**", Escape(s))
		m.gap()
	}
	m.line("## %s", Escape(r.title()))
	m.gap()
	for i, s := range headline(r) {
		if i == 0 {
			m.line("**%s**", Escape(s))
		} else {
			m.line("%s", Escape(s))
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

// Pieces are parts of a report in Markdown, for a page that says more than the report: a comment on a pull request.
// Each is whole in itself and safe where [Markdown] is; "" where the report has nothing to say.
type Pieces struct {
	Warning  string // of a run tuned on what it reports
	Headline string // what came of it, in sentences
	Scores   string // a table
	Gates    string // a list
	Cautions []string
}

// MarkdownPieces takes a report apart.
func MarkdownPieces(r Report) Pieces {
	p := Pieces{Warning: Escape(r.selection()), Headline: Escape(strings.Join(headline(r), " "))}
	var scores, gates markdown
	scores.scores(r)
	gates.gates(r)
	p.Scores, p.Gates = scores.String(), gates.String()
	for _, c := range cautions(r) {
		p.Cautions = append(p.Cautions, Escape(c))
	}
	return p
}

// PairedMarkdown is a comparison's table of tasks in Markdown; A and B are called by the given names.
func PairedMarkdown(p Paired, a, b string) string {
	var m markdown
	m.head("Task", ">n", ">"+Escape(capital(a))+", %", ">"+Escape(capital(b))+", %", ">Difference, points", ">Gained", ">Lost", "In words")
	for _, t := range p.Tasks {
		m.row(Escape(t.Name), fmt.Sprint(t.N), percent(t.A), percent(t.B), signed(t.Difference.Value)+" ("+signedRange(t.Difference)+")",
			fmt.Sprint(len(t.Gained)), fmt.Sprint(len(t.Lost)), Escape(t.Words))
	}
	return m.String()
}

// Visible drops what a terminal or a page would obey rather than show: controls, and marks of writing direction.
func Visible(s string) string { return visible(s) }

// Size is a number of bytes in decimal units: "12.2 MB".
func Size(bytes int64) string { return size(bytes) }

// Duration is a time in seconds as it is read: "2 min 05 s".
func Duration(s float64) string { return seconds(s) }

// Points is a difference of fractions in percentage points, signed: "−1.5".
func Points(f float64) string { return signed(f) }

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
			cells := []string{"**" + Escape(d.Name) + "**", ""}
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
	cells := []string{Escape(t.Name), n}
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
		cells = append(cells, bracketed(t.Ratio), Escape(t.verdict()))
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
		m.line("- **%s**: %s, %s", met, Escape(g.text()), Escape(g.reached()))
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
		m.line("- %s", Escape(c))
	}
	m.gap()
}

func (m *markdown) comparison(c Comparison) {
	if len(c.Rows) == 0 {
		return
	}
	m.line("### %s", Escape(c.Caption))
	m.gap()
	names := []string{"Method"}
	for _, cell := range c.Rows[0].Cells {
		names = append(names, ">"+Escape(capital(cell.Domain))+", %")
	}
	m.head(names...)
	for _, row := range c.Rows {
		cells := []string{Escape(row.Method)}
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
		m.line("- %s: %s, %s", Escape(a.name()), Escape(a.text()), plural(len(a.Probes), "probe", "probes"))
	}
	if c := r.Search.Coefficient; c != nil {
		m.line("- %s, %s", Escape(c.text()), plural(len(c.Probes), "probe", "probes"))
	}
	if r.Search.Source != "" {
		m.line("- judged on %s", Escape(r.Search.Source))
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
		m.row(Code(e.Expert), Escape(e.Pruning), percent(e.Density), rates, small(e.Delta.RMS), small(e.Delta.MeanAbs))
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
		m.row(Escape(g.Name), fmt.Sprint(g.Steps), fmt.Sprint(g.Cached), Escape(seconds(g.Seconds)), bytes)
	}
	m.gap()
}

func (m *markdown) provenance(r Report) {
	m.line("<details><summary>Provenance</summary>")
	m.gap()
	if r.Plan.ID != "" {
		m.line("Plan %s, mergebot %s", Code(r.Plan.ID), Escape(r.Tool.Version))
		m.gap()
	}
	if len(r.Plan.Lock) > 0 {
		m.head("Input", "Used as", "Commit", "Licence", ">Bytes")
		for _, l := range r.Plan.Lock {
			license := "not stated"
			if l.License != "" {
				license = Escape(l.License)
			}
			m.row(Code(l.Repo), Escape(strings.TrimSpace(l.Kind+" "+l.Role)), Code(l.SHA), license, size(l.Bytes))
		}
		m.gap()
	}
	if len(r.Files) > 0 {
		m.head("File written", ">Bytes", "SHA-256")
		for _, f := range r.Files {
			m.row(Code(f.Path), fmt.Sprint(f.Size), Code(f.SHA256))
		}
		m.gap()
	}
	if r.Recipe.YAML != "" {
		m.line("Recipe, SHA-256 %s:", Code(r.Recipe.SHA256))
		m.gap()
		m.WriteString(Fenced("yaml", r.Recipe.YAML))
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
	m.WriteString(Fenced("sh", strings.Join(r.Reproduce, "\n")))
	m.gap()
}

// zeroWidth is put after a character that would start a mention, a reference or a link.
const zeroWidth = "\u200b"

// Escape makes a text of unknown origin safe inside a line or a table cell. Markdown's own
// characters are escaped; what GitHub looks for after rendering (@name, #12, GH-12, commits'
// hashes, :emoji:, ://, www.) is broken by a space of no width, since escapes are gone by then.
func Escape(s string) string {
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
	out := b.String()
	for range 2 { // one match may end where the next begins
		out = references.ReplaceAllStringFunc(out, func(m string) string { return m[:1] + zeroWidth + m[1:] })
	}
	return hashes.ReplaceAllStringFunc(out, func(m string) string { return sixes.ReplaceAllString(m, "$0"+zeroWidth) })
}

// listMark says whether a text, after leading digits, would begin a list or underline a heading.
func listMark(s string) bool {
	return s != "" && (strings.ContainsRune("-+=", rune(s[0])) || strings.HasPrefix(s, ". ") || strings.HasPrefix(s, ") ") || s == "." || s == ")")
}

func wordy(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// references are what GitHub acts on after rendering; none of it works with a space after its first character. The colon
// that ends an :emoji: may come after the text.
var references = regexp.MustCompile(`(?i)://|\bwww\.|\bgh-|:[a-z0-9_+\\-]`)

// hashes may be commits: GitHub links those of seven digits and more.
var (
	hashes = regexp.MustCompile(`(?i)\b[0-9a-f]{7,}\b`)
	sixes  = regexp.MustCompile(`.{6}`)
)

// Code is a code span around a text of unknown origin, also inside a table cell, where even code
// must not hold a bare pipe. "" stays empty.
func Code(s string) string {
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

// Fenced is a code block whose fence is longer than any run of backticks within.
func Fenced(language, s string) string {
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
