package hub

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func modelFiles() map[string][]byte {
	return map[string][]byte{
		"config.json":           []byte(`{"model_type":"llama"}`),
		"README.md":             []byte("---\nlicense: mit\nbase_model: [a/b]\n---\n# hello\n"),
		"empty.txt":             {},
		"sub/dir/extra #1.json": []byte(`{}`),
		"model.safetensors":     bytesOf(700_000, 1),
		"pytorch_model.bin":     bytesOf(1000, 2),
	}
}

func check(t *testing.T, dir string, files map[string][]byte, names ...string) {
	t.Helper()
	for _, name := range names {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, files[name]) {
			t.Errorf("%s: %d bytes that differ from the hub's", name, len(got))
		}
	}
}

// tidy fails if the cache holds anything that Python calls corrupt, or parts of downloads.
func tidy(t *testing.T, cache string) {
	t.Helper()
	_ = filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			t.Error(err)
			return nil
		}
		if strings.HasSuffix(path, ".part") || strings.HasSuffix(path, ".tmp") {
			t.Errorf("left behind: %s", path)
		}
		if d.Type()&fs.ModeSymlink != 0 {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("broken link: %v", err)
			}
		}
		return nil
	})
}

func TestSnapshotLayout(t *testing.T) {
	t.Parallel()
	files := modelFiles()
	f := newFake(t, files)
	f.pageSize = 2 // several pages
	c, _ := testClient(t, f.main.URL, Options{})
	dir, err := c.Snapshot(t.Context(), testRepo, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(c.CacheDir(), "models--acme--tiny")
	if want := filepath.Join(root, "snapshots", testSHA); dir != want {
		t.Errorf("dir %s, want %s", dir, want)
	}
	check(t, dir, files, "config.json", "README.md", "empty.txt", "sub/dir/extra #1.json", "model.safetensors")
	if _, err := os.Lstat(filepath.Join(dir, "pytorch_model.bin")); err == nil {
		t.Error("the torch copy was fetched beside the safetensors")
	}
	for name, want := range map[string]string{
		"config.json":           "../../blobs/" + gitID(files["config.json"]),
		"sub/dir/extra #1.json": "../../../../blobs/" + gitID(files["sub/dir/extra #1.json"]),
		"model.safetensors":     "../../blobs/" + contentID(files["model.safetensors"]),
	} {
		if got, err := os.Readlink(filepath.Join(dir, name)); err != nil || got != want {
			t.Errorf("%s -> %q, %v; want %q", name, got, err, want)
		}
	}
	if ref, _ := os.ReadFile(filepath.Join(root, "refs", "main")); string(ref) != testSHA {
		t.Errorf("refs/main holds %q", ref)
	}
	if tag, _ := os.ReadFile(filepath.Join(c.CacheDir(), "CACHEDIR.TAG")); !strings.HasPrefix(string(tag), "Signature: 8a477f597d28d172789f06886806bc55\n") {
		t.Errorf("CACHEDIR.TAG holds %q", tag)
	}
	if _, err := os.Stat(filepath.Join(c.CacheDir(), ".locks", "models--acme--tiny", gitID(files["config.json"])+".lock")); err != nil {
		t.Error(err)
	}
	tree, ok := c.folder(testRepo).readTree(testSHA)
	if !ok || len(tree) != len(files) {
		t.Errorf("the recorded tree has %d files, want all %d", len(tree), len(files))
	}
	tidy(t, c.CacheDir())

	// By commit, from a new client: not one request.
	before := len(f.requests())
	again, _ := testClient(t, f.main.URL, Options{Cache: c.CacheDir()})
	if dir2, err := again.Snapshot(t.Context(), testRepo, testSHA, nil); err != nil || dir2 != dir {
		t.Errorf("%q, %v", dir2, err)
	}
	if n := len(f.requests()) - before; n != 0 {
		t.Errorf("%d requests for a snapshot that was there", n)
	}
	// A pull request's ref goes below refs/refs.
	if _, err := again.Snapshot(t.Context(), testRepo, "refs/pr/1", nil); err != nil {
		t.Fatal(err)
	}
	if ref, _ := os.ReadFile(filepath.Join(root, "refs", "refs", "pr", "1")); string(ref) != testSHA {
		t.Errorf("refs/refs/pr/1 holds %q", ref)
	}
}

// rangeIgnored answers with the whole file.
func rangeIgnored(body []byte) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write(body)
		return true
	}
}

