package gitrepo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mergebot/bot/forge"
)

// A branch from its first push to its end, by every way that a change can end.
func TestWhatBecomesOfBranches(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	dir := t.TempDir()
	r := o.open(dir)
	if got := say(t, r); got != "" {
		t.Fatalf("at first: %q", got)
	}

	heads := map[string]string{}
	for _, b := range []string{"merged", "kept", "squashed", "squashed-kept", "rebased", "dropped", "withdrawn", "moved", "forward", "names/with/slashes"} {
		heads[b] = o.branch(b, map[string]string{"recipes/" + filepath.Base(b) + ".yaml": b + ": 1\n", "notes-" + filepath.Base(b): b})
	}
	want := "+dropped +forward +kept +merged +moved +names/with/slashes +rebased +squashed +squashed-kept +withdrawn"
	if got := say(t, r); got != want {
		t.Fatalf("open: %q, want %q", got, want)
	}
	c := mustChange(t, r, "merged")
	if c.Title != "work on merged" || c.Author != "Ada" || c.Head != heads["merged"] || c.Base != o.git("rev-parse", "main") || c.Target != "main" || c.Fork || c.Updated.IsZero() {
		t.Errorf("the change: %+v", c)
	}

	commits := map[string]string{}
	merge := func(b string, args ...string) {
		o.git(append(append([]string{"merge", "--quiet"}, args...), b)...)
		commits[b] = o.git("rev-parse", "HEAD")
	}
	merge("merged", "--no-ff", "-m", "merge")
	o.git("push", "--quiet", "origin", ":merged")
	merge("kept", "--no-ff", "-m", "merge")
	for _, b := range []string{"squashed", "squashed-kept"} {
		o.git("merge", "--quiet", "--squash", b)
		os.WriteFile(filepath.Join(o.work, "notes-"+b), []byte("as the maintainer would have it"), 0o644)
		commits[b] = o.commit("squash "+b, nil)
	}
	o.git("push", "--quiet", "origin", ":squashed")
	o.git("checkout", "--quiet", "rebased")
	o.git("rebase", "--quiet", "main")
	o.push("rebased")
	o.git("checkout", "--quiet", "main")
	merge("rebased", "--ff-only")
	o.git("push", "--quiet", "origin", ":dropped")
	o.git("push", "--quiet", "--force", "origin", "main:withdrawn")
	o.git("checkout", "--quiet", "moved") // and merged before anybody looks
	heads["moved"] = o.commit("another thought", map[string]string{"recipes/moved.yaml": "moved: 2\n"})
	o.push("moved")
	o.git("checkout", "--quiet", "main")
	merge("moved", "--no-ff", "-m", "merge")
	o.commit("afterwards", map[string]string{"README.md": "more\n"})
	o.git("checkout", "--quiet", "-B", "forward2", "main")
	heads["forward2"] = o.commit("ahead", map[string]string{"recipes/f.yaml": "f: 1\n"})
	o.push("main", "forward2")

	for _, who := range []*Repo{r, nil} { // the one that saw it all, and one that was started since
		if who == nil {
			who = o.open(dir)
		}
		if got, want := say(t, who), "+forward +forward2 +names/with/slashes"; got != want {
			t.Fatalf("open: %q, want %q", got, want)
		}
		for b, want := range commits {
			c := mustChange(t, who, b)
			if c.State != forge.Merged || c.MergeCommit != want || b != "rebased" && c.Head != heads[b] {
				t.Errorf("%s: %s by %s with head %s; want merged by %s with head %s", b, c.State, c.MergeCommit, c.Head, want, heads[b])
			}
		}
		for _, b := range []string{"dropped", "withdrawn"} {
			if c := mustChange(t, who, b); c.State != forge.Closed || c.Head != heads[b] || c.Title != "work on "+b || c.MergeCommit != "" {
				t.Errorf("%s: %+v", b, c)
			}
		}
		for _, b := range []string{"main", "nobody", "../../etc/passwd", ""} {
			if _, err := who.Change(t.Context(), b); !errors.Is(err, forge.ErrNotFound) {
				t.Errorf("change %q: %v", b, err)
			}
		}
	}

	o.git("checkout", "--quiet", "main")
	merge("forward2", "--ff-only")
	o.push("main")
	if got := say(t, r, "forward2"); got != "+forward +names/with/slashes forward2:merged" {
		t.Errorf("after a fast-forward: %q", got)
	}
	o.git("push", "--quiet", "origin", ":names/with/slashes")
	o.git("branch", "--quiet", "-D", "names/with/slashes")
	again := o.branch("names", map[string]string{"recipes/n.yaml": "n: 1\n"}) // a name that was a folder
	o.branch("dropped", map[string]string{"recipes/dropped.yaml": "again: 1\n"})
	if got := say(t, r, "names/with/slashes", "dropped"); got != "+dropped +forward +names names/with/slashes:closed dropped:open" {
		t.Errorf("names that come again: %q", got)
	}
	if c := mustChange(t, r, "names"); c.Head != again {
		t.Errorf("names: %+v", c)
	}
	o.at("fsck", "--strict")
	o.run(dir, "fsck")
	o.run(dir, "gc", "--quiet", "--prune=now") // the mirror is a repository: git may tidy it up
	if got := say(t, o.open(dir), "names/with/slashes"); got != "+dropped +forward +names names/with/slashes:closed" {
		t.Errorf("after git gc: %q", got)
	}
}

