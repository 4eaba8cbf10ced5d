package github

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

// TestClocksMayDiffer: GitHub takes a token that was issued in its past and ends at most ten minutes from its now.
func TestClocksMayDiffer(t *testing.T) {
	f := newFake(t)
	var claims jwt.RegisteredClaims
	f.on("GET", "/app", func(w http.ResponseWriter, r *http.Request) {
		if _, _, err := jwt.NewParser().ParseUnverified(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), &claims); err != nil {
			t.Error(err)
		}
		write(w, 200, obj{"id": 12, "slug": "mergebot"})
	})
	_, err := f.client(asApp).whoami(bg)
	ok(t, err)
	const took = 5 * time.Second
	for _, theirs := range []time.Duration{-55 * time.Second, 0, 7 * time.Minute} { // their clock against ours
		now := time.Now().Add(theirs)
		if claims.IssuedAt.After(now.Add(took)) || claims.ExpiresAt.Before(now) || claims.ExpiresAt.After(now.Add(10*time.Minute+took)) {
			t.Errorf("at %s: issued %s, ends %s", now, claims.IssuedAt, claims.ExpiresAt)
		}
	}
}

func TestTokensOfFiles(t *testing.T) {
	f := newFake(t)
	f.on("GET", "", func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+testToken {
			t.Errorf("sent %q", got)
		}
		write(w, 200, obj{})
	})
	ok(t, f.client(func(o *Options) { o.Token = " " + testToken + "\r\n" }).check(bg))
	for _, token := range []string{testToken + "\n" + testToken, "gh p", "ghp_é"} {
		_, err := assemble(Options{Owner: "acme", Name: "recipes", Token: token})
		if err == nil || !strings.Contains(err.Error(), "MERGEBOT_GITHUB_TOKEN") || strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// TestLargeBlobsAreNotTakenIn: anyone can push a file of 100 MB with a recipe's name.
func TestLargeBlobsAreNotTakenIn(t *testing.T) {
	f := newFake(t)
	var sent int
	f.on("GET", "git/blobs/"+shaA, func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 1<<20)
		fmt.Fprint(w, `{"encoding":"base64","size":1,"content":"`)
		for range 100 {
			n, err := w.Write(chunk)
			if sent += n; err != nil {
				return
			}
		}
	})
	_, err := f.client().Read(bg, shaA)
	wantErr(t, err, forge.ErrTooLarge)
	f.http.Close() // waits for the handler
	if sent > maxAnswer {
		t.Errorf("%d bytes were sent", sent)
	}
	// The largest file that is read, as GitHub writes it: lines of 60.
	lines := strings.Repeat(strings.Repeat("QUFB", 15)+"\n", forge.MaxFile/45)
	f = newFake(t)
	f.json("GET", "git/blobs/"+shaA, obj{"encoding": "base64", "size": forge.MaxFile / 45 * 45, "content": lines, "url": strings.Repeat("u", 300)})
	got, err := f.client().Read(bg, shaA)
	if ok(t, err); len(got) != forge.MaxFile/45*45 {
		t.Errorf("%d bytes", len(got))
	}
}

// TestHistoryWithoutAnAncestor: a force push may replace all of a pull request's history.
func TestHistoryWithoutAnAncestor(t *testing.T) {
	f := newFake(t)
	f.commits(shaB, blob("recipes/new.yaml", "1"))
	f.on("GET", "compare/"+shaA+"..."+shaB, answers(404, obj{"message": "No common ancestor between " + shaA + " and " + shaB + "."}))
	f.on("GET", "compare/"+shaC+"..."+shaB, answers(404, obj{"message": "Not Found"}))
	got, err := f.client().Diff(bg, shaA, shaB)
	if ok(t, err); len(got) != 1 || got[0] != (forge.File{Path: "recipes/new.yaml", Blob: id("1")}) {
		t.Errorf("%+v", got)
	}
	_, err = f.client().Diff(bg, shaC, shaB)
	wantErr(t, err, forge.ErrNotFound)
}

