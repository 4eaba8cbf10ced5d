package github

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var hookSecret = []byte("a secret of the webhook")

func sign(body []byte) string {
	mac := hmac.New(sha256.New, hookSecret)
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// deliver makes a delivery as GitHub does.
func deliver(event string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/webhook", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-GitHub-Event", event)
	r.Header.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	r.Header.Set("X-Hub-Signature-256", sign(body))
	return r
}

// post hands a request to the handler; e is nil when nothing was accepted.
func post(t testing.TB, repo string, r *http.Request, fresh bool, fail error) (status int, outcome string, e *Event) {
	t.Helper()
	var heard []string
	h := Webhook(hookSecret, repo, func(_ context.Context, got Event) (bool, error) {
		if e != nil {
			t.Error("accepted twice")
		}
		e = &got
		return fresh, fail
	}, func(o string) { heard = append(heard, o) })
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var said struct{ Outcome string }
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("answer %q: %v", w.Body, err)
	}
	if !slices.Equal(heard, []string{said.Outcome}) {
		t.Errorf("heard %q, said %q", heard, said.Outcome)
	}
	return w.Code, said.Outcome, e
}

// TestRealPayloads goes through GitHub's own: see testdata/webhooks/README.md.
func TestRealPayloads(t *testing.T) {
	const hello, octo = "Codertocat/Hello-World", "Octocoders/Hello-World"
	for name, want := range map[string]Event{
		"pull_request.opened":      {Action: "opened", Repo: hello, Change: "2"},
		"pull_request.synchronize": {Action: "synchronize", Repo: hello, Change: "2"},
		"pull_request.closed":      {Action: "closed", Repo: hello, Change: "2"},
		"pull_request.labeled":     {},
		"push.branch":              {Repo: hello, Main: true},
		"push.tag":                 {},
		"issue_comment.created":    {}, // on an issue
		"issue_comment.edited":     {},
		"check_run.rerequested":    {Action: "rerequested", Repo: "github/hello-world", Commit: "d6fde92930d4715a2b49857d24b940956b26d2d3"},
		"check_suite.rerequested":  {Action: "rerequested", Repo: hello, Change: "2", Commit: "ec26c3e57ca3a959ca5aad62de7213c562f8c821"},
		"ping.repository":          {},
		"repository.renamed":       {Action: "renamed", Repo: octo},
		"installation.created":     {},
	} {
		body, err := os.ReadFile(filepath.Join("testdata", "webhooks", name+".json"))
		ok(t, err)
		event, _, _ := strings.Cut(name, ".")
		repo := want.Repo
		if repo == "" {
			repo = hello
		}
		status, outcome, e := post(t, strings.ToUpper(repo), deliver(event, body), true, nil)
		if status != http.StatusAccepted {
			t.Errorf("%s: status %d, %s", name, status, outcome)
		}
		if want == (Event{}) {
			if e != nil || outcome != Ignored {
				t.Errorf("%s: %s, %+v", name, outcome, e)
			}
			continue
		}
		want.Name, want.Delivery = event, "72d3162e-cc78-11e3-81ab-4c9367dc0958"
		if e == nil || outcome != Accepted || *e != want {
			t.Errorf("%s: %s\ngot  %+v\nwant %+v", name, outcome, e, want)
		}
		if status, outcome, e := post(t, "somebody/else", deliver(event, body), true, nil); status != http.StatusAccepted || outcome != Ignored || e != nil {
			t.Errorf("%s of another repository: %d %s", name, status, outcome)
		}
	}
}

// TestCommentOnAPullRequest: none of the examples is on one; GitHub documents that issue.pull_request is there then.
func TestCommentOnAPullRequest(t *testing.T) {
	for file, want := range map[string]string{"issue_comment.created": Accepted, "issue_comment.edited": Ignored} {
		body, err := os.ReadFile(filepath.Join("testdata", "webhooks", file+".json"))
		ok(t, err)
		var p obj
		ok(t, json.Unmarshal(body, &p))
		p["issue"].(obj)["pull_request"] = obj{"url": "https://api.github.com/repos/Codertocat/Hello-World/pulls/1"}
		body, err = json.Marshal(p)
		ok(t, err)
		_, outcome, e := post(t, "Codertocat/Hello-World", deliver("issue_comment", body), true, nil)
		if outcome != want || want == Accepted && (e == nil || e.Change != "1") {
			t.Errorf("%s: %s, %+v", file, outcome, e)
		}
	}
}

