package githubtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mergebot/bot/forge"
	"mergebot/bot/github"
	"mergebot/bot/github/githubtest"
)

func people() githubtest.Options {
	return githubtest.Options{
		People: map[string]githubtest.Role{"maria": githubtest.Admin, "ola": githubtest.Write, "eve": githubtest.Read},
		Team:   []string{"ola"},
		Files:  map[string]string{"recipes/a.yaml": "a: 1\n", "recipes/old.yaml": "old: 1\n", "README.md": "# Recipes\n"},
	}
}

// open makes the daemon's client, as the app or with a person's token.
func open(t *testing.T, s *githubtest.Server, token string) *github.Client {
	t.Helper()
	o := github.Options{API: s.URL, Owner: s.Owner, Name: s.Name, UserAgent: "test", WriteEvery: time.Millisecond, Token: token}
	if token == "" {
		o.AppID, o.PrivateKey = s.App.ID, s.App.Key
	}
	c, err := github.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestForge asks all that a forge is asked. What is asked in a way that GitHub does not describe fails the test.
func TestForge(t *testing.T) {
	s := githubtest.Start(t, people())
	c := open(t, s, "")
	ctx := t.Context()
	head, branch, err := c.Head(ctx)
	if err != nil || branch != "main" || head.SHA != s.Branch("main") || head.Time.IsZero() {
		t.Fatalf("head is %+v of %q, %v", head, branch, err)
	}
	first := head.SHA
	s.Push("maria", "feature", map[string]string{"recipes/b.yaml": "b: 1\n", "recipes/deep/c.yaml": "c: 1\n", "recipes/old.yaml": githubtest.Gone})
	n := s.Open("maria", "feature", "A recipe")
	pushed := s.Push("ola", "feature", map[string]string{"recipes/b.yaml": "b: 2\n"})
	second := s.Push("maria", "main", map[string]string{"recipes/a.yaml": "a: 2\n"})
	f := s.OpenFork("eve", "mine", "From outside", map[string]string{"recipes/mine.yaml": "mine: 1\n"})

	all, err := c.Open(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("open changes are %+v, %v", all, err)
	}
	one, err := c.Change(ctx, fmt.Sprint(n))
	if err != nil {
		t.Fatal(err)
	}
	want := forge.Change{ID: fmt.Sprint(n), Title: "A recipe", Author: "maria", URL: one.URL, State: forge.Open, Head: pushed, Base: second, Target: "main", Updated: one.Updated}
	if one != want {
		t.Errorf("the change is\n%+v, want\n%+v", one, want)
	}
	if fork, err := c.Change(ctx, fmt.Sprint(f)); err != nil || !fork.Fork || fork.Author != "eve" {
		t.Errorf("the fork's change is %+v, %v", fork, err)
	} else if files, err := c.Diff(ctx, fork.Base, fork.Head); err != nil || len(files) != 1 || files[0].Path != "recipes/mine.yaml" {
		t.Errorf("the fork changes %+v, %v", files, err)
	}
	diff, err := c.Diff(ctx, second, pushed) // main moved on: what it brought is none of the change's
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range diff {
		paths = append(paths, fmt.Sprint(f.Path, " ", f.Removed))
	}
	if want := []string{"recipes/b.yaml false", "recipes/deep/c.yaml false", "recipes/old.yaml true"}; !slices.Equal(paths, want) {
		t.Errorf("the change brings %q, want %q", paths, want)
	}
	if text, err := c.Read(ctx, diff[0].Blob); err != nil || string(text) != "b: 2\n" {
		t.Errorf("the file says %q, %v", text, err)
	}
	if files, err := c.Files(ctx, first); err != nil || len(files) != 3 {
		t.Errorf("the first commit has %+v, %v", files, err)
	}
	merged := s.Merge("ola", n, githubtest.MergeCommit)
	if one, err := c.Change(ctx, fmt.Sprint(n)); err != nil || one.State != forge.Merged || one.MergeCommit != merged || one.Head != pushed {
		t.Errorf("merged, the change is %+v, %v", one, err)
	}
	if files, err := c.Files(ctx, merged); err != nil || len(files) != 4 {
		t.Errorf("merged, main has %+v, %v", files, err)
	} else if text, _ := c.Read(ctx, files[slices.IndexFunc(files, func(f forge.File) bool { return f.Path == "recipes/a.yaml" })].Blob); string(text) != "a: 2\n" {
		t.Errorf("merged, a.yaml says %q", text)
	}
	s.Close("maria", f)
	if one, err := c.Change(ctx, fmt.Sprint(f)); err != nil || one.State != forge.Closed {
		t.Errorf("closed, the change is %+v, %v", one, err)
	}
	if _, err := c.Change(ctx, "999"); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("a change that is not there: %v", err)
	}
}

