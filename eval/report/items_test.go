package report_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"mergebot/eval/report"
)

// items makes a task of n items for base, expert and merged, with every verdict among them.
func items(domain, task string, n int, text string) report.TaskItems {
	out := report.TaskItems{Domain: domain, Task: task}
	for i := range n {
		it := report.Item{ID: fmt.Sprintf("%s/test/%d", task, i), Prompt: fmt.Sprintf("Question:\nWhat is %d?%s\nAnswer:", i, text), Gold: fmt.Sprint(i)}
		for k, role := range []report.Role{report.Base, report.Expert, report.Merged} {
			right := i%(k+2) > 0
			a := report.Answer{Role: role, Model: "tiny/" + string(role), Output: "It is so." + text, Extracted: fmt.Sprint(i), Correct: right}
			if !right {
				a.Extracted, a.NoAnswer, a.Several, a.Truncated = "none", i%5 == 0, i%7 == 0, i%3 == 0
			}
			it.Answers = append(it.Answers, a)
		}
		out.Items = append(out.Items, it)
	}
	return out
}

func writeItems(t *testing.T, dir string, tasks ...report.TaskItems) {
	t.Helper()
	if err := report.WriteItems(dir, report.Report{Title: "Items of a test"}, tasks); err != nil {
		t.Fatal(err)
	}
}

func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			b, rerr := os.ReadFile(filepath.Join(dir, path))
			out[path], err = string(b), rerr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func names(files map[string]string) []string {
	var out []string
	for name := range files {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func TestWriteItems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := []report.TaskItems{items("math", "gsm8k", 120, ""), items("finance", "fpb", 3, "")}
	writeItems(t, dir, want...)
	files := tree(t, dir)
	if d := cmp.Diff([]string{"items.html", "items/fpb-1.html", "items/fpb.jsonl", "items/gsm8k-1.html", "items/gsm8k-2.html", "items/gsm8k-3.html", "items/gsm8k.jsonl"}, names(files)); d != "" {
		t.Fatal(d)
	}
	if n := strings.Count(files["items.html"], `<th scope="row">`); n != 123 {
		t.Errorf("the list has %d rows, want 123", n)
	}
	for i, page := range []string{"items/gsm8k-1.html", "items/gsm8k-2.html", "items/gsm8k-3.html"} {
		if n := strings.Count(files[page], "<article "); n != []int{50, 50, 20}[i] {
			t.Errorf("%s holds %d items", page, n)
		}
	}
	for page, links := range map[string][]string{
		"items/gsm8k-1.html": {`href="gsm8k-2.html" rel="next"`, `href="../items.html#task=gsm8k"`, `href="../report.html"`, `id="i50"`},
		"items/gsm8k-2.html": {`href="gsm8k-1.html" rel="prev"`, `href="gsm8k-3.html" rel="next"`, `id="i51"`},
		"items.html":         {`href="items/gsm8k-3.html#i120"`, `href="items/fpb.jsonl"`, `href="report.html"`, `<tr class="wrong no-answer truncated several">`},
	} {
		for _, l := range links {
			if !strings.Contains(files[page], l) {
				t.Errorf("%s lacks %s", page, l)
			}
		}
	}

	var got report.TaskItems
	err := report.ReadItems(strings.NewReader(files["items/gsm8k.jsonl"]), func(domain, task string, it report.Item) error {
		got.Domain, got.Task, got.Items = domain, task, append(got.Items, it)
		return nil
	})
	if d := cmp.Diff(want[0], got); err != nil || d != "" {
		t.Errorf("the download loses something: %v\n%s", err, d)
	}
}

// A second run in the same folder leaves what is equal, removes what is stale, and touches nothing of others.
func TestWriteItemsAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long, short := items("math", "gsm8k", 120, ""), items("math", "gsm8k", 60, "")
	gone := items("math", "math", 10, "")
	writeItems(t, dir, long, gone)
	theirs := map[string]string{"items/notes-1.html": "<p>mine</p>", "items/rows.jsonl": "{}", "items/notes.txt": "x"}
	for name, text := range theirs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	half := filepath.Join(dir, "items", ".mergebot-tmp-123")
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(filepath.Join(dir, "items.html"))
	if err != nil {
		t.Fatal(err)
	}
	writeItems(t, dir, long, gone)
	if after, err := os.Stat(filepath.Join(dir, "items.html")); err != nil || !os.SameFile(before, after) {
		t.Errorf("an equal page was written again (%v)", err)
	}
	writeItems(t, dir, short)
	want := []string{"items.html", "items/gsm8k-1.html", "items/gsm8k-2.html", "items/gsm8k.jsonl", "items/notes-1.html", "items/notes.txt", "items/rows.jsonl"}
	files := tree(t, dir)
	if d := cmp.Diff(want, names(files)); d != "" {
		t.Errorf("after fewer items (-want +got):\n%s", d)
	}
	for name, text := range theirs {
		if files[name] != text {
			t.Errorf("%s was changed", name)
		}
	}
	writeItems(t, dir)
	if d := cmp.Diff([]string{"items/notes-1.html", "items/notes.txt", "items/rows.jsonl"}, names(tree(t, dir))); d != "" {
		t.Errorf("after a run without tasks (-want +got):\n%s", d)
	}
	empty := t.TempDir()
	writeItems(t, empty)
	if len(tree(t, empty)) > 0 {
		t.Error("no tasks, but files")
	}
}

