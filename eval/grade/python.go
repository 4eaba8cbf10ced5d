package grade

import (
	"strings"
	"unicode"
)

// The peers are written in Python, whose string functions differ from Go's in corners that decide verdicts.

// isDigits is str.isdigit: not empty, and every rune a decimal digit of any script or a digit such as a superscript.
func isDigits(s string) bool {
	for _, r := range s {
		if !unicode.Is(unicode.Nd, r) && !otherDigit(r) {
			return false
		}
	}
	return s != ""
}

// otherDigit covers Numeric_Type=Digit outside of Nd (Unicode 14, that of Python 3.11).
func otherDigit(r rune) bool {
	in := func(lo, hi rune) bool { return lo <= r && r <= hi }
	switch {
	case r == 0xB2, r == 0xB3, r == 0xB9, r == 0x2070, in(0x2074, 0x2079), in(0x2080, 0x2089), in(0x1369, 0x1371), r == 0x19DA,
		in(0x2460, 0x2468), in(0x2474, 0x247C), in(0x2488, 0x2490), r == 0x24EA, in(0x24F5, 0x24FD), r == 0x24FF,
		in(0x2776, 0x277E), in(0x2780, 0x2788), in(0x278A, 0x2792), in(0x10A40, 0x10A43), in(0x10E60, 0x10E68),
		in(0x11052, 0x1105A), in(0x1F100, 0x1F10A):
		return true
	}
	return false
}

// isSpace is str.isspace for one rune, which str.strip goes by; unlike Go's it has the separators 0x1C to 0x1F.
func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1C <= r && r <= 0x1F }

// lower is str.lower. Only the dotted capital I becomes two characters there.
func lower(s string) string { return strings.ToLower(strings.ReplaceAll(s, "\u0130", "i\u0307")) }

// strip is str.strip.
func strip(s string) string { return strings.TrimFunc(s, isSpace) }

// lastMatch is the last item of re.findall(prefix+"(.*)$", s) for a prefix without newline: `.` excludes only the
// newline, and `$` without MULTILINE also matches before one final newline. So at most one match exists, in the last
// line, at the prefix's first occurrence there.
func lastMatch(s, prefix string) (string, bool) {
	s = strings.TrimSuffix(s, "\n")
	s = s[strings.LastIndexByte(s, '\n')+1:]
	_, after, ok := strings.Cut(s, prefix)
	return after, ok
}
