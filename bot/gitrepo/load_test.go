package gitrepo

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkLarge has 20,000 files on main, 300 commits there, and 2,000 branches with a recipe each:
//
//	go test -run '^$' -bench Large -benchtime 1x ./bot/gitrepo
//
// first is the first fetch with the list of changes; idle one more with nothing new; push one after a push to a branch,
// merge one after a merge to main; files and diff are of one change. http is by git's own server program on loopback.
func BenchmarkLarge(b *testing.B) {
	for _, by := range []string{"folder", "http"} {
		b.Run(by, func(b *testing.B) { benchmarkLarge(b, by) })
	}
}

func benchmarkLarge(b *testing.B, by string) {
	const files, branches, commits = 20_000, 2_000, 300
	o := newOrigin(b)
	var s strings.Builder
	mark, clock := 1, 1_700_000_000
	head := func(branch string) {
		clock += 60
		fmt.Fprintf(&s, "commit refs/heads/%s\nmark :%d\ncommitter Bob <bob@example.org> %d +0000\ndata 5\nwords\n", branch, mark, clock)
		mark++
	}
	head("main")
	for i := range files {
		text := fmt.Sprintf("recipe: %d\n%s", i, strings.Repeat("some: words\n", 20))
		fmt.Fprintf(&s, "M 100644 inline recipes/d%03d/%d.yaml\ndata %d\n%s\n", i/200, i, len(text), text)
	}
	for i := range commits {
		head("main")
		fmt.Fprintf(&s, "M 100644 inline recipes/d000/%d.yaml\ndata 4\n%04d\n", i%200, i)
	}
	for i := range branches {
		head(fmt.Sprintf("b%d", i))
		fmt.Fprintf(&s, "from :%d\nM 100644 inline recipes/new/%d.yaml\ndata 5\n%05d\n", 1+commits*i/branches, i, i)
	}
	o.feed([]byte(s.String()), o.bare, "fast-import", "--quiet", "--force")
	options := Options{URL: o.bare}
	if by == "http" {
		options = Options{URL: serveHTTP(b, o, nil), Password: password}
	}
	timed := func(name string, f func()) {
		runtime.GC()
		begin := b.Elapsed()
		f()
		b.ReportMetric((b.Elapsed()-begin).Seconds()*1e3, name+"-ms")
	}
	for b.Loop() {
		options.Dir = b.TempDir()
		r := openAt(b, options)
		want := branches
		open := func() {
			got, err := r.Open(b.Context())
			if err != nil || len(got) != want {
				b.Fatalf("%d changes, %v; want %d", len(got), err, want)
			}
		}
		timed("first", open)
		timed("idle", open)
		o.at("update-ref", "refs/heads/b7", o.at("commit-tree", "b7^{tree}", "-p", "b7", "-m", "more"))
		timed("push", open)
		o.at("update-ref", "refs/heads/main", o.at("commit-tree", "b7^{tree}", "-p", "main", "-p", "b7", "-m", "merge"))
		want--
		timed("merge", open)
		c, err := r.Change(b.Context(), "b9")
		if err != nil {
			b.Fatal(err)
		}
		timed("files", func() {
			if f, err := r.Files(b.Context(), c.Head); err != nil || len(f) != files+1 {
				b.Fatalf("%d files, %v", len(f), err)
			}
		})
		timed("diff", func() {
			if f, err := r.Diff(b.Context(), c.Base, c.Head); err != nil || len(f) != 1 {
				b.Fatalf("%d files, %v", len(f), err)
			}
		})
		again := openAt(b, options)
		timed("restart", func() {
			if got, err := again.Open(b.Context()); err != nil || len(got) != want {
				b.Fatalf("%d changes, %v", len(got), err)
			}
		})
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc>>20)/2, "heap-MiB")
		runtime.KeepAlive(r)
		runtime.KeepAlive(again)
	}
}
