package gitrepo

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cutLine returns the first line that says something.
func cutLine(s string) (line, rest string, more bool) {
	return strings.Cut(strings.TrimLeft(s, " \t\r\n"), "\n")
}

// printable makes one line of a stranger's text: no control characters, nothing that turns the direction of writing,
// at most limit characters.
func printable(s string, limit int) string {
	s = s[:min(len(s), 16*limit)] // before anything is looked at closely
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || turns(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit-1]) + "…"
	}
	return s
}

// turns says that a character changes the direction of what follows, by which a text can be made to look like another.
func turns(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) }
