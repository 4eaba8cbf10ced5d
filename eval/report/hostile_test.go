package report_test

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
	"golang.org/x/net/html"

	"mergebot/eval/report"
)

// hostile is what a model card, a recipe of a stranger or a model's output may hold.
const hostile = "</style></pre></summary></details>--><script>alert(1)</script><img src=//evil.example/x onerror=alert(1)>" +
	"\"' onload=x &lt;svg/onload=x&gt; {{.}} ${x} `a` ``` |b| \\| [t](http://evil.example) ![i](//evil.example/p.png) " +
	"<http://evil.example> https://evil.example www.evil.example @octocat me@evil.example #12 org/repo#12 GH-12 **b** _e_ ~~s~~\n# head\n- item\n\n```\nx\n| a | b |\n\x1b[31m\u202e"

// everyString returns the fixture with s in the place of every text, its enumerations left alone.
func everyString(t *testing.T, s string) report.Report {
	t.Helper()
	r := fixture(t)
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Field(i).CanSet() {
					walk(v.Field(i))
				}
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			v.Set(reflect.ValueOf(map[string]string{s: s}))
		case reflect.String:
			if v.Type() == reflect.TypeFor[string]() {
				v.SetString(s)
			}
		}
	}
	walk(reflect.ValueOf(&r))
	r.Status = report.Failed
	r.Published = &report.Published{Repo: s, URL: s, Commit: s}
	r.Steps, r.Domains = r.Steps[:2], r.Domains[:1]
	return r
}

func TestHTMLHoldsNoMarkupFromOutside(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`^items\.html(#task=[a-z0-9_.-]+(&show=[a-z-]+)?)?$`)
	check := func(page string) (elements, attributes []string) {
		z := html.NewTokenizer(strings.NewReader(page))
		for z.Next() != html.ErrorToken {
			tok := z.Token()
			if tok.Type != html.StartTagToken && tok.Type != html.SelfClosingTagToken {
				continue
			}
			elements = append(elements, tok.Data)
			for _, a := range tok.Attr {
				attributes = append(attributes, a.Key)
				if a.Key == "href" && (tok.Data != "a" || !link.MatchString(a.Val)) {
					t.Errorf("%s links to %s: only the pages of items may be linked to", tok.Data, a.Val)
				}
			}
		}
		slices.Sort(elements)
		slices.Sort(attributes)
		return slices.Compact(elements), slices.Compact(attributes)
	}
	elements, attributes := check(render(t, report.HTML, fixture(t)))
	badElements, badAttributes := check(render(t, report.HTML, everyString(t, hostile)))
	for _, e := range badElements {
		if e != "i" && !slices.Contains(elements, e) { // i marks what cannot be seen
			t.Errorf("a text became the element %s", e)
		}
	}
	for _, a := range badAttributes {
		if !slices.Contains(attributes, a) {
			t.Errorf("a text became the attribute %s", a)
		}
	}
	for _, a := range append(attributes, badAttributes...) {
		if slices.Contains([]string{"src", "srcset", "action", "style", "xlink:href", "data", "poster"}, a) || strings.HasPrefix(a, "on") {
			t.Errorf("the page has the attribute %s: it must neither load nor run anything", a)
		}
	}
	for _, e := range append(elements, badElements...) {
		if slices.Contains([]string{"script", "link", "img", "iframe", "object", "embed", "form", "base", "use", "image", "foreignobject"}, e) {
			t.Errorf("the page has the element %s", e)
		}
	}
}

func TestHTMLPolicyNamesTheStyleSheet(t *testing.T) {
	t.Parallel()
	page := render(t, report.HTML, fixture(t))
	if !regexp.MustCompile(`http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-[A-Za-z0-9&#;/+]+=*&#39;; `).MatchString(page) {
		t.Error("no content policy with the style sheet's hash")
	}
	css := page[strings.Index(page, "<style>")+7 : strings.Index(page, "</style>")]
	if regexp.MustCompile(`url\(|@import|@font-face|http`).MatchString(css) {
		t.Error("the style sheet loads something")
	}
	for _, class := range regexp.MustCompile(`class="(ink-[a-z0-9-]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(css, "."+class[1]) {
			t.Errorf("the style sheet lacks .%s", class[1])
		}
	}
}

func TestHTMLIsAccessible(t *testing.T) {
	t.Parallel()
	page := render(t, report.HTML, fixture(t))
	for _, svg := range regexp.MustCompile(`<svg[^>]*>`).FindAllString(page, -1) {
		if !strings.Contains(svg, `aria-hidden="true"`) && !regexp.MustCompile(`role="img" aria-label="[^"]+"`).MatchString(svg) {
			t.Errorf("a drawing says nothing to a screen reader: %s", svg)
		}
	}
	for _, table := range regexp.MustCompile(`(?s)<table.*?</table>`).FindAllString(page, -1) {
		if !strings.Contains(table, `<th scope="col"`) || !strings.Contains(table, `<th scope="row"`) {
			t.Errorf("a table without headers: %.200s", table)
		}
	}
}

func TestMarkdownHoldsNoMarkupFromOutside(t *testing.T) {
	t.Parallel()
	md := []byte(render(t, report.Markdown, everyString(t, hostile)))
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(md))
	var spoken strings.Builder // what GitHub's filters for mentions and references see
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link, *ast.AutoLink, *ast.Image, *ast.RawHTML:
			t.Errorf("a text became a %s", n.Kind())
		case *ast.HTMLBlock:
			for i := range n.Lines().Len() {
				line := n.Lines().At(i)
				if s := strings.TrimSpace(string(line.Value(md))); s != "<details><summary>Provenance</summary>" && s != "</details>" {
					t.Errorf("a text became an HTML block: %s", s)
				}
			}
		case *ast.CodeSpan, *ast.FencedCodeBlock:
			return ast.WalkSkipChildren, nil
		case *ast.Heading:
			if n.Level == 1 {
				t.Error("a text became a heading")
			}
		case *ast.Text:
			spoken.Write(n.Segment.Value(md))
			spoken.WriteByte('\n')
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := regexp.MustCompile("\\\\([!-/:-@[-`{-~])").ReplaceAllString(spoken.String(), "$1")
	if m := regexp.MustCompile(`(?i)@\w|#\d|GH-\d|https?://|www\.`).FindAllString(seen, -1); m != nil {
		t.Errorf("GitHub would act on %q", m)
	}
}
