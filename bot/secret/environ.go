package secret

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
)

// FromEnviron picks the secrets out of an environment ("NAME=value"): values of variables whose names say so, and
// passwords in addresses.
func FromEnviron(environ []string) []string {
	var out []string
	for _, e := range environ {
		name, value, ok := strings.Cut(e, "=")
		if !ok || value == "" {
			continue
		}
		if named(name) && !isFile(value) {
			out = append(out, value)
		}
		out = append(out, passwords(value)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var (
	// endings of a word of a variable's name that holds a secret: GITHUB_TOKEN, GITHUBTOKEN, tokens.
	endings = []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "APIKEY", "ACCESSKEY", "SECRETKEY", "PRIVATEKEY"}
	// words that say it alone.
	whole = []string{"KEY", "PASS", "PWD", "PAT", "AUTH", "DSN", "COOKIE"}
	// last words of names that say where something is, not what.
	places = []string{"FILE", "FILES", "PATH", "PATHS", "DIR", "URL", "URI", "ENDPOINT", "SOCK", "NAME", "TYPE", "TTL"}
)

// named says whether a variable's name is one of a secret.
func named(name string) bool {
	if name == "PWD" || name == "OLDPWD" {
		return false
	}
	words := wordsOf(name)
	if len(words) == 0 || slices.Contains(places, words[len(words)-1]) {
		return false
	}
	return slices.ContainsFunc(words, func(w string) bool {
		w = strings.TrimSuffix(w, "S")
		return slices.Contains(whole, w) || w == "PAS" || slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(w, e) })
	})
}

// wordsOf cuts MY_API_KEY and myApiKey into capital words.
func wordsOf(name string) []string {
	var b strings.Builder
	small := false
	for _, c := range name {
		switch {
		case !unicode.IsLetter(c) && !unicode.IsDigit(c):
			c = ' '
		case unicode.IsUpper(c) && small:
			b.WriteByte(' ')
		}
		small = unicode.IsLower(c)
		b.WriteRune(unicode.ToUpper(c))
	}
	return strings.Fields(b.String())
}

// isFile says whether a value is a path rather than a secret, as GOOGLE_APPLICATION_CREDENTIALS has it.
func isFile(value string) bool {
	return path.IsAbs(value) && slices.Contains([]string{".json", ".pem", ".key", ".crt", ".txt", ".yaml", ".yml"}, path.Ext(value))
}

// passwords are those of the addresses in a text, as written and as meant.
func passwords(text string) []string {
	var out []string
	for {
		_, after, ok := strings.Cut(text, "://")
		if !ok {
			return out
		}
		text = after
		n := userinfo(after)
		if n == 0 {
			continue
		}
		_, password, _ := strings.Cut(after[:n], ":")
		out = append(out, password)
		if meant, err := url.PathUnescape(password); err == nil && meant != password {
			out = append(out, meant)
		}
	}
}
