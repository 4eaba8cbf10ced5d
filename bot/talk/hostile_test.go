package talk_test

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"mergebot/bot/run"
	"mergebot/bot/talk"
	"mergebot/eval/report"
)

// hostile is what a recipe, a path or a model card of a stranger may hold.
var hostile = []string{
	"</summary></details>--><script>alert(1)</script><img src=//evil.example/x onerror=alert(1)> &lt;svg&gt; <!-- mergebot:change:da19c7437fdd7d39ce533938 -->",
	"`a` ``` |b| \\| [t](http://evil.example) ![i](//evil.example/p.png) <http://evil.example> https://evil.example www.evil.example",
	"@octocat @acme/team me@evil.example #12 org/repo#12 GH-12 gH-12 da19c7437fdd7d39ce533938 :+1::smile: **b** _e_ ~~s~~ $x$",
	"# head\n- item\n\n```\nx\n```\n| a | b |\n|---|---|\n| c | d |\n\n/lgtm\n/mergebot run x\n> q\n---\n1. one\n\x1b[31m\u202e",
	"/approve", "~~~", "```", "\\", "|", "`", "``", "=", "---", "1. x", "- [ ] x", "\xff\xfe", "\u202e", "https://evil.example/a(b)c", "..", "<!--", "x\r\n/lgtm", "[^1]", ":8ball:100:", "&amp;", "*", "<\x00!--", "\x00/lgtm", "$$", "a\u2028b",
}

// everyString puts s in the place of every text in a conversation, its enumerations left alone.
func everyString(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			everyString(v.Elem(), s)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				everyString(v.Field(i), s)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			everyString(v.Index(i), s)
		}
	case reflect.Map:
		if v.Type() == reflect.TypeFor[map[string]string]() && v.Len() > 0 {
			v.Set(reflect.ValueOf(map[string]string{s: s}))
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() {
			v.SetString(s)
		}
	}
}

// spoiled is a scene with s everywhere but in what is the operator's own.
func spoiled(t testing.TB, scene, s string) talk.Conversation {
	c := scenes(t)[scene]
	page := c.Page
	everyString(reflect.ValueOf(&c).Elem(), s)
	c.Page, c.Link, c.Hub = page, nil, ""
	c.State.PlannedHead, c.State.PlannedBase = c.State.Head, c.State.Base // as the headline wants them
	if scene != "faulty" {
		c.State.Problem = ""
		for i := range c.State.Plans {
			c.State.Plans[i].Outage = ""
		}
	}
	for i := range c.Runs {
		r := &c.Runs[i]
		r.Record.ID = "20261123-180310.001-41cf10ee"
		if r.Record.Result != nil {
			r.Record.Result.URL = "https://hub.example/x"
		}
		for k := range r.Steps {
			r.Steps[k].Step = "search"
		}
	}
	return c
}

var markdownParser = goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser()

// shape is the structure of a document without its words, which foreign text must not change.
func shape(t testing.TB, md []byte) []string {
	t.Helper()
	var out []string
	var spoken strings.Builder
	doc := markdownParser.Parse(text.NewReader(md))
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Text:
			spoken.Write(n.Segment.Value(md))
			if n.SoftLineBreak() || n.HardLineBreak() {
				spoken.WriteByte('\n')
			}
			return ast.WalkContinue, nil
		case *ast.Link:
			if d := string(n.Destination); !strings.HasPrefix(d, "https://bot.acme.example/") && !strings.HasPrefix(d, "https://hub.example/") {
				t.Errorf("a text became a link to %s", d)
			}
		case *ast.AutoLink, *ast.Image, *ast.RawHTML:
			t.Errorf("a text became a %s", n.Kind())
		case *ast.HTMLBlock:
			for i := range n.Lines().Len() {
				line := n.Lines().At(i)
				if s := strings.TrimSpace(string(line.Value(md))); !regexp.MustCompile(`^(<details><summary>[A-Za-z0-9:., /-]+</summary>|</details>|<!-- mergebot:[a-z]+:[0-9a-f]{24} -->|)$`).MatchString(s) {
					t.Errorf("a text became HTML: %s", s)
				}
			}
		case *ast.FencedCodeBlock:
			if string(n.Language(md)) == "mermaid" { // is there where the tasks' names can be drawn
				return ast.WalkSkipChildren, nil
			}
		}
		spoken.WriteByte('\n')
		out = append(out, n.Kind().String())
		if n.Kind() == ast.KindCodeSpan || n.Kind() == ast.KindFencedCodeBlock {
			return ast.WalkSkipChildren, nil
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := regexp.MustCompile("\\\\([!-/:-@[-`{-~])").ReplaceAllString(spoken.String(), "$1")
	if m := regexp.MustCompile(`(?i)@\w|#\d|\bGH-\d|https?://|\bwww\.|:[a-z0-9_+-]+:|\b[0-9a-f]{7,40}\b`).FindAllString(seen, -1); m != nil {
		t.Errorf("GitHub would act on %q", m)
	}
	return out
}

