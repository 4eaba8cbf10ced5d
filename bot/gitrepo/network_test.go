package gitrepo

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"mergebot/bot/forge"
)

const password = "correct-horse-battery"

// serveHTTP serves the repository as git's own server program does, to those who know the password.
func serveHTTP(t testing.TB, o *origin, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	exe := filepath.Join(strings.TrimSpace(o.at("--exec-path")), "git-http-backend")
	if _, err := os.Stat(exe); err != nil {
		t.Skip("git-http-backend is not installed")
	}
	var h http.Handler = &cgi.Handler{Path: exe, Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(o.bare), "GIT_HTTP_EXPORT_ALL=1"}, Stderr: io.Discard, Logger: log.New(io.Discard, "", 0)}
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if user, pass, _ := req.BasicAuth(); user != "git" || pass != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "you sent "+req.Header.Get("Authorization")+" "+pass, http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/recipes.git"
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{"true", "false"} {
		o := seeded(t)
		o.at("config", "uploadpack.allowFilter", filter)
		var packs atomic.Int64
		url := serveHTTP(t, o, func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method == http.MethodPost {
					packs.Add(1)
				}
				h.ServeHTTP(w, req)
			})
		})
		big := strings.Repeat("0123456789abcdef", forge.MaxFile/16) // exactly the limit
		o.branch("big", map[string]string{"recipes/fits.yaml": big, "recipes/large.yaml": big + "x", "recipes/small.yaml": "s: 1\n"})
		dir := t.TempDir()
		r := openAt(t, Options{URL: url, Dir: dir, Password: password})
		if got := say(t, r, "big"); got != "+big big:open" {
			t.Fatal(got)
		}
		c := mustChange(t, r, "big")
		files, err := r.Diff(t.Context(), c.Base, c.Head)
		if err != nil || paths(files) != "recipes/fits.yaml recipes/large.yaml recipes/small.yaml" {
			t.Fatalf("%s, %v", paths(files), err)
		}
		if b, err := r.Read(t.Context(), files[0].Blob); err != nil || string(b) != big {
			t.Errorf("a file at the limit: %d bytes, %v", len(b), err)
		}
		if _, err := r.Read(t.Context(), files[1].Blob); !errors.Is(err, forge.ErrTooLarge) {
			t.Errorf("a file above the limit: %v", err)
		}
		if n := packs.Load(); n != 1 {
			t.Errorf("%d packs were asked for, want 1", n)
		}
		for range 3 {
			say(t, r)
			mustHead(t, r)
		}
		if n := packs.Load(); n != 1 {
			t.Errorf("with nothing new %d packs were asked for, want 1", n)
		}
		o.git("merge", "--quiet", "--no-ff", "-m", "merge", "big")
		o.git("push", "--quiet", "origin", "main", ":big")
		if got := say(t, r, "big"); got != "big:merged" || packs.Load() != 2 {
			t.Errorf("after the merge: %s, %d packs", got, packs.Load())
		}
		o.git("reset", "--quiet", "--hard", "HEAD~1")
		o.commit("another", map[string]string{"recipes/b.yaml": "b: 1\n"})
		o.push("main")
		if got := say(t, r, "big"); got != "big:closed" {
			t.Errorf("after main was rewritten: %s", got)
		}
	}
}

func TestHTTPRefusals(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	status := new(atomic.Int64)
	url := serveHTTP(t, o, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if s := int(status.Load()); s != 0 {
				w.Header().Set("Retry-After", "7200")
				http.Error(w, "as you said: "+req.Header.Get("Authorization")+password, s)
				return
			}
			h.ServeHTTP(w, req)
		})
	})
	check := func(what string, r *Repo, want error, words string) {
		t.Helper()
		_, err := r.Open(t.Context())
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", what, err)
		}
		if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, password) || strings.Contains(text, "wr0ng") || strings.Contains(text, "Basic ") {
			t.Errorf("%s: the error holds a secret: %v", what, err)
		}
	}
	good := openAt(t, Options{URL: strings.Replace(url, "://", "://git:wr0ng@", 1), Password: password})
	if _, err := good.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("no password", openAt(t, Options{URL: url}), forge.ErrForbidden, "MERGEBOT_GIT_PASSWORD")
	check("a wrong password", openAt(t, Options{URL: strings.Replace(url, "://", "://git:wr0ng@", 1)}), forge.ErrForbidden, "does not accept")
	check("another path", openAt(t, Options{URL: strings.Replace(url, "recipes", "other", 1), Password: password}), forge.ErrNotFound, "no such repository")
	closed := openAt(t, Options{URL: "http://127.0.0.1:1/r.git", Password: password})
	check("nobody there", closed, nil, "refused")
	for _, s := range []int64{429, 500, 503} {
		status.Store(s)
		_, err := good.Open(t.Context())
		var later *forge.Later
		if !errors.As(err, &later) {
			t.Errorf("%d: %v", s, err)
		}
		check(fmt.Sprint(s), good, nil, "try again at")
	}
	status.Store(418)
	check("418", good, nil, "answers 418")
	status.Store(0)
	if _, err := good.Open(t.Context()); err != nil {
		t.Errorf("when all is well again: %v", err)
	}
}

// endless answers everything without end.
type endless struct{ status int }

