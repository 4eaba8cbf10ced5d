package githubtest

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

// What people do here arrives at GitHub directly: it is not among [Server.Requests], and no fault keeps it back.

// Push puts a commit with files (path → content, or [Gone]) on a branch, which is made at the tip of main where there is
// none. It returns the commit.
func (s *Server) Push(login, branch string, files map[string]string) string {
	s.t.Helper()
	tip, err := s.branch(branch)
	if err == nil {
		return s.put(login, branch, tip, tip, files, false)
	}
	from, _ := s.branch("main") // of the first commit, there is none
	return s.put(login, branch, from, "", files, false)
}

// ForcePush makes a branch point to a commit with files on top of from, whatever it pointed to.
func (s *Server) ForcePush(login, branch, from string, files map[string]string) string {
	s.t.Helper()
	tip, err := s.branch(branch)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.put(login, branch, from, tip, files, true)
}

func (s *Server) put(login, branch, from, tip string, files map[string]string, force bool) string {
	s.t.Helper()
	var had map[string]string
	var parents []string
	if from != "" {
		var err error
		if had, err = s.filesAt(from); err != nil {
			s.t.Fatal(err)
		}
		parents = []string{from}
	}
	sha := s.writeCommit(login, "Change "+branch, s.changed(login, had, files), parents...)
	s.point(login, branch, tip, sha, force)
	return sha
}

// point moves a branch. Pull requests follow, before anyone hears of it.
func (s *Server) point(login, branch, tip, sha string, force bool) {
	s.t.Helper()
	label := s.Owner + ":" + branch
	before := s.setHead(label, sha)
	if tip == "" {
		s.must(login, http.MethodPost, s.of("/git/refs"), object{"ref": "refs/heads/" + branch, "sha": sha}, nil)
		s.created(login, branch, sha) // of which the emulator tells nobody
	} else {
		s.must(login, http.MethodPatch, s.of("/git/refs/heads/%s", branch), object{"sha": sha, "force": force}, nil)
	}
	s.synchronized(login, label, before, sha)
}

func (s *Server) setHead(label, sha string) (before string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.heads[label]
	s.heads[label] = sha
	return before
}

// Delete removes a branch.
func (s *Server) Delete(login, branch string) {
	s.t.Helper()
	s.must(login, http.MethodDelete, s.of("/git/refs/heads/%s", branch), nil, nil)
}

// Open opens a pull request from a branch to main and returns its number.
func (s *Server) Open(login, branch, title string) int {
	s.t.Helper()
	return s.open(login, s.Owner+":"+branch, branch, title, false)
}

// OpenFork opens a pull request from a fork of the person's, with files over the tip of main.
func (s *Server) OpenFork(login, branch, title string, files map[string]string) int {
	s.t.Helper()
	err := s.ask(login, http.MethodPost, s.of("/forks"), object{}, nil)
	if r, ok := err.(*refused); err != nil && !(ok && r.status == http.StatusUnprocessableEntity) { // there already
		s.t.Fatal(err)
	}
	s.PushFork(login, branch, files)
	return s.open(login, login+":"+branch, login+":"+branch, title, true)
}

// PushFork puts files on a branch of a person's fork. Its objects are made in the repository itself, where GitHub shows
// those of a fork's pull requests too.
func (s *Server) PushFork(login, branch string, files map[string]string) string {
	s.t.Helper()
	label := login + ":" + branch
	s.mu.Lock()
	from := s.heads[label]
	if from == "" {
		from = s.heads[s.Owner+":main"]
	}
	s.mu.Unlock()
	had, err := s.filesAt(from)
	if err != nil {
		s.t.Fatal(err)
	}
	sha := s.writeCommit(login, "Change "+branch, s.changed(login, had, files), from)
	before := s.setHead(label, sha)
	s.synchronized(login, label, before, sha)
	return sha
}

