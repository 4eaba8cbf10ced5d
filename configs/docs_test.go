package configs

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRecipesPage holds docs/recipes.md to the types and to the methods.
func TestRecipesPage(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(src)
	has := func(word string) {
		if !strings.Contains(page, "`"+word+"`") && !regexp.MustCompile("`[^`\n]*\\b"+word+":[^`\n]*`").MatchString(page) {
			t.Errorf("docs/recipes.md has no `%s`", word)
		}
	}
	for _, v := range []any{Recipe{}, Model{}, Slice{}, Source{}, Tokenizer{}, Token{}, TokenSource{}, longRef{}, Mergebot{}, DPPA{}, Search{}, Range{}, Domain{}, Evaluate{}, TaskOptions{}, Gate{}, Publish{}} {
		names, _ := fieldsOf(reflect.TypeOf(v))
		for _, name := range names {
			has(name)
		}
	}
	rows := map[string]string{}
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, "|"); len(cells) == 7 {
			for _, name := range strings.Split(cells[1], ",") {
				rows[strings.Trim(name, " `")] += line
			}
		}
	}
	for _, m := range Methods() {
		if m.Refused != "" {
			has(m.Name)
			continue
		}
		for _, p := range slices.Concat(m.Model, m.Recipe) {
			if !strings.Contains(rows[m.Name], "`"+p.Name+"`") {
				t.Errorf("docs/recipes.md: the row of %s has no `%s`", m.Name, p.Name)
			}
		}
	}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if _, err := Parse("docs/recipes.md", []byte(block[1])); err != nil {
			t.Error(err)
		}
	}
}
