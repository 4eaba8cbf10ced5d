package github

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"mergebot/bot/forge"
)

func TestPermission(t *testing.T) {
	type answer struct {
		status int
		body   obj
	}
	teams, alone := "/orgs/acme/teams/mergers/memberships/ann", "collaborators/ann/permission"
	for name, c := range map[string]struct {
		team   bool
		answer answer
		want   forge.Permission
		fails  bool
	}{
		"admin":            {false, answer{200, obj{"permission": "admin"}}, forge.Write, false},
		"maintain":         {false, answer{200, obj{"permission": "maintain"}}, forge.Write, false},
		"write":            {false, answer{200, obj{"permission": "write", "role_name": "own role"}}, forge.Write, false},
		"triage":           {false, answer{200, obj{"permission": "read", "role_name": "triage"}}, forge.None, false},
		"none":             {false, answer{200, obj{"permission": "none"}}, forge.None, false},
		"a new word":       {false, answer{200, obj{"permission": "writeish"}}, forge.None, false},
		"nothing said":     {false, answer{200, obj{}}, forge.None, false},
		"nobody":           {false, answer{404, obj{}}, forge.None, false},
		"may not ask":      {false, answer{403, obj{"permission": "admin"}}, forge.None, true},
		"down":             {false, answer{500, obj{"permission": "admin"}}, forge.None, true},
		"garbage":          {false, answer{200, nil}, forge.None, false},
		"team":             {true, answer{200, obj{"state": "active", "role": "member"}}, forge.Write, false},
		"team, invited":    {true, answer{200, obj{"state": "pending"}}, forge.None, false},
		"not in the team":  {true, answer{404, obj{}}, forge.None, false},
		"team, may not":    {true, answer{403, obj{"state": "active"}}, forge.None, true},
		"team, down":       {true, answer{502, obj{"state": "active"}}, forge.None, true},
		"team, limited":    {true, answer{429, obj{"state": "active"}}, forge.None, true},
		"team, says less":  {true, answer{200, obj{}}, forge.None, false},
		"team, no content": {true, answer{200, nil}, forge.None, false},
	} {
		f := newFake(t) // of the other way nothing is asked
		path := alone
		if c.team {
			path = teams
		}
		f.on("GET", path, answers(c.answer.status, c.answer.body))
		got, err := f.client(func(o *Options) {
			if c.team {
				o.Team = "acme/mergers"
			}
		}).Permission(bg, "ann")
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, login := range []string{"", "..", "a/b", "../../user", "a b", "ann?x", "ann[bot]x", "%2e%2e"} {
		got, err := newFake(t).client().Permission(bg, login)
		wantErr(t, err, nil, "not a login")
		if got != forge.None {
			t.Errorf("%q may write", login)
		}
	}
	f := newFake(t)
	f.json("GET", "collaborators/dependabot[bot]/permission", obj{"permission": "read"})
	_, err := f.client().Permission(bg, "dependabot[bot]")
	ok(t, err)
}

func TestOpenIssue(t *testing.T) {
	const mark = "<!-- mergebot:drift a -->"
	var all []obj
	var loseAfter, loseBefore bool
	var mu sync.Mutex // a request after one that was hung up on
	add := func(login, body string) obj {
		n := strconv.Itoa(len(all) + 1)
		i := obj{"number": len(all) + 1, "state": "open", "body": body, "user": obj{"login": login}, "html_url": "https://github.com/acme/recipes/issues/" + n}
		all = append([]obj{i}, all...)
		return i
	}
	f := newFake(t)
	f.me("mergebot")
	f.on("GET", "issues", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("creator") != "mergebot" || q.Get("state") != "all" || q.Get("direction") != "desc" {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		page, _ := strconv.Atoi(q.Get("page"))
		mu.Lock()
		defer mu.Unlock()
		first := min((page-1)*perPage, len(all))
		write(w, 200, append([]obj{}, all[first:min(first+perPage, len(all))]...))
	})
	f.on("POST", "issues", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if loseBefore {
			loseBefore = false
			hangUp(w, r)
		}
		o := read[obj](t, r)
		if o["title"] != "Scores of a moved" {
			t.Errorf("title %q", o["title"])
		}
		i := add("mergebot", o["body"].(string))
		if loseAfter {
			loseAfter = false
			hangUp(w, r)
		}
		write(w, 201, i)
	})
	c := f.client()
	open := func(want string) {
		t.Helper()
		got, err := c.OpenIssue(bg, mark, "Scores of a\nmoved", mark+"\nby 3 points")
		if ok(t, err); got != "https://github.com/acme/recipes/issues/"+want {
			t.Errorf("issue %s, want %s", got, want)
		}
	}
	add("eve", mark+" forged") // should GitHub list it all the same
	add("mergebot", mark+" a pull request")["pull_request"] = obj{"url": "x"}
	open("3")
	open("3")
	all[0]["state"] = "closed"
	for range 150 {
		add("mergebot", "others")
	}
	open("3")

	all, loseAfter = nil, true
	open("1")
	if len(all) != 1 {
		t.Errorf("%d issues", len(all))
	}
	all, loseBefore = nil, true
	_, err := c.OpenIssue(bg, mark, "Scores of a moved", "without")
	wantLater(t, err)
	_, err = c.OpenIssue(bg, mark, "Scores of a moved", "without")
	ok(t, err)
	open("1") // the marker was put in
	_, err = c.OpenIssue(bg, "", "t", "b")
	wantErr(t, err, nil, "marker")
}

func TestCallsEndWithTheirContext(t *testing.T) {
	f := newFake(t)
	f.installed(time.Hour)
	begun, let := make(chan struct{}), make(chan struct{})
	c := f.client(asApp, func(o *Options) {
		next := o.Base
		o.Base = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				close(begun)
				<-let // a token takes its time, whatever its context
			}
			return next.RoundTrip(r)
		})
	})
	ctx, cancel := newContext()
	done := make(chan error)
	go func() { _, err := c.Change(ctx, "7"); done <- err }()
	<-begun
	cancel(errStop)
	wantErr(t, <-done, errStop)
	close(let)
}
