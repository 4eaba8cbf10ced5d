package gitrepo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mergebot/bot/forge"
)

// A process of its own, which tests kill: it opens the mirror in MERGEBOT_TEST_DIR and looks, over and over or until
// the stage at which it is to stop, like a kill, without any tidying up.
func TestMain(m *testing.M) {
	dir := os.Getenv("MERGEBOT_TEST_DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	r, err := Open(context.Background(), Options{URL: os.Getenv("MERGEBOT_TEST_URL"), Dir: dir, Password: password})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	stop := os.Getenv("MERGEBOT_TEST_STAGE")
	r.stage = func(s string) {
		if s == stop {
			if me, err := os.FindProcess(os.Getpid()); err == nil {
				me.Kill()
			}
			select {}
		}
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() { // a line asks, a line answers
		open, err := r.Open(context.Background())
		fmt.Println(len(open), err)
	}
	os.Exit(0)
}

type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startChild(t *testing.T, url, dir, stage string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), "MERGEBOT_TEST_URL="+url, "MERGEBOT_TEST_DIR="+dir, "MERGEBOT_TEST_STAGE="+stage)
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.in.Close(); c.cmd.Process.Kill(); c.cmd.Wait() })
	return c
}

// ask is "" when the process ended without an answer.
func (c *child) ask() string {
	fmt.Fprintln(c.in, "look")
	if !c.out.Scan() {
		return ""
	}
	return c.out.Text()
}

// A kill at each stage of a fetch, by pack from a server and by copy from a folder: the next process goes on.
func TestKilled(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	for _, url := range []string{o.bare, serveHTTP(t, o, nil)} {
		dir := t.TempDir()
		n := 0
		for _, stage := range []string{"listed", "fetched", "written", "packed", "listed", "fetched", "written"} {
			n++
			o.branch(fmt.Sprintf("b%d-%d", len(url), n), map[string]string{fmt.Sprintf("recipes/%d.yaml", n): "x: 1\n"})
			c := startChild(t, url, dir, stage)
			want := len(strings.Fields(o.at("for-each-ref", "--format=%(refname)", "refs/heads/"))) - 1
			if got := c.ask(); (stage == "packed") != (got == fmt.Sprint(want, " <nil>")) || stage != "packed" && got != "" {
				t.Fatalf("killed at %s: %q", stage, got)
			}
			c.in.Close()
			c.cmd.Wait()
			// What a kill inside the writing of files leaves.
			for _, name := range []string{"tmp_packed-refs_1", "objects/pack/tmp_pack_2", "incoming/objects/pack/pack-" + strings.Repeat("1", 40) + ".pack"} {
				os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700)
				if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := openAt(t, Options{URL: url, Dir: dir, Password: password})
			open, err := r.Open(t.Context())
			if err != nil || len(open) != want {
				t.Fatalf("after a kill at %s: %d changes, %v; want %d", stage, len(open), err, want)
			}
			for _, c := range open {
				if _, err := r.Files(t.Context(), c.Head); err != nil {
					t.Fatal(err)
				}
			}
			left, _ := filepath.Glob(filepath.Join(dir, "*", "pack", "tmp_*"))
			if more, _ := filepath.Glob(filepath.Join(dir, "tmp_*")); len(left)+len(more) > 0 {
				t.Errorf("left behind: %s %s", left, more)
			}
			o.run(dir, "fsck", "--strict")
		}
	}
}

// A kill when half of a pack has come.
func TestKilledInsideAPack(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	o.branch("a", map[string]string{"recipes/x.yaml": "x: 1\n"})
	half := make(chan struct{})
	var once sync.Once
	url := serveHTTP(t, o, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			first := false
			if req.Method == http.MethodPost {
				once.Do(func() { first = true })
			}
			if !first {
				h.ServeHTTP(w, req)
				return
			}
			h.ServeHTTP(&stalling{ResponseWriter: w, left: 120, reached: half, until: req.Context()}, req)
		})
	})
	dir := t.TempDir()
	c := startChild(t, url, dir, "")
	fmt.Fprintln(c.in, "look")
	<-half
	c.cmd.Process.Kill()
	c.cmd.Wait()
	r := openAt(t, Options{URL: url, Dir: dir, Password: password})
	if got := say(t, r, "a"); got != "+a a:open" {
		t.Errorf("after the kill: %q", got)
	}
	o.run(dir, "fsck", "--strict")
}

