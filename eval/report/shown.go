package report

import (
	"fmt"
	"html/template"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown bounds what one text may take of a page, in bytes of HTML.
const maxShown = 24 << 10

// shown is a text of unknown origin as it may stand in a page: escaped, and with a mark in the place
// of every character that a reader would not see or that would move others about: controls, marks of
// writing direction, characters without width, unusual spaces, bytes that are no UTF-8. A run of one
// such character is one mark. What exceeds limit bytes of HTML is cut off, and this is said.
func shown(s string, limit int) template.HTML {
	var b strings.Builder
	for i := 0; i < len(s); {
		piece, next := plainFrom(s, i)
		if next == i {
			piece, next = shownAt(s, i)
		} else if room := limit - b.Len(); len(piece) > room {
			piece, next = piece[:max(room, 0)], i+max(room, 0)
		}
		if b.Len()+len(piece) > limit || piece == "" {
			fmt.Fprintf(&b, "<i>%d bytes more</i>", len(s)-i)
			break
		}
		b.WriteString(piece)
		i = next
	}
	return template.HTML(b.String())
}

// plainFrom is the run of characters from byte i that every page may hold as they are: nearly all
// of nearly every text.
func plainFrom(s string, i int) (run string, next int) {
	next = i
	for next < len(s) {
		switch c := s[next]; {
		case c == '\n' || c == '\t':
		case c < ' ' || c > '~', c == '<', c == '>', c == '&', c == '"', c == '\'':
			return s[i:next], next
		}
		next++
	}
	return s[i:], next
}

// shownAt is the HTML of the character at byte i, or of the run of invisible ones that begins there,
// and where it ends.
func shownAt(s string, i int) (html string, next int) {
	r, n := utf8.DecodeRuneInString(s[i:])
	broken := r == utf8.RuneError && n == 1
	switch {
	case broken:
		return fmt.Sprintf("<i>0x%02X</i>", s[i]), i + 1
	case strings.ContainsRune(`<>&"'`, r):
		return template.HTMLEscapeString(s[i : i+n]), i + n
	case !unseen(r):
		return s[i : i+n], i + n
	}
	times := 1
	for strings.HasPrefix(s[i+times*n:], s[i:i+n]) {
		times++
	}
	if times > 1 {
		return fmt.Sprintf("<i>%U × %d</i>", r, times), i + times*n
	}
	return fmt.Sprintf("<i>%U</i>", r), i + n
}

// unseen tells whether a reader would miss a character. Tab and line feed show by what they do.
func unseen(r rune) bool {
	if r == '\n' || r == '\t' || r == ' ' {
		return false
	}
	return !unicode.IsPrint(r) || r == '\u2800' || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// shownLine is the beginning of a text, at most n characters of it, on one line.
func shownLine(s string, n int) template.HTML {
	if end := 8 * n; len(s) > end { // the rest cannot be among them
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	blank := func(r rune) bool { return r == ' ' || r == '\n' || r == '\t' }
	return shown(clipRaw(strings.Join(strings.FieldsFunc(s, blank), " "), n), maxShown)
}

// clipRaw cuts a text to n characters, broken ones counted and kept as they are.
func clipRaw(s string, n int) string {
	count, last := 0, 0
	for i := range s {
		if count++; count == n {
			last = i
		}
	}
	if count <= n {
		return s
	}
	return s[:last] + "…"
}
