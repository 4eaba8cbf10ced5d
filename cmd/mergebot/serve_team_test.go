//go:build linux

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mergebot/bot/github/githubtest"
	"mergebot/bot/run"
	"mergebot/hub/embedded"
)

// What must be seen nowhere: every text that only its holder may have.
const (
	hubToken      = "hf_PlantedTokenOfTheHub0123456789abcd"
	webhookSecret = "planted-webhook-secret-4f1c"
	engineKey     = "planted-engine-key-77aa"
	gitPassword   = "planted-git-password-90ee"
	proxyPassword = "planted-proxy-password-d02b"
	urlPassword   = "planted-url-password-31cd" // in a recipe
)

// patience is how long a story waits for what must happen. It is no measure: a machine may be busy.
const patience = 3 * time.Minute

// team is a repository of recipes on a GitHub of its own, a hub, and a daemon between them.
type team struct {
	place
	teamOptions
	t      *testing.T
	gh     *githubtest.Server
	hub    *embedded.Running
	seed   string
	faults *embedded.Faults
	addr   string
	extra  []string // environment of the daemon, besides that of its place

	mu     sync.Mutex
	daemon *program
	output bytes.Buffer // of daemons that have ended
}

// teamOptions say how a team works.
type teamOptions struct {
	token string // whose token the daemon has; "": it is an app
	poll  time.Duration
}

// newTeam sets all up; the daemon is still to be started. In the repository, maria is admin, ola may write, eve may read.
func newTeam(t *testing.T, o teamOptions) *team {
	t.Helper()
	needEngine(t)
	m := &team{teamOptions: o, t: t, faults: new(embedded.Faults), addr: freeAddr(t)}
	m.gh = githubtest.Start(t, githubtest.Options{
		People: map[string]githubtest.Role{"maria": githubtest.Admin, "ola": githubtest.Write, "eve": githubtest.Read},
		Files:  map[string]string{"README.md": "# Recipes\n", "recipes/old.yaml": goodRecipe("acme/old", 5)},
	})
	m.hub = m.serveHub()
	m.place = newPlace(t, m.hub, "")
	if err := os.WriteFile(m.path("app.pem"), m.gh.App.Key, 0o600); err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf(`
serve:
  repo: %s
  addr: %s
  url: http://%s
  poll: %v
  lease: 20s
  try_limit: 4
  publish_to: [acme]
  work: %s
github:
  api: %s
`, m.gh.Repo(), m.addr, m.addr, cmp.Or(o.poll, time.Second), m.path("models"), m.gh.URL)
	m.extra = []string{"HF_TOKEN=" + hubToken, "MERGEBOT_WEBHOOK_SECRET=" + webhookSecret, "MERGEBOT_ENGINE_KEY=" + engineKey,
		"MERGEBOT_GIT_PASSWORD=" + gitPassword, "HTTPS_PROXY=http://bot:" + proxyPassword + "@127.0.0.1:1", "NO_PROXY=127.0.0.1"}
	if o.token == "" {
		settings += fmt.Sprintf("  app_id: %d\n  private_key: %s\n", m.gh.App.ID, m.path("app.pem"))
	} else {
		m.extra = append(m.extra, "MERGEBOT_GITHUB_TOKEN="+m.gh.Token(o.token))
	}
	if err := os.WriteFile(m.path("bot.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	m.gh.Deliver("http://"+m.addr+"/webhook", []byte(webhookSecret))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of what the daemon said:\n%s", tail(m.said(), 12000))
		}
	})
	return m
}

// serveHub serves the family to all but tiny/law, which only the holder of the token may see.
func (m *team) serveHub() *embedded.Running {
	m.t.Helper()
	m.seed = familySeed(m.t)
	o := embedded.Options{
		Root: m.t.TempDir(), Faults: m.faults, Now: func() time.Time { return seedTime }, URLExpiry: 24 * time.Hour,
		Tokens: map[string]embedded.User{hubToken: {Name: "mergebot", Orgs: []string{"acme", "tiny"}}},
	}
	h, err := embedded.Listen(m.t.Context(), o, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { h.Close() })
	if err := h.Server.Seed(m.t.Context(), m.seed); err != nil {
		m.t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPut, h.URL+"/api/models/tiny/law/settings", strings.NewReader(`{"private": true}`))
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+hubToken)
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		m.t.Fatalf("tiny/law cannot be made private: %v, %v", resp, err)
	}
	resp.Body.Close()
	return h
}

// freeAddr is an address that nobody listens at: the daemon comes back to it after a restart.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// up starts the daemon.
func (m *team) up() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.daemon = m.start(m.t, m.extra, "serve", "--settings", m.path("bot.yaml"))
}

// down ends it and waits for that.
func (m *team) down(signal os.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.daemon == nil {
		return
	}
	_ = m.daemon.Process.Signal(signal)
	<-m.daemon.ended
	m.output.Write(m.daemon.out.Bytes())
	m.daemon = nil
}