// stalling passes on some bytes of a body and then nothing, until the reader is gone.
type stalling struct {
	http.ResponseWriter
	left    int
	reached chan struct{}
	until   context.Context
	once    sync.Once
}

func (s *stalling) Write(b []byte) (int, error) {
	n, err := s.ResponseWriter.Write(b[:min(len(b), s.left)])
	s.ResponseWriter.(http.Flusher).Flush()
	if s.left -= n; s.left == 0 {
		s.once.Do(func() { close(s.reached) })
		<-s.until.Done()
		return n, s.until.Err()
	}
	return n, err
}

// A caller whose context ends is answered, though the server is silent.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	reached := make(chan struct{})
	var once sync.Once
	url := serveHTTP(t, o, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Method == http.MethodPost {
				io.Copy(io.Discard, req.Body) // only then does the server hear that the client has hung up
				once.Do(func() { close(reached) })
				<-req.Context().Done()
				return
			}
			h.ServeHTTP(w, req)
		})
	})
	r := openAt(t, Options{URL: url, Password: password})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if _, err := r.Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Two processes and several goroutines on one mirror, while branches come and go.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	dir := t.TempDir()
	r := o.open(dir)
	c := startChild(t, o.bare, dir, "")
	for i := range 12 {
		o.branch(fmt.Sprintf("b%d", i), map[string]string{fmt.Sprintf("recipes/%d.yaml", i): "x: 1\n"})
		var wg sync.WaitGroup
		for range 3 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				open, err := r.Open(t.Context())
				if err != nil || len(open) != i+1 {
					t.Errorf("%d changes, %v; want %d", len(open), err, i+1)
				}
			}()
		}
		if got, want := c.ask(), fmt.Sprint(i+1, " <nil>"); got != want {
			t.Errorf("the other process: %q, want %q", got, want)
		}
		wg.Wait()
	}
	o.run(dir, "fsck", "--strict")
	if packs, _ := (mirror{dir}).packs(); len(packs) != 12 {
		t.Errorf("%d packs for 12 pushes: something was fetched twice", len(packs))
	}
	all := len(strings.Split(o.at("rev-list", "--objects", "--all"), "\n"))
	if got := o.run(dir, "count-objects", "-v"); !strings.Contains(got, fmt.Sprintf("in-pack: %d\n", all)) {
		t.Errorf("the mirror has other than the %d objects once each: %s", all, got)
	}
}