func TestForcePushes(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	r := o.open("")
	o.branch("a", map[string]string{"recipes/x.yaml": "x: 1\n"})
	first := mustChange(t, openSaid(t, r), "a")
	o.git("checkout", "--quiet", "a")
	o.git("commit", "--quiet", "--amend", "-m", "better words")
	o.push("a")
	second := mustChange(t, openSaid(t, r), "a")
	if second.State != forge.Open || second.Head == first.Head || second.Title != "better words" {
		t.Errorf("after a force push: %+v", second)
	}
	if files, err := r.Files(t.Context(), first.Head); err != nil || !strings.Contains(paths(files), "recipes/x.yaml") {
		t.Errorf("the old head: %s, %v", paths(files), err)
	}
	// The default branch is rewritten: what was merged no longer is.
	o.git("checkout", "--quiet", "main")
	o.git("merge", "--quiet", "--no-ff", "-m", "merge", "a")
	o.push("main")
	if got := say(t, r, "a"); got != "a:merged" {
		t.Fatalf("merged: %q", got)
	}
	o.git("reset", "--quiet", "--hard", "HEAD~1")
	o.git("commit", "--quiet", "--amend", "-m", "first, rewritten")
	o.push("main")
	if got := say(t, r, "a"); got != "+a a:open" {
		t.Errorf("after the merge was taken back: %q", got)
	}
	// It now has nothing in common with main.
	files, err := r.Diff(t.Context(), mustHead(t, r), second.Head)
	if err != nil || paths(files) != "README.md recipes/a.yaml recipes/x.yaml" {
		t.Errorf("without a merge base: %s, %v", paths(files), err)
	}
}