// said is what all daemons have written, that of the running one only once it has ended.
func (m *team) said() string {
	m.down(os.Kill)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.output.String()
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// until waits for something; missing says what is not there yet, "" when all is.
func (m *team) until(what string, missing func() string) {
	m.t.Helper()
	last := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(25 * time.Millisecond) {
		if last = missing(); last == "" {
			return
		}
		m.mu.Lock()
		d := m.daemon
		m.mu.Unlock()
		if d != nil {
			select {
			case <-d.ended:
				m.mu.Lock()
				same := m.daemon == d // else somebody has killed it
				m.mu.Unlock()
				if same {
					m.t.Fatalf("the daemon ended: %v\n%s", d.ProcessState, tail(d.out.String(), 4000))
				}
			default:
			}
		}
	}
	m.t.Fatalf("%s: %s", what, last)
}

// ready waits until the daemon works.
func (m *team) ready() {
	m.t.Helper()
	m.until("the daemon works", func() string {
		resp, err := http.Get("http://" + m.addr + "/readyz")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return string(b)
		}
		return ""
	})
}

// bot is the login that the daemon writes under.
func (m *team) bot() string { return cmp.Or(m.token, m.gh.Bot()) }

// comment is the living comment of a pull request, "" when there is none.
func (m *team) comment(n int) string {
	m.t.Helper()
	all := m.gh.CommentsBy(m.bot(), n)
	if len(all) > 1 {
		m.t.Fatalf("#%d has %d comments of the bot", n, len(all))
	}
	if len(all) == 0 {
		return ""
	}
	return all[0].Body
}

// says waits until the living comment has all of these texts.
func (m *team) says(n int, texts ...string) string {
	m.t.Helper()
	body := ""
	m.until(fmt.Sprintf("the comment of #%d", n), func() string {
		body = m.comment(n)
		for _, text := range texts {
			if !strings.Contains(body, text) {
				return fmt.Sprintf("it lacks %q:\n%s", text, body)
			}
		}
		return ""
	})
	return body
}

var boundPlan = regexp.MustCompile("`([0-9a-f]{12}-[0-9a-f]{12})`")

// planID waits for a plan of a pull request that is another one than those, and returns its id.
func (m *team) planID(n int, others ...string) string {
	m.t.Helper()
	id := ""
	m.until(fmt.Sprintf("a plan of #%d", n), func() string {
		body := m.comment(n)
		found := boundPlan.FindStringSubmatch(body)
		if found == nil || slices.Contains(others, found[1]) {
			return "the comment names no new one:\n" + body
		}
		id = found[1]
		return ""
	})
	return id
}

// check waits until a commit has a check of that name that has come to that end.
func (m *team) check(sha, name, conclusion string) githubtest.Check {
	m.t.Helper()
	var out githubtest.Check
	m.until("check "+name, func() string {
		all := m.gh.Checks(sha)
		i := slices.IndexFunc(all, func(c githubtest.Check) bool { return c.Name == name })
		if i < 0 {
			return fmt.Sprintf("it is not there: %+v", all)
		}
		if out = all[i]; out.Conclusion != conclusion {
			return fmt.Sprintf("it is %s %s, want %s: %s\n%s", out.Status, out.Conclusion, conclusion, out.Output.Title, out.Output.Summary)
		}
		return ""
	})
	return out
}

// reaction waits for the bot's only reaction to a comment.
func (m *team) reaction(comment int64, want string) {
	m.t.Helper()
	m.until("a reaction", func() string {
		if got := m.gh.Reactions(comment); !slices.Equal(got, []string{m.bot() + " " + want}) {
			return fmt.Sprintf("%q, want %s", got, want)
		}
		return ""
	})
}

// records are those of all runs, oldest first.
func (m *team) records() (out []run.Record) {
	m.t.Helper()
	files, err := filepath.Glob(m.path("storage", "runs", "*", "run.json"))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, f := range files {
		var r run.Record
		readJSON(m.t, f, &r)
		out = append(out, r)
	}
	return out
}

// ran waits until the run of a kind, of a pull request and a plan, is in that state.
func (m *team) ran(n int, kind run.Kind, bound string, state run.State) run.Record {
	m.t.Helper()
	var out run.Record
	m.until(fmt.Sprintf("the %s of #%d", kind, n), func() string {
		all := slices.DeleteFunc(m.records(), func(r run.Record) bool {
			return r.Kind != kind || r.Origin.Change != fmt.Sprint(n) || r.Origin.Bound != bound
		})
		if len(all) != 1 {
			return fmt.Sprintf("%d runs", len(all))
		}
		if out = all[0]; out.State != state {
			return fmt.Sprintf("it is %s, want %s: %s", out.State, state, out.Error)
		}
		return ""
	})
	return out
}

// goodRecipe takes seconds. Recipes that differ in rows share all but their last scores.
func goodRecipe(target string, rows int) string {
	return fmt.Sprintf(`merge_method: task_arithmetic
base_model: tiny/base
models:
  - {model: tiny/finance, parameters: {weight: 0.9}}
dtype: float16
mergebot:
  domains:
    finance: {expert: tiny/finance, tasks: [fpb]}
  evaluate:
    limit: %d
    tasks:
      fpb: {revision: main, max_tokens: 12}
  gates: [{domain: finance, min_ratio: 0.1}]
  publish: {repo: %s, private: false, license: apache-2.0}
`, rows, target)
}