// Whatever is damaged in the mirror, it is made again, and the heads of branches that are gone are still known.
func TestDamage(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	for _, url := range []string{o.bare, serveHTTP(t, o, nil)} {
		gone := o.branch("gone", map[string]string{"recipes/gone.yaml": "g: 1\n"})
		o.branch("stays", map[string]string{"recipes/stays.yaml": "s: 1\n"})
		each := func(dir, pattern string, f func(string) error) {
			t.Helper()
			names, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil || len(names) == 0 {
				t.Fatalf("%s: %v %v", pattern, names, err)
			}
			for _, name := range names {
				os.Chmod(name, 0o600)
				if err := f(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		cut := func(name string) error {
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			return os.Truncate(name, info.Size()/2)
		}
		flip := func(from, to float64) func(string) error {
			return func(name string) error {
				b, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				for i := int(from * float64(len(b))); i < int(to*float64(len(b))); i++ {
					b[i] ^= 0x55
				}
				return os.WriteFile(name, b, 0o600)
			}
		}
		for _, how := range []struct {
			name, pattern string
			do            func(string) error
		}{
			{"pack cut", "objects/pack/*.pack", cut},
			{"pack flipped", "objects/pack/*.pack", flip(0.1, 0.9)},
			{"pack gone", "objects/pack/*.pack", os.Remove},
			{"index cut", "objects/pack/*.idx", cut},
			{"index flipped", "objects/pack/*.idx", flip(0, 1)},
			{"index gone", "objects/pack/*.idx", os.Remove},
			{"objects gone", "objects", os.RemoveAll},
			{"references cut", "packed-refs", cut},
			{"references emptied", "packed-refs", func(n string) error { return os.Truncate(n, 0) }},
			{"references nonsense", "packed-refs", flip(0, 1)},
			{"config gone", "config", os.Remove},
			{"all gone", "*", os.RemoveAll},
		} {
			for _, running := range []bool{true, false} { // damage under a process, and before it starts
				if !running && url != o.bare && how.pattern != "objects/pack/*.pack" { // as from a folder
					continue
				}
				dir := t.TempDir()
				r := openAt(t, Options{URL: url, Dir: dir, Password: password})
				if got := say(t, r); got != "+gone +stays" {
					t.Fatal(got)
				}
				o.git("push", "--quiet", "origin", ":gone")
				if got := say(t, r, "gone"); got != "+stays gone:closed" {
					t.Fatal(got)
				}
				each(dir, how.pattern, how.do)
				if !running {
					r = openAt(t, Options{URL: url, Dir: dir, Password: password})
				}
				got := say(t, r)
				c := mustChange(t, r, "stays")
				files, err := r.Files(t.Context(), c.Head)
				if err != nil {
					t.Fatalf("%s, running %v: %v", how.name, running, err)
				}
				for _, f := range files {
					if _, err := r.Read(t.Context(), f.Blob); err != nil {
						t.Fatalf("%s, running %v: %v", how.name, running, err)
					}
				}
				if got != "+stays" || paths(files) != "README.md recipes/a.yaml recipes/stays.yaml" {
					t.Errorf("%s, running %v: %q, %s", how.name, running, got, paths(files))
				}
				if !strings.HasPrefix(how.name, "ref") && how.name != "all gone" {
					if c := mustChange(t, r, "gone"); c.State != forge.Closed || c.Head != gone {
						t.Errorf("%s, running %v: what was gone: %+v", how.name, running, c)
					}
				}
				o.push("gone")
			}
		}
		o.git("push", "--quiet", "origin", ":gone", ":stays")
	}
}

// Many small packs become one, under the eyes of another reader.
func TestRepack(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	dir := t.TempDir()
	r, other := o.open(dir), o.open(dir)
	first := o.branch("first", map[string]string{"recipes/first.yaml": "x: 1\n"})
	say(t, r)
	say(t, other)
	o.git("push", "--quiet", "origin", ":first")
	for i := range maxPacks + 3 {
		o.commit("more", map[string]string{"recipes/a.yaml": fmt.Sprintf("a: %d\n", i)})
		o.push("main")
		if mustHead(t, r) != o.git("rev-parse", "HEAD") {
			t.Fatal("another head")
		}
	}
	packs, err := mirror{dir}.packs()
	if err != nil || len(packs) > 5 {
		t.Errorf("%d packs, %v", len(packs), err)
	}
	for _, who := range []*Repo{r, other} {
		if files, err := who.Files(t.Context(), first); err != nil || len(files) != 3 {
			t.Errorf("files of a head that is gone: %v, %v", files, err)
		}
		if got := say(t, who, "first"); got != "first:closed" {
			t.Error(got)
		}
	}
	if who, at := other.remade, r.remade; !who.IsZero() || !at.IsZero() {
		t.Error("the mirror was made again")
	}
	o.run(dir, "fsck", "--strict")
}

// Callers at once share a fetch, but never one that began before they came.
func TestShared(t *testing.T) {
	t.Parallel()
	began, let := make(chan int, 10), make(chan struct{})
	n := 0
	fs := flights{fetch: func(ctx context.Context) error {
		n++
		began <- n
		select {
		case <-let:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	join := func(ctx context.Context) chan error {
		done := make(chan error, 1)
		fs.mu.Lock()
		before := 0
		if fs.next != nil {
			before = fs.next.waiting
		}
		fs.mu.Unlock()
		go func() { done <- fs.refresh(ctx) }()
		for { // until it waits: no signal says so
			fs.mu.Lock()
			waits := fs.next != nil && fs.next.waiting > before || len(began) > 0
			fs.mu.Unlock()
			if waits {
				return done
			}
			time.Sleep(time.Millisecond)
		}
	}
	first := join(t.Context())
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	leaves := join(ctx)
	var second []chan error
	for range 5 {
		second = append(second, join(t.Context()))
	}
	cancel()
	if err := <-leaves; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(let)
	if err := <-first; err != nil {
		t.Error(err)
	}
	for _, s := range second {
		if err := <-s; err != nil {
			t.Error(err)
		}
	}
	if n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
}
