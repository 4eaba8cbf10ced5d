package github

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mergebot/bot/forge"
)

// id makes an object id of a letter.
func id(letter string) string { return strings.Repeat(letter, 40) }

func blob(path, letter string) obj {
	return obj{"path": path, "mode": "100644", "type": "blob", "sha": id(letter)}
}

// commits serves a commit and its tree, recursively.
func (f *fake) commits(sha string, entries ...obj) {
	tree := strings.Repeat("9", 39) + sha[:1]
	f.json("GET", "git/commits/"+sha, obj{"sha": sha, "tree": obj{"sha": tree}})
	f.on("GET", "git/trees/"+tree, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("recursive") != "1" {
			f.t.Errorf("%s: not recursive", r.URL)
		}
		write(w, 200, obj{"sha": tree, "tree": append([]obj{}, entries...), "truncated": false})
	})
}

func TestFiles(t *testing.T) {
	f := newFake(t)
	f.commits(shaA,
		blob("recipes/z.yaml", "1"), obj{"path": "recipes", "mode": "040000", "type": "tree", "sha": id("2")},
		obj{"path": "link.yaml", "mode": "120000", "type": "blob", "sha": id("3")},
		obj{"path": "module", "mode": "160000", "type": "commit", "sha": id("4")},
		obj{"path": "a.sh", "mode": "100755", "type": "blob", "sha": id("5")})
	got, err := f.client().Files(bg, shaA)
	ok(t, err)
	if d := cmp.Diff([]forge.File{{Path: "a.sh", Blob: id("5")}, {Path: "recipes/z.yaml", Blob: id("1")}}, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "main", shaA[1:], strings.ToUpper(shaA), shaA + "/../x"} {
		_, err := f.client().Files(bg, bad)
		wantErr(t, err, forge.ErrNotFound)
	}
}

func TestTruncatedTreesAreWalked(t *testing.T) {
	f := newFake(t)
	f.json("GET", "git/commits/"+shaA, obj{"sha": shaA, "tree": obj{"sha": id("1")}})
	dir := func(path, letter string) obj {
		return obj{"path": path, "mode": "040000", "type": "tree", "sha": id(letter)}
	}
	tree := func(letter string, truncated bool, flat, deep []obj) {
		f.on("GET", "git/trees/"+id(letter), func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("recursive") == "" {
				write(w, 200, obj{"tree": flat})
				return
			}
			write(w, 200, obj{"tree": deep, "truncated": truncated})
		})
	}
	tree("1", true, []obj{blob("a", "a"), dir("big", "2"), dir("small", "3")}, []obj{blob("a", "a")})
	tree("2", true, []obj{blob("b", "b"), dir("deep", "4")}, nil)
	tree("3", false, nil, []obj{blob("c", "c"), dir("x", "5"), blob("x/d", "d")})
	tree("4", false, nil, []obj{blob("e", "e")})
	got, err := f.client().Files(bg, shaA)
	ok(t, err)
	var paths []string
	for _, f := range got {
		paths = append(paths, f.Path+" "+f.Blob[:1])
	}
	if want := []string{"a a", "big/b b", "big/deep/e e", "small/c c", "small/x/d d"}; !slices.Equal(paths, want) {
		t.Errorf("%q", paths)
	}
}

func TestEndlessTreesEnd(t *testing.T) {
	f := newFake(t)
	f.json("GET", "git/commits/"+shaA, obj{"sha": shaA, "tree": obj{"sha": id("1")}})
	f.on("GET", "git/trees/"+id("1"), func(w http.ResponseWriter, r *http.Request) { // a tree that contains itself
		write(w, 200, obj{"tree": []obj{{"path": "x", "mode": "040000", "type": "tree", "sha": id("1")}}, "truncated": r.URL.Query().Get("recursive") != ""})
	})
	_, err := f.client().Files(bg, shaA)
	wantErr(t, err, nil, "too large")
	if n := f.count("GET " + repoPath + "/git/trees"); n != maxTrees {
		t.Errorf("%d requests", n)
	}
	f = newFake(t)
	f.json("GET", "git/commits/"+shaA, obj{"sha": shaA, "tree": obj{"sha": id("1")}})
	f.json("GET", "git/trees/"+id("1"), obj{"tree": []obj{}, "truncated": true})
	_, err = f.client().Files(bg, shaA)
	wantErr(t, err, nil, "more entries than GitHub lists")
}

