package grade

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
)

// lmEvalScore grades a log that lm-evaluation-harness 0.4.13 wrote (testdata/golden/lm_eval, made by make.py there).
func lmEvalScore(t *testing.T, task, grader, file string) (Summary, string, error) {
	t.Helper()
	log, err := os.ReadFile("../../testdata/golden/lm_eval/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	s, err := ScoreJSONL(t.Context(), bytes.NewReader(log), &b, Options{Task: task, Grader: grader, Format: FormatLMEval})
	return s, b.String(), err
}

func TestLMEval(t *testing.T) {
	t.Parallel()
	// The harness's own result for these samples: exact_match 0.6667, stderr 0.3333, by either filter.
	for _, grader := range []string{"lm_eval_strict", "lm_eval_flexible", "abel", "math_verify"} {
		s, out, err := lmEvalScore(t, "gsm8k", grader, "samples_gsm8k.jsonl")
		if err != nil || s.N != 3 || s.Correct != 2 || math.Abs(s.StdErr-0.3333) > 1e-4 || strings.Count(out, "\n") != 3 {
			t.Errorf("%s: %+v, %v\n%s", grader, s, err, out)
		}
	}
	s, out, err := lmEvalScore(t, "math", "hendrycks", "samples_math.jsonl")
	if err != nil || s.N != 1 || s.Correct != 1 || !strings.Contains(out, `"extracted":"\\dfrac12"`) {
		t.Errorf("math: %+v, %v\n%s", s, err, out)
	}
	s, out, err = lmEvalScore(t, "fpb", "", "samples_choice.jsonl")
	if err != nil || s.N != 1 || s.Correct != 1 || !strings.Contains(out, `"extracted":"Positive"`) {
		t.Errorf("choice: %+v, %v\n%s", s, err, out)
	}
	if _, _, err = lmEvalScore(t, "fpb", "", "samples_loglikelihood.jsonl"); !errors.Is(err, ErrLine) || !strings.Contains(err.Error(), "log-likelihoods") {
		t.Errorf("log-likelihoods: %v", err)
	}
}

func TestParseLMEval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ task, line, gold, err string }{
		{"gsm8k", `{"doc_id":1,"target":"a #### b\n#### 1,200 ","resps":[["x"]]}`, "1,200", ""},
		{"gsm8k", `{"doc_id":1,"target":18,"resps":["x"]}`, "18", ""},
		{"gsm8k", `{"doc_id":1,"target":1200000,"resps":["x"]}`, "1200000", ""},
		{"gsm8k", `{"doc_id":1,"doc":{"answer":1200000},"resps":["x"]}`, "1200000", ""},
		{"gsm8k", `{"doc_id":1,"target":18,"resps":["x"]} {}`, "", "more than one"},
		{"math", `{"doc_id":1,"doc":{"answer":31415926.50},"resps":["x"]}`, "31415926.50", ""},
		{"gsm8k", `{"doc_id":1,"doc":{"answer":"so\n#### -2"},"resps":[["x"]]}`, "-2", ""},
		{"gsm8k", `{"doc_id":1,"doc":{},"resps":[["x"]]}`, "", `no "target"`},
		{"math", `{"doc_id":1,"target":"It is $\\boxed{\\frac{1}{2}}$.","resps":[["x"]]}`, `\frac{1}{2}`, ""},
		{"math", `{"doc_id":1,"doc":{"solution":"\\boxed{3}","answer":"4"},"target":"3","resps":[["x"]]}`, "3", ""},
		{"math", `{"doc_id":1,"doc":{"answer":"4"},"target":"","resps":[["x"]]}`, "4", ""},
		{"math", `{"doc_id":1,"target":"x+1","resps":[["x"]]}`, "x+1", ""},
		{"math", `{"doc_id":1,"target":null,"resps":[["x"]]}`, "", `no "target"`},
		{"fpb", `{"doc_id":1,"doc":{"choices":["a","b"]},"target":"1","resps":[["x"]]}`, "b", ""},
		{"fpb", `{"doc_id":1,"doc":{"choices":{"text":["a","b"]},"gold":[0,1]},"target":"","resps":[["x"]]}`, "ab", ""},
		{"fpb", `{"doc_id":1,"doc":{"options":["a","b"]},"target":" b ","resps":[["x"]]}`, "b", ""},
		{"fpb", `{"doc_id":1,"doc":{"options":["a","b"]},"target":"[0]","resps":[["x"]]}`, "a", ""},
		{"fpb", `{"doc_id":1,"doc":{"options":["a","b"]},"target":1.0,"resps":[["x"]]}`, "b", ""},
		{"fpb", `{"doc_id":1,"doc":{"options":[5000000,6000000]},"target":"6000000","resps":[["x"]]}`, "6000000", ""},
		{"fpb", `{"doc_id":1,"doc":{"options":["a","b"]},"target":"0 1","resps":[["x"]]}`, "", "which of the 2 options"},
		{"fpb", `{"doc_id":1,"doc":{"options":["a","b"]},"target":"2","resps":[["x"]]}`, "", "which of the 2 options"},
		{"fpb", `{"doc_id":1,"doc":{},"target":"2","resps":[["x"]]}`, "", `no "doc" with "options"`},
		{"fpb", `{"doc_id":1,"resps":[[["-0.5","True"]]]}`, "", "log-likelihoods"}, {"fpb", `{"doc_id":1,"resps":[["-0.5","True"]]}`, "", "log-likelihoods"},
		{"math", `{"doc_id":1,"resps":[[-0.5]]}`, "", "log-likelihoods"}, {"math", `{"doc_id":1,"resps":[]}`, "", `no "resps"`}, {"math", `{"id":1}`, "", `no "doc_id"`},
	} {
		_, q, _, err := parseLMEval([]byte(c.line), c.task, c.task == "fpb")
		gold := q.Gold
		for _, i := range q.GoldIndex {
			gold += q.Options[i]
		}
		if c.err == "" && (err != nil || gold != c.gold) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: gold %q, %v, want %q %s", c.line, gold, err, c.gold, c.err)
		}
	}
	two := `{"doc_id":1,"target":"1","resps":[["#### 1"]]}` + "\n" + `{"doc_id":1,"target":"1","resps":[["#### 2"]]}`
	if _, err := ScoreJSONL(t.Context(), strings.NewReader(two), new(strings.Builder), Options{Task: "gsm8k", Format: FormatLMEval}); err == nil || !strings.Contains(err.Error(), "two different responses") {
		t.Errorf("two responses to one doc: %v", err)
	}
}

// The logs of a task's subsets, one after the other, each count their docs from 0.
func TestLMEvalSubsets(t *testing.T) {
	t.Parallel()
	lines := `{"doc_id":0,"doc":{"problem":"p","solution":"\\boxed{1}"},"target":"1","resps":[[""]],"filter":"a"}
{"doc_id":0,"doc":{"problem":"p","solution":"\\boxed{1}"},"target":"1","resps":[[""]],"filter":"b"}
{"doc_id":0,"doc":{"problem":"q","solution":"\\boxed{2}"},"target":"2","resps":[[""]],"filter":"a"}
{"doc_id":0,"doc":{"problem":"r","solution":"\\boxed{3}"},"target":"3","resps":[["$3$"]],"filter":"a"}
`
	s, err := ScoreJSONL(t.Context(), strings.NewReader(lines), new(strings.Builder), Options{Task: "math", Grader: "math_verify", Format: FormatLMEval})
	if err != nil || s.N != 3 || s.Correct != 1 {
		t.Errorf("%+v, %v: want 1 of 3 right", s, err)
	}
}
