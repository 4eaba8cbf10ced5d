package demo

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the demo's team writes is a repository like any other: real git finds nothing wrong with it.
func TestTeam(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "recipes.git")
	team, err := openTeam(dir)
	if err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	for _, c := range []struct{ branch, file, text string }{
		{"add-a", "recipes/a.yaml", "a: 1\n"},
		{"add-b", "recipes/deep/b.yaml", "b: 1\n"},
		{"names/with/slashes", "recipes.txt", "sorts before the folder\n"},
		{"change-a", "recipes/a.yaml", "a: 2\n"},
	} {
		head, err := team.propose(c.branch, c.file, []byte(c.text), "Propose "+c.file)
		if err != nil {
			t.Fatal(err)
		}
		if got := git("rev-parse", c.branch); got != head {
			t.Errorf("%s is at %s, not %s", c.branch, got, head)
		}
		commit, err := team.merge(c.branch)
		if err != nil {
			t.Fatal(err)
		}
		if got := git("rev-parse", "HEAD", "HEAD^2"); got != commit+"\n"+head {
			t.Errorf("main is at %s, want %s and %s", got, commit, head)
		}
		if text, err := team.read(mainBranch, c.file); err != nil || text != c.text || git("show", "HEAD:"+c.file) != strings.TrimSpace(c.text) {
			t.Errorf("%s: %q, %v", c.file, text, err)
		}
	}
	if text, err := team.read(mainBranch, "recipes/none.yaml"); err != nil || text != "" {
		t.Errorf("what is not there: %q, %v", text, err)
	}
	git("fsck", "--strict", "--full")
	if got := git("ls-tree", "-r", "--name-only", "HEAD"); got != "README.md\nrecipes.txt\nrecipes/a.yaml\nrecipes/deep/b.yaml" {
		t.Errorf("files: %s", got)
	}
	if got := git("for-each-ref", "--format=%(refname:short)"); got != mainBranch {
		t.Errorf("branches: %s", got)
	}
	before := git("rev-parse", "HEAD")
	if _, err := openTeam(dir); err != nil || git("rev-parse", "HEAD") != before {
		t.Errorf("opened again: %v", err)
	}
}