// cut sends the first n bytes of what was asked for and breaks the connection.
func cut(w http.ResponseWriter, r *http.Request, body []byte, n int) {
	var from int
	status := http.StatusOK
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
		status = http.StatusPartialContent
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)-from))
	w.WriteHeader(status)
	_, _ = w.Write(body[from : from+n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// TestFaultsOnTheWay lets one request after another fail in its way; the file must come out right all the same.
func TestFaultsOnTheWay(t *testing.T) {
	t.Parallel()
	const name = "model.safetensors"
	whole := bytesOf(900_000, 7)
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	_, _ = zw.Write(whole)
	_ = zw.Close()
	type step = func(http.ResponseWriter, *http.Request) bool
	cutAt := func(n int) step {
		return func(w http.ResponseWriter, r *http.Request) bool { cut(w, r, whole, n); return true }
	}
	status := func(code int, header ...string) step {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			return true
		}
	}
	gzipped := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped.Bytes())
		return true
	}
	for what, tc := range map[string]struct {
		steps  []step
		ranges int // requests with a Range header
		err    error
	}{
		"broken twice, continued":             {steps: []step{cutAt(300_000), cutAt(100_000)}, ranges: 2},
		"ranges ignored":                      {steps: []step{cutAt(300_000), rangeIgnored(whole)}, ranges: 2},
		"ranges ignored for ever":             {steps: []step{cutAt(300_000), rangeIgnored(whole), rangeIgnored(whole), rangeIgnored(whole)}, ranges: 2},
		"signature expired, then a new one":   {steps: []step{cutAt(300_000), status(403)}, ranges: 2},
		"416":                                 {steps: []step{cutAt(300_000), status(416)}, ranges: 2},
		"416 for ever":                        {steps: []step{cutAt(9), status(416), status(416), status(416), status(416)}, ranges: 2, err: ErrIntegrity},
		"gzip though identity was asked for":  {steps: []step{gzipped}},
		"gzip, resumed":                       {steps: []step{cutAt(300_000), gzipped}, ranges: 2},
		"wrong bytes once":                    {steps: []step{rangeIgnored(bytesOf(len(whole), 8))}},
		"wrong bytes twice":                   {steps: []step{rangeIgnored(bytesOf(len(whole), 8)), rangeIgnored(bytesOf(len(whole), 9))}, err: ErrIntegrity},
		"too long":                            {steps: []step{rangeIgnored(append(bytes.Clone(whole), 1))}},
		"short without a length":              {steps: []step{rangeIgnored(whole[:500_000])}, ranges: 1},
		"503, 500, 429":                       {steps: []step{status(503), status(500), status(429, "RateLimit", `"resolvers";r=0;t=55`)}},
		"403 for ever":                        {steps: []step{status(403), status(403), status(403), status(403)}, err: errRefused},
		"a range that starts somewhere else":  {steps: []step{cutAt(300_000), status(206, "Content-Range", "bytes 5-10/900000")}, ranges: 2},
		"a range of a file of another length": {steps: []step{cutAt(300_000), status(206, "Content-Range", "bytes 300000-400000/400001")}, ranges: 2},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]byte{name: whole})
			var n atomic.Int32
			f.onFar = func(w http.ResponseWriter, r *http.Request) bool {
				i := int(n.Add(1)) - 1
				return i < len(tc.steps) && tc.steps[i](w, r)
			}
			var last, reports int64
			c, slept := testClient(t, f.main.URL, Options{Progress: func(p Progress) {
				if p.Path != "" {
					return
				}
				reports++
				if p.Done < last || p.Done > p.Total {
					t.Errorf("progress went from %d to %d of %d", last, p.Done, p.Total)
				}
				last = p.Done
			}})
			dir, err := c.Snapshot(t.Context(), testRepo, testSHA, nil)
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if got := len(f.requests("far", "bytes=")); got != tc.ranges {
				t.Errorf("%d ranged requests, want %d:\n%s", got, tc.ranges, strings.Join(f.requests(), "\n"))
			}
			if strings.HasPrefix(what, "503") {
				found := false
				for _, d := range slept.taken {
					found = found || d == 56*time.Second
				}
				if !found {
					t.Errorf("slept %v, never the 55+1 s that the hub asked for", slept.taken)
				}
			}
			if err != nil {
				if strings.Contains(err.Error(), "Amz-Signature") || strings.Contains(err.Error(), testToken) {
					t.Errorf("secret in %q", err)
				}
				if errors.Is(err, ErrIntegrity) {
					tidy(t, c.CacheDir())
				}
				return
			}
			check(t, dir, f.files, name)
			tidy(t, c.CacheDir())
			if last != int64(len(whole)) || reports == 0 {
				t.Errorf("progress ended at %d of %d", last, len(whole))
			}
		})
	}
}

