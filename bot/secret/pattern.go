package secret

import "strings"

// pattern is what secrets of a kind look like: a word, and how many bytes after it belong to the secret.
type pattern struct {
	word   string
	keep   bool // the word may be seen
	length func(after string) int
}

// patterns are checked wherever their words stand, without a word boundary before: a JSON text may have \nhf_… .
var patterns = []pattern{
	{"hf_", false, token(20, "")},
	{"api_org_", false, token(20, "")}, // the Hub's older tokens of organisations
	{"ghp_", false, token(20, "")},     // GitHub: personal, OAuth, user, refresh, server
	{"gho_", false, token(20, "")},
	{"ghu_", false, token(20, "")},
	{"ghr_", false, token(20, "")},
	{"ghs_", false, token(20, "_-.")}, // newer ones hold a JWT
	{"github_pat_", false, token(20, "_")},
	{"Bearer ", true, token(8, "-._~+/=")},
	{"bearer ", true, token(8, "-._~+/=")},
	{"BEARER ", true, token(8, "-._~+/=")},
	{"X-Amz-Signature=", true, token(20, "")}, // of addresses to upload to
	{"X-Amz-Security-Token=", true, token(20, "%-._~+/=")},
	{"://", true, userinfo},
}

// looksLike finds what looks like a secret and begins at s[i], or after a word there that announces it; end 0: nothing.
func looksLike(s string, i int) (begin, end int) {
	for _, p := range patterns {
		if !strings.HasPrefix(s[i:], p.word) {
			continue
		}
		after := i + len(p.word)
		if n := p.length(s[after:]); n > 0 {
			if begin = i; p.keep {
				begin = after
			}
			return begin, after + n
		}
	}
	return 0, 0
}

// hopeless is after how many bytes without a digit or such a token is not looked for any further.
const hopeless = 256

// token counts letters, digits and some more, when there are enough of them and they are no words: a digit, or a capital
// after a small letter, is among them.
func token(least int, more string) func(string) int {
	return func(after string) int {
		n, odd := 0, false
		for ; n < len(after) && (odd || n < hopeless); n++ {
			c := after[n]
			small, capital, digit := 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9'
			if !small && !capital && !digit && strings.IndexByte(more, c) < 0 {
				break
			}
			odd = odd || digit || capital && n > 0 && 'a' <= after[n-1] && after[n-1] <= 'z'
		}
		if n < least || !odd {
			return 0
		}
		return n
	}
}

// userinfo counts user and password of an address, when there is a password.
func userinfo(after string) int {
	end := strings.IndexAny(after, "/?#\"'`<>\\ \t\r\n")
	if end < 0 {
		end = len(after)
	}
	at := strings.LastIndexByte(after[:end], '@')
	if at < 0 {
		return 0
	}
	colon := strings.IndexByte(after[:at], ':')
	if colon < 0 || colon == at-1 {
		return 0
	}
	return at
}
