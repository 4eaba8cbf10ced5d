package github

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mergebot/bot/forge"
)

const marker = "<!-- mergebot:7 -->"

// thread is the comments of pull request 7, as GitHub would keep them.
type thread struct {
	mu   sync.Mutex
	all  []obj
	next int64
	// lose the answer of the next create, after (or before) it is done.
	loseAfter, loseBefore bool
}

func (th *thread) add(login, kind, body string) int64 {
	th.next++
	th.all = append(th.all, obj{
		"id": th.next, "body": body, "user": obj{"login": login, "type": kind},
		"created_at": "2024-05-06T07:08:09Z", "updated_at": "2024-05-06T07:08:09Z",
		"html_url": fmt.Sprintf("https://github.com/acme/recipes/pull/7#issuecomment-%d", th.next),
	})
	return th.next
}

func (th *thread) bodies() (out []string) {
	for _, c := range th.all {
		out = append(out, fmt.Sprintf("%d %s: %s", c["id"], c["user"].(obj)["login"], c["body"]))
	}
	return out
}

// serve it; what is written comes from the account of that name.
func (th *thread) serve(f *fake, login string) {
	locked := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			th.mu.Lock()
			defer th.mu.Unlock()
			h(w, r)
		}
	}
	at := func(w http.ResponseWriter, r *http.Request) int {
		for i, c := range th.all {
			if strconv.FormatInt(c["id"].(int64), 10) == r.PathValue("id") {
				return i
			}
		}
		write(w, 404, obj{"message": "Not Found"})
		return -1
	}
	f.on("GET", "issues/7/comments", locked(func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		first := min((page-1)*perPage, len(th.all))
		write(w, 200, append([]obj{}, th.all[first:min(first+perPage, len(th.all))]...))
	}))
	f.on("POST", "issues/7/comments", locked(func(w http.ResponseWriter, r *http.Request) {
		if th.loseBefore {
			th.loseBefore = false
			hangUp(w, r)
		}
		n := th.add(login, "Bot", read[obj](f.t, r)["body"].(string))
		if th.loseAfter {
			th.loseAfter = false
			hangUp(w, r)
		}
		write(w, 201, obj{"id": n})
	}))
	f.on("PATCH", "issues/comments/{id}", locked(func(w http.ResponseWriter, r *http.Request) {
		if i := at(w, r); i >= 0 {
			th.all[i]["body"] = read[obj](f.t, r)["body"]
			write(w, 200, th.all[i])
		}
	}))
	f.on("DELETE", "issues/comments/{id}", locked(func(w http.ResponseWriter, r *http.Request) {
		if i := at(w, r); i >= 0 {
			th.all = append(th.all[:i:i], th.all[i+1:]...)
			w.WriteHeader(204)
		}
	}))
}

func TestSetComment(t *testing.T) {
	set := func(c *Client, id int64, text string) int64 {
		t.Helper()
		id, err := c.SetComment(bg, "7", id, marker, marker+text)
		ok(t, err)
		return id
	}
	begin := func() (*fake, *thread, *Client) {
		f, th := newFake(t), &thread{}
		f.me("mergebot")
		th.serve(f, "mergebot")
		return f, th, f.client()
	}
	look := func(th *thread, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, th.bodies()); d != "" {
			t.Error(d)
		}
	}

	f, th, c := begin()
	th.add("eve", "User", marker+"forged")
	th.add("mergebot", "User", "quotes "+marker)
	n := set(c, 0, "plan")
	look(th, "1 eve: "+marker+"forged", "2 mergebot: quotes "+marker, "3 mergebot: "+marker+"plan")
	if m := set(c, n, "result"); m != n {
		t.Errorf("%d became %d", n, m)
	}
	writes := f.writes()
	if m := set(c, 0, "result"); m != n || f.writes() != writes { // it says so already
		t.Errorf("comment %d, %d writes", m, f.writes()-writes)
	}
	if m := set(f.client(), 0, "after a restart"); m != n {
		t.Errorf("another comment, %d", m)
	}
	look(th, "1 eve: "+marker+"forged", "2 mergebot: quotes "+marker, "3 mergebot: "+marker+"after a restart")

	_, th, c = begin() // somebody deleted it
	n = set(c, 0, "plan")
	th.all = nil
	if m := set(c, n, "result"); m == n {
		t.Error("the comment that is gone")
	}
	look(th, "2 mergebot: "+marker+"result")

	_, th, c = begin() // far down
	for range 2*perPage + 50 {
		th.add("ann", "User", "words")
	}
	n = th.add("MergeBot", "User", marker+"old")
	if m := set(c, 0, "new"); m != n {
		t.Errorf("comment %d, want %d", m, n)
	}

	_, th, c = begin()
	th.loseAfter = true // the comment is there, its answer is not
	n = set(c, 0, "plan")
	look(th, fmt.Sprintf("%d mergebot: %splan", n, marker))

	_, th, c = begin()
	th.loseBefore = true // neither
	_, err := c.SetComment(bg, "7", 0, marker, marker+"plan")
	wantLater(t, err)
	set(c, 0, "plan")
	look(th, "1 mergebot: "+marker+"plan")

	_, th, c = begin() // there twice, by an answer lost twice
	th.add("mergebot", "Bot", marker+"one")
	th.add("eve", "User", marker+"two")
	th.add("mergebot", "Bot", marker+"three")
	if n = set(c, 0, "four"); n != 1 {
		t.Errorf("comment %d", n)
	}
	look(th, "1 mergebot: "+marker+"four", "2 eve: "+marker+"two")

	_, _, c = begin()
	_, err = c.SetComment(bg, "7", 0, marker, "without "+marker)
	wantErr(t, err, nil, "marker")
}

