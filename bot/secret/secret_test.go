package secret

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
)

const pem = `-----BEGIN RSA PRIVATE KEY-----
MIIEpAIBAAKCAQEA1c7+9z5Pad7OejecsQ0bu3aozN3tihPmUDVHmQvPGqBdEdSB
Q8LxJ0VJcBQqTSqD8jw4ql2vEM3bDvLxGpmJ0hFyzYVgg2RjnGHXQPcqYBVzjSLv
b3lzYS1zaG9ydA==
-----END RSA PRIVATE KEY-----
`

func TestForms(t *testing.T) {
	t.Parallel()
	const plain, odd = "s3cretvalue", `p"<ä/ +&%\w0rd`
	r := New(plain, odd, pem, "short", "", "  padded-token\n")
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	js, err := json.Marshal(map[string]string{"password": odd, "key": pem})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"plain":        {"x " + plain + " y", "x [redacted] y"},
		"two":          {plain + "," + odd, "[redacted],[redacted]"},
		"adjacent":     {plain + plain, "[redacted]"},
		"trimmed":      {"padded-token", "[redacted]"},
		"json":         {string(js), `{"key":"[redacted]\n","password":"[redacted]"}`},
		"go":           {fmt.Sprintf("%q", odd), `"[redacted]"`},
		"html":         {html.EscapeString(odd), "[redacted]"},
		"query":        {"?t=" + url.QueryEscape(odd), "?t=[redacted]"},
		"path":         {"/" + url.PathEscape(odd), "/[redacted]"},
		"small hex":    {lowerHex(url.QueryEscape(odd)), "[redacted]"},
		"userinfo":     {url.UserPassword("u", odd).String(), "u:[redacted]"},
		"app":          {"Basic " + b64("x-access-token:"+plain+"12"), "Basic [redacted]"},
		"line":         {"Q8LxJ0VJcBQqTSqD8jw4ql2vEM3bDvLxGpmJ0hFyzYVgg2RjnGHXQPcqYBVzjSLv", "[redacted]"},
		"whole key":    {strings.TrimSpace(pem), "[redacted]"},
		"escaped key":  {strings.ReplaceAll(pem, "\n", `\n`), `[redacted]\n`},
		"too short":    {"short", "short"},
		"public lines": {"-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"},
	} {
		got := r.String(c.text)
		if name == "app" { // the last character holds bits of what follows
			got = got[:len("Basic [redacted]")]
		}
		if got != c.want {
			t.Errorf("%s: %q gives %q, want %q", name, c.text, got, c.want)
		}
	}
	for _, user := range []string{"", "a", "ab", "abc", "mergebot"} {
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			text := e.EncodeToString([]byte(user + ":" + odd + "+more"))
			if got := r.String(text); !strings.Contains(got, "[redacted]") || len(got) > len(text) {
				t.Errorf("base64 of user %q: %q stays %q", user, text, got)
			}
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	const a36 = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"
	var r *Redactor
	for text, want := range map[string]string{
		`token:\nhf_` + a36[:34]:                       `token:\n[redacted]`,
		"ghp_" + a36 + ".":                             "[redacted].",
		"ghs_12_eyJhbGciOi.eyJ-pc3Mi.c2ln_bmF0dXJl x":  "[redacted] x",
		"github_pat_11ABCDEFG0" + a36 + "_" + a36:      "[redacted]",
		"Authorization: Bearer abc.def-123/~+=":        "Authorization: Bearer [redacted]",
		"authorization: bearer 12345678":               "authorization: bearer [redacted]",
		"GET https://user:pass@host/x@y":               "GET https://[redacted]@host/x@y",
		"ssh://git:p@ss@host":                          "ssh://[redacted]@host",
		"https://:pass@host https://u:p@h":             "https://[redacted]@host https://[redacted]@h",
		"?X-Amz-Signature=" + strings.Repeat("0a", 32): "?X-Amz-Signature=[redacted]",
	} {
		if got := r.String(text); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{
		"", "h", "hf_hub_download", "rlhf_trainingconfiguration", "ghp_", "the bearer of bad news", "Bearer realm=\"x\"", "Bearer authentication",
		"https://github.com/acme/recipes/pull/12#issuecomment-1@2", "ssh://git@github.com:22/acme", "https://host/a:b@c", "https://user:@host",
		"git@github.com:acme/recipes.git", "sha256:" + strings.Repeat("0a", 32), "AdaptLLM/finance-chat@41cf10ee8a2b", "\xff\xfe\x00",
	} {
		if got := New("s3cretvalue").String(text); got != text {
			t.Errorf("%q gives %q", text, got)
		}
	}
}

// TestMask: no text becomes a secret by being masked.
func TestMask(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]string{
		{"redacted"}, {"]suffix-of-it", "s3cretvalue"}, {"prefix-of-it[", "s3cretvalue"},
		{"[]<>{}()||", "s3cretvalue"}, {"abcdefgh", "efghijkl", "ijklmnop"}, {"abcdefghij", "abcdefgh"},
	} {
		r := New(secrets...)
		text := "prefix-of-its3cretvaluesuffix-of-it abcdefghijklmnop [redacted] " + strings.Join(secrets, "")
		got := r.String(text)
		for _, s := range secrets {
			if strings.Contains(got, s) {
				t.Errorf("%q: %q gives %q", secrets, text, got)
			}
		}
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]string{{"abcdefghijkl", "abcdefgh"}, {"abcdefghijkl", "cdefghij"}, {"abcdefghi", "efghijkl"}} {
		if got := New(secrets...).String("x abcdefghijkl y"); got != "x [redacted] y" {
			t.Errorf("%q: got %q", secrets, got)
		}
	}
	if got := New("rer s3cretvalue").String("Bearer s3cretvalue and"); got != "Bea[redacted] and" {
		t.Errorf("a secret around a pattern: %q", got)
	}
}

