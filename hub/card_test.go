package hub_test

import (
	"bytes"
	"flag"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
	"go.yaml.in/yaml/v3"

	"mergebot/hub"
)

var updateCard = flag.Bool("update-card", false, "rewrite testdata/card.md and testdata/card_provenance.json")

func sampleCard() hub.Card {
	half, most := 0.37, 0.99
	return hub.Card{
		Name:        "llama2-math-finance",
		Repo:        "acme/llama2-math-finance",
		Description: "Two experts of Llama 2 7B in one model.",
		BaseModels:  []string{"meta-llama/Llama-2-7b-hf", "GAIR/Abel-7B-001", "AdaptLLM/finance-chat", "./models/mine"},
		Method:      "dppa",
		Language:    []string{"en", "no"},
		Datasets:    []string{"openai/gsm8k", "AdaptLLM/finance-tasks", "openai/gsm8k", "/tmp/mine"},
		License:     hub.License{ID: "llama2", Rule: "meta-llama/Llama-2-7b-hf binds its derivatives to llama2; the other parents allow that"},
		Results: []hub.CardResult{
			{Task: "GSM8K", Dataset: "openai/gsm8k", Config: "main", Split: "test", Revision: strings.Repeat("e", 40), N: 1319, Total: 1319, Value: 0.5982, Low: 0.5715, High: 0.6243, StandardError: 0.013499,
				Base: &half, Expert: &most, Against: "worse, outside the noise: 3 items gained, 519 lost (p = 1e-99)", Prompt: "abel", Grader: "abel"},
			{Task: "FiQA_SA", Dataset: "AdaptLLM/finance-tasks", Config: "FiQA_SA", Split: "test", N: 100, Total: 235, Value: 0.62, Low: 0.5221, High: 0.709, StandardError: 0.048539,
				Expert: &most, Against: "inside the noise: 3 items gained, 2 lost (p = 1)", Prompt: "raw", Grader: "contains"},
		},
		Ratios: []hub.CardRatio{{Domain: "math", Expert: "GAIR/Abel-7B-001", Value: 0.97, Low: 0.93, High: 1.01, Against: "inside the noise"}},
		Parents: []hub.CardParent{
			{Role: "base", Repo: "meta-llama/Llama-2-7b-hf", Revision: "main", SHA: strings.Repeat("a", 40), License: "llama2"},
			{Role: "expert", Repo: "GAIR/Abel-7B-001", SHA: strings.Repeat("b", 40), License: "apache-2.0"},
			{Role: "expert", Repo: "AdaptLLM/finance-chat", SHA: strings.Repeat("c", 40)},
		},
		Recipe:      "merge_method: dppa\nbase_model: meta-llama/Llama-2-7b-hf\n",
		PlanID:      strings.Repeat("d", 64),
		Seeds:       []hub.CardSeed{{Name: "random masks", Value: 7}, {Name: "the search's items", Value: 0}},
		Reproduce:   []string{"mergebot run recipe.yaml --out out"},
		Limitations: []string{"Scored on 100 of 235 items of FiQA_SA."},
		Version:     "0.1.0",
	}
}

func goldenCard(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateCard {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs; look at it and run go test -update-card (-want +got):\n%s", name, d)
	}
}

func TestCardGolden(t *testing.T) {
	t.Parallel()
	got, err := sampleCard().Markdown()
	if err != nil {
		t.Fatal(err)
	}
	goldenCard(t, "card.md", got)
}

// splitCard returns the metadata and the body, as the Hub tells them apart.
func splitCard(t *testing.T, card []byte) (map[string]any, []byte) {
	t.Helper()
	rest, ok := bytes.CutPrefix(card, []byte("---\n"))
	if !ok {
		t.Fatal("no metadata")
	}
	head, body, ok := bytes.Cut(rest, []byte("\n---\n"))
	if !ok {
		t.Fatal("the metadata does not end")
	}
	var m map[string]any
	if err := yaml.Unmarshal(head, &m); err != nil {
		t.Fatalf("metadata: %v\n%s", err, head)
	}
	return m, body
}

func holdsNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		for _, x := range v {
			if holdsNull(x) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, holdsNull)
	}
	return false
}

func TestCardMetadata(t *testing.T) {
	t.Parallel()
	full, err := sampleCard().Markdown()
	if err != nil {
		t.Fatal(err)
	}
	m, body := splitCard(t, full)
	for key, want := range map[string]any{
		"base_model":          []any{"meta-llama/Llama-2-7b-hf", "GAIR/Abel-7B-001", "AdaptLLM/finance-chat"},
		"base_model_relation": "merge", "library_name": "transformers", "pipeline_tag": "text-generation", "license": "llama2",
		"tags": []any{"merge", "mergebot", "dppa"}, "datasets": []any{"openai/gsm8k", "AdaptLLM/finance-tasks"},
		"metrics": []any{"accuracy"}, "language": []any{"en", "no"},
	} {
		if d := cmp.Diff(want, m[key]); d != "" {
			t.Errorf("%s (-want +got):\n%s", key, d)
		}
	}
	if !bytes.Contains(body, []byte("Not on a hub, and so not in the metadata: `./models/mine`.")) {
		t.Error("the body does not mention the local parent")
	}

	least, err := hub.Card{Name: "m", License: hub.License{ID: "mit"}}.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	m, _ = splitCard(t, least)
	want := map[string]any{"library_name": "transformers", "license": "mit", "pipeline_tag": "text-generation", "tags": []any{"merge", "mergebot"}}
	if d := cmp.Diff(want, m); d != "" {
		t.Errorf("an almost empty card (-want +got):\n%s", d)
	}
	for _, card := range [][]byte{full, least} {
		if m, _ := splitCard(t, card); holdsNull(m) {
			t.Errorf("the metadata holds null: the Hub refuses that\n%s", card)
		}
	}
}

func TestCardWords(t *testing.T) {
	t.Parallel()
	c := sampleCard()
	card, err := c.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	_, body := splitCard(t, card)
	for _, want := range []string{"**59.8** ± 1.3 | 57.1–62.4 | worse, outside the noise: 3 items gained, 519 lost (p = 1e-99) | `abel`, `abel` |",
		"| 93.0–101.0 | inside the noise |", "**62.0** ± 4.9 | 52.2–70.9 | inside the noise: 3 items gained, 2 lost (p = 1) | `raw`, `contains` |"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the card lacks %q\n%s", want, body)
		}
	}
	if strings.Contains(string(body), "selection: test") {
		t.Error("the card says that the model was tuned on its test rows")
	}
	c.Results[1].Tuned = true
	c.Ratios[0].Against = "above, outside the noise"
	if card, err = c.Markdown(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"**This model was tuned on the rows that it is scored on (`selection: test`)", "tuned_on_these_rows: true", "| above, outside the noise |"} {
		if !strings.Contains(string(card), want) {
			t.Errorf("the card lacks %q", want)
		}
	}
}