// TestTalker says all that is said, and reads it back.
func TestTalker(t *testing.T) {
	s := githubtest.Start(t, people())
	c := open(t, s, "")
	ctx := t.Context()
	head := s.Push("maria", "feature", map[string]string{"recipes/b.yaml": "b: 1\n"})
	n := s.Open("maria", "feature", "A recipe")
	asked := s.Comment("eve", n, "/mergebot help")
	s.EditComment("eve", s.Comment("eve", n, "no"), "/mergebot plan")

	const marker = "<!-- mergebot:acme/recipes#1 -->"
	s.Comment("eve", n, marker+"\nforged")
	id, err := c.SetComment(ctx, fmt.Sprint(n), 0, marker, marker+"\none")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.SetComment(ctx, fmt.Sprint(n), 0, marker, marker+"\ntwo"); err != nil || again != id {
		t.Errorf("set again, the comment is %d, %v; it was %d", again, err, id)
	}
	if mine := s.CommentsBy(s.Bot(), n); len(mine) != 1 || mine[0].Body != marker+"\ntwo" || mine[0].User.Type != "Bot" {
		t.Errorf("the bot's comments are %+v", mine)
	}
	all, err := c.Comments(ctx, fmt.Sprint(n), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range all {
		got = append(got, fmt.Sprintf("%s %t %t %.14s", one.Author, one.Bot, one.Edited, one.Body))
	}
	if want := []string{"eve false false /mergebot help", "eve false true /mergebot plan", "eve false false <!-- mergebot:"}; !slices.Equal(got[:3], want) {
		t.Errorf("the comments are %q, want %q", got, want)
	}
	for range 2 {
		if err := c.React(ctx, asked, forge.ThumbsDown); err != nil {
			t.Error(err)
		}
	}
	if r := s.Reactions(asked); !slices.Equal(r, []string{s.Bot() + " -1"}) {
		t.Errorf("the reactions are %q", r)
	}
	for login, want := range map[string]forge.Permission{"maria": forge.Write, "ola": forge.Write, "eve": forge.None} {
		if p, err := c.Permission(ctx, login); err != nil || p != want {
			t.Errorf("%s has permission %v, %v", login, p, err)
		}
	}

	check := forge.Check{Commit: head, Name: "mergebot/plan: recipes/b.yaml", State: forge.Failure, Title: "no", Summary: "No.", URL: "http://127.0.0.1/page"}
	for i := range 120 {
		check.Annotations = append(check.Annotations, forge.Annotation{Path: "recipes/b.yaml", Line: i + 1, Column: 3, Title: "bad", Message: "bad key"})
	}
	first, err := c.SetCheck(ctx, 0, check)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.SetCheck(ctx, 0, check); err != nil || again != first {
		t.Errorf("set again, the check is %d, %v; it was %d", again, err, first)
	}
	checks := s.Checks(head)
	if len(checks) != 1 || len(checks[0].Annotations) != 120 || checks[0].Conclusion != "failure" || checks[0].Annotations[119].Line != 120 || checks[0].Annotations[0].Column != 3 {
		t.Errorf("the checks are %+v", checks)
	}
	check.State, check.Annotations = forge.Success, nil
	if _, err := c.SetCheck(ctx, first, check); err != nil {
		t.Error(err)
	}
	if checks := s.Checks(head); len(checks) != 1 || checks[0].Conclusion != "success" {
		t.Errorf("the checks are %+v", checks)
	}
	for range 2 {
		if _, err := c.OpenIssue(ctx, "<!-- mergebot:issue -->", "moved", "<!-- mergebot:issue -->\nby 0.1"); err != nil {
			t.Error(err)
		}
	}
	if all := s.Issues(); len(all) != 1 || all[0].User.Login != s.Bot() {
		t.Errorf("the issues are %+v", all)
	}
}

// TestToken does it with a person's token: statuses take the place of checks.
func TestToken(t *testing.T) {
	s := githubtest.Start(t, people())
	c := open(t, s, s.Token("maria"))
	head := s.Push("maria", "feature", map[string]string{"recipes/b.yaml": "b: 1\n"})
	n := s.Open("ola", "feature", "A recipe")
	if id, err := c.SetCheck(t.Context(), 0, forge.Check{Commit: head, Name: "mergebot/run", State: forge.Pending, Title: strings.Repeat("long ", 60), Summary: "x"}); err != nil || id != 0 {
		t.Errorf("the status is %d, %v", id, err)
	}
	if all := s.Statuses(head); len(all) != 1 || all[0].State != "pending" || all[0].Context != "mergebot/run" {
		t.Errorf("the statuses are %+v", all)
	}
	if _, err := c.SetComment(t.Context(), fmt.Sprint(n), 0, "<!-- m -->", "<!-- m -->\nx"); err != nil {
		t.Error(err)
	}
	if all := s.Comments(n); len(all) != 1 || all[0].User.Login != "maria" {
		t.Errorf("the comments are %+v", all)
	}
	c, err := github.Open(t.Context(), github.Options{API: s.URL, Owner: s.Owner, Name: s.Name, Token: s.Token("maria"), Team: s.Owner + "/" + githubtest.TeamName})
	if err != nil {
		t.Fatal(err)
	}
	for login, want := range map[string]forge.Permission{"maria": forge.None, "ola": forge.Write, "eve": forge.None} {
		if p, err := c.Permission(t.Context(), login); err != nil || p != want {
			t.Errorf("%s has permission %v, %v", login, p, err)
		}
	}
}

// TestFaults has GitHub fail in every way it can on demand.
func TestFaults(t *testing.T) {
	s := githubtest.Start(t, people())
	c := open(t, s, "")
	ctx := t.Context()
	s.Push("maria", "feature", map[string]string{"recipes/b.yaml": "b: 1\n"})
	n := fmt.Sprint(s.Open("ola", "feature", "A recipe"))
	later := func(what string) {
		t.Helper()
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		var l *forge.Later
		if _, err := c.Change(short, n); !errors.As(err, &l) || !l.Until.After(time.Now().Add(-time.Second)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.Down(true)
	later("down")
	s.Down(false)
	s.ExpireTokens()
	if _, err := c.Change(ctx, n); err != nil {
		t.Errorf("with an expired token: %v", err)
	}
	s.LoseAnswers(1, http.MethodPost, "/repos/acme/recipes/issues/*/comments")
	_, err := c.SetComment(ctx, n, 0, "<!-- m -->", "<!-- m -->\nx")
	if s.Lost() != 0 {
		t.Error("no answer was lost")
	}
	if err != nil {
		_, err = c.SetComment(ctx, n, 0, "<!-- m -->", "<!-- m -->\nx")
	}
	if all := s.Comments(1); err != nil || len(all) != 1 {
		t.Errorf("after a lost answer the comments are %+v, %v", all, err)
	}
	before := len(s.Requests())
	if _, err := c.Change(ctx, n); err != nil {
		t.Error(err)
	}
	found := s.Requests()[before:]
	if !slices.ContainsFunc(found, func(r githubtest.Request) bool { return r.Status == http.StatusOK }) {
		t.Errorf("asked again: %v", found)
	}
	s.Secondary(1000, 30*time.Second)
	later("secondary limit")
	s.Secondary(0, 0)
	c = open(t, s, "") // the first one is patient now
	s.RateLimit(time.Now().Add(time.Hour))
	later("rate limit")
}