func TestDiff(t *testing.T) {
	f := newFake(t)
	f.commits(shaB, blob("new", "1"), blob("changed", "2"), blob("moved-to", "3"), blob("copy", "4"),
		blob("swap-1", "5"), blob("swap-2", "6"), blob("mode", "7"),
		obj{"path": "link", "mode": "120000", "type": "blob", "sha": id("8")}, obj{"path": "now-link", "mode": "120000", "type": "blob", "sha": id("8")},
		blob("untouched", "9"))
	file := func(name, status string, previous ...string) obj {
		o := obj{"filename": name, "status": status, "sha": id("0")}
		if len(previous) > 0 {
			o["previous_filename"] = previous[0]
		}
		return o
	}
	f.on("GET", "compare/"+shaA+"..."+shaB, answers(200, obj{"merge_base_commit": obj{"sha": shaC}, "files": []obj{
		file("new", "added"), file("changed", "modified"), file("gone", "removed"), file("moved-to", "renamed", "moved-from"),
		file("copy", "copied", "untouched"), file("swap-1", "renamed", "swap-2"), file("swap-2", "renamed", "swap-1"),
		file("mode", "changed"), file("link", "added"), file("module", "renamed", "old-module"), file("now-link", "changed"),
	}}))
	got, err := f.client().Diff(bg, shaA, shaB)
	ok(t, err)
	want := []forge.File{
		{Path: "changed", Blob: id("2")}, {Path: "copy", Blob: id("4")}, {Path: "gone", Removed: true}, {Path: "mode", Blob: id("7")},
		{Path: "moved-from", Removed: true}, {Path: "moved-to", Blob: id("3")}, {Path: "new", Blob: id("1")}, {Path: "now-link", Removed: true},
		{Path: "old-module", Removed: true}, {Path: "swap-1", Blob: id("5")}, {Path: "swap-2", Blob: id("6")},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	f.on("GET", "compare/"+shaA+"..."+shaA, answers(200, obj{"merge_base_commit": obj{"sha": shaA}, "files": []obj{}}))
	got, err = f.client().Diff(bg, shaA, shaA)
	if ok(t, err); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestDiffOfManyFiles(t *testing.T) {
	f := newFake(t)
	var files, old, now []obj
	for i := range 301 {
		path := fmt.Sprintf("recipes/%03d.yaml", i)
		now = append(now, blob(path, "2"))
		if i < comparedFiles { // the last one is what GitHub does not show
			files = append(files, obj{"filename": path, "status": "added"})
		}
	}
	old = append(old, blob("recipes/000.yaml", "1"), blob("gone", "3"), blob("same", "4"))
	now = append(now, blob("same", "4"))
	f.commits(shaB, now...)
	f.commits(shaC, old...)
	f.on("GET", "compare/"+shaA+"..."+shaB, answers(200, obj{"merge_base_commit": obj{"sha": shaC}, "files": files}))
	got, err := f.client().Diff(bg, shaA, shaB)
	ok(t, err)
	if len(got) != 302 || got[0] != (forge.File{Path: "gone", Removed: true}) || got[301] != (forge.File{Path: "recipes/300.yaml", Blob: id("2")}) {
		t.Errorf("%d files: %+v … %+v", len(got), got[0], got[len(got)-1])
	}
}

func TestRead(t *testing.T) {
	text := strings.Repeat("merge_method: dppa\n", 20)
	coded := base64.StdEncoding.EncodeToString([]byte(text))
	f := newFake(t)
	f.json("GET", "git/blobs/"+id("1"), obj{"encoding": "base64", "size": len(text), "content": coded[:60] + "\n" + coded[60:] + "\n"})
	f.json("GET", "git/blobs/"+id("2"), obj{"encoding": "utf-8", "size": len(text), "content": text})
	f.json("GET", "git/blobs/"+id("3"), obj{"encoding": "base64", "size": 0, "content": ""})
	f.json("GET", "git/blobs/"+id("4"), obj{"encoding": "base64", "size": forge.MaxFile + 1, "content": ""})
	f.json("GET", "git/blobs/"+id("5"), obj{"encoding": "utf-8", "size": 1, "content": strings.Repeat("x", forge.MaxFile+1)})
	f.json("GET", "git/blobs/"+id("6"), obj{"encoding": "rot13", "size": 1, "content": "x"})
	f.json("GET", "git/blobs/"+id("7"), obj{"encoding": "base64", "size": 1, "content": "%"})
	f.fails("GET", "git/blobs/"+id("8"), 404)
	f.on("GET", "git/blobs/"+id("9"), func(w http.ResponseWriter, _ *http.Request) {
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range maxAnswer>>20 + 1 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	c := f.client()
	for _, letter := range []string{"1", "2"} {
		got, err := c.Read(bg, id(letter))
		if ok(t, err); string(got) != text {
			t.Errorf("%s: %q", letter, got)
		}
	}
	got, err := c.Read(bg, id("3"))
	if ok(t, err); len(got) != 0 {
		t.Errorf("%q", got)
	}
	for letter, target := range map[string]error{"4": forge.ErrTooLarge, "5": forge.ErrTooLarge, "6": nil, "7": nil, "8": forge.ErrNotFound, "9": forge.ErrTooLarge} {
		_, err := c.Read(bg, id(letter))
		wantErr(t, err, target, "read blob")
	}
	if n := f.count("GET " + repoPath + "/git/blobs/" + id("9")); n != 1 {
		t.Errorf("what is too large was asked for %d times", n)
	}
	_, err = c.Read(bg, "HEAD:recipes/x.yaml")
	wantErr(t, err, forge.ErrNotFound)
}