func TestFromEnviron(t *testing.T) {
	t.Parallel()
	got := FromEnviron([]string{
		"HF_TOKEN=hf_a", "HF_TOKEN_PATH=/t/token", "MERGEBOT_WEBHOOK_SECRET=w", "MERGEBOT_GIT_PASSWORD=p", "AWS_SECRET_ACCESS_KEY=k",
		"GITHUBTOKEN=g", "apiKey=a", "SSL_KEY_FILE=/x.pem", "MERGEBOT_GITHUB_PRIVATE_KEY=/etc/app.pem", "SIGNING_KEY=-----BEGIN",
		"GOOGLE_APPLICATION_CREDENTIALS=/etc/g.json", "GOOGLE_CREDENTIALS={}", "TOKENIZERS_PARALLELISM=false", "PWD=/home", "OLDPWD=/tmp",
		"MYSQL_PWD=m", "KEYBOARD=us", "SSH_AUTH_SOCK=/run/x", "MONKEY=banana", "DB_PASS=d", "EMPTY_TOKEN=", "nonsense", "TOKEN_URL=https://idp/token",
		"HTTPS_PROXY=http://user:p%40ss@proxy:3128", "BOTH=postgres://u:one@h,postgres://u:two@h", "HOME=/root", "B_TOKEN=hf_a",
	})
	want := "-----BEGIN a d g hf_a k m one p p%40ss p@ss two w {}"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func FuzzString(f *testing.F) {
	f.Add("s3cretvalue", "another one", "x s3cretvalue y", uint8(0))
	f.Add("aaaaaaaab", "baaaaaaaa", "aaaaaaaaaaaaaaaab", uint8(3))
	f.Add("[redacted", "redacted]", "x", uint8(1))
	f.Add("Bearer abc", "rer abcdefg", "Bearer abcdefg123 https://a:b@c", uint8(9))
	f.Fuzz(func(t *testing.T, a, b, text string, n uint8) {
		r := New(a, b)
		var forms []string
		for _, v := range []string{a, b} {
			for _, s := range formsOf(v) {
				if len(s) >= least {
					forms = append(forms, s)
				}
			}
		}
		clean := true
		for _, s := range forms {
			clean = clean && !strings.Contains(text, s)
		}
		for _, p := range patterns {
			clean = clean && !strings.Contains(text, p.word)
		}
		if got := r.String(text); clean && got != text {
			t.Errorf("%q without secrets gives %q", text, got)
		}
		if len(forms) > 0 { // and with some
			i, at := int(n)%len(forms), len(text)*int(n)/256
			text = text[:at] + forms[i] + text[at:] + b + a
		}
		got := r.String(text)
		for _, s := range forms {
			if strings.Contains(got, s) {
				t.Errorf("%q of %q, %q gives %q, which has %q", text, a, b, got, s)
			}
		}
	})
}

func FuzzFromEnviron(f *testing.F) {
	f.Add("HF_TOKEN=hf_x")
	f.Add("X=a://b:c@d e://f:%zz@")
	f.Fuzz(func(t *testing.T, e string) {
		for _, v := range FromEnviron([]string{e}) {
			if v == "" {
				t.Errorf("%q: an empty secret", e)
			}
		}
	})
}

func BenchmarkString(b *testing.B) {
	r := New("s3cretvalue", pem, "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", "ghp_abcdefghijklmnopqrstuvwxyzABCDEFGHIJ")
	for name, text := range map[string]string{
		"log":     strings.Repeat(`time=2026-03-01T12:00:00Z level=INFO msg="run began" run=20260301-120000-41cf10ee8a2b url=https://host/runs/x `, 10_000),
		"hostile": strings.Repeat("ghs_", 250_000),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r.String(text)
			}
		})
	}
}
