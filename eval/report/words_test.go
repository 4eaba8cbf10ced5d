package report_test

import (
	"strings"
	"testing"

	"mergebot/eval/report"
)

// A run that was tuned on what it reports says so before anything else, wherever it is read.
func TestSelectionTest(t *testing.T) {
	t.Parallel()
	r := fixture(t)
	if strings.Contains(render(t, report.HTML, r), `class="alarm"`) || strings.Contains(render(t, report.Markdown, r), "very items") {
		t.Error("a warning without reason")
	}
	r.Selection = report.SelectionTest
	page, md := render(t, report.HTML, r), render(t, report.Markdown, r)
	const words = "Ratios and coefficients were tuned, and the gates judged, on the very items that are reported here"
	if alarm, title := strings.Index(page, words), strings.Index(page, "<h1>"); alarm < 0 || alarm > title {
		t.Errorf("report.html warns at %d, its title is at %d", alarm, title)
	}
	if !strings.HasPrefix(md, "**⚠ "+words) {
		t.Errorf("report.md begins with %.100s", md)
	}
	for _, s := range []string{page, md} {
		if strings.Contains(s, "on selection items and reported on others") {
			t.Error("the report still claims that selection and reporting are apart")
		}
	}
	for want, r := range map[string]report.Report{
		"Ratios and coefficients were tuned on":         {Selection: "test", Search: &report.Search{}},
		"The gates were judged on":                      {Selection: "test", Gates: []report.Gate{{}}},
		"This run was allowed to tune and to judge on ": {Selection: "test"},
	} {
		if md := render(t, report.Markdown, r); !strings.HasPrefix(md, "**⚠ "+want) {
			t.Errorf("report.md begins with %.100s, want %s", md, want)
		}
	}
	var b strings.Builder
	tuned := row("DPPA 90 %", 0.8725)
	tuned.Selection = report.SelectionTest
	if err := report.Table(&b, row("DARE 90 %", 0.8), tuned); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, "DPPA 90 % !   87.2") || !strings.Contains(got, "DARE 90 %     80.0") || !strings.HasSuffix(got, "\n! tuned on the very items scored here: too good by an unknown amount\n") {
		t.Error(got)
	}
}

// Where a difference is inside the noise, every form says it beside the number.
func TestInsideTheNoise(t *testing.T) {
	t.Parallel()
	near := &report.Interval{Value: 0.98, Low: 0.94, High: 1.02}
	score := func(role report.Role, n, correct int) report.Score {
		p := float64(correct) / float64(n)
		return report.Score{Role: role, N: n, Total: n, Correct: correct, Accuracy: p, Low: p - 0.05, High: p + 0.05}
	}
	r := report.Report{
		Domains: []report.Domain{{Name: "math", Ratio: near, Tasks: []report.Task{{Name: "gsm8k", Ratio: near, McNemar: &report.McNemar{P: 1},
			Scores: []report.Score{score(report.Expert, 200, 150), score(report.Merged, 200, 150)}}}}},
		Comparisons: []report.Comparison{{Caption: "c", Rows: []report.Row{{Method: "m", Cells: []report.Cell{{Domain: "math", Ratio: near, N: 200}}}}}},
		Gates: []report.Gate{{Domain: "math", MinRatio: 0.9, Value: 0.92, Low: 0.88, High: 0.96, N: 80, Split: "train", Source: "80 train rows", Passed: true},
			{Domain: "math", MinRatio: 0.5, Value: 0.92, Low: 0.88, High: 0.96, Passed: true}},
	}
	const gate = "reached 92.0 % (88.0–96.0), inside the noise of what is asked for; n = 80, split train, judged on 80 train rows"
	for name, write := range map[string]string{"html": strings.ReplaceAll(render(t, report.HTML, r), "\u00a0", " "), "md": render(t, report.Markdown, r)} {
		// The headline, the domain (in html twice), the task, the comparison, one of two gates.
		body := strings.Split(strings.Split(write, "What the numbers mean")[0], "Small figures in brackets")[0]
		want := map[string]int{"html": 6, "md": 5}[name]
		if n := strings.Count(body, "inside the noise"); n != want {
			t.Errorf("%s says it %d times, want %d:\n%s", name, n, want, body[strings.Index(body, "<main>")+1:])
		}
		if !strings.Contains(write, gate) {
			t.Errorf("%s lacks %q", name, gate)
		}
	}
	var b strings.Builder
	rows := []report.Row{row("DARE 90 %", 0.8, 0.7), row("DPPA 90 %", 1.01, 0.75)}
	if err := report.Table(&b, rows...); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(`
            Math                          Fin
Method           %  95 % interval     n      %  95 % interval     n
─────────   ───────────────────────────   ─────────────────────────
DARE 90 %    80.0    75.0 –  85.0  6319   70.0   65.0 –  75.0  1205
DPPA 90 %   101.0≈   96.0 – 106.0  6319   75.0   70.0 –  80.0  1205
≈ inside the noise: these items cannot tell the merge from its expert
`, "\n")
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStandardErrorAndPrompt(t *testing.T) {
	t.Parallel()
	// 788 of 1,319: GSM8K at the paper's dense level.
	r := report.Report{Domains: []report.Domain{{Name: "math", Tasks: []report.Task{{Name: "gsm8k",
		Protocol: report.Protocol{Prompt: "abel", PromptHash: "0123456789abcdef", PromptText: "Question:\n{input}\u202e"},
		Scores:   []report.Score{{Role: report.Single, N: 1319, Total: 1319, Correct: 788, Accuracy: 788.0 / 1319, Low: 0.57, High: 0.62}}}}}}}
	page, md, data := render(t, report.HTML, r), render(t, report.Markdown, r), render(t, report.JSON, r)
	if !strings.Contains(page, ">1.35<") || !strings.Contains(md, "| 59.7 (57.0–62.0) | 1.35 |") || !strings.Contains(data, `"stderr": 0.0135`) {
		t.Errorf("the standard error is missing: page %v, md %s", strings.Contains(page, ">1.35<"), md)
	}
	if r.Domains[0].Tasks[0].Scores[0].StdErr != 0 {
		t.Error("writing changed the report")
	}
	if !strings.Contains(page, "Question:\n{input}<i>U+202E</i></pre>") || !strings.Contains(page, "0123456789abcdef") {
		t.Error("the prompt's text or hash is missing")
	}
}

// TestFewItems: where a bootstrap of few items sees no chance, the exact test does: four lost of ten are inside the noise.
func TestFewItems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		i    report.Interval
		want int
	}{
		{report.Interval{Value: 0.6, Low: 0.3, High: 0.9, P: 0.125}, 0},
		{report.Interval{Value: 0, Low: 0, High: 0, P: 1}, 0},
		{report.Interval{Value: 0.6, Low: 0.3, High: 0.9, P: 0.001}, -1},
		{report.Interval{Value: 1.2, Low: 1.1, High: 1.3, P: 0.001}, 1},
		{report.Interval{Value: 0.99, Low: 0.97, High: 1.01, P: 0.001}, 0},
		{report.Interval{Value: 0.6, Low: 0.3, High: 0.9}, -1}, // not tested
	} {
		if got := c.i.Side(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.i, got, c.want)
		}
	}
}
