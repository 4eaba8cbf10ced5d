package githubtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// What the emulator does not say at all: that a pull request's branch moved, and that a branch was made.

// synchronized tells of every open pull request whose branch moved.
func (s *Server) synchronized(login, label, before, after string) {
	s.t.Helper()
	s.mu.Lock()
	var numbers []int
	for n, p := range s.pulls {
		if p.label == label && p.open() {
			numbers = append(numbers, n)
		}
	}
	s.mu.Unlock()
	for _, n := range numbers {
		var p object
		s.must("", http.MethodGet, s.of("/pulls/%d", n), nil, &p)
		s.happened("pull_request", login, object{"action": "synchronize", "before": before, "after": after, "pull_request": p})
	}
}

// created tells of a branch that was made.
func (s *Server) created(login, branch, sha string) {
	s.t.Helper()
	s.happened("push", login, object{"ref": "refs/heads/" + branch, "before": strings.Repeat("0", 40), "after": sha})
}

func (s *Server) happened(name, login string, body object) {
	s.t.Helper()
	var repo, sender object
	s.must("", http.MethodGet, s.of(""), nil, &repo)
	s.must("", http.MethodGet, "/users/"+login, nil, &sender)
	body["repository"], body["sender"] = repo, sender
	body["installation"] = object{"id": s.App.Installation, "node_id": "I_815"}
	b, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	s.hooks.add(event{name, b})
}

// completeEvent gives an event what GitHub's have and the emulator's lack: pull requests' numbers, the organisation, the
// commits of a push.
func (s *Server) completeEvent(e event) (body []byte, action string, err error) {
	var v object
	if err := json.Unmarshal(e.body, &v); err != nil {
		return nil, "", err
	}
	s.completeAny(v)
	action, _ = v["action"].(string)
	v["organization"] = s.organization()
	switch e.name {
	case "issue_comment":
		if c, ok := v["comment"].(object); ok && action == "created" { // it may have been edited since
			c["updated_at"] = c["created_at"]
		}
		if action == "edited" {
			fill(v, object{"changes": object{"body": object{"from": ""}}})
		}
	case "pull_request":
		if p, ok := v["pull_request"].(object); ok {
			v["number"] = p["number"]
		}
	case "push":
		if err := s.completePush(v); err != nil {
			return nil, "", err
		}
	}
	body, err = json.Marshal(v)
	return body, action, err
}

func (s *Server) completePush(v object) error {
	before, after := fmt.Sprint(v["before"]), fmt.Sprint(v["after"])
	created := strings.Trim(before, "0") == ""
	news := []string{after}
	forced := false
	if !created {
		base, err := s.mergeBase(before, after)
		if err != nil {
			return err
		}
		forced = base != before
		if news, err = s.between(base, after); err != nil {
			return err
		}
	}
	commits := []object{}
	for _, sha := range news {
		c, err := s.pushedCommit(sha)
		if err != nil {
			return err
		}
		commits = append(commits, c)
	}
	head, err := s.pushedCommit(after)
	if err != nil {
		return err
	}
	sender, _ := v["sender"].(object)
	v["commits"], v["head_commit"] = commits, head
	v["pusher"] = object{"name": sender["login"], "email": fmt.Sprintf("%v@example.com", sender["login"])}
	v["created"], v["deleted"], v["forced"], v["base_ref"] = created, false, forced, nil
	v["compare"] = fmt.Sprintf("%s/%s/compare/%.12s...%.12s", s.URL, s.Repo(), before, after)
	if r, ok := v["repository"].(object); ok { // a push has these as numbers
		for _, name := range []string{"created_at", "pushed_at"} {
			r[name] = 1767225600
		}
	}
	return nil
}

func (s *Server) pushedCommit(sha string) (object, error) {
	c, err := s.commit(sha)
	if err != nil {
		return nil, err
	}
	added, removed, modified := []string{}, []string{}, []string{}
	if len(c.Parents) > 0 {
		changes, err := s.diff(c.Parents[0].SHA, sha)
		if err != nil {
			return nil, err
		}
		for _, f := range changes {
			switch f.status {
			case "removed":
				removed = append(removed, f.path)
			case "modified":
				modified = append(modified, f.path)
			default:
				added = append(added, f.path)
				if f.previous != "" {
					removed = append(removed, f.previous)
				}
			}
		}
	}
	author := object{"name": c.Commit.Author.Name, "email": c.Commit.Author.Email, "username": c.Commit.Author.Name}
	return object{
		"id": sha, "tree_id": c.Commit.Tree.SHA, "distinct": true, "message": c.Commit.Message, "timestamp": c.Commit.Author.Date,
		"url": s.URL + "/" + s.Repo() + "/commit/" + sha, "author": author, "committer": author,
		"added": added, "removed": removed, "modified": modified,
	}, nil
}
