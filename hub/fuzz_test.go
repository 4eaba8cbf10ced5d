package hub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

func TestNextPage(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		`<https://hf.co/a?cursor=1>; rel="next"`:                                    "https://hf.co/a?cursor=1",
		`<https://hf.co/p>; rel="prev", <https://hf.co/n,1>; title="a,b"; rel=next`: "https://hf.co/n,1",
		`<x>; rel="prev next"`:                                                      "x",
		`<x>; rel="xet-auth"`:                                                       "",
		`<x>; title="rel=next, <y>; rel=next"`:                                      "",
		`<x`:                                                                        "",
		``:                                                                          "",
	} {
		if got := nextPage([]string{header}); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	if got := nextPage([]string{`<x>; rel="prev"`, `<y>; REL="Next"`}); got != "y" {
		t.Errorf("%q", got)
	}
}

func FuzzNextPage(f *testing.F) {
	f.Add(`<https://hf.co/a?cursor=1>; rel="next", <b>; rel=prev`)
	f.Add(`<a,b>; t="x,<y>; rel=next"`)
	f.Fuzz(func(t *testing.T, header string) {
		if got := nextPage([]string{header}); got != "" && !strings.Contains(header, "<"+got+">") {
			t.Errorf("%q is not a target of %q", got, header)
		}
	})
}

func FuzzErrorMessage(f *testing.F) {
	f.Add("application/json", []byte(`{"error":["a",1,null],"errors":[{"message":"b"}],"error_description":"c"}`))
	f.Add("text/html", []byte("<html>"))
	f.Add("", []byte("plain\n\x1b[31mred"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		got := errorMessage(http.Header{"Content-Type": {kind}}, body)
		if len(got) > 410 {
			t.Errorf("%d bytes", len(got))
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q holds %U", got, r)
			}
		}
	})
}

func TestRepo(t *testing.T) {
	t.Parallel()
	for id, ok := range map[string]bool{
		"gpt2": true, "acme/tiny": true, "a/b_c-d.e": true, "": false, "a/b/c": false, "a b": false, "a--b/c": false,
		"a/..": false, "a/.b": false, "-a/b": false, "a/b.git": false, "a/": false, "ü/b": false, strings.Repeat("a", 97): false,
	} {
		if err := (Repo{ID: id}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
	if r, err := ParseRepo("datasets/acme/set"); err != nil || r != (Repo{Dataset, "acme/set"}) || r.String() != "datasets/acme/set" {
		t.Errorf("%v, %v", r, err)
	}
	if got := testRepo.resolve("refs/pr/1", "a b/c#d.json"); got != "/acme/tiny/resolve/refs%2Fpr%2F1/a%20b/c%23d.json" {
		t.Error(got)
	}
	if (Repo{Type: "space", ID: "a/b"}).Validate() == nil {
		t.Error("a space was accepted")
	}
}

// Whatever passes validation stays inside the cache and is one segment of an address.
func FuzzRepoAndPaths(f *testing.F) {
	f.Add("acme/tiny", "sub/model.safetensors")
	f.Add("..", "../x")
	f.Add("a/b.git", `C:\x`)
	f.Fuzz(func(t *testing.T, id, path string) {
		place := folder{"/cache", "models--x"}
		if r, err := ParseRepo(id); err == nil {
			c := &Client{cache: "/cache"}
			place = c.folder(r)
			if filepath.Dir(place.dir()) != "/cache" || len(r.ID) > 96 {
				t.Errorf("%q lies in %s", id, place.dir())
			}
		}
		if checkPath(path) == nil && !strings.HasPrefix(place.shown(testSHA, path), place.snapshot(testSHA)+"/") {
			t.Errorf("%q leaves the snapshot", path)
		}
		if checkRevision(path) == nil && !strings.HasPrefix(place.ref(path), filepath.Join(place.dir(), "refs")+"/") {
			t.Errorf("%q leaves refs", path)
		}
	})
}

func FuzzReadHeader(f *testing.F) {
	f.Add(safetensors([]byte("{}"), 2, 4), int64(14))
	f.Add(safetensors([]byte("{}"), 1<<60, 4), int64(1<<50))
	f.Add(safetensors([]byte("{"), 200_000, 4), int64(300_000))
	f.Fuzz(func(t *testing.T, start []byte, size int64) {
		if size < 0 {
			return
		}
		total := int64(0)
		got, err := ReadHeader(File{Path: "x", Size: size}, func(from, n int64) ([]byte, error) {
			if from < 0 || n < 0 || from+n > size {
				t.Fatalf("asked for %d bytes from %d of %d", n, from, size)
			}
			if total += n; total > maxHeader+headerGuess {
				t.Fatalf("asked for %d bytes", total)
			}
			b := make([]byte, n)
			if from < int64(len(start)) {
				copy(b, start[from:])
			}
			return b, nil
		})
		if err != nil && !errors.Is(err, ErrIntegrity) {
			t.Fatal(err)
		}
		if err == nil {
			if n := binary.LittleEndian.Uint64(start); uint64(len(got)) != n || !bytes.HasPrefix(got, []byte("{")) {
				t.Errorf("%d bytes for a header of %d", len(got), n)
			}
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add(`"api";r=0;t=55`, "3")
	f.Add(`r=0;t=99999999999999999999`, "-1")
	f.Fuzz(func(t *testing.T, limit, after string) {
		if d := retryAfter(http.Header{"Ratelimit": {limit}, "Retry-After": {after}}); d < 0 {
			t.Errorf("%v", d)
		}
	})
}

func FuzzFrontMatter(f *testing.F) {
	f.Add([]byte("---\nlicense: mit\nbase_model: [a/b]\n---\n# x"))
	f.Add([]byte("\ufeff---\r\nlicense: [1, {}]\r\n---"))
	f.Fuzz(func(_ *testing.T, card []byte) {
		info := &Info{CardData: frontMatter(card)}
		info.readCard()
	})
}
