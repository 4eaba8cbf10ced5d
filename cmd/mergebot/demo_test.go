//go:build linux

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mergebot/eval/report"
	"mergebot/hub/embedded"
)

// The demo as a user runs it: in an empty folder, with no Hub in reach. It ends in the paper's tables and the
// path of a report; run again, it finds everything done and prints the same.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	needEngine(t)
	t.Parallel()
	p := newPlace(t, &embedded.Running{URL: "http://127.0.0.1:1"}, "")
	out := p.do(t, nil, "demo", "--out", "demo", "--quiet")

	where := regexp.MustCompile(`\nreport: (.+)\n$`).FindStringSubmatch(out)
	if where == nil {
		t.Fatalf("the last line is not the report's path:\n%s", out)
	}
	page, err := os.ReadFile(where[1])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "mildly optimistic") {
		t.Error("the report does not say what the tiny family is worth")
	}
	row := regexp.MustCompile(`(?m)^(DARE|DPPA) 80 %(\s+\d+\.\d≈?\s+\d+\.\d –\s+\d+\.\d\s+200)+$`)
	if rows := row.FindAllString(out, -1); len(rows) != 4 {
		t.Errorf("%d rows of the tables, want 4:\n%s", len(rows), out)
	}

	f, err := os.Open(p.path("work", "demo", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := report.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Comparisons) != 2 || len(r.Domains) != 3 || r.Published == nil {
		t.Errorf("report: %d tables, %d domains, published %v", len(r.Comparisons), len(r.Domains), r.Published)
	}
	for _, d := range r.Domains {
		for _, task := range d.Tasks {
			base, _ := task.Score(report.Base)
			expert, _ := task.Score(report.Expert)
			merged, _ := task.Score(report.Merged)
			if expert.Correct <= base.Correct || merged.Correct < base.Correct || merged.N != 100 {
				t.Errorf("%s: base %d, expert %d, merged %d of %d", task.Name, base.Correct, expert.Correct, merged.Correct, merged.N)
			}
		}
	}
	models, err := filepath.Glob(p.path("work", "demo", "runs", "*", "model"))
	if err != nil || len(models) != 4 {
		t.Fatalf("merged models: %v, %v", models, err)
	}
	for _, m := range models {
		for _, name := range []string{"model.safetensors", "config.json", "tokenizer.json", "README.md", "provenance.json", "recipe.yaml", "../report.html"} {
			if info, err := os.Stat(filepath.Join(m, name)); err != nil || info.Size() == 0 {
				t.Errorf("%s of %s: %v", name, m, err)
			}
		}
	}

	again := p.do(t, nil, "demo", "--out", "demo")
	if !strings.HasSuffix(again, out[strings.Index(out, "Domain-Ratio"):]) {
		t.Errorf("run again it prints something else:\n%s", again)
	}
	if begun := regexp.MustCompile(`(?m)^(measure|search|merge|evaluate) .*\d s$`).FindAllString(again, -1); len(begun) > 0 {
		t.Errorf("run again it did again: %q", begun)
	}
}