func TestResumeAcrossClients(t *testing.T) {
	t.Parallel()
	const name = "model.safetensors"
	whole := bytesOf(900_000, 3)
	for what, spoil := range map[string]func(*testing.T, string){
		"as it was left": func(*testing.T, string) {},
		"damaged on disk": func(t *testing.T, part string) {
			f, err := os.OpenFile(part, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte("not what was here"), 1000); err != nil {
				t.Fatal(err)
			}
		},
		"longer than the file": func(t *testing.T, part string) {
			if err := os.Truncate(part, 2_000_000); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, map[string][]byte{name: whole})
			ctx, cancel := context.WithCancel(t.Context())
			var once sync.Once
			c, _ := testClient(t, f.main.URL, Options{})
			root := c.folder(testRepo)
			part := root.blob(contentID(whole)) + ".part"
			f.onFar = func(w http.ResponseWriter, r *http.Request) bool {
				first := false
				once.Do(func() { first = true })
				if !first {
					return false
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
				_, _ = w.Write(whole[:400_000])
				w.(http.Flusher).Flush()
				for r.Context().Err() == nil { // hang until the client goes away
					if st, err := os.Stat(part); err == nil && st.Size() >= 300_000 {
						cancel()
					}
					time.Sleep(time.Millisecond)
				}
				return true
			}
			if _, err := c.Snapshot(ctx, testRepo, "main", nil); !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, want cancelled", err)
			}
			if st, err := os.Stat(part); err != nil || st.Size() < 300_000 {
				t.Fatalf("the part: %v, %v", st, err)
			}
			if _, ok := root.readRef("main"); ok {
				t.Error("a ref leads to a snapshot that is not complete")
			}
			spoil(t, part)
			next, _ := testClient(t, f.main.URL, Options{Cache: c.CacheDir()})
			dir, err := next.Snapshot(t.Context(), testRepo, "main", nil)
			if err != nil {
				t.Fatal(err)
			}
			check(t, dir, f.files, name)
			tidy(t, c.CacheDir())
			want := map[string]int{"as it was left": 1, "damaged on disk": 2, "longer than the file": 0}[what]
			if n := len(f.requests("far", "bytes=")); n != want {
				t.Errorf("%d ranged requests, want %d:\n%s", n, want, strings.Join(f.requests("far"), "\n"))
			}
			if n := len(f.requests("far")) - len(f.requests("far", "bytes=")); what == "damaged on disk" && n != 1 {
				t.Error("all was fetched again, not only what was damaged")
			}
		})
	}
}

func TestSilentHub(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]byte{"config.json": []byte("{}")})
	var n atomic.Int32
	f.onMain = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/resolve/") && n.Add(1) == 1 {
			<-r.Context().Done()
			return true
		}
		return false
	}
	c, _ := testClient(t, f.main.URL, Options{})
	c.silence = 100 * time.Millisecond
	if _, err := c.Snapshot(t.Context(), testRepo, testSHA, nil); err != nil {
		t.Fatal(err)
	}
}

func TestBlobsAreUsedAndRepaired(t *testing.T) {
	t.Parallel()
	files := modelFiles()
	f := newFake(t, files)
	c, _ := testClient(t, f.main.URL, Options{})
	dir, err := c.Snapshot(t.Context(), testRepo, "main", nil)
	if err != nil {
		t.Fatal(err)
	}
	// The snapshot is lost, the blobs are not: nothing is fetched.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	before := len(f.requests("/resolve/"))
	if _, err := c.Snapshot(t.Context(), testRepo, testSHA, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(f.requests("/resolve/")) - before; n != 0 {
		t.Errorf("%d files fetched again", n)
	}
	// A blob that was cut is fetched again, and only that.
	if err := os.Truncate(c.folder(testRepo).blob(contentID(files["model.safetensors"])), 10); err != nil {
		t.Fatal(err)
	}
	if dir, err = c.Snapshot(t.Context(), testRepo, testSHA, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(f.requests("/resolve/")) - before; n != 1 {
		t.Errorf("%d files fetched, want 1", n)
	}
	check(t, dir, files, "model.safetensors")
}

func TestSameContentTwice(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]byte{"a.json": []byte("{}"), "b.json": []byte("{}"), "c/d.json": []byte("{}")})
	c, _ := testClient(t, f.main.URL, Options{})
	dir, err := c.Snapshot(t.Context(), testRepo, testSHA, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, dir, f.files, "a.json", "b.json", "c/d.json")
	if n := len(f.requests("/resolve/")); n != 1 {
		t.Errorf("one content was fetched %d times", n)
	}
}

