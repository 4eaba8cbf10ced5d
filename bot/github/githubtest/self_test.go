package githubtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// watched is a test whose failures are noted instead of failing it.
type watched struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (w *watched) Errorf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

func (w *watched) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	said := w.said
	w.said = nil
	return said
}

// TestViolations makes sure that what GitHub does not describe is seen, and nothing else.
func TestViolations(t *testing.T) {
	w := &watched{TB: t}
	s := Start(w, Options{People: map[string]Role{"maria": Admin}})
	head := s.Push("maria", "feature", map[string]string{"recipes/a.yaml": "a: 1\n"})
	n := s.Open("maria", "feature", "A recipe")
	for _, test := range []struct{ method, path, body, says string }{
		{"GET", fmt.Sprintf("/pulls/%d", n), "", ""},
		{"GET", fmt.Sprintf("/pulls/%d?speed=1", n), "", "query parameter speed"},
		{"GET", "/pulls?state=merged", "", "state"},
		{"GET", "/no/such/route", "", "not in GitHub's description"},
		{"POST", fmt.Sprintf("/issues/%d/comments", n), `{"body":"x"}`, ""},
		{"POST", fmt.Sprintf("/issues/%d/comments", n), `{"text":"x"}`, "property text"},
		{"POST", fmt.Sprintf("/issues/%d/comments", n), `{"body":7}`, "/body"},
		{"POST", "/statuses/" + head, `{"state":"success","context":"c"}`, ""},
		{"POST", "/statuses/" + head, `{"state":"fine"}`, "/state"},
		{"GET", "/commits/" + head + "/check-runs", "", ""},
		{"GET", "/compare/main..." + head, "", ""},
		{"GET", "/compare/main...nowhere", "", ""},
		{"GET", "/commits/feature", "", ""},
		{"GET", "/commits/" + head + "/status", "", ""},
		{"GET", "/commits/" + head + "/statuses", "", ""},
		{"GET", "/branches/feature", "", ""},
		{"GET", fmt.Sprintf("/pulls/%d/files", n), "", ""},
		{"GET", "/collaborators/maria/permission", "", ""},
		{"GET", "/git/ref/heads/feature", "", ""},
	} {
		asked(t, s, test.method, s.of("")+test.path, test.body, "")
		said := w.take()
		if (len(said) == 0) != (test.says == "") || len(said) > 0 && !strings.Contains(said[0], test.says) {
			t.Errorf("%s %s %s: %q, want %q", test.method, test.path, test.body, said, test.says)
		}
	}
	r, err := http.NewRequest(http.MethodGet, s.URL+s.of("/pulls/1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ok, wrong := `{"sha":"`+head+`"}`, exchange{request: r, status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}}
	wrong.answer = []byte(ok)
	if err := s.description.checkAnswer(wrong); err == nil {
		t.Error("half a pull request is taken for one")
	}
	if err := s.description.checkEvent(s.Header("push", newGUID(), nil, nil), "push", "", []byte(`{"ref":"refs/heads/main"}`)); err == nil {
		t.Error("half an event is taken for one")
	}
}

// asked sends a request with a token and returns the answer.
func asked(t *testing.T, s *Server, method, path, body, etag string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Token("maria"))
	r.Header.Set("Content-Type", "application/json")
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// TestConditional asks for what has not changed: it costs nothing, and says so.
func TestConditional(t *testing.T) {
	s := Start(t, Options{People: map[string]Role{"maria": Admin, "eve": Read}})
	path := s.of("/git/ref/heads/main")
	first := asked(t, s, http.MethodGet, path, "", "")
	again := asked(t, s, http.MethodGet, path, "", first.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || again.Header.Get("X-RateLimit-Remaining") != first.Header.Get("X-RateLimit-Remaining") {
		t.Errorf("asked again: %d, %s left of %s", again.StatusCode, again.Header.Get("X-RateLimit-Remaining"), first.Header.Get("X-RateLimit-Remaining"))
	}
	s.Push("maria", "main", map[string]string{"a": "1"})
	if now := asked(t, s, http.MethodGet, path, "", first.Header.Get("ETag")); now.StatusCode != http.StatusOK {
		t.Errorf("after a push: %d", now.StatusCode)
	}
	if n := len(s.Writes()); n != 0 {
		t.Errorf("%d writes: what people do is none", n)
	}
	for token, want := range map[string]int{s.Token("eve"): http.StatusForbidden, "ghp_nobody": http.StatusUnauthorized} {
		r, _ := http.NewRequest(http.MethodGet, s.URL+s.of("/collaborators/eve/permission"), nil)
		r.Header.Set("Authorization", "token "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d, want %d", resp.StatusCode, want)
		}
	}
}

// TestEvents makes everything happen that a webhook tells of, and looks at what is told. Bodies and headers are held to
// the description by themselves.
func TestEvents(t *testing.T) {
	s := Start(t, Options{People: map[string]Role{"maria": Admin, "eve": Read}})
	s.Push("maria", "feature", map[string]string{"recipes/a.yaml": "a: 1\n"})
	n := s.Open("maria", "feature", "A recipe")
	c := s.Comment("eve", n, "/mergebot help")
	s.EditComment("eve", c, "/mergebot plan")
	moved := s.Push("maria", "feature", map[string]string{"recipes/a.yaml": "a: 2\n"})
	s.ForcePush("maria", "feature", s.Branch("main"), map[string]string{"recipes/b.yaml": "b: 1\n"})
	f := s.OpenFork("eve", "mine", "From outside", map[string]string{"recipes/c.yaml": "c: 1\n"})
	s.PushFork("eve", "mine", map[string]string{"recipes/c.yaml": "c: 2\n"})
	merged := s.Merge("maria", n, Squash)
	s.Close("maria", f)
	s.Reopen("maria", f)

	var body struct {
		Number  int
		After   string
		Comment struct {
			Created string `json:"created_at"`
			Updated string `json:"updated_at"`
		}
		Issue struct {
			PullRequest any `json:"pull_request"`
		}
		PullRequest struct {
			Merged bool
			Commit string `json:"merge_commit_sha"`
		} `json:"pull_request"`
	}
	see := func(name, action string, i int) {
		t.Helper()
		d := s.Settle(name, action, i)
		body.PullRequest.Merged, body.Issue.PullRequest = false, nil
		if err := json.Unmarshal(d.Body, &body); err != nil {
			t.Fatal(err)
		}
	}
	see("pull_request", "opened", 1)
	if body.Number != n { // the other one was opened long after
		t.Errorf("opened: %+v", body)
	}
	see("pull_request", "synchronize", 1) // these come from the proxy, in order
	if body.Number != n || body.After != moved {
		t.Errorf("synchronize: %+v", body)
	}
	see("pull_request", "synchronize", 3)
	if body.Number != f {
		t.Errorf("synchronize: %+v", body)
	}
	see("issue_comment", "created", 1)
	if body.Comment.Created != body.Comment.Updated || body.Issue.PullRequest == nil {
		t.Errorf("created: %+v", body)
	}
	see("issue_comment", "edited", 1)
	if body.Comment.Created == body.Comment.Updated {
		t.Errorf("edited: %+v", body)
	}
	s.Settle("pull_request", "closed", 2)
	for i := range 2 { // they may overtake one another
		see("pull_request", "closed", i+1)
		if body.PullRequest.Merged != (body.Number == n) || body.PullRequest.Merged && body.PullRequest.Commit != merged {
			t.Errorf("closed: %+v", body)
		}
	}
	see("pull_request", "reopened", 1)
	s.Settle("push", "", 4) // feature, feature, feature by force, main
	var after []string
	for i := range 4 {
		see("push", "", i+1)
		after = append(after, body.After)
	}
	if !slices.Contains(after, moved) || !slices.Contains(after, merged) {
		t.Errorf("pushed were %q", after)
	}
}
