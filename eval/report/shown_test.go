package report

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestShown(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                            "",
		"plain\n\ttext":               "plain\n\ttext",
		"Grüße, 数学, ½ 😀":              "Grüße, 数学, ½ 😀",
		`<b>&"'`:                      "&lt;b&gt;&amp;&#34;&#39;",
		"a\x00\x00b\x1b":              "a<i>U+0000 × 2</i>b<i>U+001B</i>",
		"\u202eabc\u202c":             "<i>U+202E</i>abc<i>U+202C</i>",
		"\u200b\u00a0\ufeff\u2066":    "<i>U+200B</i><i>U+00A0</i><i>U+FEFF</i><i>U+2066</i>",
		"a\xffb\xf0\x9f":              "a<i>0xFF</i>b<i>0xF0</i><i>0x9F</i>",
		"\ufffd":                      "\ufffd", // a model's own replacement character is no broken byte
		"\u3164\u2800\ufe0f\u034f":    "<i>U+3164</i><i>U+2800</i><i>U+FE0F</i><i>U+034F</i>",
		"\U000e0041\U000e0042":        "<i>U+E0041</i><i>U+E0042</i>",
		"x\r\ny\u2028z":               "x<i>U+000D</i>\ny<i>U+2028</i>z",
		strings.Repeat("\u200d", 1e6): "<i>U+200D × 1000000</i>",
	} {
		if got := string(shown(in, maxShown)); got != want {
			t.Errorf("shown(%.20q) = %.60q, want %q", in, got, want)
		}
	}
	if got := string(shown("abcdef<ghi", 8)); got != "abcdef<i>4 bytes more</i>" {
		t.Error(got)
	}
	if got := string(shown("abcdefghij", 8)); got != "abcdefgh<i>2 bytes more</i>" {
		t.Error(got)
	}
	if got := string(shown("abcdefgh", 8)); got != "abcdefgh" {
		t.Error(got)
	}
	if got := string(shownLine(" a\n b\t\tc "+strings.Repeat("é", 100), 8)); got != "a b c é…" {
		t.Error(got)
	}
	if got := string(shownLine(strings.Repeat("\xff", 100), 3)); got != "<i>0xFF</i><i>0xFF</i>…" {
		t.Error(got)
	}
}

// Whatever the text: no markup but the marks, nothing that cannot be seen, no more than the limit, and
// what is shown is the text.
func FuzzShown(f *testing.F) {
	for _, s := range []string{"a<b>\x00\u202e\xff&amp;", "<i>U+0000</i>", strings.Repeat("é\u200b", 40), "\r\n\t "} {
		f.Add(s, 100)
	}
	mark := regexp.MustCompile(`<i>(U\+[0-9A-F]{4,6}( × [0-9]+)?|0x[0-9A-F]{2}|[0-9]+ bytes more)</i>`)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(0, min(limit, maxShown))
		got := string(shown(s, limit))
		if !utf8.ValidString(got) || len(got) > limit+40 {
			t.Fatalf("%d bytes for a limit of %d: %q", len(got), limit, got)
		}
		rest := mark.ReplaceAllString(got, "")
		if strings.ContainsAny(rest, `<>"'`) {
			t.Fatalf("markup: %q", got)
		}
		for _, r := range rest {
			if unseen(r) {
				t.Fatalf("%U is not marked: %q", r, got)
			}
		}
		if !strings.Contains(got, "<i>") && html.UnescapeString(got) != s {
			t.Fatalf("%q is shown as %q", s, got)
		}
		shownLine(s, max(1, limit/8))
	})
}
