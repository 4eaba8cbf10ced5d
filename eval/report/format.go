package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// undefined stands where a number has no value: a ratio to an expert that scored 0.
const undefined = "n/a"

// percent writes a fraction as per cent with one decimal and no sign: 0.9553 is "95.5".
func percent(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return undefined
	}
	s := strconv.FormatFloat(100*f, 'f', 1, 64)
	if s == "-0.0" {
		return "0.0"
	}
	return s
}

// points writes a difference of fractions in percentage points with two decimals, unsigned.
func points(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return undefined
	}
	return strconv.FormatFloat(100*f, 'f', 2, 64)
}

func percentRange(low, high float64) string { return percent(low) + "–" + percent(high) }

// withInterval is "95.5 % (92.0–97.1)".
func withInterval(i Interval) string {
	return percent(i.Value) + " % (" + percentRange(i.Low, i.High) + ")"
}

// number drops the noise of binary fractions from a ratio: 1.6000000000000003 is "1.6".
func number(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return undefined
	}
	return strconv.FormatFloat(math.Round(f*1e4)/1e4, 'f', -1, 64)
}

func numbers(fs []float64) string {
	parts := make([]string, len(fs))
	for i, f := range fs {
		parts[i] = number(f)
	}
	return strings.Join(parts, ", ")
}

// small writes a magnitude with three significant digits.
func small(f float64) string { return strconv.FormatFloat(f, 'g', 3, 64) }

// probability is a p-value as it is read: "p < 0.001", "p = 0.03".
func probability(p float64) string {
	switch {
	case p < 0.001:
		return "p < 0.001"
	case p < 0.1:
		return fmt.Sprintf("p = %.3f", p)
	default:
		return fmt.Sprintf("p = %.2f", p)
	}
}

// size writes bytes in decimal units, as the Hub does.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	f, i := float64(n), 0
	for f >= 999.5 && i < len(units)-1 {
		f /= 1000
		i++
	}
	if i == 0 || f >= 99.95 {
		return fmt.Sprintf("%.0f %s", f, units[i])
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// count writes an integer with thin groups of three: 1 516 960.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	digits := strings.TrimPrefix(s, "-")
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(d)
	}
	return s[:len(s)-len(digits)] + b.String()
}

func seconds(s float64) string {
	switch {
	case s < 0.0095:
		return "< 0.01 s"
	case s < 1:
		return fmt.Sprintf("%.2f s", s)
	case s < 99.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 3600:
		d := int(math.Round(s))
		return fmt.Sprintf("%d min %02d s", d/60, d%60)
	default:
		d := int(math.Round(s / 60))
		return fmt.Sprintf("%d h %02d min", d/60, d%60)
	}
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// short is the first 12 digits of a hash, enough for the eye; the whole stands in the provenance.
func short(hash string) string {
	hash = strings.TrimPrefix(hash, "sha256:")
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}

// clip cuts a text to n runes; the ellipsis says so.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// list joins words as a sentence does: "a", "a and b", "a, b and c".
func list(words []string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// visible drops what a terminal would obey rather than show: control characters but tab and line
// feed, marks that turn the direction of writing, and bytes that are no UTF-8.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if (unicode.IsControl(r) && r != '\n' && r != '\t') || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
