package githubtest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// changedFile is a file that two commits have otherwise.
type changedFile struct {
	path, status, blob, previous string
}

// diff lists how the files at a commit differ from those at another, in the order of paths.
func (s *Server) diff(from, to string) ([]changedFile, error) {
	before, err := s.filesAt(from)
	if err != nil {
		return nil, err
	}
	after, err := s.filesAt(to)
	if err != nil {
		return nil, err
	}
	gone := map[string]string{} // blob → path
	for name, blob := range before {
		if _, ok := after[name]; !ok {
			gone[blob] = name
		}
	}
	var all []changedFile
	for _, name := range slices.Sorted(maps.Keys(after)) {
		blob := after[name]
		switch was, ok := before[name]; {
		case ok && was == blob:
		case ok:
			all = append(all, changedFile{name, "modified", blob, ""})
		case gone[blob] != "":
			all = append(all, changedFile{name, "renamed", blob, gone[blob]})
			delete(gone, blob)
		default:
			all = append(all, changedFile{name, "added", blob, ""})
		}
	}
	for blob, name := range gone {
		all = append(all, changedFile{name, "removed", blob, ""})
	}
	slices.SortFunc(all, func(a, b changedFile) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

// maxCompared is how many files GitHub tells of at most, all of them on the first page: pages are of commits.
const maxCompared = 300

// compare answers GET /repos/{owner}/{repo}/compare/{base}...{head}.
func (s *Server) compare(w http.ResponseWriter, r *http.Request) {
	from, to, ok := strings.Cut(r.PathValue("basehead"), "...")
	base, err := s.resolve(from)
	if !ok || err != nil {
		notFound(w)
		return
	}
	head, err := s.resolve(to)
	if err != nil {
		notFound(w)
		return
	}
	fork, err := s.mergeBase(base, head)
	if err != nil || fork == "" {
		notFound(w)
		return
	}
	ahead, err := s.between(fork, head)
	if err != nil {
		s.broken(w, err)
		return
	}
	behind, err := s.between(fork, base)
	if err != nil {
		s.broken(w, err)
		return
	}
	files, err := s.diff(fork, head)
	if err != nil {
		s.broken(w, err)
		return
	}
	state := "diverged"
	switch {
	case len(ahead) == 0 && len(behind) == 0:
		state = "identical"
	case len(behind) == 0:
		state = "ahead"
	case len(ahead) == 0:
		state = "behind"
	}
	page, per := paging(r, 250)
	commits := make([]object, 0, len(ahead))
	for _, sha := range slice(ahead, page, per) {
		commits = append(commits, s.commitJSON(sha))
	}
	shown := []object{}
	if page == 1 {
		for _, f := range files[:min(len(files), maxCompared)] {
			shown = append(shown, s.fileJSON(f, head))
		}
	}
	address := s.URL + s.of("/compare/%s...%s", from, to)
	page1 := s.URL + "/" + s.Repo() + "/compare/" + from + "..." + to
	linkPages(w, r, len(ahead), page, per)
	reply(w, http.StatusOK, object{
		"url": address, "html_url": page1, "permalink_url": page1, "diff_url": page1 + ".diff", "patch_url": page1 + ".patch",
		"base_commit": s.commitJSON(base), "merge_base_commit": s.commitJSON(fork), "status": state,
		"ahead_by": len(ahead), "behind_by": len(behind), "total_commits": len(ahead), "commits": commits, "files": shown,
	})
}

// between lists the commits that to has and from has not, the oldest first.
func (s *Server) between(from, to string) ([]string, error) {
	known, err := s.ancestors(from)
	if err != nil {
		return nil, err
	}
	var all []string
	seen := map[string]bool{}
	for next := []string{to}; len(next) > 0; {
		sha := next[0]
		next = next[1:]
		if known[sha] || seen[sha] {
			continue
		}
		seen[sha] = true
		all = append(all, sha)
		c, err := s.commit(sha)
		if err != nil {
			return nil, err
		}
		for _, p := range c.Parents {
			next = append(next, p.SHA)
		}
	}
	slices.Reverse(all)
	return all, nil
}

// resolve finds the commit that a SHA or a branch means.
func (s *Server) resolve(ref string) (string, error) {
	if c, err := s.commit(ref); err == nil {
		return c.SHA, nil
	}
	return s.branch(strings.TrimPrefix(strings.TrimPrefix(ref, "refs/"), "heads/"))
}

// branch is the tip of a branch.
func (s *Server) branch(name string) (string, error) {
	var ref struct{ Object struct{ SHA string } }
	err := s.ask("", http.MethodGet, s.of("/git/ref/heads/%s", name), nil, &ref)
	return ref.Object.SHA, err
}

// commitJSON is a commit as GitHub tells it, in all but git's own routes.
func (s *Server) commitJSON(sha string) object {
	c, err := s.commit(sha)
	if err != nil {
		s.failed("githubtest: %v", err)
		return nil
	}
	page, parents := s.URL+"/"+s.Repo(), []object{}
	for _, p := range c.Parents {
		parents = append(parents, object{"sha": p.SHA, "url": s.URL + s.of("/commits/%s", p.SHA), "html_url": page + "/commit/" + p.SHA})
	}
	return object{
		"sha": sha, "node_id": c.NodeID, "url": s.URL + s.of("/commits/%s", sha), "html_url": page + "/commit/" + sha,
		"comments_url": s.URL + s.of("/commits/%s/comments", sha), "author": c.Author, "committer": c.Author, "parents": parents,
		"commit": object{
			"url": s.URL + s.of("/git/commits/%s", sha), "message": c.Commit.Message, "comment_count": 0,
			"author": c.Commit.Author, "committer": c.Commit.Committer,
			"tree":         object{"sha": c.Commit.Tree.SHA, "url": s.URL + s.of("/git/trees/%s", c.Commit.Tree.SHA)},
			"verification": unsigned(),
		},
	}
}

func unsigned() object {
	return object{"verified": false, "reason": "unsigned", "signature": nil, "payload": nil, "verified_at": nil}
}

// fileJSON is a file of a comparison. Lines are not compared: a changed file has all its lines new.
func (s *Server) fileJSON(f changedFile, head string) object {
	s.objects.mu.Lock()
	lines := strings.Count(s.objects.content[f.blob], "\n")
	s.objects.mu.Unlock()
	added, removed := lines, 0
	switch f.status {
	case "removed":
		added, removed = 0, lines
	case "renamed":
		added = 0
	}
	page := s.URL + "/" + s.Repo()
	out := object{
		"sha": f.blob, "filename": f.path, "status": f.status, "additions": added, "deletions": removed, "changes": added + removed,
		"blob_url": page + "/blob/" + head + "/" + f.path, "raw_url": page + "/raw/" + head + "/" + f.path,
		"contents_url": s.URL + s.of("/contents/%s?ref=%s", f.path, head),
	}
	if f.previous != "" {
		out["previous_filename"] = f.previous
	}
	return out
}

// oneCommit answers GET /repos/{owner}/{repo}/commits/{ref}.
func (s *Server) oneCommit(w http.ResponseWriter, r *http.Request) {
	sha, err := s.resolve(r.PathValue("ref"))
	if err != nil {
		reply(w, http.StatusUnprocessableEntity, object{"message": "No commit found for SHA: " + r.PathValue("ref"), "documentation_url": docs})
		return
	}
	if r.Header.Get("Accept") == "application/vnd.github.sha" || strings.Contains(r.Header.Get("Accept"), "vnd.github.v3.sha") {
		w.Header().Set("Content-Type", "application/vnd.github.sha; charset=utf-8")
		_, _ = w.Write([]byte(sha))
		return
	}
	c := s.commitJSON(sha)
	files := []object{}
	if parent, err := s.commit(sha); err == nil && len(parent.Parents) > 0 {
		changed, err := s.diff(parent.Parents[0].SHA, sha)
		if err != nil {
			s.broken(w, err)
			return
		}
		for _, f := range changed {
			files = append(files, s.fileJSON(f, sha))
		}
	}
	c["files"], c["stats"] = files, object{"total": 0, "additions": 0, "deletions": 0}
	reply(w, http.StatusOK, c)
}
