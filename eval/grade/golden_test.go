package grade

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// goldenCase is a row of testdata/golden/scorers.jsonl: verdicts that the peers' own functions gave.
type goldenCase struct {
	ID        string          `json:"id"`
	Task      string          `json:"task"`
	Category  string          `json:"category"`
	Gold      json.RawMessage `json:"gold"`
	Options   []string        `json:"options"`
	Output    json.RawMessage `json:"model_output"`
	Extracted map[string]any  `json:"expected_extracted"`
	Correct   map[string]any  `json:"expected_correct_by"`
}

func goldenCases(t *testing.T, file string) []goldenCase {
	t.Helper()
	f, err := os.Open("../../testdata/golden/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []goldenCase
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var c goldenCase
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func (c goldenCase) question(t *testing.T, choice bool) Question {
	t.Helper()
	var q Question
	var err error
	if choice {
		q.Options = c.Options
		q.GoldIndex, err = goldIndices(c.Gold, len(c.Options))
	} else {
		q.Gold, err = goldAnswer(c.Gold)
	}
	if err != nil {
		t.Fatalf("%s: %v", c.ID, err)
	}
	return q
}

// goldenColumn ties a column of the file to a grader.
type goldenColumn struct {
	grader string
	tasks  string
	column string
	// extracted is the column that Verdict.Extracted is compared with, if any.
	extracted string
	bare      bool
	// agree of total verdicts are the peer's.
	agree, total int
	// declared names each case that differs, and why.
	declared map[string]string
}

func goldenColumns() []goldenColumn {
	const choices = "FiQA_SA FPB SCOTUS UNFAIR_ToS"
	return []goldenColumn{
		{grader: "abel", tasks: "math_equiv", column: "abel", extracted: "abel_norm_pred", bare: true, agree: 141, total: 141},
		{grader: "abel", tasks: "math gsm8k", column: "abel", extracted: "abel", agree: 119, total: 119},
		{grader: "hendrycks", tasks: "math_equiv", column: "hendrycks", bare: true, agree: 141, total: 141},
		{grader: "hendrycks", tasks: "math", column: "hendrycks_boxed", extracted: "hendrycks_boxed", agree: 64, total: 64},
		{grader: "minerva", tasks: "math_equiv", column: "minerva", extracted: "minerva_norm_pred", bare: true, agree: 141, total: 141},
		{grader: "minerva", tasks: "math", column: "minerva", extracted: "minerva", agree: 64, total: 64},
		{grader: "gsm8k_official", tasks: "gsm8k", column: "gsm8k_official", extracted: "gsm8k_official", agree: 55, total: 55},
		{grader: "lm_eval_strict", tasks: "gsm8k", column: "lm_eval_strict", extracted: "lm_eval_strict", agree: 55, total: 55},
		{grader: "lm_eval_flexible", tasks: "gsm8k", column: "lm_eval_flexible", extracted: "lm_eval_flexible", agree: 55, total: 55},
		{grader: "math_verify", tasks: "math_equiv", column: "math_verify", bare: true, agree: 141, total: 141},
		{grader: "math_verify", tasks: "math", column: "lm_eval_math_verify", agree: 64, total: 64},
		{grader: "math_verify", tasks: "gsm8k", column: "math_verify", agree: 55, total: 55},
		{grader: "contains", tasks: choices, column: "paper_contains_ci", agree: 82, total: 82},
		{grader: "contains_cs", tasks: choices, column: "paper_contains_cs", agree: 82, total: 82},
		{grader: "only_gold", tasks: choices, column: "ref_only_gold_ci", agree: 82, total: 82},
		{grader: "first_option", tasks: "FiQA_SA FPB", column: "pixiu", agree: 42, total: 42},
	}
}

// moreColumns are the same for the generated cases of scorers_more.jsonl, which scorers_more.py makes.
func moreColumns() []goldenColumn {
	totals := map[string]int{"math_equiv": 559, "math": 140, "gsm8k": 112, "math gsm8k": 252, "FiQA_SA FPB SCOTUS UNFAIR_ToS": 52}
	var out []goldenColumn
	for _, c := range goldenColumns() {
		if c.column == "pixiu" {
			c.tasks = "FiQA_SA FPB SCOTUS UNFAIR_ToS"
		}
		c.total = totals[c.tasks]
		if c.column == "pixiu" {
			c.total = 45 // it knows no questions with several right options
		}
		c.agree = c.total
		out = append(out, c)
	}
	return out
}

func TestGolden(t *testing.T) {
	t.Parallel()
	compare(t, goldenCases(t, "scorers.jsonl"), goldenColumns())
}

func TestGoldenMore(t *testing.T) {
	t.Parallel()
	compare(t, goldenCases(t, "scorers_more.jsonl"), moreColumns())
}

func compare(t *testing.T, cases []goldenCase, columns []goldenColumn) {
	for _, col := range columns {
		name := col.grader + "/" + strings.ReplaceAll(col.tasks, " ", "+")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, err := find(col.grader)
			if err != nil {
				t.Fatal(err)
			}
			rule := g.grade
			if col.bare {
				rule = g.bare
			}
			type tally struct{ agree, total int }
			byCategory := map[string]*tally{}
			sum := tally{}
			for _, c := range cases {
				want, ok := c.Correct[col.column].(bool)
				if !ok || !slices.Contains(strings.Fields(col.tasks), c.Task) {
					continue
				}
				var output string
				if err := json.Unmarshal(c.Output, &output); err != nil {
					t.Fatal(err)
				}
				v := rule(c.question(t, g.Choice), output)
				k := byCategory[c.Category]
				if k == nil {
					k = &tally{}
					byCategory[c.Category] = k
				}
				k.total++
				sum.total++
				reason, declared := col.declared[c.ID]
				switch {
				case v.Correct == want:
					k.agree++
					sum.agree++
					if declared {
						t.Errorf("%s: declared as different (%s), but agrees", c.ID, reason)
					}
				case declared:
					t.Logf("%s: differs as declared: %s", c.ID, reason)
				default:
					t.Errorf("%s (%s): gold %s, output %.200s: correct %v, the peer says %v", c.ID, c.Category, c.Gold, c.Output, v.Correct, want)
				}
				if col.extracted == "" {
					continue
				}
				if x, ok := c.Extracted[col.extracted].(string); ok && x != v.Extracted && !invalid(x, v) {
					t.Errorf("%s: extracted %q, the peer %q", c.ID, v.Extracted, x)
				}
			}
			for _, category := range slices.Sorted(maps.Keys(byCategory)) {
				k := byCategory[category]
				t.Logf("%-22s %d/%d", category, k.agree, k.total)
			}
			t.Logf("%s against %s: %d of %d", col.grader, col.column, sum.agree, sum.total)
			if sum != (tally{col.agree, col.total}) {
				t.Errorf("agreement %d of %d, recorded %d of %d", sum.agree, sum.total, col.agree, col.total)
			}
		})
	}
}

