package hub_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mergebot/hub"
)

func TestEvalResults(t *testing.T) {
	t.Parallel()
	c := sampleCard()
	files, err := c.EvalResults()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 {
		t.Fatalf("%d files: only GSM8K has a leaderboard", len(files))
	}
	goldenCard(t, "card_gsm8k.yaml", files[hub.EvalResultPaths()[0]])
}

// A score that would mislead on a leaderboard does not get there.
func TestEvalResultsRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*hub.CardResult){
		"a sample":               func(r *hub.CardResult) { r.N = 100 },
		"a smaller data set":     func(r *hub.CardResult) { r.N, r.Total = 200, 200 },
		"rows held out":          func(r *hub.CardResult) { r.N, r.Total = 1055, 1055 },
		"another split":          func(r *hub.CardResult) { r.Split = "train" },
		"another config":         func(r *hub.CardResult) { r.Config = "socratic" },
		"another data set":       func(r *hub.CardResult) { r.Dataset = "acme/gsm8k" },
		"another grader":         func(r *hub.CardResult) { r.Grader = "math_verify" },
		"no grader":              func(r *hub.CardResult) { r.Grader = "" },
		"a branch, not a commit": func(r *hub.CardResult) { r.Revision = "main" },
		"tuned on these rows":    func(r *hub.CardResult) { r.Tuned = true },
	} {
		c := sampleCard()
		change(&c.Results[0])
		if files, err := c.EvalResults(); err != nil || len(files) != 0 {
			t.Errorf("%s: %q, %v", name, files, err)
		}
		if _, err := c.Markdown(); err != nil {
			t.Errorf("%s: the card holds it all the same: %v", name, err)
		}
	}
	c := sampleCard()
	c.Repo = ""
	files, err := c.EvalResults()
	if err != nil || strings.Contains(string(files[hub.EvalResultPaths()[0]]), "source") {
		t.Errorf("not published, and yet a source: %s, %v", files, err)
	}
}

// Python's huggingface_hub reads the file as we mean it, and finds nothing in it that it does not know.
func TestPythonReadsOurEvalResults(t *testing.T) {
	t.Parallel()
	interpreter := os.Getenv("MERGEBOT_PYTHON")
	if interpreter == "" {
		t.Skip("MERGEBOT_PYTHON names no Python with huggingface_hub (pip install huggingface_hub)")
	}
	files, err := sampleCard().EvalResults()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "gsm8k.yaml")
	if err := os.WriteFile(path, files[hub.EvalResultPaths()[0]], 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), interpreter, "-W", "error", "-c", `
import sys, yaml
from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries
with open(sys.argv[1], encoding="utf-8") as f:
    data = yaml.safe_load(f)
entries = parse_eval_result_entries(data)
assert eval_result_entries_to_yaml(entries) == data, "something was lost"
for e in entries:
    print(e.dataset_id, e.task_id, e.dataset_revision, e.value, e.source_url, e.date, e.verify_token)
    print(e.notes)
`, path)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "HF_HUB_OFFLINE=1", "HF_HUB_DISABLE_TELEMETRY=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "openai/gsm8k gsm8k " + strings.Repeat("e", 40) + " 59.82 https://huggingface.co/acme/llama2-math-finance None None\n" +
		"per cent right of n = 1319 (all); standard error 1.35, 95 % interval 57.15 to 62.43; greedy, zero-shot, prompt abel, grader abel\n"
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
