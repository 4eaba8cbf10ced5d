package hub_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mergebot/hub"
	"mergebot/hub/embedded"
)

const token = "hf_annsSecretToken"

var repo = hub.Repo{Type: hub.Model, ID: "ann/merged"}

type stage struct {
	*hub.Client
	server *embedded.Server
	faults *embedded.Faults
	mu     sync.Mutex
	calls  []string
	said   []string
	done   map[string]int64
}

// count says how many requests had the method and a path with the text in it.
func (s *stage) count(method, text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if strings.HasPrefix(c, method+" ") && strings.Contains(c, text) {
			n++
		}
	}
	return n
}

// newStage runs an embedded hub with two origins; files over 1 kB have to be sent in parts.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{faults: new(embedded.Faults), done: map[string]int64{}}
	var main, blobs http.Handler
	listen := func(h *http.Handler) *httptest.Server {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.calls = append(s.calls, r.Method+" "+r.URL.Path)
			s.mu.Unlock()
			(*h).ServeHTTP(w, r)
		}))
		t.Cleanup(srv.Close)
		return srv
	}
	mainSrv, blobSrv := listen(&main), listen(&blobs)
	server, err := embedded.New(embedded.Options{
		Root: t.TempDir(), BlobOrigin: blobSrv.URL, Faults: s.faults,
		Tokens: map[string]embedded.User{token: {Name: "ann"}},
		Limits: embedded.Limits{Multipart: 100_000, Part: 40_000},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := server.LeakedTokens(); n != 0 {
			t.Errorf("the token was shown to the second origin %d times", n)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	main, blobs, s.server = server.Handler(), server.Blobs(), server
	s.Client, err = hub.New(hub.Options{
		Endpoint: mainSrv.URL, Token: token, Cache: t.TempDir(),
		Warn: func(w string) { s.said = append(s.said, w) },
		Progress: func(p hub.Progress) {
			if p.Done < s.done[p.Path] || p.Done > p.Total {
				t.Errorf("progress of %q went from %d to %d of %d", p.Path, s.done[p.Path], p.Done, p.Total)
			}
			s.done[p.Path] = p.Done
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	hub.Hurry(s.Client, 3)
	if _, err := s.CreateRepo(t.Context(), repo, true); err != nil {
		t.Fatal(err)
	}
	return s
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// checkpointFiles are a card, small files, an empty one, weights in one piece and weights in parts, on disk.
func checkpointFiles(t *testing.T) ([]hub.LocalFile, map[string][]byte) {
	t.Helper()
	content := map[string][]byte{
		"README.md":                        []byte("---\nlicense: mit\nbase_model: [a/b]\n---\n# merged\n"),
		"config.json":                      []byte(`{"model_type":"llama"}`),
		"empty.txt":                        {},
		"sub/notes.txt":                    []byte("naïve\n"),
		"model-00001-of-00002.safetensors": noise(310_001, 1),
		"model-00002-of-00002.safetensors": noise(50_000, 2),
	}
	dir := t.TempDir()
	var files []hub.LocalFile
	for path, b := range content {
		local := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(local, b, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, hub.LocalFile{Path: path, Local: local})
	}
	return files, content
}

// reader is a client with a cache of its own.
func (s *stage) reader(t *testing.T) *hub.Client {
	t.Helper()
	c, err := hub.New(hub.Options{Endpoint: s.Endpoint(), Token: token, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expect downloads the revision and compares.
func (s *stage) expect(t *testing.T, revision string, content map[string][]byte) {
	t.Helper()
	dir, err := s.reader(t).Snapshot(t.Context(), repo, revision, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range content {
		got, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", path, len(got), err, len(want))
		}
	}
}

func TestUploadAndBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	files, content := checkpointFiles(t)
	before, err := s.Info(t.Context(), repo, "")
	if err != nil || !before.Private {
		t.Fatalf("%+v, %v", before, err)
	}
	first, err := s.Upload(t.Context(), repo, hub.Upload{Files: files, Message: "merged", Parent: before.SHA})
	if err != nil {
		t.Fatal(err)
	}
	s.expect(t, "main", content)
	s.expect(t, first.OID, content)
	if s.done[""] != 360_001 {
		t.Errorf("progress ended at %d bytes", s.done[""])
	}
	if n := s.count("POST", "/preupload/"); n != 2 {
		t.Errorf("%d announcements for 6 files in batches of 3", n)
	}
	if n := s.count("PUT", ""); n != 8+1 {
		t.Errorf("%d PUTs, want 8 parts of 40 kB and one whole file", n)
	}

	// The same again: no commit, no content.
	again, err := s.Upload(t.Context(), repo, hub.Upload{Files: files, Message: "merged"})
	if err != nil || !again.Unchanged || again.OID != first.OID {
		t.Errorf("%+v, %v", again, err)
	}
	if n := s.count("PUT", ""); n != 9 {
		t.Errorf("content was sent again: %d PUTs", n)
	}

	// One file replaced, one deleted (and one that is not there), on a new commit.
	second, err := s.Upload(t.Context(), repo, hub.Upload{
		Files:  []hub.LocalFile{{Path: "config.json", Data: []byte(`{}`)}},
		Delete: []string{"sub/", "nothing.txt", "empty.txt"}, Message: "less", Parent: first.OID,
	})
	if err != nil || second.Unchanged || second.OID == first.OID {
		t.Fatalf("%+v, %v", second, err)
	}
	tree, err := s.Tree(t.Context(), repo, second.OID)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range tree {
		names = append(names, f.Path)
	}
	if got := strings.Join(names, " "); strings.Contains(got, "sub/") || strings.Contains(got, "empty.txt") {
		t.Error(got)
	}

	// From a head that has passed.
	_, err = s.Upload(t.Context(), repo, hub.Upload{Files: []hub.LocalFile{{Path: "x.txt", Data: []byte("x")}}, Parent: first.OID})
	if !errors.Is(err, hub.ErrParentMoved) {
		t.Errorf("%v", err)
	}
	// As a pull request, which leaves main alone.
	pr, err := s.Upload(t.Context(), repo, hub.Upload{Files: []hub.LocalFile{{Path: "x.txt", Data: []byte("x")}}, CreatePR: true})
	if err != nil || pr.PullRequest == "" {
		t.Errorf("%+v, %v", pr, err)
	}
	if head, err := s.Info(t.Context(), repo, "main"); err != nil || head.SHA != second.OID {
		t.Errorf("%+v, %v", head, err)
	}

	for range 2 { // the second time it is there
		if err := s.Tag(t.Context(), repo, first.OID, "v1", "first"); err != nil {
			t.Error(err)
		}
	}
	if err := s.Tag(t.Context(), repo, second.OID, "v1", ""); !errors.Is(err, hub.ErrConflict) {
		t.Errorf("%v", err)
	}
	s.expect(t, "v1", content)
	open := hub.Repo{Type: hub.Dataset, ID: "ann/open"}
	for range 2 {
		if _, err := s.CreateRepo(t.Context(), open, false); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.CreateRepo(t.Context(), open, true); err != nil || len(s.said) != 1 || !strings.Contains(s.said[0], "is public") {
		t.Errorf("%v, warnings %q", err, s.said)
	}
	if url, err := s.CreateRepo(t.Context(), repo, true); err != nil || !strings.HasSuffix(url, "/ann/merged") {
		t.Errorf("%q, %v", url, err)
	}
}

func TestUploadThroughFaults(t *testing.T) {
	t.Parallel()
	type fault = embedded.Fault
	for what, faults := range map[string][]fault{
		"a part fails twice":             {{Kind: embedded.FaultStatus, Method: "PUT", Skip: 1, Count: 2}},
		"a signed address has expired":   {{Kind: embedded.FaultExpired, Method: "PUT"}},
		"the commit's answer is lost":    {{Kind: embedded.FaultLost, Method: "POST", Path: "*/commit/*"}},
		"the commit fails before it":     {{Kind: embedded.FaultStatus, Method: "POST", Path: "*/commit/*", Status: 503}},
		"rate limited from the start on": {{Kind: embedded.FaultRateLimit, Path: "/api/models/ann/merged/*", Count: 2}},
		"the batch's answer is lost":     {{Kind: embedded.FaultLost, Method: "POST", Path: "*/info/lfs/objects/batch"}},
		"joining's answer is lost":       {{Kind: embedded.FaultLost, Method: "POST", Path: "/lfs-complete/*"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			files, content := checkpointFiles(t)
			for _, f := range faults {
				s.faults.Add(f)
			}
			commit, err := s.Upload(t.Context(), repo, hub.Upload{Files: files})
			if err != nil {
				t.Fatal(err)
			}
			struck := 0
			for _, f := range faults {
				struck += s.faults.Struck(f.Kind)
			}
			if struck == 0 {
				t.Error("the fault never struck")
			}
			head, err := s.Info(t.Context(), repo, "")
			if err != nil || head.SHA != commit.OID {
				t.Errorf("head %+v, commit %s, %v", head, commit.OID, err)
			}
			if s.done[""] != 360_001 {
				t.Errorf("progress ended at %d bytes", s.done[""])
			}
			s.expect(t, "", content)
		})
	}
}

func TestUploadRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	file := func(path, data string) []hub.LocalFile { return []hub.LocalFile{{Path: path, Data: []byte(data)}} }
	for what, tc := range map[string]struct {
		repo hub.Repo
		up   hub.Upload
		err  error
		says string
	}{
		"a bad card":        {repo, hub.Upload{Files: file("README.md", "---\nlicense: [\n---\n")}, nil, "correct the YAML"},
		"a name with ..":    {repo, hub.Upload{Files: file("../x", "x")}, nil, "refused the file name"},
		"twice":             {repo, hub.Upload{Files: append(file("x", "x"), file("x", "y")...)}, nil, "twice"},
		"no such file":      {repo, hub.Upload{Files: []hub.LocalFile{{Path: "x", Local: "/nonexistent"}}}, os.ErrNotExist, "upload x"},
		"no such repo":      {hub.Repo{Type: hub.Model, ID: "ann/other"}, hub.Upload{Files: file("x", "x")}, hub.ErrRepoNotFound, "check the name"},
		"no such branch":    {repo, hub.Upload{Files: file("x", "x"), Revision: "dev"}, hub.ErrRevisionNotFound, "there are: main"},
		"a bad parent":      {repo, hub.Upload{Files: file("x", "x"), Parent: "abc"}, nil, "40"},
		"deleted and added": {repo, hub.Upload{Files: file("x", "x"), Delete: []string{"x"}}, nil, "both"},
	} {
		before := s.count("POST", "/commit/")
		_, err := s.Upload(t.Context(), tc.repo, tc.up)
		if err == nil || (tc.err != nil && !errors.Is(err, tc.err)) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", what, err)
		}
		if s.count("POST", "/commit/") != before {
			t.Errorf("%s: a commit was tried", what)
		}
	}
	stranger, err := hub.New(hub.Options{Endpoint: s.Endpoint(), Anonymous: true, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Upload(t.Context(), repo, hub.Upload{Files: file("x", "x")}); !errors.Is(err, hub.ErrRepoNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := stranger.CreateRepo(t.Context(), hub.Repo{ID: "ann/new"}, true); !errors.Is(err, hub.ErrUnauthorized) {
		t.Errorf("%v", err)
	}
	if _, err := s.CreateRepo(t.Context(), hub.Repo{ID: "bob/new"}, true); !errors.Is(err, hub.ErrForbidden) {
		t.Errorf("%v", err)
	}
}

// Whether a pull request was opened cannot be told when the answer is lost: it must not be opened twice.
func TestLostPullRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.faults.Add(embedded.Fault{Kind: embedded.FaultLost, Method: "POST", Path: "*/commit/*"})
	_, err := s.Upload(t.Context(), repo, hub.Upload{Files: []hub.LocalFile{{Path: "x", Data: []byte("x")}}, CreatePR: true})
	if !errors.Is(err, hub.ErrNetwork) || !strings.Contains(err.Error(), "/discussions") || s.count("POST", "/commit/") != 1 {
		t.Errorf("%v after %d tries", err, s.count("POST", "/commit/"))
	}
}

// A branch that moved while the answer was lost holds someone else's work: it is not taken for ours. Without a parent
// that was named the commit is made on top of it.
func TestLostCommitAndAnotherHead(t *testing.T) {
	t.Parallel()
	t.Run("a parent named", func(t *testing.T) { t.Parallel(); lostCommitAndAnotherHead(t, true) })
	t.Run("none named", func(t *testing.T) { t.Parallel(); lostCommitAndAnotherHead(t, false) })
}

func lostCommitAndAnotherHead(t *testing.T, named bool) {
	s := newStage(t)
	other := s.reader(t)
	var once sync.Once
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lost := false
		if strings.Contains(r.URL.Path, "/commit/") {
			once.Do(func() {
				lost = true
				if _, err := other.Upload(t.Context(), repo, hub.Upload{Files: []hub.LocalFile{{Path: "y", Data: []byte("y")}}}); err != nil {
					t.Error(err)
				}
			})
		}
		if lost {
			w.WriteHeader(http.StatusGatewayTimeout)
			return
		}
		s.server.Handler().ServeHTTP(w, r)
	}))
	defer proxy.Close()
	c, err := hub.New(hub.Options{Endpoint: proxy.URL, Token: token, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	hub.Hurry(c, 3)
	up := hub.Upload{Files: []hub.LocalFile{{Path: "x", Data: []byte("x")}}}
	if named {
		info, err := c.Info(t.Context(), repo, "")
		if err != nil {
			t.Fatal(err)
		}
		up.Parent = info.SHA
		if _, err := c.Upload(t.Context(), repo, up); !errors.Is(err, hub.ErrParentMoved) {
			t.Errorf("%v", err)
		}
		return
	}
	if _, err := c.Upload(t.Context(), repo, up); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "", map[string][]byte{"x": []byte("x"), "y": []byte("y")})
}

// TestManySmallFiles goes over several batches, and the listing over several pages of the hub.
func TestManySmallFiles(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	hub.Hurry(s.Client, 256)
	var files []hub.LocalFile
	for i := range 300 {
		files = append(files, hub.LocalFile{Path: fmt.Sprintf("data/%03d.json", i), Data: fmt.Appendf(nil, "[%d]", i)})
	}
	commit, err := s.Upload(t.Context(), repo, hub.Upload{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if n := s.count("POST", "/preupload/"); n != 2 {
		t.Errorf("%d announcements, want 2", n)
	}
	tree, err := s.Tree(t.Context(), repo, commit.OID)
	if err != nil || len(tree) < 300 {
		t.Errorf("%d files, %v", len(tree), err)
	}
	b, err := s.Read(t.Context(), repo, commit.OID, "data/299.json")
	if err != nil || string(b) != "[299]" {
		t.Errorf("%q, %v", b, err)
	}
}
