package gitrepo

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"mergebot/bot/forge"
)

// raw writes an object as it is, and returns its id.
func (o *origin) raw(kind string, content []byte) string {
	o.t.Helper()
	return o.feed(content, o.bare, "hash-object", "-w", "--literally", "-t", kind, "--stdin")
}

func treeEntry(mode, name, sha string) []byte {
	h, _ := hex.DecodeString(sha)
	return append([]byte(mode+" "+name+"\x00"), h...)
}

// commitTree makes a branch of a tree, upon main.
func (o *origin) commitTree(branch, tree string) string {
	o.t.Helper()
	c := o.at("commit-tree", tree, "-p", "main", "-m", "hostile")
	o.at("update-ref", "refs/heads/"+branch, c)
	return c
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	blob := o.raw("blob", []byte("x: 1\n"))
	inner := o.raw("tree", treeEntry("100644", "a.yaml", blob))
	var tree []byte
	for _, name := range []string{"..", ".", ".git", ".GIT", ".Git", "a\\b", "a\nb", "a\x1b[31mb", "a\x7fb", "bad\xffutf8", "a\u202eb", "a/b", ""} {
		tree = append(tree, treeEntry("100644", name, blob)...)
		tree = append(tree, treeEntry("40000", name, inner)...)
	}
	tree = append(tree, treeEntry("40000", "fine", inner)...)
	tree = append(tree, treeEntry("100644", "twice.yaml", blob)...)
	tree = append(tree, treeEntry("100644", "twice.yaml", o.raw("blob", []byte("y: 1\n")))...)
	tree = append(tree, treeEntry("120000", "link.yaml", blob)...)
	tree = append(tree, treeEntry("160000", "module", strings.Repeat("1", 40))...)
	tree = append(tree, treeEntry("100664", "old mode.yaml", blob)...)
	tree = append(tree, treeEntry("100600", "odd mode.yaml", blob)...)
	tree = append(tree, treeEntry("100644", ".gitmodules", blob)...)
	head := o.commitTree("names", o.raw("tree", tree))
	deep := o.raw("tree", treeEntry("100644", "bottom.yaml", blob))
	for range 200 {
		deep = o.raw("tree", append(treeEntry("100644", "a.yaml", blob), treeEntry("40000", "d", deep)...))
	}
	deepHead := o.commitTree("deep", deep)
	bomb := o.raw("tree", treeEntry("100644", "a.yaml", blob))
	for range 10 { // 10^10 files in eleven objects
		var t []byte
		for i := range 10 {
			t = append(t, treeEntry("40000", fmt.Sprint("d", i), bomb)...)
		}
		bomb = o.raw("tree", t)
	}
	bombHead := o.commitTree("bomb", bomb)
	cutHead := o.commitTree("cut", o.raw("tree", append(treeEntry("100644", "a.yaml", blob), "100644 b"...)))

	r := o.open("")
	if got := say(t, r); got != "+bomb +cut +deep +names" { // one branch's trouble is not the others'
		t.Fatalf("%q", got)
	}
	if _, err := r.Files(t.Context(), cutHead); !errors.Is(err, errMalformed) {
		t.Errorf("a directory that is cut short: %v", err)
	}
	files, err := r.Files(t.Context(), head)
	if want := ".gitmodules fine/a.yaml odd mode.yaml old mode.yaml twice.yaml"; err != nil || paths(files) != want {
		t.Errorf("files: %q, %v; want %q", paths(files), err, want)
	}
	diff, err := r.Diff(t.Context(), mustHead(t, r), head)
	if want := ".gitmodules -README.md fine/a.yaml odd mode.yaml old mode.yaml -recipes/a.yaml twice.yaml"; err != nil || paths(diff) != want {
		t.Errorf("difference: %q, %v", paths(diff), err)
	}
	files, err = r.Files(t.Context(), deepHead)
	if err != nil || len(files) != maxDepth+1 {
		t.Errorf("%d files in deep folders, %v", len(files), err)
	}
	if _, err := r.Files(t.Context(), bombHead); err == nil || !strings.Contains(err.Error(), "more files") {
		t.Errorf("a bomb: %v", err)
	}
}

