// Package secret keeps secrets out of what is written for people: logs, records, pages, comments. It is the second line
// of defence; the first is not to write them.
//
// A [Redactor] knows the values of secrets and finds them also as they look in a URL, in JSON, in HTML, in a Go string
// and in base64 (of Basic authentication, whatever the user). Beyond that it knows what tokens of the Hub and of GitHub,
// Bearer credentials and passwords in URLs look like.
package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// least is the length in bytes below which a value is not looked for: it would be found everywhere.
const least = 8

// Redactor replaces secrets. It may be used by many at once; nil redacts what looks like a secret, and knows no values.
type Redactor struct {
	forms map[[least]byte][]string // by their beginning, the longest first
	// pairs says which two bytes something to be looked at begins with: all others are passed over.
	pairs [1 << 16 / 64]uint64
	mask  string
}

// New makes a redactor for these values: shorter ones than 8 bytes are left out, those of several lines (PEM keys) are
// found by their lines, too.
func New(values ...string) *Redactor {
	r := &Redactor{forms: map[[least]byte][]string{}}
	seen := map[string]bool{}
	for _, v := range values {
		for _, f := range formsOf(v) {
			if len(f) < least || seen[f] {
				continue
			}
			seen[f] = true
			at := [least]byte([]byte(f))
			r.forms[at] = append(r.forms[at], f)
			r.pair(f[0], f[1])
		}
	}
	for _, forms := range r.forms {
		slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	}
	for _, p := range patterns {
		r.pair(p.word[0], p.word[1])
	}
	r.mask = maskFor(seen)
	return r
}

func (r *Redactor) pair(a, b byte) {
	n := int(a)<<8 | int(b)
	r.pairs[n/64] |= 1 << (n % 64)
}

// maskFor chooses a mask that makes no secret together with the text around it.
func maskFor(forms map[string]bool) string {
masks:
	for _, m := range []string{"[redacted]", "<redacted>", "{redacted}", "(redacted)", "|redacted|"} {
		for f := range forms {
			if strings.Contains(m, f) || strings.IndexByte(f, m[0]) >= 0 || strings.IndexByte(f, m[len(m)-1]) >= 0 {
				continue masks
			}
		}
		return m
	}
	return "\u2588\u2588\u2588" // no secret in ASCII has it
}

// formsOf lists a value as it may appear in texts.
func formsOf(value string) []string {
	value = strings.TrimSpace(value)
	if len(value) < least {
		return nil
	}
	plain := []string{value}
	// Lines, also of a key that a variable holds with \n written out.
	for _, line := range strings.Split(strings.ReplaceAll(value, `\n`, "\n"), "\n") {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
			plain = append(plain, line)
		}
	}
	var out []string
	for _, v := range plain {
		if len(v) < least {
			continue
		}
		out = append(out, v, quoted(v, true), quoted(v, false), trimQuotes(strconv.Quote(v)), html.EscapeString(v))
		for _, escaped := range []string{url.QueryEscape(v), url.PathEscape(v), url.UserPassword("", v).String()[1:]} {
			out = append(out, escaped, lowerHex(escaped))
		}
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		out = append(out, e.EncodeToString([]byte("x-access-token:"+value)))
		// Inside of a longer text a value has one of three looks. Of its first and last character some bits are others'.
		for before := range 3 {
			b := e.EncodeToString(append(make([]byte, before), value...))
			first, last := (before*8+5)/6, (before+len(value))*8/6
			out = append(out, b[first:last])
		}
		out = append(out, e.EncodeToString([]byte(value)))
	}
	return out
}

// quoted is v as it stands in JSON.
func quoted(v string, escapeHTML bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	if e.Encode(v) != nil {
		return ""
	}
	return trimQuotes(strings.TrimSpace(b.String()))
}

func trimQuotes(s string) string { return s[1 : len(s)-1] }

// lowerHex makes the digits of %2F small.
func lowerHex(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
			i += 2
		}
	}
	return string(b)
}

// unknown is the redactor that knows no values.
var unknown = New()

// String replaces every secret in s; overlapping ones become one mask. A text without secrets comes back as it is.
func (r *Redactor) String(s string) string {
	if r == nil {
		r = unknown
	}
	var out strings.Builder
	done := 0          // s[:done] is written
	begin, end := 0, 0 // of the secret that is not written yet; end 0: none
	found := func(b, e int) {
		if end > 0 && b > end {
			out.WriteString(s[done:begin])
			out.WriteString(r.mask)
			done, end = end, 0
		}
		if end == 0 {
			begin = b
		}
		begin, end = max(done, min(begin, b)), max(end, e)
	}
	looked := 0 // no pattern that begins before ends later
	for i := 0; i+1 < len(s); i++ {
		if n := int(s[i])<<8 | int(s[i+1]); r.pairs[n/64]&(1<<(n%64)) == 0 {
			continue
		}
		if e := r.known(s, i); e > 0 {
			found(i, e)
		}
		if i < looked {
			continue
		}
		if b, e := looksLike(s, i); e > 0 {
			found(b, e)
			looked = e
		}
	}
	if end == 0 {
		return s
	}
	out.WriteString(s[done:begin])
	out.WriteString(r.mask)
	out.WriteString(s[end:])
	return out.String()
}

// known finds the end of the longest known form that begins at s[i]; 0: none does.
func (r *Redactor) known(s string, i int) int {
	if len(s)-i < least {
		return 0
	}
	for _, f := range r.forms[[least]byte([]byte(s[i:i+least]))] {
		if strings.HasPrefix(s[i:], f) {
			return i + len(f)
		}
	}
	return 0
}