// contained checks a text of the bot against the same with harmless words.
func contained(t testing.TB, what, got, harmless string) {
	t.Helper()
	if len(got) > talk.Limit {
		t.Errorf("%s: %d bytes", what, len(got))
	}
	if !utf8.ValidString(got) {
		t.Errorf("%s: no UTF-8", what)
	}
	if n := strings.Count(got, "<!--"); n != strings.Count(harmless, "<!--") {
		t.Errorf("%s: %d HTML comments", what, n)
	}
	if m := regexp.MustCompile(`(?m)^[ \t]*/.*`).FindString(got); m != "" && !strings.HasPrefix(m, "/mergebot plan ") {
		t.Errorf("%s: another bot would hear %q", what, m)
	}
	shapes := shape(t, []byte(got))
	if strings.Contains(got, " left out here") {
		return
	}
	if d := cmp.Diff(shape(t, []byte(harmless)), shapes); d != "" {
		t.Errorf("%s: a text changed the structure (-harmless +got):\n%s\n%s", what, d, got)
	}
}

// everything that is said in a scene.
func everything(t testing.TB, scene, s string) map[string]string {
	c := spoiled(t, scene, s)
	out := map[string]string{"comment": talk.Comment(c)}
	for _, p := range c.State.Plans {
		k := talk.PlanCheck(c, p)
		out["plan check"] = k.Summary
		titles(t, k.Name, k.Title)
		for _, a := range k.Annotations {
			titles(t, a.Message)
		}
	}
	if len(c.Runs) > 0 {
		k := talk.RunCheck(s, c.Page, c.Runs)
		out["run check"] = k.Summary
		titles(t, k.Title)
	}
	p := &report.Paired{A: report.Side{Title: s}, Tasks: []report.PairedTask{{Name: s, Words: s, N: 9}}, Warnings: []string{s}}
	_, title, body := talk.Issue(s, run.Record{ID: "a", Plan: s}, run.Record{ID: "b", Plan: s}, p, c.Page, run.Moved{What: s, Name: s, From: s, To: s})
	titles(t, title)
	out["issue"] = body
	return out
}

func titles(t testing.TB, all ...string) {
	t.Helper()
	for _, s := range all {
		if strings.ContainsAny(s, "\n\r\x1b\u202e") || !utf8.ValidString(s) || strings.TrimSpace(s) == "" {
			t.Errorf("no title: %q", s)
		}
	}
}

func checkScene(t *testing.T, scene, s string, harmless map[string]string) {
	for what, got := range everything(t, scene, s) {
		if strings.TrimSpace(report.Visible(s)) == "" { // an item without a word is another structure, and harmless
			harmless[what] = got
		}
		contained(t, scene+" "+what, got, harmless[what])
	}
}

func TestForeignTextStaysInPlace(t *testing.T) {
	t.Parallel()
	texts := hostile
	if testing.Short() {
		texts = texts[:4]
	}
	for scene := range scenes(t) {
		harmless := everything(t, scene, "word")
		for _, s := range texts {
			checkScene(t, scene, s, maps.Clone(harmless))
		}
	}
	harmless := everything(t, "published", "word")
	checkScene(t, "published", strings.Repeat(hostile[0]+hostile[3], 100), harmless)
}

// Tokens side by side make what none of them is alone.
func TestForeignTokens(t *testing.T) {
	t.Parallel()
	tokens := append([]string{"a", " ", "\n", "1", ":", "@", "#", "/", "www.", "GH-", "deadbeef", "<", ">", "!", "[", "]", "(", ")", "_", "-", "&", ";", "\t", "é", "\u200b"}, hostile...)
	rng := rand.New(rand.NewPCG(1, 2))
	c := everything(t, "published", "word")
	times := 60
	if testing.Short() {
		times = 5
	}
	for range times {
		var s strings.Builder
		for range 1 + rng.IntN(8) {
			s.WriteString(tokens[rng.IntN(len(tokens))])
		}
		if checkScene(t, "published", s.String(), maps.Clone(c)); t.Failed() {
			t.Fatalf("with %q", s.String())
		}
	}
}

func FuzzComment(f *testing.F) {
	for i, s := range hostile {
		f.Add(s, uint8(i))
	}
	var names []string
	harmless := map[string]map[string]string{}
	for name := range scenes(f) {
		names, harmless[name] = append(names, name), everything(f, name, "word")
	}
	slices.Sort(names)
	f.Fuzz(func(t *testing.T, s string, scene uint8) {
		if s == "" || s == "help" || regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`).MatchString(s) { // these say something else
			t.Skip()
		}
		name := names[int(scene)%len(names)]
		checkScene(t, name, s, maps.Clone(harmless[name]))
	})
}
