package githubtest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// pull is what the proxy keeps of a pull request. The emulator's stays at the commit that it was opened with; GitHub's
// follows its branch until it is closed.
type pull struct {
	label    string // of its branch: acme:feature
	fork     bool
	id       int64
	head     string // when it was closed
	merged   time.Time
	mergedBy string
	commit   string // that brought it to the target
	closed   bool
}

func (p *pull) open() bool { return !p.closed }

// completePull tells a pull request's head and end.
func (s *Server) completePull(v object) {
	head, ok := v["head"].(object)
	if !ok {
		return
	}
	n := int(number(v["number"]))
	s.mu.Lock()
	var p pull // as it is now
	if known := s.pulls[n]; known != nil {
		p = *known
	}
	sha := s.heads[fmt.Sprint(head["label"])]
	s.mu.Unlock()
	if p.closed {
		sha = p.head
	}
	if sha != "" {
		head["sha"] = sha
		v["statuses_url"] = s.URL + s.of("/statuses/%s", sha)
		if links, ok := v["_links"].(object); ok {
			links["statuses"] = object{"href": v["statuses_url"]}
		}
	}
	fill(v, object{"mergeable": true, "active_lock_reason": nil})
	if !p.closed {
		return
	}
	v["state"], v["merge_commit_sha"] = "closed", nil
	if p.mergedBy == "" {
		return
	}
	v["merged"], v["merged_at"], v["merge_commit_sha"] = true, p.merged.UTC().Format(time.RFC3339), p.commit
	v["merged_by"], v["mergeable"], v["mergeable_state"] = s.person(p.mergedBy), nil, "unknown"
	if v["closed_at"] == nil {
		v["closed_at"] = v["merged_at"]
	}
}

// minimalPull is how a check mentions a pull request; s.mu is held.
func (s *Server) minimalPull(n int, p *pull, sha string) object {
	repo := object{"id": 1, "url": s.URL + s.of(""), "name": s.Name}
	_, ref, _ := strings.Cut(p.label, ":")
	return object{
		"id": p.id, "number": n, "url": s.URL + s.of("/pulls/%d", n),
		"head": object{"ref": ref, "sha": sha, "repo": repo},
		"base": object{"ref": "main", "sha": s.heads[s.Owner+":main"], "repo": repo},
	}
}

// pullFiles answers GET …/pulls/{number}/files, where the emulator makes names up.
func (s *Server) pullFiles(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.PathValue("number"))
	p, err := s.readPull(n)
	if err != nil {
		notFound(w)
		return
	}
	base, err := s.mergeBase(p.Base.SHA, p.Head.SHA)
	if err != nil {
		s.broken(w, err)
		return
	}
	files, err := s.diff(base, p.Head.SHA)
	if err != nil {
		s.broken(w, err)
		return
	}
	page, per := paging(r, 30)
	linkPages(w, r, len(files), page, per)
	out := []object{}
	for _, f := range slice(files, page, per) {
		out = append(out, s.fileJSON(f, p.Head.SHA))
	}
	reply(w, http.StatusOK, out)
}

// gitCommit answers GET …/git/commits/{sha}, which the emulator answers in the form of another route.
func (s *Server) gitCommit(w http.ResponseWriter, r *http.Request) {
	c, err := s.commit(r.PathValue("sha"))
	if err != nil {
		notFound(w)
		return
	}
	parents := []object{}
	for _, p := range c.Parents {
		parents = append(parents, object{
			"sha": p.SHA, "url": s.URL + s.of("/git/commits/%s", p.SHA), "html_url": s.URL + "/" + s.Repo() + "/commit/" + p.SHA,
		})
	}
	reply(w, http.StatusOK, object{
		"sha": c.SHA, "node_id": c.NodeID, "url": s.URL + s.of("/git/commits/%s", c.SHA), "html_url": s.URL + "/" + s.Repo() + "/commit/" + c.SHA,
		"author": c.Commit.Author, "committer": c.Commit.Committer, "message": c.Commit.Message, "parents": parents, "verification": unsigned(),
		"tree": object{"sha": c.Commit.Tree.SHA, "url": s.URL + s.of("/git/trees/%s", c.Commit.Tree.SHA)},
	})
}

// branchRoute answers GET …/branches/{branch} with its whole commit.
func (s *Server) branchRoute(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("branch")
	sha, err := s.branch(name)
	if err != nil {
		refuse(w, http.StatusNotFound, "Branch not found")
		return
	}
	self := s.URL + s.of("/branches/%s", name)
	reply(w, http.StatusOK, object{
		"name": name, "commit": s.commitJSON(sha), "protected": false, "protection_url": self + "/protection",
		"_links":     object{"self": self, "html": s.URL + "/" + s.Repo() + "/tree/" + name},
		"protection": object{"enabled": false, "required_status_checks": object{"enforcement_level": "off", "contexts": []string{}, "checks": []string{}}},
	})
}
