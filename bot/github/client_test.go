package github

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"mergebot/bot/forge"
)

func TestOpenFindsMistakes(t *testing.T) {
	for name, o := range map[string]Options{
		"owner/name":        {Owner: "acme", Name: "../secrets", Token: "x"},
		"serve.repo":        {Owner: "", Name: "recipes", Token: "x"},
		"MERGEBOT_GITHUB":   {Owner: "acme", Name: "recipes"},
		"take one":          {Owner: "acme", Name: "recipes", Token: "x", AppID: 1},
		"private_key":       {Owner: "acme", Name: "recipes", AppID: 1, PrivateKey: []byte("no key")},
		"team-slug":         {Owner: "acme", Name: "recipes", Token: "x", Team: "mergers"},
		"https":             {Owner: "acme", Name: "recipes", Token: "x", API: "http://github.example.com/api/v3"},
		"not the address":   {Owner: "acme", Name: "recipes", Token: "x", API: "https://me:passw0rd@github.example.com/"},
		"looks like https:": {Owner: "acme", Name: "recipes", Token: "x", API: "github.example.com"},
	} {
		_, err := Open(bg, o)
		wantErr(t, err, nil, name)
		if strings.Contains(err.Error(), "passw0rd") {
			t.Errorf("a password in %q", err)
		}
	}
}

func TestOpenAsksGitHub(t *testing.T) {
	for status, target := range map[int]error{401: forge.ErrForbidden, 403: forge.ErrForbidden, 404: forge.ErrNotFound} {
		f := newFake(t)
		f.fails("GET", "", status)
		_, err := Open(bg, f.client().o)
		wantErr(t, err, target, "acme/recipes")
	}

	f := newFake(t) // an outage is no mistake
	f.fails("GET", "", 502)
	if _, err := Open(bg, f.client().o); err != nil {
		t.Errorf("with GitHub down: %v", err)
	}

	f = newFake(t)
	f.json("GET", "", obj{"default_branch": "main"})
	f.fails("GET", "/orgs/acme/teams/mergers", 404)
	_, err := Open(bg, f.client(func(o *Options) { o.Team = "acme/mergers" }).o)
	wantErr(t, err, forge.ErrNotFound, "github.team")
}

func TestWhoamiIsAskedOnce(t *testing.T) {
	f := newFake(t)
	f.me("mergebot")
	c := f.client()
	for range 3 {
		me, err := c.whoami(bg)
		ok(t, err)
		if me.login != "mergebot" || me.app != 0 {
			t.Errorf("%+v", me)
		}
	}
	if n := f.count("GET /user"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestLink(t *testing.T) {
	for api, want := range map[string]string{
		"":                                    "https://github.com/acme/recipes/",
		"https://api.acme.ghe.com":            "https://acme.ghe.com/acme/recipes/",
		"https://github.example.com/api/v3":   "https://github.example.com/acme/recipes/",
		"https://example.com/github/api/v3/":  "https://example.com/github/acme/recipes/",
		"http://127.0.0.1:4000":               "http://127.0.0.1:4000/acme/recipes/",
		"https://api.github.example.com:8443": "https://api.github.example.com:8443/acme/recipes/",
	} {
		c, err := assemble(Options{API: api, Owner: "acme", Name: "recipes", Token: "x"})
		ok(t, err)
		if got := c.Link(shaA, "recipes/a b#?.yaml"); got != want+"blob/"+shaA+"/recipes/a%20b%23%3F.yaml" {
			t.Errorf("%s: %s", api, got)
		}
		if got := c.Link(shaA, ""); got != want+"commit/"+shaA {
			t.Errorf("%s: %s", api, got)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	f := newFake(t)
	f.on("GET", "pulls/7", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Accepted-GitHub-Permissions", "pull_requests=read")
		write(w, 403, obj{"message": "Resource not accessible\r\nby integration"})
	})
	_, err := f.client().Change(bg, "7")
	wantErr(t, err, forge.ErrForbidden, "github: acme/recipes: read pull request 7: ", "Resource not accessible by integration", "needs the permission pull_requests=read")
	if strings.Contains(err.Error(), f.http.URL) || strings.Contains(err.Error(), "\n") {
		t.Errorf("an address or a line break in %q", err)
	}

	f.on("GET", "pulls/8", answers(422, obj{"message": "Validation Failed", "errors": []obj{{"resource": "Pull", "field": "n", "code": "invalid"}}}))
	_, err = f.client().Change(bg, "8")
	wantErr(t, err, nil, "GitHub refused", "status 422", "Validation Failed", "Pull n invalid")
	if errors.Is(err, forge.ErrForbidden) || errors.Is(err, forge.ErrNotFound) {
		t.Error(err)
	}

	f.fails("GET", "pulls/9", 404)
	_, err = f.client().Change(bg, "9")
	wantErr(t, err, forge.ErrNotFound, "not visible")
	for _, id := range []string{"", "0", "-1", "7/../8", "+7", "07", "feature"} {
		_, err := f.client().Change(bg, id)
		wantErr(t, err, forge.ErrNotFound)
	}
}
