package github

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"mergebot/bot/forge"
)

func TestHead(t *testing.T) {
	f := newFake(t)
	f.json("GET", "", obj{"default_branch": "release/2"})
	f.json("GET", "git/ref/heads/release/2", ref(shaA))
	f.json("GET", "git/commits/"+shaA, obj{"sha": shaA, "author": obj{"date": "2024-01-01T00:00:00Z"}, "committer": obj{"date": "2024-05-06T07:08:09Z"}})
	got, branch, err := f.client().Head(bg)
	ok(t, err)
	if want := (forge.Commit{SHA: shaA, Time: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)}); got != want || branch != "release/2" {
		t.Errorf("%+v on %s", got, branch)
	}

	f = newFake(t)
	f.json("GET", "", obj{"full_name": "acme/recipes"})
	_, _, err = f.client().Head(bg)
	wantErr(t, err, nil, "first commit")
	f = newFake(t)
	f.json("GET", "", obj{"default_branch": "main"})
	f.fails("GET", "git/ref/heads/main", 404)
	_, _, err = f.client().Head(bg)
	wantErr(t, err, forge.ErrNotFound, "read branch main")
}

func TestChange(t *testing.T) {
	with := func(change func(p, head, base obj)) obj {
		p := pull(7, shaA)
		change(p, p["head"].(obj), p["base"].(obj))
		return p
	}
	want := forge.Change{
		ID: "7", Title: "a recipe", Author: "ann", URL: "https://github.com/acme/recipes/pull/7",
		State: forge.Open, Head: shaA, Base: shaB, Target: "main",
	}
	for name, c := range map[string]struct {
		pull obj
		want func(*forge.Change)
	}{
		"open": {pull(7, shaA), func(*forge.Change) {}}, // the base is where the branch is now, not what the pull request says
		"a fork": {with(func(_, head, _ obj) { head["repo"] = obj{"id": 2, "full_name": "eve/recipes"} }),
			func(c *forge.Change) { c.Fork = true }},
		"a fork of the same name": {with(func(_, head, _ obj) { head["repo"] = obj{"id": 2, "full_name": "acme/recipes"} }),
			func(c *forge.Change) { c.Fork = true }},
		"a fork, without ids": {with(func(_, head, base obj) {
			head["repo"], base["repo"] = obj{"full_name": "eve/recipes"}, obj{"full_name": "acme/recipes"}
		}), func(c *forge.Change) { c.Fork = true }},
		"its own, without ids": {with(func(_, head, base obj) {
			head["repo"], base["repo"] = obj{"full_name": "ACME/recipes"}, obj{"full_name": "acme/recipes"}
		}), func(*forge.Change) {}},
		"a fork that is gone":   {with(func(_, head, _ obj) { head["repo"] = nil }), func(c *forge.Change) { c.Fork = true }},
		"an author who is gone": {with(func(p, _, _ obj) { p["user"] = nil }), func(c *forge.Change) { c.Author = "ghost" }},
		"merged": {with(func(p, _, _ obj) { p["state"], p["merged"] = "closed", true }),
			func(c *forge.Change) { c.State, c.MergeCommit, c.Base = forge.Merged, shaC, shaC }},
		"merged, from a list": {with(func(p, _, _ obj) { p["state"], p["merged_at"] = "closed", "2024-05-06T07:08:09Z" }),
			func(c *forge.Change) { c.State, c.MergeCommit, c.Base = forge.Merged, shaC, shaC }},
		"closed": {with(func(p, _, _ obj) { p["state"] = "closed" }), func(c *forge.Change) { c.State, c.Base = forge.Closed, shaC }},
		"updated": {with(func(p, _, _ obj) { p["updated_at"] = "2024-05-06T07:08:09Z" }),
			func(c *forge.Change) { c.Updated = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC) }},
	} {
		f := newFake(t)
		f.json("GET", "pulls/7", c.pull)
		f.json("GET", "git/ref/heads/main", ref(shaB))
		w := want
		c.want(&w)
		got, err := f.client().Change(bg, "7")
		ok(t, err)
		if got != w {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, w)
		}
	}
}

func TestOpenListsAllPages(t *testing.T) {
	for _, n := range []int{0, 1, 99, 100, 101, 250} {
		f := newFake(t)
		f.json("GET", "", obj{"default_branch": "main"})
		f.json("GET", "git/ref/heads/main", ref(shaB))
		f.on("GET", "pulls", func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			if q.Get("state") != "open" || q.Get("base") != "main" || q.Get("per_page") != "100" {
				t.Errorf("asked for %s", r.URL.RawQuery)
			}
			page, _ := strconv.Atoi(q.Get("page"))
			var out []obj
			for i := (page - 1) * 100; i < min(page*100, n); i++ {
				out = append(out, pull(i+1, shaA))
			}
			// No Link header: the links of an answer from memory may be from before there was a next page.
			write(w, 200, append([]obj{}, out...))
		})
		got, err := f.client().Open(bg)
		ok(t, err)
		if len(got) != n {
			t.Fatalf("%d of %d", len(got), n)
		}
		for i, c := range got {
			if c.ID != strconv.Itoa(i+1) || c.Base != shaB || c.State != forge.Open {
				t.Fatalf("%d: %+v", i, c)
			}
		}
	}
}

func TestOpenLeavesOutWhatMovedMeanwhile(t *testing.T) {
	f := newFake(t)
	f.json("GET", "", obj{"default_branch": "main"})
	f.json("GET", "git/ref/heads/main", ref(shaB))
	other := pull(3, shaA)
	other["base"].(obj)["ref"] = "elsewhere"
	f.json("GET", "pulls", []obj{pull(1, shaA), pull(1, shaA), other})
	got, err := f.client().Open(bg)
	ok(t, err)
	if len(got) != 1 || got[0].ID != "1" {
		t.Errorf("%+v", got)
	}
}

func TestShortPagesFollowLinks(t *testing.T) {
	f := newFake(t)
	f.json("GET", "", obj{"default_branch": "main"})
	f.json("GET", "git/ref/heads/main", ref(shaB))
	f.on("GET", "pulls", func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		if page < 3 {
			w.Header().Set("Link", fmt.Sprintf(`<%s/repos/acme/recipes/pulls?page=%d>; rel="next"`, f.http.URL, page+1))
		}
		write(w, 200, []obj{pull(page, shaA)})
	})
	got, err := f.client().Open(bg)
	ok(t, err)
	if len(got) != 3 {
		t.Errorf("%+v", got)
	}
}

func TestEndlessListsEnd(t *testing.T) {
	f := newFake(t)
	f.me("mergebot")
	f.on("GET", "issues/7/comments", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?page=2>; rel="next"`, f.http.URL, r.URL.Path))
		write(w, 200, []obj{})
	})
	_, err := f.client().Comments(bg, "7", time.Time{})
	wantErr(t, err, nil, "more than")
	if n := f.count("GET " + repoPath + "/issues"); n != maxPages {
		t.Errorf("%d pages", n)
	}
}