func (e endless) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: e.status, Request: req, Body: io.NopCloser(e)}, nil
}
func (endless) Read(b []byte) (int, error) { return len(b), nil }

func TestEndlessAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path   string
		status int
		limit  int64
	}{{"/r.git/info/refs", 200, maxAdvert}, {"/r.git/info/refs", 500, 4 << 10}, {"/r.git/git-upload-pack", 200, MaxPack * 2}} {
		req := httptest.NewRequest(http.MethodGet, c.path, nil)
		res, err := bounded{endless{c.status}}.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, res.Body); err != nil || n > c.limit {
			t.Errorf("%s, %d: %d bytes, %v", c.path, c.status, n, err)
		}
	}
	n := &network{name: "https://example.org/r.git", secret: password}
	if err := n.explain(t.Context(), errors.New("it says "+password)); strings.Contains(err.Error(), password) {
		t.Error(err)
	}
}

// A real ssh conversation: the host's key must be known, the agent's key be accepted.
func TestSSH(t *testing.T) { // sets the environment
	o := seeded(t)
	o.branch("a", map[string]string{"recipes/x.yaml": "x: 1\n"})
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_KNOWN_HOSTS", filepath.Join(home, "known_hosts"))
	t.Setenv("SSH_AUTH_SOCK", "")
	_, hostKey, _ := ed25519.GenerateKey(rand.Reader)
	_, userKey, _ := ed25519.GenerateKey(rand.Reader)
	host, err := ssh.NewSignerFromKey(hostKey)
	if err != nil {
		t.Fatal(err)
	}
	user, err := ssh.NewSignerFromKey(userKey)
	if err != nil {
		t.Fatal(err)
	}
	addr := serveSSH(t, host, user.PublicKey())
	r := openAt(t, Options{URL: "ssh://git@" + addr + o.bare})
	refused := func(words string) {
		t.Helper()
		if _, err := r.Open(t.Context()); !errors.Is(err, forge.ErrForbidden) || !strings.Contains(err.Error(), words) {
			t.Errorf("want %q: %v", words, err)
		}
	}
	know := func(key ssh.PublicKey) {
		if err := os.WriteFile(filepath.Join(home, "known_hosts"), []byte(knownhosts.Line([]string{addr}, key)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused("no ssh agent")
	keys := agent.NewKeyring()
	serveAgent(t, keys)
	refused("known_hosts file")
	know(user.PublicKey())
	refused("not the one in known_hosts")
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := os.WriteFile(filepath.Join(home, "known_hosts"), []byte(knownhosts.Line([]string{other.Addr().String()}, host.PublicKey())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("in no known_hosts file")
	know(host.PublicKey())
	refused("does not accept these credentials")
	if err := keys.Add(agent.AddedKey{PrivateKey: userKey}); err != nil {
		t.Fatal(err)
	}
	if got := say(t, r, "a"); got != "+a a:open" {
		t.Errorf("by ssh: %q", got)
	}
	o.branch("b", map[string]string{"recipes/y.yaml": "y: 1\n"})
	if got := say(t, r); got != "+a +b" {
		t.Errorf("by ssh, again: %q", got)
	}
	none := openAt(t, Options{URL: "ssh://git@" + addr + o.bare + "x"})
	if _, err := none.Open(t.Context()); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("no repository: %v", err)
	}
	byPassword := openAt(t, Options{URL: "ssh://" + addr + o.bare, Username: "ada", Password: password})
	if got := say(t, byPassword); got != "+a +b" {
		t.Errorf("by password: %q", got)
	}
}

// serveSSH runs git-upload-pack for whoever has the key, or the password.
func serveSSH(t *testing.T, host ssh.Signer, user ssh.PublicKey) string {
	t.Helper()
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if c.User() == "git" && string(key.Marshal()) == string(user.Marshal()) {
				return nil, nil
			}
			return nil, errors.New("no")
		},
		PasswordCallback: func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			if c.User() == "ada" && string(p) == password {
				return nil, nil
			}
			return nil, errors.New("no")
		},
	}
	config.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go sshConnection(c, config)
		}
	}()
	return l.Addr().String()
}

func sshConnection(c net.Conn, config *ssh.ServerConfig) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for fresh := range channels {
		ch, requests, err := fresh.Accept()
		if err != nil {
			return
		}
		for req := range requests {
			var command struct{ Line string }
			if req.Type != "exec" || ssh.Unmarshal(req.Payload, &command) != nil {
				req.Reply(false, nil)
				continue
			}
			req.Reply(true, nil)
			path := strings.Trim(strings.TrimPrefix(command.Line, "git-upload-pack "), "'")
			cmd := exec.Command("git", "upload-pack", path)
			cmd.Env = gitEnv(0)
			in, _ := cmd.StdinPipe()
			cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
			if cmd.Start() == nil {
				go func() { io.Copy(in, ch); in.Close() }()
				cmd.Wait()
			}
			ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(cmd.ProcessState.ExitCode())}))
			ch.Close()
		}
	}
}

func serveAgent(t *testing.T, keys agent.Agent) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	t.Setenv("SSH_AUTH_SOCK", l.Addr().String())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { agent.ServeAgent(keys, c); c.Close() }()
		}
	}()
}
