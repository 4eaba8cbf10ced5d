package mathverify

import (
	"regexp"
	"strings"
)

// rule is a replacement; no pattern uses look-around, which Go's regular expressions lack: after and before are tested
// on the bytes beside the match instead.
type rule struct {
	pattern *regexp.Regexp
	with    string
	after   func(before byte) bool
	before  func(after byte) bool
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func noLetter(c byte) bool { return !letter(c) }

func noBackslash(c byte) bool { return c != '\\' }

var (
	leftBracket  = regexp.MustCompile(`\\m?left(\\\{|\{|\\\||\||\[|\(|\\rbracl|\\lgroup|\\lbrace|\\lbrack|\\vert|\\lvert|\\lceil|\\lfloor|\\langle|\\llcorner|\\ulcorner)`)
	rightBracket = regexp.MustCompile(`\\m?right(\\\}|\}|\\\||\||\]|\)|\\rbrack|\\rgroup|\\rbrace|\\vert|\\rvert|\\rceil|\\rfloor|\\rangle|\\lrcorner|\\urcorner)`)
	permutation  = regexp.MustCompile(`\(([a-zA-Z0-9+\-*/\\ ]+?)\)_{([a-zA-Z0-9+\-*/\\ ]+?)}`)
	removed      = regexp.MustCompile(`\\mathrm\{th\}|\\!\s*|\\text\s*\{\s*\}|\\?\$|["']|\\displaystyle`)
	doubleSlash  = regexp.MustCompile(`\\\\([a-zA-Z])`)
	textUnit     = regexp.MustCompile(`(\\(?:text|mbox){.*?})(\^\d|\{\^\d\})?$`)
	plainUnit    = regexp.MustCompile(`(\d|\}|\s)\s*(?:` + unitPattern + `)(?:s|es)?\s*$`)
)

// unitPattern: the words that count as units behind a number. Longer ones contain shorter ones, single letters among them.
var unitPattern = strings.Join(append(strings.Fields("integerpoint feet sue digit pound meal edge student multiple east degree mph kmph ft deg mile monkey "+
	"prime ratio rd o gm lb tile per dm lt gain ab way west t h men soldier pie bc excess st inches noon cent by gal kmh c acre rise th sq mark l toy "+
	"coin gallon profit minw yr women am pm hr square are rupee rounds cubic cc mtr s ohm number day hour minute min second man woman sec cube mt mp "+
	"hectare more unit rs kg g month km m cm mm apple liter loss yard pure year increase decrease d less Surface litre metre meter inch"),
	"children ticket", "m square", " m east", "sq m", "q .", "profit of rs", "p . m", "a .", "b .", "c .", "d .", "e .", "f .", "g .", "h .", "no change",
	"a . m", "π r 2", "sq . m", "° f", "cu cm", "sq inch", "cm 2", "cu . m", "rs .", "pi sq m", "s ."), "|")

// spellings are tried in this order at each place.
var spellings = []rule{
	{pattern: regexp.MustCompile(`^\\math(?:rm|it|bf)`), with: `\text`},
	{pattern: regexp.MustCompile(`^\\text(?:normal|bf|it|rm)`), with: `\text`},
	{pattern: regexp.MustCompile(`^\\(?:d|t|c)frac`), with: `\frac`},
	{pattern: regexp.MustCompile(`^\s\.`), with: ` 0.`},
	{pattern: regexp.MustCompile(`^\{\.`), with: `{0.`},
	{pattern: regexp.MustCompile(`^~=`), with: `\approx`},
	{pattern: regexp.MustCompile(`^\s*\{\s*,\s*\}`), with: `,`},
	{pattern: regexp.MustCompile(`^,?\s*(?:and|or)`), with: `,`, after: noLetter, before: noLetter},
	{pattern: regexp.MustCompile(`^,?\s*\\text{\s*(?:and|or)\s*}`), with: `,`},
	{pattern: regexp.MustCompile(`^\\\s`), with: ` `, after: noBackslash},
	{pattern: regexp.MustCompile(`^infinity`), with: `\infty`},
	{pattern: regexp.MustCompile(`^,?\\ldots`), with: ` `},
	{pattern: regexp.MustCompile(`^\s*percentage`), with: `\%`},
	{pattern: regexp.MustCompile(`^\\text{percentage}`), with: `\%`},
	{pattern: regexp.MustCompile(`^\s*percent`), with: `\%`},
	{pattern: regexp.MustCompile(`^\\text{percent}`), with: `\%`},
	{pattern: regexp.MustCompile(`^\s*pct`), with: `\%`},
	{pattern: regexp.MustCompile(`^\\text{pct}`), with: `\%`},
	{pattern: regexp.MustCompile(`^inf`), with: `\infty`, after: noBackslash},
	{pattern: regexp.MustCompile(`^ sqrt`), with: `\sqrt`},
}

// operators repairs what is written as in a program.
var operators = []rule{
	{pattern: regexp.MustCompile(`\^\s?\((.*?)\)`), with: `^{$1}`},
	{pattern: regexp.MustCompile(`sqrt\s?\((.*?)\)`), with: `\sqrt{$1}`},
	{pattern: regexp.MustCompile(`\\frac\s?(\d)\s?(\d+)`), with: `\frac{$1}{$2}`},
	{pattern: regexp.MustCompile(`\\log_\s?(\d)\s?(\d+)`), with: `\log_{$1}{$2}`},
	{pattern: regexp.MustCompile(`\\frac\s?{(.*?)}\s?(\d)`), with: `\frac{$1}{$2}`},
	{pattern: regexp.MustCompile(`\\frac\s?(\d)\s?{(.*?)}`), with: `\frac{$1}{$2}`},
	{pattern: regexp.MustCompile(`\\sqrt\s?(\d)`), with: `\sqrt{$1}`},
}

// normalize is normalize_latex of latex2sympy2_extended without the part that unwraps \boxed.
func normalize(s string) string {
	s = strings.ReplaceAll(s, `\mathrm{T}`, "T")
	s = strings.NewReplacer(`\mathrm{d}`, "d", `{\rm d}`, "d").Replace(s)
	s = strings.ReplaceAll(s, `\left[\begin{matrix}`, `\begin{bmatrix}`)
	s = strings.ReplaceAll(s, `\end{matrix}\right]`, `\end{bmatrix}`)
	s = leftBracket.ReplaceAllString(s, "$1")
	s = rightBracket.ReplaceAllString(s, "$1")
	s = permutation.ReplaceAllString(s, `\frac{($1)!}{(($1)-($2))!}`)
	s = removed.ReplaceAllString(s, "")
	s = respell(s)
	s = strings.NewReplacer("\n", " ", "\t", " ").Replace(s)
	if !strings.Contains(s, "matrix") {
		s = doubleSlash.ReplaceAllString(s, `\$1`)
	}
	if short := strings.TrimSpace(textUnit.ReplaceAllString(s, "")); short != "" {
		s = short
	}
	for range 2 {
		if short := plainUnit.ReplaceAllString(s, "$1"); short != "" {
			s = short
		}
	}
	if strings.HasPrefix(s, ".") {
		s = "0" + s
	}
	if s == "0.5" {
		s = `\frac{1}{2}`
	}
	for _, r := range operators {
		s = r.pattern.ReplaceAllString(s, r.with)
	}
	s = strings.ReplaceAll(s, " sqrt", `\sqrt`)
	s = bracedRoots(s)
	s = bracedFractions(s)
	if a, b, ok := strings.Cut(s, "/"); ok && plainInt(a) && plainInt(b) {
		s = `\frac{` + a + "}{" + b + "}"
	}
	return strings.TrimSpace(s)
}

// respell replaces from left to right, at each place by the first rule that fits.
func respell(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		n := 0
		if strings.IndexByte("\\ \t\n\r{~,aoip", s[i]) >= 0 {
			for _, r := range spellings {
				m := r.pattern.FindStringIndex(s[i:])
				if m == nil || r.after != nil && i > 0 && !r.after(s[i-1]) || r.before != nil && i+m[1] < len(s) && !r.before(s[i+m[1]]) {
					continue
				}
				b.WriteString(r.with)
				n = m[1]
				break
			}
		}
		if n == 0 {
			b.WriteByte(s[i])
			n = 1
		}
		i += n
	}
	return b.String()
}