// What looks like a squash and is none, and the other way round.
func TestSquashes(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	r := o.open("")
	o.branch("two", map[string]string{"recipes/x.yaml": "x: 1\n", "recipes/y.yaml": "y: 1\n"})
	o.commit("half", map[string]string{"recipes/x.yaml": "x: 1\n"})
	o.push("main")
	if got := say(t, r, "two"); got != "+two two:open" {
		t.Errorf("one of two recipes: %q", got)
	}
	o.commit("the half taken back", map[string]string{"recipes/x.yaml": ""})
	o.commit("the other half", map[string]string{"recipes/y.yaml": "y: 1\n"})
	o.push("main")
	if got := say(t, r, "two"); got != "+two two:open" {
		t.Errorf("both recipes, never at once: %q", got)
	}
	squash := o.commit("both", map[string]string{"recipes/x.yaml": "x: 1\n", "README.md": "and more\n"})
	o.commit("later", map[string]string{"recipes/x.yaml": "x: 2\n"})
	o.push("main")
	if got := mustChange(t, openSaid(t, r), "two"); got.State != forge.Merged || got.MergeCommit != squash {
		t.Errorf("both at once: %+v, want %s", got, squash)
	}

	// The first of a branch's commits is merged, and undone; then the second is squashed.
	o.git("checkout", "--quiet", "-b", "steps", "main")
	o.commit("first step", map[string]string{"recipes/p.yaml": "p: 1\n"})
	o.commit("second step", map[string]string{"recipes/q.yaml": "q: 1\n"})
	o.push("steps")
	if got := say(t, r, "steps"); got != "+steps steps:open" {
		t.Errorf("two steps: %q", got)
	}
	o.git("checkout", "--quiet", "main")
	o.git("merge", "--quiet", "--no-ff", "-m", "merge", "steps~1")
	o.commit("undone", map[string]string{"recipes/p.yaml": ""})
	o.push("main")
	if got := say(t, r, "steps"); got != "+steps steps:open" {
		t.Errorf("one step: %q", got)
	}
	squash = o.commit("the second", map[string]string{"recipes/q.yaml": "q: 1\n"})
	o.push("main")
	if got := mustChange(t, openSaid(t, r), "steps"); got.State != forge.Merged || got.MergeCommit != squash {
		t.Errorf("both steps: %+v, want %s", got, squash)
	}

	// A merge that is taken back by a reset, and main goes on elsewhere.
	o.branch("back", map[string]string{"recipes/z.yaml": "z: 1\n"})
	o.git("merge", "--quiet", "--no-ff", "-m", "merge", "back")
	o.push("main")
	if got := say(t, r, "back"); got != "back:merged" {
		t.Errorf("merged: %q", got)
	}
	o.git("reset", "--quiet", "--hard", "HEAD~1")
	o.commit("elsewhere", map[string]string{"README.md": "elsewhere\n"})
	o.push("main")
	if got := say(t, r, "back"); got != "+back back:open" {
		t.Errorf("taken back: %q", got)
	}
}

func openSaid(t *testing.T, r *Repo) *Repo { say(t, r); return r }

