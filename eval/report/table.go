package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

const tableWidth = 100

// Marks of the table, each explained below it where it occurs.
const (
	markNoise = "≈"
	markTuned = "!"
)

// Table writes methods against domains as the paper's Tables 5 and 6 do: Domain-Ratios in per
// cent, and beside each its 95 % interval and number of items. Domains come in the order in which
// the rows name them; what does not fit into 100 columns goes into a further block below. The
// text is plain, without colour. A ratio whose interval holds 100 % and a method that was tuned on
// what it reports are marked, and the marks explained.
func Table(w io.Writer, rows ...Row) error {
	var domains []string
	label := len("Method")
	for _, r := range rows {
		label = max(label, width(r.label()))
		for _, c := range r.Cells {
			if !slices.Contains(domains, c.Domain) {
				domains = append(domains, c.Domain)
			}
		}
	}
	columns := make([]tableColumn, len(domains))
	for i, d := range domains {
		columns[i] = newTableColumn(d, rows)
	}
	var b strings.Builder
	for len(columns) > 0 {
		fit, used := 0, label
		for fit < len(columns) && (fit == 0 || used+3+columns[fit].width <= tableWidth) {
			used += 3 + columns[fit].width
			fit++
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		writeBlock(&b, label, rows, columns[:fit])
		columns = columns[fit:]
	}
	writeLegend(&b, rows)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// tableColumn is one domain: value, interval and n of every row, each padded to its own width so
// that the decimals stand under each other.
type tableColumn struct {
	domain, heading string
	cells           []string
	width           int
}

func newTableColumn(domain string, rows []Row) tableColumn {
	parts := [][3]string{{"%", "95 % interval", "n"}}
	marked := false // then every value keeps a place for the mark
	for _, r := range rows {
		for _, c := range r.Cells {
			marked = marked || c.Domain == domain && c.insideNoise()
		}
	}
	for _, r := range rows {
		p := [3]string{"", "", ""}
		for _, c := range r.Cells {
			if c.Domain != domain {
				continue
			}
			p = [3]string{undefined, "", fmt.Sprint(c.N)}
			if c.Ratio != nil {
				p[0] = percent(c.Ratio.Value)
				switch {
				case c.insideNoise():
					p[0] += markNoise
				case marked:
					p[0] += " "
				}
				p[1] = fmt.Sprintf("%5s – %5s", percent(c.Ratio.Low), percent(c.Ratio.High))
			}
		}
		parts = append(parts, p)
	}
	var widths [3]int
	for _, p := range parts {
		for i := range p {
			widths[i] = max(widths[i], width(p[i]))
		}
	}
	col := tableColumn{domain: capital(visible(domain))}
	for i, p := range parts {
		text := left(p[0], widths[0]) + "  " + left(p[1], widths[1]) + "  " + left(p[2], widths[2])
		col.width = width(text)
		if i == 0 {
			col.heading = text
			continue
		}
		col.cells = append(col.cells, text)
	}
	col.width = max(col.width, width(col.domain))
	return col
}

func (c Cell) insideNoise() bool { return c.Ratio != nil && c.Ratio.insideNoise() }

// label is the row's first column.
func (r Row) label() string {
	s := visible(r.Method)
	if r.Selection != "" {
		s += " " + markTuned
	}
	return s
}

// writeLegend explains the marks that occur.
func writeLegend(b *strings.Builder, rows []Row) {
	if slices.ContainsFunc(rows, func(r Row) bool { return slices.ContainsFunc(r.Cells, Cell.insideNoise) }) {
		b.WriteString(markNoise + " inside the noise: these items cannot tell the merge from its expert\n")
	}
	if slices.ContainsFunc(rows, func(r Row) bool { return r.Selection != "" }) {
		b.WriteString(markTuned + " tuned on the very items scored here: too good by an unknown amount\n")
	}
}

func writeBlock(b *strings.Builder, label int, rows []Row, columns []tableColumn) {
	line := func(first string, texts func(tableColumn) string) {
		s := right(first, label)
		for _, c := range columns {
			s += "   " + right(texts(c), c.width)
		}
		b.WriteString(strings.TrimRight(s, " ") + "\n")
	}
	line("", func(c tableColumn) string { return c.domain })
	line("Method", func(c tableColumn) string { return c.heading })
	line(strings.Repeat("─", label), func(c tableColumn) string { return strings.Repeat("─", c.width) })
	for i, r := range rows {
		line(r.label(), func(c tableColumn) string { return c.cells[i] })
	}
}

func capital(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:n]) + s[n:]
}

func width(s string) int           { return utf8.RuneCountInString(s) }
func left(s string, n int) string  { return strings.Repeat(" ", max(0, n-width(s))) + s }
func right(s string, n int) string { return s + strings.Repeat(" ", max(0, n-width(s))) }