// One task in two domains has files for both; names that no file system takes do no harm.
func TestWriteItemsNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeItems(t, dir, items("a", "gsm8k", 1, ""), items("b", "gsm8k", 1, ""), items("c", "../../etc/passwd", 1, ""), items("c", "", 1, ""), items("c", "gsm8k-1", 1, ""))
	want := []string{"items.html", "items/------etc-passwd-1.html", "items/------etc-passwd.jsonl", "items/--1.html", "items/-.jsonl",
		"items/gsm8k-1-1.html", "items/gsm8k-1.jsonl", "items/gsm8k.a-1.html", "items/gsm8k.a.jsonl", "items/gsm8k.b-1.html", "items/gsm8k.b.jsonl"}
	slices.Sort(want)
	if d := cmp.Diff(want, names(tree(t, dir))); d != "" {
		t.Error(d)
	}
	if err := report.WriteItems(dir, report.Report{}, []report.TaskItems{items("a", "t", 1, ""), items("a", "t", 1, "")}); err == nil {
		t.Error("the same task twice: no error")
	}
}

// What a model says or a data set holds is text on every page, and what cannot be seen is made visible.
func TestItemsHoldNoMarkupFromOutside(t *testing.T) {
	t.Parallel()
	shape := func(tasks ...report.TaskItems) (elements, attributes []string, files map[string]string) {
		dir := t.TempDir()
		writeItems(t, dir, tasks...)
		files = tree(t, dir)
		for name, text := range files {
			if !strings.HasSuffix(name, ".html") {
				continue
			}
			inLeaf := strings.HasPrefix(name, "items/")
			z := html.NewTokenizer(strings.NewReader(text))
			for z.Next() != html.ErrorToken {
				tok := z.Token()
				if tok.Type != html.StartTagToken && tok.Type != html.SelfClosingTagToken {
					continue
				}
				elements = append(elements, tok.Data)
				if tok.Data == "script" && inLeaf {
					t.Errorf("%s holds a script", name)
				}
				for _, a := range tok.Attr {
					attributes = append(attributes, a.Key)
					if a.Key == "href" && !regexp.MustCompile(`^(\.\./|items/|report\.html$|#|items\.html|[a-z0-9._-]+\.(html|jsonl))`).MatchString(a.Val) || strings.Contains(a.Val, "//") && a.Key == "href" {
						t.Errorf("%s links to %s", name, a.Val)
					}
				}
			}
			policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(text)
			if policy == nil || !strings.HasPrefix(policy[1], "default-src &#39;none&#39;; style-src &#39;sha256-") || strings.Contains(policy[1], "script-src") == inLeaf || strings.Contains(policy[1], "unsafe") {
				t.Errorf("%s: content policy %q", name, policy)
			}
		}
		slices.Sort(elements)
		slices.Sort(attributes)
		return slices.Compact(elements), slices.Compact(attributes), files
	}
	evil := hostile + "\x00\x00\x00\xff\ufeff\u200b"
	bad := items(evil, evil, 60, evil)
	for i := range bad.Items {
		it := &bad.Items[i]
		it.ID, it.Gold = fmt.Sprint(i)+evil, evil
		for k := range it.Answers {
			it.Answers[k].Extracted, it.Answers[k].Model = evil, evil
		}
	}
	elements, attributes, _ := shape(items("d", "t", 60, ""))
	badElements, badAttributes, files := shape(bad)
	for _, e := range badElements {
		if !slices.Contains(append(elements, "i"), e) {
			t.Errorf("a text became the element %s", e)
		}
	}
	for _, a := range badAttributes {
		if !slices.Contains(attributes, a) || strings.HasPrefix(a, "on") || slices.Contains([]string{"src", "style", "action"}, a) {
			t.Errorf("a text became the attribute %s", a)
		}
	}
	for name, text := range files {
		if strings.HasSuffix(name, ".jsonl") {
			continue
		}
		if i := strings.IndexAny(text, "\x00\x1b\u202e\ufeff\u200b\ufffd"); i >= 0 || !utf8.ValidString(text) {
			t.Errorf("%s holds characters that cannot be seen, or none, at %d", name, i)
		}
		if strings.HasPrefix(name, "items/") {
			for _, mark := range []string{"<i>U+0000 × 3</i>", "<i>U+202E</i>", "<i>0xFF</i>", "<i>U+FEFF</i>", "<i>U+001B</i>"} {
				if !strings.Contains(text, mark) {
					t.Errorf("%s does not show %s", name, mark)
				}
			}
		}
	}
}