func (s *Server) open(login, label, head, title string, fork bool) int {
	s.t.Helper()
	s.hooks.hold() // what the emulator says of it at once is of a pull request not known yet
	defer s.hooks.release()
	var made struct {
		ID     int64
		Number int
	}
	s.must(login, http.MethodPost, s.of("/pulls"), object{"title": title, "head": head, "base": "main"}, &made)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulls[made.Number] = &pull{label: label, fork: fork, id: made.ID}
	return made.Number
}

// Close closes a pull request.
func (s *Server) Close(login string, n int) {
	s.t.Helper()
	s.end(n, func(*pull) {})
	s.must(login, http.MethodPatch, s.of("/pulls/%d", n), object{"state": "closed"}, nil)
}

// Reopen opens it again.
func (s *Server) Reopen(login string, n int) {
	s.t.Helper()
	s.mu.Lock()
	s.pulls[n].closed = false
	s.mu.Unlock()
	s.must(login, http.MethodPatch, s.of("/pulls/%d", n), object{"state": "open"}, nil)
}

func (s *Server) end(n int, more func(*pull)) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pulls[n]
	if p == nil || p.closed {
		s.t.Fatalf("there is no open pull request %d", n)
	}
	p.closed, p.head = true, s.heads[p.label]
	more(p)
}

// The ways to merge a pull request.
const (
	MergeCommit = "merge"
	Squash      = "squash"
)

// Merge brings a pull request to main and returns the commit that did. The emulator's own way forgets what came to main
// since the pull request was opened.
func (s *Server) Merge(login string, n int, method string) string {
	s.t.Helper()
	p, err := s.readPull(n)
	if err != nil {
		s.t.Fatal(err)
	}
	tip, err := s.branch("main")
	if err != nil {
		s.t.Fatal(err)
	}
	base, err := s.mergeBase(tip, p.Head.SHA)
	if err != nil {
		s.t.Fatal(err)
	}
	changes, err := s.diff(base, p.Head.SHA)
	if err != nil {
		s.t.Fatal(err)
	}
	at, err := s.filesAt(tip)
	if err != nil {
		s.t.Fatal(err)
	}
	files := maps.Clone(at)
	for _, c := range changes {
		delete(files, c.previous)
		if c.status == "removed" {
			delete(files, c.path)
		} else {
			files[c.path] = c.blob
		}
	}
	parents := []string{tip}
	if method == MergeCommit {
		parents = append(parents, p.Head.SHA)
	}
	sha := s.writeCommit(login, fmt.Sprintf("Merge pull request #%d", n), files, parents...)
	s.end(n, func(p *pull) { p.merged, p.mergedBy, p.commit = time.Now(), login, sha })
	s.point(login, "main", tip, sha, false)
	s.must(login, http.MethodPatch, s.of("/pulls/%d", n), object{"state": "closed"}, nil)
	return sha
}

// Comment writes under a pull request and returns the comment's number.
func (s *Server) Comment(login string, n int, body string) int64 {
	s.t.Helper()
	var made struct{ ID int64 }
	s.must(login, http.MethodPost, s.of("/issues/%d/comments", n), object{"body": body}, &made)
	return made.ID
}

// EditComment changes what a comment says.
func (s *Server) EditComment(login string, id int64, body string) {
	s.t.Helper()
	s.mu.Lock()
	s.edited[id] = true
	s.mu.Unlock()
	s.must(login, http.MethodPatch, s.of("/issues/comments/%d", id), object{"body": body}, nil)
}

// DeleteComment takes a comment away.
func (s *Server) DeleteComment(login string, id int64) {
	s.t.Helper()
	s.must(login, http.MethodDelete, s.of("/issues/comments/%d", id), nil, nil)
}

// Rerequest asks for a check again, as the button does.
func (s *Server) Rerequest(login string, check int64) {
	s.t.Helper()
	s.must(login, http.MethodPost, s.of("/check-runs/%d/rerequest", check), object{}, nil)
}

// Branch is the tip of a branch.
func (s *Server) Branch(name string) string {
	s.t.Helper()
	sha, err := s.branch(strings.TrimPrefix(name, "refs/heads/"))
	if err != nil {
		s.t.Fatal(err)
	}
	return sha
}
