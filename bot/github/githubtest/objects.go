package githubtest

import (
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// objects remembers what the emulator holds: objects never change. The emulator gives every object that is sent to it a
// new name, so that what is the same must be sent once for two commits to show the same blob.
type objects struct {
	mu      sync.Mutex
	blobs   map[string]string // content → SHA
	content map[string]string // and back
	trees   map[string]string // of one folder: its entries → SHA
	commits map[string]commit
	files   map[string]map[string]string // SHA of a commit → path → SHA of the blob
}

func (o *objects) init() {
	o.blobs, o.content, o.trees = map[string]string{}, map[string]string{}, map[string]string{}
	o.commits, o.files = map[string]commit{}, map[string]map[string]string{}
}

// commit is one as the emulator tells it.
type commit struct {
	SHA     string `json:"sha"`
	NodeID  string `json:"node_id"`
	Parents []struct {
		SHA string `json:"sha"`
	} `json:"parents"`
	Commit struct {
		Message string `json:"message"`
		Tree    struct {
			SHA string `json:"sha"`
		} `json:"tree"`
		Author    signature `json:"author"`
		Committer signature `json:"committer"`
	} `json:"commit"`
	Author any `json:"author"` // a user
}

type signature struct {
	Name  string    `json:"name"`
	Email string    `json:"email"`
	Date  time.Time `json:"date"`
}

// commit reads one.
func (s *Server) commit(sha string) (commit, error) {
	s.objects.mu.Lock()
	c, ok := s.objects.commits[sha]
	s.objects.mu.Unlock()
	if ok {
		return c, nil
	}
	if err := s.ask("", http.MethodGet, s.of("/git/commits/%s", sha), nil, &c); err != nil {
		return c, err
	}
	s.objects.mu.Lock()
	defer s.objects.mu.Unlock()
	s.objects.commits[sha] = c
	return c, nil
}

// filesAt reads which blobs a commit has, by path.
func (s *Server) filesAt(sha string) (map[string]string, error) {
	s.objects.mu.Lock()
	files, ok := s.objects.files[sha]
	s.objects.mu.Unlock()
	if ok {
		return files, nil
	}
	c, err := s.commit(sha)
	if err != nil {
		return nil, err
	}
	var tree struct {
		Tree []struct{ Path, Type, SHA string }
	}
	if err := s.ask("", http.MethodGet, s.of("/git/trees/%s?recursive=1", c.Commit.Tree.SHA), nil, &tree); err != nil {
		return nil, err
	}
	files = map[string]string{}
	for _, e := range tree.Tree {
		if e.Type == "blob" {
			files[e.Path] = e.SHA
		}
	}
	s.objects.mu.Lock()
	defer s.objects.mu.Unlock()
	s.objects.files[sha] = files
	return files, nil
}

// ancestors are a commit and all that it came from.
func (s *Server) ancestors(sha string) (map[string]bool, error) {
	seen := map[string]bool{}
	for next := []string{sha}; len(next) > 0; {
		sha, next = next[0], next[1:]
		if seen[sha] {
			continue
		}
		seen[sha] = true
		c, err := s.commit(sha)
		if err != nil {
			return nil, err
		}
		for _, p := range c.Parents {
			next = append(next, p.SHA)
		}
	}
	return seen, nil
}

// mergeBase is the newest commit that both come from; "" when there is none.
func (s *Server) mergeBase(base, head string) (string, error) {
	known, err := s.ancestors(base)
	if err != nil {
		return "", err
	}
	seen := map[string]bool{}
	for next := []string{head}; len(next) > 0; {
		sha := next[0]
		next = next[1:]
		if known[sha] {
			return sha, nil
		}
		if seen[sha] {
			continue
		}
		seen[sha] = true
		c, err := s.commit(sha)
		if err != nil {
			return "", err
		}
		for _, p := range c.Parents {
			next = append(next, p.SHA)
		}
	}
	return "", nil
}

// writeCommit makes a commit of files (path → SHA of the blob) and returns its SHA.
func (s *Server) writeCommit(login, message string, files map[string]string, parents ...string) string {
	s.t.Helper()
	var made struct{ SHA string }
	s.must(login, http.MethodPost, s.of("/git/commits"), object{
		"message": message, "tree": s.writeTree(login, files), "parents": append([]string{}, parents...),
	}, &made)
	return made.SHA
}

// writeBlob makes a blob, once for each content.
func (s *Server) writeBlob(login, content string) string {
	s.t.Helper()
	s.objects.mu.Lock()
	sha, ok := s.objects.blobs[content]
	s.objects.mu.Unlock()
	if ok {
		return sha
	}
	var made struct{ SHA string }
	s.must(login, http.MethodPost, s.of("/git/blobs"), object{"content": content, "encoding": "utf-8"}, &made)
	s.objects.mu.Lock()
	defer s.objects.mu.Unlock()
	s.objects.blobs[content], s.objects.content[made.SHA] = made.SHA, content
	return made.SHA
}

// writeTree makes a folder and those below it.
func (s *Server) writeTree(login string, files map[string]string) string {
	s.t.Helper()
	below := map[string]map[string]string{}
	var entries []object
	for name, blob := range files {
		if dir, rest, ok := strings.Cut(name, "/"); ok {
			if below[dir] == nil {
				below[dir] = map[string]string{}
			}
			below[dir][rest] = blob
			continue
		}
		entries = append(entries, object{"path": name, "mode": "100644", "type": "blob", "sha": blob})
	}
	for dir, files := range below {
		entries = append(entries, object{"path": dir, "mode": "040000", "type": "tree", "sha": s.writeTree(login, files)})
	}
	slices.SortFunc(entries, func(a, b object) int { return strings.Compare(a["path"].(string), b["path"].(string)) })
	if len(entries) == 0 {
		entries = []object{}
	}
	key := fmt.Sprint(entries)
	s.objects.mu.Lock()
	sha, ok := s.objects.trees[key]
	s.objects.mu.Unlock()
	if ok {
		return sha
	}
	var made struct{ SHA string }
	s.must(login, http.MethodPost, s.of("/git/trees"), object{"tree": entries}, &made)
	s.objects.mu.Lock()
	defer s.objects.mu.Unlock()
	s.objects.trees[key] = made.SHA
	return made.SHA
}

// Gone is the content of a file that a push takes away.
const Gone = "\x00gone"

// changed is what files become when some are pushed over them.
func (s *Server) changed(login string, files, pushed map[string]string) map[string]string {
	s.t.Helper()
	files = maps.Clone(files)
	if files == nil {
		files = map[string]string{}
	}
	for name, content := range pushed {
		if content == Gone {
			delete(files, name)
			continue
		}
		if path.Clean(name) != name || strings.HasPrefix(name, "/") {
			s.t.Fatalf("%q is no path in a repository", name)
		}
		files[name] = s.writeBlob(login, content)
	}
	return files
}