// The list stays small with every item of the six tasks, and a page with whatever models say.
func TestItemsSizes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var tasks []report.TaskItems
	for name, n := range map[string]int{"gsm8k": 1319, "math": 5000, "fiqa_sa": 235, "fpb": 970, "scotus": 60, "unfair_tos": 1607} {
		tasks = append(tasks, items("d", name, n, ""))
	}
	slices.SortFunc(tasks, func(a, b report.TaskItems) int { return strings.Compare(a.Task, b.Task) })
	writeItems(t, dir, tasks...)
	if n := len(tree(t, dir)["items.html"]); n > 4<<20 {
		t.Errorf("the list of 9,191 items has %d bytes", n)
	} else {
		t.Logf("list of 9,191 items: %d bytes", n)
	}

	for _, text := range []string{strings.Repeat("\x00\u202e", 1<<14), strings.Repeat("<", 1<<15), strings.Repeat("\xff", 1<<15)} {
		huge := t.TempDir()
		task := items("d", "t", 50, text)
		for i := range task.Items {
			task.Items[i].ID += text
			task.Items[i].Gold = text
		}
		writeItems(t, huge, task)
		// A page is at most 50 items of a prompt, a gold and three outputs with what was read.
		files := tree(t, huge)
		if n := len(files["items/t-1.html"]); n > 50*8*25<<10+100<<10 {
			t.Errorf("a page has %d bytes", n)
		}
		if !strings.Contains(files["items/t-1.html"], " bytes more</i>") {
			t.Error("a cut text does not say so")
		}
		if n := len(files["items.html"]); n > 300<<10 {
			t.Errorf("the list of 50 items has %d bytes", n)
		}
	}
}

func TestReportLinksToItems(t *testing.T) {
	t.Parallel()
	r := fixture(t)
	page := render(t, report.HTML, r)
	for _, want := range []string{`href="items.html"`, `href="items.html#task=gsm8k"`, `href="items.html#task=unfair_tos&amp;show=lost"`, "All 1\u202f200 items"} {
		if !strings.Contains(page, want) {
			t.Errorf("report.html lacks %s", want)
		}
	}
	r.Items = 0
	if page := render(t, report.HTML, r); strings.Contains(page, "<a ") {
		t.Error("no items, but links")
	}
}

func FuzzReadItems(f *testing.F) {
	var b bytes.Buffer
	b.WriteString(`{"task":"t","id":"a","prompt":"p","gold":"g","answers":[{"role":"merged","output":"o","extracted":"e","correct":true}]}` + "\n\n")
	f.Add(b.Bytes())
	f.Add([]byte(`{"task":"t","id":"\u202e","answers":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		task := report.TaskItems{Task: "t"}
		if err := report.ReadItems(bytes.NewReader(text), func(_, _ string, it report.Item) error { task.Items = append(task.Items, it); return nil }); err != nil {
			return
		}
		dir := t.TempDir()
		writeItems(t, dir, task)
		for name, text := range tree(t, dir) {
			if strings.Contains(text, "\u202e") && strings.HasSuffix(name, ".html") {
				t.Errorf("%s holds a mark of direction", name)
			}
		}
	})
}