// TestProgressIsNoNewStatus: a commit takes 1,000 statuses of a name, and the verdict has to be one of them.
func TestProgressIsNoNewStatus(t *testing.T) {
	f := newFake(t)
	all := serveStatuses(f)
	c := f.client()
	say := func(state forge.CheckState, title, url string) {
		t.Helper()
		k := check(state)
		k.Title, k.URL = title, url
		_, err := c.SetCheck(bg, 0, k)
		ok(t, err)
	}
	for n := range 30 {
		say(forge.Pending, fmt.Sprintf("step 4 of 9, search, %d %%", n), "https://bot.example/runs/1")
	}
	if len(*all) != 1 {
		t.Errorf("%d statuses of one run's progress", len(*all))
	}
	say(forge.Pending, "waiting for its turn", "https://bot.example/runs/2")
	say(forge.Failure, "gate not met", "https://bot.example/runs/2")
	say(forge.Failure, "failed: no space left", "https://bot.example/runs/2")
	if len(*all) != 4 {
		t.Errorf("%d statuses", len(*all))
	}
}

// TestTheBotWasAnotherAccount: what was written with a token, or by another app, cannot be written on.
func TestTheBotWasAnotherAccount(t *testing.T) {
	f := newFake(t)
	f.installed(time.Hour)
	th := &thread{}
	th.serve(f, "mergebot[bot]")
	old := th.add("maria", "User", marker+"\nas it was")
	f.on("PATCH", fmt.Sprintf("issues/comments/%d", old), answers(403, obj{"message": "Resource not accessible by integration"}))
	c := f.client(asApp)
	mine, err := c.SetComment(bg, "7", old, marker, marker+"\nas it is")
	if ok(t, err); mine == old || len(th.all) != 2 {
		t.Errorf("comment %d of %q", mine, th.bodies())
	}
	again, err := c.SetComment(bg, "7", mine, marker, marker+"\nas it will be")
	if ok(t, err); again != mine || len(th.all) != 2 {
		t.Errorf("comment %d of %q", again, th.bodies())
	}

	f, b, c := newBoard(t)
	other := b.add(99, check("").Name, shaA, "in_progress")
	f.on("PATCH", "check-runs/1", answers(403, obj{"message": "Invalid app_id"}))
	n, err := c.SetCheck(bg, other.GetID(), check(forge.Success))
	if ok(t, err); n == other.GetID() || len(b.runs) != 2 || b.runs[1].GetConclusion() != "success" {
		t.Errorf("check %d of %s", n, gh.Stringify(b.runs))
	}
}

// TestLargeDeliveriesAreFewAtOnce: nobody knows who sends a body before it is read.
func TestLargeDeliveriesAreFewAtOnce(t *testing.T) {
	h := Webhook(hookSecret, "acme/recipes", func(context.Context, Event) (bool, error) { return true, nil })
	post := func(body io.Reader, length int64) int {
		r := httptest.NewRequest(http.MethodPost, "/webhook", body)
		r.ContentLength = length
		r.Header.Set("X-Hub-Signature-256", sign([]byte("something else")))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	var ends []*io.PipeWriter
	done := make(chan int, largeAtOnce)
	for i := range largeAtOnce {
		body, end := io.Pipe()
		length := int64(maxPayload)
		if i%2 == 1 {
			length = -1 // chunked
		}
		go func() { done <- post(body, length) }()
		if _, err := end.Write([]byte("{")); err != nil { // it is being read
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	if got := post(strings.NewReader("{"), smallPayload+1); got != http.StatusServiceUnavailable {
		t.Errorf("one more large one: %d", got)
	}
	if got := post(strings.NewReader("{"), -1); got != http.StatusServiceUnavailable {
		t.Errorf("one more of unknown length: %d", got)
	}
	if got := post(strings.NewReader("{}"), 2); got != http.StatusUnauthorized {
		t.Errorf("a small one: %d", got)
	}
	for _, end := range ends {
		end.Close()
		if got := <-done; got != http.StatusUnauthorized {
			t.Errorf("one that was read: %d", got)
		}
	}
	if got := post(strings.NewReader("{"), smallPayload+1); got != http.StatusUnauthorized {
		t.Errorf("when they are over: %d", got)
	}
}