func TestTwoClientsOneCache(t *testing.T) {
	t.Parallel()
	f := newFake(t, modelFiles())
	cache := t.TempDir()
	var wait sync.WaitGroup
	for range 3 {
		c, _ := testClient(t, f.main.URL, Options{Cache: cache})
		wait.Go(func() {
			if _, err := c.Snapshot(t.Context(), testRepo, "main", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := len(f.requests("far", "/model.safetensors")); n != 1 {
		t.Errorf("the weights were fetched %d times", n)
	}
	tidy(t, cache)
}

func TestOffline(t *testing.T) {
	t.Parallel()
	files := modelFiles()
	f := newFake(t, files)
	c, _ := testClient(t, f.main.URL, Options{})
	some := []File{{Path: "README.md"}, {Path: "config.json"}}
	if _, err := c.Snapshot(t.Context(), testRepo, "main", some); err != nil {
		t.Fatal(err)
	}
	off, _ := testClient(t, f.main.URL, Options{Cache: c.CacheDir(), Offline: true})
	before := len(f.requests())
	if _, err := off.Snapshot(t.Context(), testRepo, "main", some); err != nil {
		t.Errorf("what is there: %v", err)
	}
	_, err := off.Snapshot(t.Context(), testRepo, "main", nil)
	if !errors.Is(err, ErrOffline) || !strings.Contains(err.Error(), "files are not in the cache") {
		t.Errorf("a partial snapshot gave %v", err)
	}
	info, err := off.Info(t.Context(), testRepo, "")
	if err != nil || info.SHA != testSHA || info.License != "mit" || len(info.BaseModels) != 1 {
		t.Errorf("info %+v, %v", info, err)
	}
	if b, err := off.Read(t.Context(), testRepo, testSHA, "config.json"); err != nil || !bytes.Equal(b, files["config.json"]) {
		t.Errorf("read %q, %v", b, err)
	}
	for what, err := range map[string]error{
		"another revision": func() error { _, err := off.Info(t.Context(), testRepo, "v9"); return err }(),
		"another repo":     func() error { _, err := off.Snapshot(t.Context(), Repo{Model, "a/b"}, testSHA, nil); return err }(),
		"whoami":           func() error { _, err := off.WhoAmI(t.Context()); return err }(),
		"upload":           func() error { _, err := off.Upload(t.Context(), testRepo, Upload{}); return err }(),
		"create":           func() error { _, err := off.CreateRepo(t.Context(), testRepo, true); return err }(),
	} {
		if !errors.Is(err, ErrOffline) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// An older cache has no list of files: what is shown is taken, with a warning.
	if err := os.RemoveAll(filepath.Join(off.folder(testRepo).dir(), "trees")); err != nil {
		t.Fatal(err)
	}
	var warnings []string
	off.onWarn = func(s string) { warnings = append(warnings, s) }
	if _, err := off.Snapshot(t.Context(), testRepo, "main", nil); err != nil || len(warnings) != 1 {
		t.Errorf("%v, warnings %q", err, warnings)
	}
	if n := len(f.requests()) - before; n != 0 {
		t.Errorf("%d requests were made offline", n)
	}
}

func TestNoSpace(t *testing.T) {
	t.Parallel()
	c, _ := testClient(t, "http://127.0.0.1:1", Options{})
	huge := File{Path: "model.safetensors", Size: 1 << 60, SHA256: contentID(nil)}
	err := c.checkSpace(testRepo, c.folder(testRepo), []File{huge})
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "1.0 EiB") {
		t.Errorf("%v", err)
	}
	if err := noSpace(&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a full disk gave %v", err)
	}
}

func TestNamesThatEscape(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../x", "a/../../x", "/etc/passwd", `..\x`, `C:\x`, "C:/x", "a//b", "a/./b", "", ".", "..", "a\x00b"} {
		if checkPath(name) == nil {
			t.Errorf("%q was accepted", name)
		}
	}
	f := newFake(t, map[string][]byte{"../../../evil.json": []byte("{}")})
	c, _ := testClient(t, f.main.URL, Options{})
	if _, err := c.Snapshot(t.Context(), testRepo, testSHA, nil); err == nil || len(f.requests("/resolve/")) != 0 {
		t.Errorf("a file list with .. gave %v", err)
	}
	bad := File{Path: "x.json", OID: "../../../../" + testSHA[:28]}
	if bad.check() == nil {
		t.Error("a hash that is a path was accepted")
	}
}