func TestCardValidate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		break_ func(*hub.Card)
		want   string // in the error; "" means none
	}{
		"good":               {func(*hub.Card) {}, ""},
		"no name":            {func(c *hub.Card) { c.Name = " " }, "name is empty"},
		"no license":         {func(c *hub.Card) { c.License = hub.License{} }, "license is empty"},
		"unlisted license":   {func(c *hub.Card) { c.License.ID = "llama-2" }, "not on the Hub's list"},
		"name without other": {func(c *hub.Card) { c.License.Name = "x" }, "go with license: other"},
		"other alone":        {func(c *hub.Card) { c.License = hub.License{ID: "other"} }, "needs license_name"},
		"other without link": {func(c *hub.Card) { c.License = hub.License{ID: "other", Name: "my-terms"} }, "needs license_link"},
		"other, bad name":    {func(c *hub.Card) { c.License = hub.License{ID: "other", Name: "My Terms", Link: "LICENSE"} }, "lower case"},
		"other, script link": {func(c *hub.Card) { c.License = hub.License{ID: "other", Name: "x", Link: "javascript:alert(1)"} }, "https address"},
		"other":              {func(c *hub.Card) { c.License = hub.License{ID: "other", Name: "my-terms", Link: "LICENSE.md"} }, ""},
		"relation":           {func(c *hub.Card) { c.Relation = "merged" }, "base_model_relation"},
		"language":           {func(c *hub.Card) { c.Language = []string{"English"} }, "ISO 639"},
		"pipeline":           {func(c *hub.Card) { c.Pipeline = "Text Generation" }, "pipeline_tag"},
		"tag":                {func(c *hub.Card) { c.Tags = []string{"a\nb"} }, "tag"},
		"null config":        {func(c *hub.Card) { c.Results[0].Config = "None" }, "leave it empty"},
		"no data set":        {func(c *hub.Card) { c.Results[0].Dataset = "" }, "needs the data set"},
		"source":             {func(c *hub.Card) { c.Results[0].SourceName = "mergebot" }, "needs its address"},
		"value":              {func(c *hub.Card) { c.Results[0].Value = math.NaN() }, "has no value"},
		"items":              {func(c *hub.Card) { c.Results[0].N = 0 }, "has no items"},
		"interval":           {func(c *hub.Card) { c.Results[0].Low = math.Inf(-1) }, "has no value"},
		"commit":             {func(c *hub.Card) { c.Parents[0].SHA = "main" }, "not a commit"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := sampleCard()
			tc.break_(&c)
			err := c.Validate()
			if _, writeErr := c.Markdown(); (writeErr == nil) != (err == nil) {
				t.Errorf("Markdown says %v, Validate %v", writeErr, err)
			}
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want it to hold %q", err, tc.want)
			}
		})
	}
}

func TestCombineLicenses(t *testing.T) {
	t.Parallel()
	parents := func(ids ...string) []hub.ParentLicense {
		var out []hub.ParentLicense
		for i, id := range ids {
			out = append(out, hub.ParentLicense{Repo: "org/" + string(rune('a'+i)), ID: id})
		}
		return out
	}
	tests := []struct {
		chosen   string
		parents  []hub.ParentLicense
		want     string
		warnings int
		fault    string
	}{
		{"", parents("mit", "mit"), "mit", 0, ""},
		{"", parents("mit", "apache-2.0"), "apache-2.0", 0, ""},
		{"", parents("mit", "bsd-3-clause"), "mit", 0, ""},
		{"", parents("llama2", "apache-2.0", "Llama2"), "llama2", 0, ""},
		{"", parents("llama2", "apache-2.0", ""), "llama2", 1, ""},
		{"", parents("", "unknown"), "unknown", 2, ""},
		{"", parents("lgpl-3.0", "gpl-3.0", "mit"), "gpl-3.0", 0, ""},
		{"", parents("cc-by-nc-4.0", "cc-by-nc-sa-4.0"), "cc-by-nc-sa-4.0", 0, ""},
		{"", parents("apache-2.0", "never-heard"), "apache-2.0", 1, ""},
		{"", parents("llama2", "cc-by-nc-4.0"), "", 0, "no one licence keeps the terms of org/a (llama2), org/b (cc-by-nc-4.0)"},
		{"", parents("gpl-3.0", "llama2"), "", 0, "no one licence"},
		{"", parents("cc-by-nd-4.0"), "", 0, "allows no derivatives"},
		{"apache-2.0", parents("apache-2.0", "mit"), "apache-2.0", 0, ""},
		{"apache-2.0", parents("apache-2.0", "cc-by-nc-4.0"), "", 0, "org/b is under cc-by-nc-4.0 (non-commercial), and apache-2.0 does not keep its terms"},
		{"mit", parents("llama2"), "", 0, "its terms go on"},
		{"mit", parents("gpl-3.0"), "", 0, "under the same licence"},
		{"mit", parents("cc-by-nc-nd-4.0"), "", 0, "allows no derivatives"},
		{"llama2", parents("llama2", "mit"), "llama2", 0, ""},
		{"agpl-3.0", parents("gpl-3.0"), "agpl-3.0", 0, ""},
		{"gpl-2.0", parents("gpl-3.0"), "", 0, "does not keep"},
		{"other", parents("llama2", "cc-by-nc-4.0"), "other", 2, ""},
		{"other", parents("gpl-3.0"), "", 0, "does not keep"},
		{"llama-2", parents("mit"), "", 0, "not on the Hub's list"},
		{"mit", parents("other"), "", 1, "does not keep"},
	}
	for _, tc := range tests {
		l, warnings, err := hub.CombineLicenses(hub.License{ID: tc.chosen, Name: map[bool]string{true: "mixed-terms"}[tc.chosen == "other"]}, tc.parents)
		if tc.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tc.fault) {
				t.Errorf("%q of %v: got %v, want %q", tc.chosen, tc.parents, err, tc.fault)
			}
			continue
		}
		if err != nil || l.ID != tc.want || len(warnings) != tc.warnings || l.Rule == "" {
			t.Errorf("%q of %v: got %+v, %q, %v; want %s and %d warnings", tc.chosen, tc.parents, l, warnings, err, tc.want, tc.warnings)
		}
	}
}

