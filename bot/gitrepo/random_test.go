package gitrepo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mergebot/bot/forge"
)

// Random histories, with merges of any shape, renames, modes, links and folders that become files: what the mirror
// says is what git says.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		o := newOrigin(t)
		rnd := rand.New(rand.NewPCG(seed, 1))
		o.feed([]byte(randomHistory(rnd, 80)), o.bare, "fast-import", "--quiet", "--force")
		r := o.open("")
		if _, err := r.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		branches := strings.Fields(o.at("for-each-ref", "--format=%(refname:short)", "refs/heads"))
		shas := map[string]string{}
		for _, b := range branches {
			shas[b] = o.at("rev-parse", "refs/heads/"+b)
		}
		for _, b := range branches {
			sameFiles(t, o, r, shas[b])
		}
		for range 60 {
			a, b := shas[branches[rnd.IntN(len(branches))]], shas[branches[rnd.IntN(len(branches))]]
			if rnd.IntN(2) == 0 {
				a = shas["main"]
			}
			sameDiff(t, o, r, a, b)
		}
		for _, b := range branches {
			if b != "main" {
				sameState(t, o, r, b, shas[b])
			}
		}
	}
}

// randomHistory is a stream for git fast-import: commits with any earlier commits as parents, and branches on some.
func randomHistory(rnd *rand.Rand, commits int) string {
	var out strings.Builder
	names := []string{"a.yaml", "b.yaml", "recipes/a.yaml", "recipes/b.yml", "recipes/deep/er/c.yaml", "recipes/deep", "x", "ünï.yaml", "with space.yaml"}
	clock := 1_700_000_000
	for i := 1; i <= commits; i++ {
		if clock += 1 + rnd.IntN(1000); rnd.IntN(8) == 0 { // clocks differ
			clock -= rnd.IntN(20_000)
		}
		branch := "main"
		if i > 1 && rnd.IntN(2) == 0 {
			branch = fmt.Sprintf("b%d", rnd.IntN(12))
		}
		fmt.Fprintf(&out, "commit refs/heads/%s\nmark :%d\ncommitter Bob <bob@example.org> %d +0000\ndata 5\nwords\n", branch, i, clock)
		if i > 1 && rnd.IntN(30) > 0 { // else a root of its own
			from := 1 + rnd.IntN(i-1)
			fmt.Fprintf(&out, "from :%d\n", from)
			for range rnd.IntN(3) {
				if other := 1 + rnd.IntN(i-1); other != from {
					fmt.Fprintf(&out, "merge :%d\n", other)
				}
			}
		} else if i > 1 {
			fmt.Fprintf(&out, "deleteall\n")
		}
		for range rnd.IntN(4) {
			name := names[rnd.IntN(len(names))]
			switch k := rnd.IntN(10); {
			case k == 0:
				fmt.Fprintf(&out, "D \"%s\"\n", name)
			case k == 1:
				fmt.Fprintf(&out, "M 120000 inline \"%s\"\ndata 1\na\n", name)
			case k == 2:
				fmt.Fprintf(&out, "M 160000 %040x \"%s\"\n", 1+rnd.IntN(5), name)
			default:
				mode, text := []string{"100644", "100755"}[rnd.IntN(2)], fmt.Sprintf("v: %d\n", rnd.IntN(4))
				fmt.Fprintf(&out, "M %s inline \"%s\"\ndata %d\n%s\n", mode, name, len(text), text)
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}

func sameFiles(t *testing.T, o *origin, r *Repo, sha string) {
	t.Helper()
	got, err := r.Files(t.Context(), sha)
	if err != nil {
		t.Fatal(err)
	}
	var want []forge.File
	for _, line := range strings.FieldsFunc(o.at("ls-tree", "-r", "-z", sha), func(r rune) bool { return r == 0 }) {
		about, path, _ := strings.Cut(line, "\t")
		f := strings.Fields(about)
		if strings.HasPrefix(f[0], "100") {
			want = append(want, forge.File{Path: path, Blob: f[2]})
		}
	}
	slices.SortFunc(want, func(a, b forge.File) int { return strings.Compare(a.Path, b.Path) })
	if !slices.Equal(got, want) {
		t.Fatalf("files of %s:\n%v\nwant\n%v", sha, got, want)
	}
	for _, f := range got {
		b, err := r.Read(t.Context(), f.Blob)
		if err != nil || strings.TrimRight(string(b), "\n") != o.at("cat-file", "blob", f.Blob) {
			t.Fatalf("%s at %s: %q, %v", f.Path, sha, b, err)
		}
	}
}

func sameDiff(t *testing.T, o *origin, r *Repo, base, head string) {
	t.Helper()
	got, err := r.Diff(t.Context(), base, head)
	if err != nil {
		t.Fatal(err)
	}
	from := "4b825dc642cb6eb9a060e54bf8d69288fbee4904" // the empty tree
	if b := o.tryAt("merge-base", base, head); b != "failed" {
		from = b
	}
	// Links and submodules are no files: their side of a change counts as nothing.
	var want []forge.File
	for _, line := range strings.Split(o.at("diff-tree", "-r", "--no-renames", "--raw", "--no-abbrev", from, head), "\n") {
		about, path, ok := strings.Cut(line, "\t")
		if !ok {
			continue
		}
		f := strings.Fields(strings.TrimPrefix(about, ":"))
		path = unquote(path)
		switch was, is := strings.HasPrefix(f[0], "100"), strings.HasPrefix(f[1], "100"); {
		case is:
			want = append(want, forge.File{Path: path, Blob: f[3]})
		case was:
			want = append(want, forge.File{Path: path, Removed: true})
		}
	}
	slices.SortFunc(want, func(a, b forge.File) int { return strings.Compare(a.Path, b.Path) })
	if !slices.Equal(got, want) {
		t.Fatalf("difference of %s and %s, from %s:\n%v\nwant\n%v", base, head, from, got, want)
	}
}

func sameState(t *testing.T, o *origin, r *Repo, branch, head string) {
	t.Helper()
	c := mustChange(t, r, branch)
	contained := o.tryAt("merge-base", "--is-ancestor", head, "main") != "failed"
	if contained {
		// The first-parent commit that brought it: the oldest that has it.
		chain := strings.Fields(o.at("rev-list", "--first-parent", "--reverse", "main"))
		i := slices.IndexFunc(chain, func(c string) bool { return o.tryAt("merge-base", "--is-ancestor", head, c) != "failed" })
		if c.State != forge.Merged || c.MergeCommit != chain[i] {
			t.Fatalf("%s: %s by %s, want merged by %s", branch, c.State, c.MergeCommit, chain[i])
		}
		return
	}
	// Squashed: the oldest first-parent commit after the merge base that has all the recipes of the branch.
	base := o.tryAt("merge-base", "main", head)
	diff, err := r.Diff(t.Context(), o.at("rev-parse", "main"), head)
	if err != nil {
		t.Fatal(err)
	}
	recipes := slices.DeleteFunc(slices.Clone(diff), func(f forge.File) bool { return !r.options.Recipes(f.Path) })
	if len(recipes) == 0 {
		recipes = diff
	}
	want := ""
	for _, commit := range strings.Fields(o.at("rev-list", "--first-parent", "--reverse", "main")) {
		if len(recipes) == 0 || commit == base || base != "failed" && o.tryAt("merge-base", "--is-ancestor", base, commit) == "failed" {
			continue
		}
		all, err := r.Files(t.Context(), commit)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(recipes, func(f forge.File) bool {
			i := slices.IndexFunc(all, func(g forge.File) bool { return g.Path == f.Path })
			return f.Removed != (i < 0) || !f.Removed && all[i].Blob != f.Blob
		}) {
			want = commit
			break
		}
	}
	if c.MergeCommit != want || (c.State == forge.Merged) != (want != "") {
		t.Fatalf("%s: %s by %q, want %q", branch, c.State, c.MergeCommit, want)
	}
}

// tryAt is "failed" when git says no.
func (o *origin) tryAt(args ...string) string {
	out, err := command(o.bare, args...).Output()
	if err != nil {
		return "failed"
	}
	return strings.TrimSpace(string(out))
}

// unquote undoes git's quoting of the names that the test uses.
func unquote(path string) string {
	if !strings.HasPrefix(path, `"`) {
		return path
	}
	path = strings.Trim(path, `"`)
	return strings.NewReplacer(`\303\274`, "ü", `\303\257`, "ï").Replace(path)
}