func TestDefaultBranch(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	r := o.open("")
	if _, _, err := r.Head(t.Context()); !errors.Is(err, forge.ErrNotFound) || !strings.Contains(err.Error(), "is empty: push") {
		t.Fatalf("an empty repository: %v", err)
	}
	if _, err := r.Change(t.Context(), "x"); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("a change of an empty repository: %v", err)
	}
	o.commit("first", map[string]string{"recipes/a.yaml": "a: 1\n"})
	o.push("main:work")
	if _, _, err := r.Head(t.Context()); !errors.Is(err, forge.ErrNotFound) || !strings.Contains(err.Error(), `has no branch "main"`) {
		t.Errorf("a HEAD that is not there: %v", err)
	}
	o.push("main")
	if got := say(t, r, "work"); got != "work:merged" {
		t.Errorf("a branch like main: %q", got)
	}
	o.branch("a", map[string]string{"recipes/b.yaml": "b: 1\n"})
	if got := say(t, r, "a"); got != "+a a:open" {
		t.Errorf("%q", got)
	}
	o.at("branch", "--move", "main", "trunk")
	h, name, err := r.Head(t.Context())
	if err != nil || name != "trunk" || h.SHA != o.at("rev-parse", "trunk") || h.Time.IsZero() {
		t.Errorf("renamed: %s %+v %v", name, h, err)
	}
	if got := say(t, r, "a"); got != "+a a:open" || mustChange(t, r, "a").Target != "trunk" {
		t.Errorf("renamed: %q", got)
	}
	other := openAt(t, Options{URL: o.bare, Branch: "a"})
	if _, name, err := other.Head(t.Context()); err != nil || name != "a" {
		t.Errorf("a branch by option: %s, %v", name, err)
	}
	none := openAt(t, Options{URL: o.bare, Branch: "b"})
	if _, _, err := none.Head(t.Context()); !errors.Is(err, forge.ErrNotFound) || !strings.Contains(err.Error(), "serve.branch") {
		t.Errorf("a branch that is not there: %v", err)
	}
	before := mustHead(t, r)
	if err := os.Rename(o.bare, o.bare+".away"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Head(t.Context()); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("a repository that is gone: %v", err)
	}
	if got := mustChange(t, r, "a"); got.State != forge.Open || got.Base != before {
		t.Errorf("what was known of it: %+v", got)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	o := seeded(t)
	for _, c := range []struct{ url, name, problem string }{
		{o.bare, o.bare, ""},
		{"file://" + o.bare, o.bare, ""},
		{"file://localhost" + o.bare, o.bare, ""},
		{o.work, o.work, ""}, // a checkout
		{o.bare + "/nothing", "", "is no git repository"},
		{"https://me:s3cr3t@example.org/r.git", "https://example.org/r.git", ""},
		{"https://s3cr3t@example.org:8443/r.git", "https://example.org:8443/r.git", ""},
		{"ssh://git:s3cr3t@example.org:2222/r.git", "ssh://example.org:2222/r.git", ""},
		{"git@example.org:team/r.git", "ssh://example.org/team/r.git", ""},
		{"http://me:s3cr3t@example.org/r.git", "", "use https"},
		{"http://me:s3cr3t@127.0.0.1/r.git", "http://127.0.0.1/r.git", ""},
		{"https://example.org/r.git?token=s3cr3t", "", "MERGEBOT_GIT_PASSWORD"},
		{"git://example.org/r.git", "", "use https"},
		{"ext::sh -c s3cr3t", "", "s3cr3t"[:0]},
		{"https://me:s3cr3t@exa mple.org/%zz", "", "neither a URL nor a folder"},
		{"", "", "neither a URL nor a folder"},
	} {
		r, err := Open(t.Context(), Options{URL: c.url, Dir: t.TempDir()})
		switch {
		case err != nil && (c.name != "" || !strings.Contains(err.Error(), c.problem) || strings.Contains(err.Error(), "s3cr3t@")):
			t.Errorf("%s: %v", c.url, err)
		case err == nil && (c.name == "" && !strings.HasPrefix(c.url, "ext") || c.name != "" && r.Repo() != c.name):
			t.Errorf("%s: %q, want %q", c.url, r.Repo(), c.name)
		}
	}
	shallow := filepath.Join(t.TempDir(), "shallow.git")
	o.commit("second", nil)
	o.push("main")
	o.run(t.TempDir(), "clone", "--quiet", "--bare", "--depth", "1", "file://"+o.bare, shallow)
	if _, _, err := openAt(t, Options{URL: shallow}).Head(t.Context()); err == nil || !strings.Contains(err.Error(), "--unshallow") {
		t.Errorf("a shallow clone: %v", err)
	}
	r := o.open("")
	if r.Link(mustHead(t, r), "recipes/a.yaml") != "" {
		t.Error("a plain remote has no pages")
	}
	for _, sha := range []string{"", "main", strings.Repeat("0", 40), strings.Repeat("g", 40), "../../x"} {
		if _, err := r.Files(t.Context(), sha); !errors.Is(err, forge.ErrNotFound) {
			t.Errorf("files of %q: %v", sha, err)
		}
		if _, err := r.Diff(t.Context(), mustHead(t, r), sha); !errors.Is(err, forge.ErrNotFound) {
			t.Errorf("diff of %q: %v", sha, err)
		}
		if _, err := r.Read(t.Context(), sha); !errors.Is(err, forge.ErrNotFound) {
			t.Errorf("blob %q: %v", sha, err)
		}
	}
	// One mirror for another remote: nothing of the first is left.
	dir := t.TempDir()
	o.branch("first", map[string]string{"recipes/x.yaml": "x: 1\n"})
	say(t, o.open(dir), "first")
	p := seeded(t)
	second := p.open(dir)
	say(t, second)
	if _, err := second.Change(t.Context(), "first"); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("a change of the mirror's former remote: %v", err)
	}
}