// TestChecksOfSeveralPullRequests: GitHub names those of other repositories with the same head, too.
func TestChecksOfSeveralPullRequests(t *testing.T) {
	body := []byte(`{"action":"rerequested","repository":{"id":1,"full_name":"acme/recipes"},"check_suite":{"head_sha":"` + shaA + `",
		"pull_requests":[{"number":3,"base":{"repo":{"id":2}}},{"number":7,"base":{"repo":{"id":1}}},{"number":8,"base":{"repo":{"id":1}}}]}}`)
	_, _, e := post(t, "acme/recipes", deliver("check_suite", body), true, nil)
	if e == nil || e.Change != "7" || e.Commit != shaA {
		t.Errorf("%+v", e)
	}
}

func TestRenamedAway(t *testing.T) {
	body := []byte(`{"action":"renamed","changes":{"repository":{"name":{"from":"recipes"}}},"repository":{"full_name":"acme/merges","owner":{"login":"acme"}}}`)
	_, outcome, e := post(t, "acme/recipes", deliver("repository", body), true, nil)
	if outcome != Accepted || e.Repo != "acme/merges" || e.Action != "renamed" {
		t.Errorf("%s, %+v", outcome, e)
	}
	if _, outcome, _ := post(t, "acme/recipes", deliver("push", body), true, nil); outcome != Ignored {
		t.Errorf("a push elsewhere was %s", outcome)
	}
}

