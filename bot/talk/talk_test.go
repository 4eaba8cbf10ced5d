package talk_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mergebot/bot/talk"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".md")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs; look at it and run go test ./bot/talk -update (-want +got):\n%s", file, d)
	}
}

func TestComment(t *testing.T) {
	t.Parallel()
	for name, c := range scenes(t) {
		got := talk.Comment(c)
		golden(t, name, got)
		if !strings.HasPrefix(got, talk.Marker(c.State.ID)+"\n") {
			t.Errorf("%s begins with %.80s", name, got)
		}
		if again := talk.Comment(c); again != got {
			t.Errorf("%s: said otherwise the second time", name)
		}
	}
}

func TestMarkerIsHiddenAndBound(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, name := range []string{"17", "18", "", "-->", "a-->b", "feature/x", "1,7"} {
		m := talk.Marker(name)
		if !regexp.MustCompile(`^<!-- mergebot:change:[0-9a-f]{24} -->$`).MatchString(m) {
			t.Errorf("%q: %s", name, m)
		}
		if old, ok := seen[m]; ok {
			t.Errorf("%q and %q have one marker", name, old)
		}
		seen[m] = name
	}
}

// A crowd of recipes is cut to what fits: the least needed goes first, every recipe keeps its name and plan id as long as
// there is room, and the reader is told.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 12, 60, 400} {
		c := crowd(t, n)
		got := talk.Comment(c)
		if len(got) > talk.Limit {
			t.Errorf("%d recipes: %d bytes", n, len(got))
		}
		if len(got) < talk.Limit/2 && n > 3 {
			t.Errorf("%d recipes: only %d bytes are used", n, len(got))
		}
		if n > 3 && !strings.Contains(got, "left out here") {
			t.Errorf("%d recipes: nothing says that something is left out", n)
		}
		if n <= 60 {
			for _, p := range c.State.Plans {
				if !strings.Contains(got, "\n`"+p.ID+"`\n") {
					t.Errorf("%d recipes: the id of %s is missing", n, p.Path)
				}
			}
		}
		if fences := strings.Count(got, "\n```"); fences%2 != 0 {
			t.Errorf("%d recipes: %d fences", n, fences)
		}
		if o, c := strings.Count(got, "<details>"), strings.Count(got, "</details>"); o != c {
			t.Errorf("%d recipes: %d folds begin, %d end", n, o, c)
		}
	}
	if got := talk.Comment(crowd(t, 1)); strings.Contains(got, "left out") {
		t.Error("a single recipe is cut")
	}
}

func TestPageIsOptional(t *testing.T) {
	t.Parallel()
	for name, c := range scenes(t) {
		for _, page := range []string{"", "javascript:alert(1)", "https://user:secret@bot.example", "//bot.example", "bot"} {
			c.Page, c.Link, c.Hub = page, nil, ""
			for i := range c.Runs {
				if p := c.Runs[i].Record.Result; p != nil {
					q := *p
					q.URL = ""
					c.Runs[i].Record.Result = &q
				}
			}
			if got := talk.Comment(c); strings.Contains(got, "](") {
				t.Errorf("%s with page %q has a link:\n%s", name, page, got)
			}
		}
	}
}
