package talk

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"mergebot/eval/report"
)

// How much of a text from outside is shown, in characters.
const (
	nameLength    = 120
	messageLength = 600
)

// plain is a text from outside inside a line or a cell.
func plain(s string, length int) string { return report.Escape(clip(s, length)) }

// span is a text from outside in a code span, which copies as it is. It is never empty.
func span(s string) string {
	if out := report.Code(markerless(clip(s, nameLength))); out != "" {
		return out
	}
	return "`?`"
}

// fence is a block of code of at most limit bytes, cut at a line's end.
func fence(language, s string, limit int) string {
	s, cut := clipLines(s, limit)
	if cut > 0 {
		s += fmt.Sprintf("\n… %s more", plural(cut, "line"))
	}
	return report.Fenced(language, markerless(s))
}

// markerless breaks HTML comments: markers are looked for in the text, whether it is code or not.
func markerless(s string) string {
	return strings.ReplaceAll(report.Visible(s), "<!--", "<\u200b!--")
}

// clipLines keeps the first lines that fit into limit bytes, and says how many do not.
func clipLines(s string, limit int) (kept string, cut int) {
	s = strings.TrimRight(s, "\n")
	if len(s) <= limit {
		return s, 0
	}
	end := max(strings.LastIndexByte(s[:limit], '\n'), 0)
	return s[:end], 1 + strings.Count(strings.TrimPrefix(s[end:], "\n"), "\n")
}

// clip cuts a text to n characters.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	count := 0
	for i := range s {
		if count++; count == n {
			return s[:i] + "…"
		}
	}
	return s
}

// line is a text from outside where GitHub expects no Markdown: a title, an annotation. It is never empty.
func line(s string, length int) string {
	return or(clip(strings.Join(strings.Fields(report.Visible(clip(s, 4*length))), " "), length), "?")
}

// short is the beginning of a hash, enough for the eye.
func short(hash string) string {
	if len(hash) > 12 && hexadecimal(hash) {
		return hash[:12]
	}
	return hash
}

func hexadecimal(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(int64(n)) + " " + noun + "s"
}

// count writes a number with commas between groups of three.
func count(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// listing joins words as a sentence does.
func listing(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// link leads to an address; text is Markdown already. An address that is not a web page's leaves the text alone.
func link(text, address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(address) > 1000 {
		return text
	}
	return "[" + text + "](" + inLink.Replace(u.String()) + ")"
}

// inLink replaces what would end a link, or a table's cell, early.
var inLink = strings.NewReplacer("(", "%28", ")", "%29", "<", "%3C", ">", "%3E", "|", "%7C", `\`, "%5C", " ", "%20",
	"`", "%60", "[", "%5B", "]", "%5D", `"`, "%22", "'", "%27", "&", "&amp;")