func TestHostileText(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	tree := o.at("rev-parse", "main^{tree}")
	commit := func(branch, author, message string) {
		c := o.raw("commit", []byte("tree "+tree+"\nparent "+o.at("rev-parse", "main")+"\nauthor "+author+"\ncommitter "+author+"\n\n"+message))
		o.at("update-ref", "refs/heads/"+branch, c)
	}
	commit("control", "\x1b[31mEve\u202e <eve@example.org> 1700000000 +0000", "\n\n  \x1b]0;title\x07 words \u202e back\nmore")
	commit("long", strings.Repeat("é", 5000)+" <e> 1700000000 +0000", strings.Repeat("é", 500_000))
	commit("late", "Eve <e> 99999999999999999 +0000", "late")
	commit("early", "Eve <e> -62135596801 +0000", "early")
	commit("nobody", " <> 1700000000 +0000", "\xff\xfe")
	commit("nothing", "", "")
	commit("we\u2066ird/$(x);`y`/<b>&name", "Eve <e> 1700000000 +0000", "a name")
	r := o.open("")
	open, err := r.Open(t.Context())
	if err != nil || len(open) != 7 {
		t.Fatalf("%d changes, %v", len(open), err)
	}
	for _, c := range open {
		if _, err := json.Marshal(c); err != nil {
			t.Errorf("%s: %v", c.ID, err)
		}
		if strings.ContainsFunc(c.Title+c.Author, func(r rune) bool { return r < ' ' || turns(r) }) || len([]rune(c.Title)) > 200 || len([]rune(c.Author)) > 100 {
			t.Errorf("%s: %q by %q", c.ID, c.Title, c.Author)
		}
	}
	if c := mustChange(t, r, "control"); c.Title != "]0;title  words   back" || c.Author != "[31mEve" {
		t.Errorf("%q by %q", c.Title, c.Author)
	}
	var huge = "tree " + tree + "\nauthor E <e> 1 +0000\ncommitter E <e> 1 +0000\n\n" + strings.Repeat("x", maxCommit)
	o.at("update-ref", "refs/heads/huge", o.raw("commit", []byte(huge)))
	bad := o.raw("commit", []byte("tree nothing\n"))
	if err := os.WriteFile(filepath.Join(o.bare, "refs/heads/malformed"), []byte(bad+"\n"), 0o644); err != nil { // git refuses to
		t.Fatal(err)
	}
	if open, err := r.Open(t.Context()); err != nil || len(open) != 7 {
		t.Errorf("with a commit of a megabyte, and a malformed one: %d changes, %v", len(open), err)
	}
}

// Files of hundreds of megabytes are neither copied nor held, whatever they inflate from.
func TestLargeFiles(t *testing.T) { // not parallel: it measures memory
	o := seeded(t)
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 300<<20); err != nil {
		t.Fatal(err)
	}
	loose := o.at("-c", "core.compression=1", "hash-object", "-w", large)
	tree := o.raw("tree", append(treeEntry("100644", "a.yaml", o.raw("blob", []byte("x: 1\n"))), treeEntry("100644", "large.bin", loose)...))
	head := o.commitTree("large", tree)
	dir := t.TempDir()
	for _, packed := range []bool{false, true} {
		if packed {
			o.at("repack", "-adq")
			dir = t.TempDir()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := o.open(dir)
		if got := say(t, r); got != "+large" {
			t.Fatal(got)
		}
		files, err := r.Files(t.Context(), head)
		if err != nil || paths(files) != "a.yaml large.bin" {
			t.Fatalf("%s, %v", paths(files), err)
		}
		if _, err := r.Read(t.Context(), files[1].Blob); !errors.Is(err, forge.ErrTooLarge) {
			t.Errorf("a large file: %v", err)
		}
		runtime.ReadMemStats(&after)
		if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 50 {
			t.Errorf("packed %v: %d MiB were allocated", packed, used)
		}
		size := int64(0)
		filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
			return nil
		})
		if size > 100<<10 {
			t.Errorf("packed %v: the mirror has %d bytes", packed, size)
		}
	}
	// From a server that cannot leave it out, it is refused, with the remedy, and nothing is held.
	r := openAt(t, Options{URL: serveHTTP(t, o, nil), Password: password})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := r.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "300 MiB") || !strings.Contains(err.Error(), "uploadpack.allowFilter=true") {
		t.Errorf("a large file from a server: %v", err)
	}
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 50 {
		t.Errorf("%d MiB were allocated", used)
	}
	o.at("config", "uploadpack.allowFilter", "true")
	if got := say(t, r); got != "+large" {
		t.Errorf("after the remedy: %q", got)
	}
}

// packOf is a pack with one object whose header claims what it likes.
func packOf(kind plumbing.ObjectType, claim int, content []byte, count uint32) []byte {
	var out bytes.Buffer
	out.WriteString("PACK")
	binary.Write(&out, binary.BigEndian, []uint32{2, count})
	out.Write(objectHeader(kind, claim))
	if kind == plumbing.REFDeltaObject {
		out.Write(make([]byte, 20))
	}
	z := zlib.NewWriter(&out)
	z.Write(content)
	z.Close()
	sum := sha1.Sum(out.Bytes())
	out.Write(sum[:])
	return out.Bytes()
}

