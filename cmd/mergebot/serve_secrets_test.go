//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	linked = regexp.MustCompile(`(?:href|src)="(/[^"#]*)"`)
	jwt    = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.`)
)

// pages reads every page of the daemon that another one leads to.
func (m *team) pages() map[string]string {
	m.t.Helper()
	client := &http.Client{Timeout: 20 * time.Second}
	out := map[string]string{}
	for next := []string{"/", "/changes", "/recipes", "/metrics", "/healthz", "/readyz"}; len(next) > 0; {
		path := next[0]
		next = next[1:]
		if _, ok := out[path]; ok {
			continue
		}
		resp, err := client.Get("http://" + m.addr + path)
		if err != nil {
			m.t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode >= 500 {
			m.t.Errorf("page %s: %s, %v", path, resp.Status, err)
		}
		out[path] = string(b)
		for _, l := range linked.FindAllStringSubmatch(string(b), -1) {
			next = append(next, strings.ReplaceAll(l[1], "&amp;", "&"))
		}
	}
	if len(out) < 20 {
		m.t.Errorf("only %d pages", len(out))
	}
	return out
}

// secrets looks for what was planted in all that somebody might see: pages, logs, storage, caches, models, and what GitHub
// was sent.
func (m *team) secrets(pages map[string]string) {
	m.t.Helper()
	key := strings.Split(string(m.gh.App.Key), "\n")
	planted := append([]string{hubToken, webhookSecret, engineKey, gitPassword, proxyPassword, urlPassword, key[len(key)/2]}, m.gh.InstallationTokens()...)
	if m.token != "" {
		planted = append(planted, m.gh.Token(m.token))
	}
	looked := 0
	look := func(where, text string) {
		looked++
		for _, s := range planted {
			if i := strings.Index(text, s); i >= 0 {
				m.t.Errorf("%s holds the secret %q: …%s", where, s, text[max(0, i-200):min(len(text), i+len(s))])
			}
		}
		if found := jwt.FindString(text); found != "" {
			m.t.Errorf("%s holds a token: %s", where, found)
		}
	}
	for path, text := range pages {
		look("page "+path, text)
	}
	look("the log", m.said())
	for _, folder := range []string{"storage", "home", "tmp", "work", "cache", "models"} {
		for name, b := range tree(m.t, m.path(folder)) {
			look(folder+"/"+name, string(b))
		}
	}
	for _, r := range m.gh.Requests() {
		text := string(r.Body)
		var v any
		if json.Unmarshal(r.Body, &v) == nil { // as it reads
			text += fmt.Sprint(v)
		}
		look("what GitHub was sent, "+r.String(), r.Path+"?"+r.Query+" "+text)
	}
	if looked < 200 {
		m.t.Errorf("only %d things were looked at", looked)
	}
}

// history is commits for a hub that asks for a token.
func (m *team) history(repo string) (titles []string) {
	m.t.Helper()
	r, err := http.NewRequest(http.MethodGet, m.hub.URL+"/api/models/"+repo+"/commits/main", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+hubToken)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil
	}
	var list []struct{ Title string }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || resp.StatusCode != http.StatusOK {
		m.t.Fatalf("commits of %s: %s, %v", repo, resp.Status, err)
	}
	for _, c := range list {
		titles = append(titles, c.Title)
	}
	return titles
}

// TestServeRefusesPasswords has settings with passwords where none belongs: they are refused, and not shown.
func TestServeRefusesPasswords(t *testing.T) {
	for _, settings := range []string{
		"serve: {repo: 'https://bot:" + urlPassword + "@127.0.0.1:1/recipes.git'}",
		"serve: {repo: acme/recipes, url: 'http://bot:" + urlPassword + "@127.0.0.1:1'}",
		"serve: {repo: acme/recipes}\ngithub: {api: 'http://bot:" + urlPassword + "@127.0.0.1:1/'}",
		"serve: {repo: acme/recipes}\nhub: {endpoint: 'http://bot:" + urlPassword + "@127.0.0.1:1/'}",
		"serve: {repo: acme/recipes}\nstorage: 's3://bot:" + urlPassword + "@127.0.0.1:1/'",
	} {
		p := place{dir: t.TempDir()}
		for _, d := range []string{"home", "tmp", "work"} {
			if err := os.Mkdir(p.path(d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(p.path("bot.yaml"), []byte(settings+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.path("home"), "TMPDIR=" + p.path("tmp"), "MERGEBOT_GITHUB_TOKEN=ghp_x"}
		c := p.start(t, nil, "serve", "--settings", p.path("bot.yaml"))
		<-c.ended
		if c.ProcessState.Success() || strings.Contains(c.out.String(), urlPassword) {
			t.Errorf("%s: %v\n%s", settings, c.ProcessState, &c.out)
		}
	}
}