func TestSetCommentIsNotMadeWhenNobodyIsKnown(t *testing.T) {
	f, th := newFake(t), &thread{}
	f.fails("GET", "/user", 403)
	th.serve(f, "x")
	_, err := f.client().SetComment(bg, "7", 0, marker, marker)
	wantErr(t, err, forge.ErrForbidden)
	if f.writes() != 0 {
		t.Error("something was written")
	}
}

func TestSetCommentOfAnApp(t *testing.T) {
	f, th := newFake(t), &thread{}
	f.installed(time.Hour)
	th.serve(f, "mergebot[bot]")
	th.add("mergebot", "User", marker+"by a person of the app's name")
	n := th.add("mergebot[bot]", "Bot", marker)
	if m, err := f.client(asApp).SetComment(bg, "7", 0, marker, marker+"new"); err != nil || m != n {
		t.Errorf("comment %d, %v", m, err)
	}
}

func TestComments(t *testing.T) {
	f := newFake(t)
	f.me("pat")
	at := func(s string) string { return "2024-05-06T07:08:" + s + "Z" }
	say := func(id int, login, kind, created, updated, body string) obj {
		return obj{"id": id, "user": obj{"login": login, "type": kind}, "created_at": at(created), "updated_at": at(updated), "body": body, "performed_via_github_app": nil, "html_url": "u"}
	}
	viaApp := say(6, "ann", "User", "15", "15", "/mergebot run 1")
	viaApp["performed_via_github_app"] = obj{"id": 3}
	ghost := say(7, "", "", "16", "16", "bye")
	ghost["user"] = nil
	f.on("GET", "issues/7/comments", func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("since"); got != at("10") { // by when it was updated
			t.Errorf("since %q", got)
		}
		write(w, 200, []obj{
			say(3, "ann", "User", "12", "13", "edited"),
			say(1, "ann", "User", "09", "30", "old, edited now"),
			say(2, "ann", "User", "10", "10", "/mergebot help"),
			say(4, "ci[bot]", "Bot", "13", "13", "/mergebot run 1"),
			say(5, "pat", "User", "14", "14", "<!-- mergebot:7 -->\nplan"),
			viaApp, ghost,
			say(8, "pat", "User", "17", "17", "/mergebot plan"),
		})
	})
	got, err := f.client().Comments(bg, "7", time.Date(2024, 5, 6, 7, 8, 10, 7e8, time.UTC))
	ok(t, err)
	sec := func(s int) time.Time { return time.Date(2024, 5, 6, 7, 8, s, 0, time.UTC) }
	want := []forge.Comment{
		{ID: 2, Author: "ann", Body: "/mergebot help", At: sec(10), URL: "u"},
		{ID: 3, Author: "ann", Body: "edited", At: sec(12), Edited: true, URL: "u"},
		{ID: 4, Author: "ci[bot]", Bot: true, Body: "/mergebot run 1", At: sec(13), URL: "u"},
		{ID: 6, Author: "ann", Bot: true, Body: "/mergebot run 1", At: sec(15), URL: "u"},
		{ID: 7, Author: "ghost", Body: "bye", At: sec(16), URL: "u"},
		{ID: 8, Author: "pat", Body: "/mergebot plan", At: sec(17), URL: "u"}, // a person whose token the bot uses
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestCommentsOfALongThread(t *testing.T) {
	f, th := newFake(t), &thread{}
	f.me("mergebot")
	th.serve(f, "mergebot")
	for i := range 3*perPage + 1 {
		th.add("ann", "User", strings.Repeat("x", i))
	}
	got, err := f.client().Comments(bg, "7", time.Time{})
	ok(t, err)
	if len(got) != 3*perPage+1 || got[300].Body != strings.Repeat("x", 300) {
		t.Errorf("%d comments", len(got))
	}
}

func TestReact(t *testing.T) {
	f := newFake(t)
	for id, status := range map[string]int{"1": 201, "2": 200} {
		f.on("POST", "issues/comments/"+id+"/reactions", func(w http.ResponseWriter, r *http.Request) {
			if got := read[obj](t, r)["content"]; got != "confused" {
				t.Errorf("content %v", got)
			}
			write(w, status, obj{"id": 9, "content": "confused"})
		})
	}
	f.fails("POST", "issues/comments/3/reactions", 404)
	c := f.client()
	ok(t, c.React(bg, 1, forge.Confused))
	ok(t, c.React(bg, 2, forge.Confused))
	wantErr(t, c.React(bg, 3, forge.Confused), forge.ErrNotFound, "react to comment 3")
}