func TestHostilePacks(t *testing.T) {
	t.Parallel()
	for name, pack := range map[string][]byte{
		"empty":            nil,
		"no pack":          []byte("<html>"),
		"many objects":     packOf(plumbing.BlobObject, 1, []byte("x"), 1<<31),
		"more than it has": packOf(plumbing.BlobObject, 1, []byte("x"), 2),
		"a huge claim":     packOf(plumbing.BlobObject, 3<<30, []byte("x"), 1),
		"an overflow":      packOf(plumbing.BlobObject, -1>>1&0x7fffffffffffffff, []byte("x"), 1),
		"a small claim":    packOf(plumbing.BlobObject, 1, bytes.Repeat([]byte("x"), 1<<20), 1),
		"a delta's claim":  packOf(plumbing.REFDeltaObject, 12, append(binary.AppendUvarint([]byte{5}, 1<<40), 0x90, 1, 0, 0, 0), 1),
		"no base":          packOf(plumbing.REFDeltaObject, 4, []byte{1, 1, 0x90, 1}, 1),
		"an empty delta":   packOf(plumbing.REFDeltaObject, 0, nil, 1),
	} {
		_, _, err := decode(t.Context(), bytes.NewReader(pack))
		if claims := strings.HasSuffix(name, " claim") && name != "a small claim"; err == nil || claims && !strings.Contains(err.Error(), "at most 128 MiB") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := decode(ctx, bytes.NewReader(packOf(plumbing.BlobObject, 1, []byte("x"), 1))); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that is done: %v", err)
	}
	// What a pack lacks must be here already: half of a history is not taken.
	m := mirror{t.TempDir()}
	if err := m.prepare("x"); err != nil {
		t.Fatal(err)
	}
	none, err := openObjects(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	missing := plumbing.NewHash(strings.Repeat("1", 40))
	err = m.receive(t.Context(), bytes.NewReader(packOf(plumbing.BlobObject, 1, []byte("x"), 1)), func(o *objects) error {
		_, err := closure(t.Context(), o, []plumbing.Hash{missing}, none.has, false)
		return err
	})
	if packs, _ := m.packs(); !errors.Is(err, errMissing) || len(packs) != 0 {
		t.Errorf("half a history: %v, %d packs", err, len(packs))
	}
}

func FuzzParseRefs(f *testing.F) {
	f.Add([]byte(packedHeader + "\n" + strings.Repeat("1", 40) + " refs/heads/main\n" + strings.Repeat("1", 40) + " refs/mergebot/main/main\n" + strings.Repeat("2", 40) + " refs/mergebot/seen/a/b\n"))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseRefs(b)
		if err != nil {
			return
		}
		again, err := parseRefs(s.bytes())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
			t.Fatalf("%v became %v, %v", s, again, err)
		}
	})
}

func FuzzParseTree(f *testing.F) {
	f.Add(append(treeEntry("100644", "a", strings.Repeat("1", 40)), treeEntry("40000", "b", strings.Repeat("2", 40))...))
	f.Add([]byte("100644 a\x00short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseTree(b)
		if err != nil {
			return
		}
		n := 0
		for _, e := range list {
			n += len(e.name) + 20
		}
		if n > len(b) {
			t.Fatalf("%d bytes of entries in %d", n, len(b))
		}
	})
}

func FuzzParseCommit(f *testing.F) {
	f.Add([]byte("tree " + strings.Repeat("1", 40) + "\nparent " + strings.Repeat("2", 40) + "\nauthor A <a> 1 +0000\ncommitter B <b> 2 +0000\n\ntitle\n\nbody\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCommit(b)
		if err != nil {
			return
		}
		if len([]rune(c.title)) > 200 || strings.ContainsAny(c.title+c.author, "\n\r\x00\x1b") {
			t.Fatalf("%q by %q", c.title, c.author)
		}
		if _, err := json.Marshal(when(c.time)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzPack(f *testing.F) {
	f.Add(packOf(plumbing.BlobObject, 1, []byte("x"), 1))
	f.Add(packOf(plumbing.REFDeltaObject, 4, []byte{1, 1, 0x90, 1}, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		index, _, err := decode(t.Context(), bytes.NewReader(b))
		if err == nil && !index.Finished() {
			t.Fatal("taken without an index")
		}
	})
}

func FuzzAddress(f *testing.F) {
	f.Add("https://me:s3cr3t@example.org/r.git")
	f.Add("git@example.org:r.git")
	f.Add("ssh://a:b@[::1]:22/x")
	f.Fuzz(func(t *testing.T, address string) {
		if _, local := localPath(address); local {
			return
		}
		_, name, err := newRemote(Options{URL: address, Password: "pa55w0rd"})
		if err == nil && strings.Contains(name, "@") && strings.Contains(address, "://") && strings.Index(name, "@") < strings.Index(name[8:], "/")+8 {
			t.Fatalf("%q is shown as %q", address, name)
		}
		if err != nil && strings.Contains(err.Error(), "pa55w0rd") {
			t.Fatal(err)
		}
	})
}