// A parent's own licence goes on to the merge with name and link, in a form that the Hub takes.
func TestCombineLicensesCarriesOwnLicense(t *testing.T) {
	t.Parallel()
	for _, p := range []hub.ParentLicense{
		{Repo: "org/Base-7B", ID: "other", Name: "Base Community License", Link: "https://example.org/license"},
		{Repo: "org/Base-7B", ID: "other", Link: "javascript:x"},
	} {
		l, _, err := hub.CombineLicenses(hub.License{}, []hub.ParentLicense{p, {Repo: "org/expert", ID: "mit"}})
		if err != nil || l.ID != "other" {
			t.Fatal(l, err)
		}
		if err := (hub.Card{Name: "m", License: l}).Validate(); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

func TestProvenanceIsDeterministic(t *testing.T) {
	t.Parallel()
	p := hub.Provenance{
		Tool: "mergebot 0.1.0", PlanID: "p", Recipe: hub.ProvenanceRecipe{SHA256: "r", Text: "merge_method: dppa\n"},
		Inputs: []hub.ProvenanceInput{{Kind: "model", Role: "base", Repo: "o/b", SHA: "s", Files: []hub.ProvenanceFile{{Path: "b"}, {Path: "a", Size: 1, SHA256: "h"}}},
			{Kind: "dataset", Repo: "o/a", SHA: "s"}},
		Outputs:    []hub.ProvenanceFile{{Path: "model.safetensors", Size: 9, SHA256: "m"}, {Path: "config.json", Size: 2, SHA256: "c"}},
		Treatments: []hub.ProvenanceTreated{{Expert: "o/e", Pruning: "dp", Density: 0.2, Method: 2, Ratios: []float64{1.6, 1}, Coefficient: 0.9}},
		Seeds:      map[string]uint64{"search": 0, "masks": 7, "evaluate": 1},
		Engine:     &hub.ProvenanceEngine{Name: "llama.cpp", Flags: map[string]string{"b": "2", "a": "1"}},
		Scores:     []hub.ProvenanceScore{{Task: "gsm8k", Model: "merged", Correct: 12, N: 20}},
		Ratios:     map[string][]float64{"math": {0.9, 0.8, 1}, "law": {1, 0.9, 1.1}},
	}
	first, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	goldenCard(t, "card_provenance.json", first)
	if p.Outputs[0].Path != "model.safetensors" || p.Inputs[0].Files[0].Path != "b" {
		t.Error("JSON reordered its caller's files")
	}
	slices.Reverse(p.Outputs)
	slices.Reverse(p.Inputs[0].Files)
	for range 20 {
		again, err := p.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(first), string(again)); d != "" {
			t.Fatal(d)
		}
	}
}

// FuzzCard holds that no text from outside breaks out of the metadata or makes markup in the body.
func FuzzCard(f *testing.F) {
	f.Add("plain", "merge_method: dppa\n")
	f.Add("a: b\n---\n# x", "```\n<script>alert(1)</script>\n````\n[x](http://e.example)")
	f.Add("| a | `b` ``c`` <img src=x> www.e.example @me https://e.example", "~~~\n")
	f.Add("null", "no")
	f.Add("\x00\u0085\u2028{{.}}", "\x1b[0m")
	f.Fuzz(func(t *testing.T, s, recipe string) {
		c := sampleCard()
		c.Name, c.Description, c.Method, c.Recipe = s, s, s, recipe
		c.Tags, c.Limitations = []string{s}, []string{s}
		c.BaseModels = append(c.BaseModels, s)
		c.License.Rule, c.Version = s, s
		c.Parents[1].Repo, c.Parents[1].License, c.Parents[1].Role = s, s, s
		c.Results[0].Task, c.Results[0].Split = s, s
		c.Results[0].Against, c.Results[0].Prompt, c.Results[0].Grader = s, s, s
		c.Ratios[0].Domain, c.Ratios[0].Expert = s, s
		card, err := c.Markdown()
		if err != nil {
			return
		}
		m, body := splitCard(t, card)
		if holdsNull(m) || m["license"] != "llama2" {
			t.Fatalf("metadata: %v", m)
		}
		doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(body))
		_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			switch n.(type) {
			case *ast.Link, *ast.AutoLink, *ast.Image, *ast.RawHTML, *ast.HTMLBlock:
				if entering {
					t.Errorf("a text became a %s:\n%s", n.Kind(), body)
				}
			}
			return ast.WalkContinue, nil
		})
	})
}