func TestDeliveries(t *testing.T) {
	good := []byte(`{"action":"opened","repository":{"full_name":"acme/recipes","default_branch":"main"},"pull_request":{"number":7}}`)
	for name, c := range map[string]struct {
		change  func(r *http.Request)
		body    []byte
		fresh   bool
		fail    error
		status  int
		outcome string
		called  bool
	}{
		"new":               {nil, good, true, nil, 202, Accepted, true},
		"again":             {nil, good, false, nil, 202, Duplicate, true},
		"cannot be stored":  {nil, good, true, errors.New("disk full: s3cret"), 500, Failed, true},
		"GET":               {func(r *http.Request) { r.Method = "GET" }, good, true, nil, 405, Failed, false},
		"no signature":      {func(r *http.Request) { r.Header.Del("X-Hub-Signature-256") }, good, true, nil, 401, BadSignature, false},
		"SHA-1 only":        {func(r *http.Request) { r.Header.Del("X-Hub-Signature-256"); r.Header.Set("X-Hub-Signature", "sha1=x") }, good, true, nil, 401, BadSignature, false},
		"two signatures":    {func(r *http.Request) { r.Header.Add("X-Hub-Signature-256", sign(good)) }, good, true, nil, 401, BadSignature, false},
		"not hex":           {func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("z", 64)) }, good, true, nil, 401, BadSignature, false},
		"too short":         {func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", sign(good)[:70]) }, good, true, nil, 401, BadSignature, false},
		"nothing signed":    {func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", "sha256=") }, good, true, nil, 401, BadSignature, false},
		"other body":        {func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", sign(append([]byte(" "), good...))) }, good, true, nil, 401, BadSignature, false},
		"bad before parsed": {func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", sign(nil)) }, []byte("{"), true, nil, 401, BadSignature, false},
		"no JSON":           {nil, []byte("{"), true, nil, 400, Failed, false},
		"not an object":     {nil, []byte("[]"), true, nil, 400, Failed, false},
		"no number":         {nil, []byte(`{"action":"opened","repository":{"full_name":"acme/recipes"}}`), true, nil, 400, Failed, false},
		"a negative number": {nil, []byte(`{"action":"opened","repository":{"full_name":"acme/recipes"},"pull_request":{"number":-7}}`), true, nil, 400, Failed, false},
		"no repository":     {nil, []byte(`{"action":"opened","pull_request":{"number":7}}`), true, nil, 202, Ignored, false},
		"a form":            {func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, good, true, nil, 415, Failed, false},
		"with a charset":    {func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }, good, true, nil, 202, Accepted, true},
		"no delivery":       {func(r *http.Request) { r.Header.Del("X-GitHub-Delivery") }, good, true, nil, 400, Failed, false},
		"a path":            {func(r *http.Request) { r.Header.Set("X-GitHub-Delivery", "../../run") }, good, true, nil, 400, Failed, false},
		"no event":          {func(r *http.Request) { r.Header.Del("X-GitHub-Event") }, good, true, nil, 400, Failed, false},
		"an unknown event":  {func(r *http.Request) { r.Header.Set("X-GitHub-Event", "star") }, good, true, nil, 202, Ignored, false},
		"said to be large":  {func(r *http.Request) { r.ContentLength = maxPayload + 1 }, good, true, nil, 413, Failed, false},
		"large":             {func(r *http.Request) { r.ContentLength, r.Body = -1, io.NopCloser(endless{}) }, good, true, nil, 413, Failed, false},
		"cut short":         {func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), broken{})) }, good, true, nil, 400, Failed, false},
	} {
		r := deliver("pull_request", c.body)
		if c.change != nil {
			c.change(r)
		}
		status, outcome, e := post(t, "acme/recipes", r, c.fresh, c.fail)
		if status != c.status || outcome != c.outcome || (e != nil) != c.called {
			t.Errorf("%s: %d %s, called %v; want %d %s, %v", name, status, outcome, e != nil, c.status, c.outcome, c.called)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("reset by peer") }

func TestErrorsOfTheStoreStayInside(t *testing.T) {
	h := Webhook(hookSecret, "acme/recipes", func(context.Context, Event) (bool, error) { return false, errors.New("s3cret") })
	w := httptest.NewRecorder()
	h.ServeHTTP(w, deliver("push", []byte(`{"ref":"refs/heads/main","repository":{"full_name":"acme/recipes","default_branch":"main"}}`)))
	if w.Code != 500 || strings.Contains(w.Body.String(), "s3cret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestNoSecretNoWebhook(t *testing.T) {
	h := Webhook(nil, "acme/recipes", func(context.Context, Event) (bool, error) {
		t.Error("accepted")
		return true, nil
	})
	body := []byte(`{"action":"opened","repository":{"full_name":"acme/recipes"},"pull_request":{"number":7}}`)
	r := deliver("pull_request", body)
	mac := hmac.New(sha256.New, nil) // what anybody can make
	mac.Write(body)
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "MERGEBOT_WEBHOOK_SECRET") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func FuzzWebhook(f *testing.F) {
	files, err := filepath.Glob("testdata/webhooks/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no payloads", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		event, _, _ := strings.Cut(filepath.Base(file), ".")
		f.Add(event, "application/json", body)
	}
	f.Add("pull_request", "application/json", []byte(`{"action":"opened","repository":{"full_name":"Codertocat/hello-world"},"pull_request":{"number":1e3}}`))
	f.Add("check_run", "application/json", []byte(`{"action":"rerequested","repository":{"full_name":"Codertocat/hello-world"},"check_run":{"pull_requests":[{"number":-1}]}}`))
	f.Fuzz(func(t *testing.T, event, media string, body []byte) {
		const repo = "Codertocat/Hello-World"
		r := deliver(event, body)
		r.Header.Set("Content-Type", media)
		status, outcome, e := post(t, repo, r, true, nil)
		if status >= 500 || status == 401 || (e != nil) != (outcome == Accepted) {
			t.Fatalf("%d %s", status, outcome)
		}
		if e == nil {
			return
		}
		if e.Name != event || e.Repo == "" || !strings.EqualFold(e.Repo, repo) && e.Action != "renamed" {
			t.Errorf("%+v", e)
		}
		if e.Change != "" && strings.Trim(e.Change, "0123456789") != "" || e.Change == "0" {
			t.Errorf("change %q", e.Change)
		}
		if e.Main != (event == "push") || (e.Name == "pull_request" || e.Name == "issue_comment") && e.Change == "" {
			t.Errorf("%+v", e)
		}
		r = deliver(event, body)
		r.Header.Set("X-Hub-Signature-256", sign(append(body, 0)))
		if status, _, e := post(t, repo, r, true, nil); status != 401 || e != nil {
			t.Errorf("%d for a body that is not the signed one", status)
		}
	})
}