// bracedRoots turns \sqrt x into \sqrt{x}.
func bracedRoots(s string) string {
	parts := strings.Split(s, `\sqrt`)
	for i, p := range parts[1:] {
		p = strings.TrimLeft(p, " ")
		if p != "" && p[0] != '{' && p[0] != '[' {
			first, rest := head(p)
			p = "{" + first + "}" + rest
		}
		parts[i+1] = p
	}
	return strings.Join(parts, `\sqrt`)
}

// bracedFractions turns \frac ab into \frac{a}{b}; one character behind \frac leaves all as it is.
func bracedFractions(s string) string {
	parts := strings.Split(s, `\frac`)
	for i, p := range parts[1:] {
		p = strings.TrimLeft(p, " ")
		if p == "" || p[0] != '{' {
			a, rest := head(p)
			b, rest := head(rest)
			switch {
			case b == "":
				return s
			case b == "{":
				p = "{" + a + "}{" + rest
			default:
				p = "{" + a + "}{" + b + "}" + rest
			}
		}
		parts[i+1] = p
	}
	return strings.Join(parts, `\frac`)
}

func head(s string) (first, rest string) {
	for i := range s {
		if i > 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

func plainInt(s string) bool {
	d := strings.TrimPrefix(s, "-")
	return d != "" && strings.Trim(d, "0123456789") == "" && (d[0] != '0' || s == "0")
}

var separator = regexp.MustCompile(`and|or|,|;`)

// unbox returns what stands in \boxed{…} and \fbox{…}, several joined by commas; the text itself where there is none. With
// last, boxes further back count only where they are close to the next one or joined to it.
func unbox(s string, last bool) string {
	var results []string
	pos, end, next := len(s), len(s), -1
	for len(results) < maxCandidates {
		boxed, fbox := strings.LastIndex(s[:pos], `\boxed`), strings.LastIndex(s[:pos], `\fbox`)
		start, size := boxed, len(`\boxed`)
		if fbox > boxed {
			start, size = fbox, len(`\fbox`)
		}
		if start < 0 {
			break
		}
		open := start + size
		for open < end && strings.IndexByte(" \t\n\r\f\v", s[open]) >= 0 {
			open++
		}
		if open >= end {
			break
		}
		stop := -1
		if s[open] == '{' {
			stop = closing(s[:end], open)
		}
		if stop < 0 {
			if len(results) == 0 {
				results = append(results, s[open:])
			}
			break
		}
		content := strings.TrimSpace(s[open+1 : stop])
		if last && next >= 0 {
			between := s[min(stop+1, next):next]
			if len(between) >= 10 && (results[len(results)-1] == content || len(between) >= 70 || !separator.MatchString(between)) {
				break
			}
		}
		results = append(results, content)
		next, end, pos = start, start, start
	}
	if len(results) == 0 {
		return s
	}
	var b strings.Builder
	for i := len(results) - 1; i >= 0; i-- {
		b.WriteString(results[i])
		if i > 0 {
			b.WriteByte(',')
		}
	}
	return b.String()
}

// closing is the index of the brace that closes the one at open, or -1.
func closing(s string, open int) int {
	depth := 0
	for i := open; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
