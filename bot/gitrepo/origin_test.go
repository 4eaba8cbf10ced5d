package gitrepo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mergebot/bot/forge"
)

// origin is a bare repository that real git writes to, through a checkout.
type origin struct {
	t    testing.TB
	bare string
	work string
	tick int // so that every commit has a time of its own
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	dir := t.TempDir()
	o := &origin{t: t, bare: filepath.Join(dir, "recipes.git"), work: filepath.Join(dir, "work")}
	o.run(dir, "init", "--quiet", "--bare", "--initial-branch=main", o.bare)
	o.run(dir, "init", "--quiet", "--initial-branch=main", o.work)
	o.git("remote", "add", "origin", o.bare)
	return o
}

// seeded has one commit on main.
func seeded(t *testing.T) *origin {
	o := newOrigin(t)
	o.commit("first", map[string]string{"README.md": "recipes\n", "recipes/a.yaml": "a: 1\n"})
	o.push("main")
	return o
}

func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, gitEnv(0)
	return cmd
}

func gitEnv(tick int) []string {
	when := fmt.Sprintf("%d +0000", 1_700_000_000+60*tick)
	return append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Bob", "GIT_COMMITTER_EMAIL=bob@example.org",
		"GIT_AUTHOR_DATE="+when, "GIT_COMMITTER_DATE="+when)
}

func (o *origin) run(dir string, args ...string) string { return o.feed(nil, dir, args...) }

func (o *origin) feed(in []byte, dir string, args ...string) string {
	o.t.Helper()
	o.tick++
	cmd := command(dir, args...)
	cmd.Env, cmd.Stdin = gitEnv(o.tick), bytes.NewReader(in)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		o.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimRight(string(out), "\n")
}

func (o *origin) git(args ...string) string { o.t.Helper(); return o.run(o.work, args...) }

// at asks the bare repository.
func (o *origin) at(args ...string) string { o.t.Helper(); return o.run(o.bare, args...) }

// commit writes files, an empty text removes one, and commits them.
func (o *origin) commit(title string, files map[string]string) string {
	o.t.Helper()
	for name, text := range files {
		path := filepath.Join(o.work, name)
		if text == "" {
			if err := os.Remove(path); err != nil {
				o.t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			o.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			o.t.Fatal(err)
		}
	}
	o.git("add", "-A")
	o.git("commit", "--quiet", "--allow-empty", "-m", title)
	return o.git("rev-parse", "HEAD")
}

func (o *origin) push(branches ...string) {
	o.t.Helper()
	o.git(append([]string{"push", "--quiet", "--force", "origin"}, branches...)...)
}

// branch makes one from main with one commit, and pushes it.
func (o *origin) branch(name string, files map[string]string) string {
	o.t.Helper()
	o.git("checkout", "--quiet", "-B", name, "main")
	head := o.commit("work on "+name, files)
	o.push(name)
	o.git("checkout", "--quiet", "main")
	return head
}

func (o *origin) open(dir string) *Repo { return openAt(o.t, Options{URL: o.bare, Dir: dir}) }

func openAt(t testing.TB, o Options) *Repo {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	r, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// say is what Open and Change tell, in short: "name state head merge".
func say(t *testing.T, r *Repo, branches ...string) string {
	t.Helper()
	open, err := r.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range open {
		out = append(out, "+"+c.ID)
	}
	for _, b := range branches {
		c, err := r.Change(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s:%s", b, c.State))
	}
	return strings.Join(out, " ")
}

func mustChange(t *testing.T, r *Repo, id string) forge.Change {
	t.Helper()
	c, err := r.Change(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustHead(t *testing.T, r *Repo) string {
	t.Helper()
	h, _, err := r.Head(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return h.SHA
}

func paths(files []forge.File) string {
	var out []string
	for _, f := range files {
		if f.Removed {
			out = append(out, "-"+f.Path)
		} else {
			out = append(out, f.Path)
		}
	}
	return strings.Join(out, " ")
}