// Python's huggingface_hub reads the card as we mean it.
func TestPythonReadsOurCard(t *testing.T) {
	t.Parallel()
	interpreter := os.Getenv("MERGEBOT_PYTHON")
	if interpreter == "" {
		t.Skip("MERGEBOT_PYTHON names no Python with huggingface_hub (pip install huggingface_hub)")
	}
	c := sampleCard()
	card, err := c.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(path, card, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), interpreter, "-W", "error", "-c", `
import sys
from huggingface_hub import ModelCard
d = ModelCard.load(sys.argv[1]).data
print(d.base_model, d.base_model_relation, d.license, d.library_name, d.language, d.model_name)
for r in d.eval_results:
    print(r.dataset_type, r.dataset_name, r.dataset_config, r.dataset_split, r.dataset_revision, r.metric_type, r.metric_value)
    print(r.metric_name, r.metric_args)
`, path)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "HF_HUB_OFFLINE=1", "HF_HUB_DISABLE_TELEMETRY=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "['meta-llama/Llama-2-7b-hf', 'GAIR/Abel-7B-001', 'AdaptLLM/finance-chat'] merge llama2 transformers ['en', 'no'] llama2-math-finance\n" +
		"openai/gsm8k GSM8K main test " + strings.Repeat("e", 40) + " accuracy 0.5982\n" +
		"Accuracy, n = 1319, standard error 0.013, 95 % interval 0.572 to 0.624 " +
		"{'n': 1319, 'total': 1319, 'standard_error': 0.013499, 'low': 0.5715, 'high': 0.6243, 'prompt': 'abel', 'grader': 'abel'}\n" +
		"AdaptLLM/finance-tasks FiQA_SA FiQA_SA test None accuracy 0.62\n" +
		"Accuracy, n = 100 of 235, standard error 0.049, 95 % interval 0.522 to 0.709 " +
		"{'n': 100, 'total': 235, 'standard_error': 0.048539, 'low': 0.5221, 'high': 0.709, 'prompt': 'raw', 'grader': 'contains'}\n"
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