// invalid tells whether the peer's marker for "nothing found" stands where the verdict has NoAnswer.
func invalid(extracted string, v Verdict) bool {
	return v.NoAnswer && (extracted == "[invalid]" || extracted == minervaInvalid || extracted == "")
}

// TestHendrycksStrip compares the stripped strings, not only the verdicts.
func TestHendrycksStrip(t *testing.T) {
	t.Parallel()
	n := 0
	for _, c := range goldenCases(t, "scorers.jsonl") {
		if c.Task != "math_equiv" {
			continue
		}
		var pred string
		if err := json.Unmarshal(c.Output, &pred); err != nil {
			t.Fatal(err)
		}
		want, ok := c.Extracted["hendrycks_strip_pred"].(string)
		got, stripped := hendrycksStrip(pred)
		if ok && stripped && got != want {
			t.Errorf("%s: strip(%q) = %q, want %q", c.ID, pred, got, want)
		}
		n++
	}
	if n != 141 {
		t.Errorf("%d cases", n)
	}
}

func ExampleGet() {
	g, err := Get("abel")
	if err != nil {
		fmt.Println(err)
		return
	}
	v := g.Grade(Question{Gold: `\frac{1}{2}`}, "Half of it is left.\n#### 0.5")
	fmt.Println(v.Extracted, v.Correct)
	// Output: 0.5 true
}
