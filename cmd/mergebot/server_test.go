//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mergebot/eval/engine"
	"mergebot/eval/engine/server/servertest"
	"mergebot/eval/report"
	"mergebot/merge/checkpoint"
)

// evalArgs score a few rows of two tasks.
func evalArgs(model, out string, limit int, more ...string) []string {
	return append([]string{"eval", model, "--tasks", "gsm8k,fpb", "--set", "gsm8k.revision=main", "--set", "fpb.revision=main",
		"--set", "gsm8k.max_tokens=48", "--set", "fpb.max_tokens=12", "--limit", fmt.Sprint(limit), "--out", out, "-q"}, more...)
}

// familyEngine is the embedded engine with one of the family's models.
func familyEngine(t *testing.T, name string) engine.Session {
	t.Helper()
	dir := filepath.Join("../../testdata/family", name)
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := engine.OpenLlama(t.Context(), dir, c, engine.Options{LibDir: engineDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// items are the lines of the pages beside a report, by task and id, without the model's name and the role.
func items(t *testing.T, out string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for name, b := range tree(t, filepath.Join(out, "items")) {
		if !strings.HasSuffix(name, ".jsonl") {
			continue
		}
		err := report.ReadItems(strings.NewReader(string(b)), func(_, task string, it report.Item) error {
			a := it.Answers[0]
			lines[task+" "+it.ID] = fmt.Sprintf("%q %q %q %t %t", it.Prompt, it.Gold, a.Output, a.Correct, a.Truncated)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

// TestEvalByServer: the same model behind a server gets the same score, item by item, and is not downloaded.
func TestEvalByServer(t *testing.T) {
	t.Parallel()
	needEngine(t)
	h := serveHub(t, familySeed(t), nil)
	s := httptest.NewServer(servertest.Handler(familyEngine(t, "math"), "tiny-math"))
	t.Cleanup(s.Close)

	own, theirs := newPlace(t, h, ""), newPlace(t, h, "")
	own.do(t, nil, evalArgs("tiny/math", "out", 30)...)
	theirs.do(t, nil, evalArgs("tiny/math", "out", 30, "--engine", s.URL, "--served", "tiny-math")...)
	want, got := items(t, own.path("work", "out")), items(t, theirs.path("work", "out"))
	if len(want) != 60 {
		t.Fatalf("%d items, want 60", len(want))
	}
	same(t, "items", want, got)
	for name := range tree(t, theirs.path("cache")) {
		if strings.HasSuffix(name, ".safetensors") {
			t.Errorf("the model was downloaded: %s", name)
		}
	}
	var r report.Report
	readJSON(t, theirs.path("work", "out", "report.json"), &r)
	if e := r.Domains[0].Tasks[0].Scores[0].Engine; e.Name != "openai-compatible" || e.Flags["model"] != "tiny-math" {
		t.Errorf("the report says the engine was %+v", e)
	}
	if again := strings.Join(r.Reproduce, "\n"); !strings.HasSuffix(again, " --engine "+s.URL+" --served tiny-math") {
		t.Errorf("to reproduce: %s", again)
	}
}

// slowly answers every prompt with its hash after a while, and remembers when.
type slowly struct {
	delay time.Duration

	mu    sync.Mutex
	asked map[string][]time.Time // when each prompt was answered
}

func (s *slowly) Info() engine.Info { return engine.Info{Engine: "slow"} }

func (s *slowly) Generate(ctx context.Context, reqs []engine.Request, _ func(int, engine.Completion)) ([]engine.Completion, error) {
	select {
	case <-time.After(s.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []engine.Completion
	for _, r := range reqs {
		s.asked[r.Prompt] = append(s.asked[r.Prompt], time.Now())
		out = append(out, engine.Completion{Text: fmt.Sprintf("#### %d", len(r.Prompt)), Finish: engine.FinishStop, PromptTokens: 1})
	}
	return out, nil
}

func (s *slowly) answered() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// TestKilledEvaluation: an evaluation that was killed goes on at the item; what was answered seconds before the kill is
// not asked again, and the scores are those of an undisturbed run.
func TestKilledEvaluation(t *testing.T) {
	t.Parallel()
	h := serveHub(t, familySeed(t), nil)
	slow := &slowly{delay: 150 * time.Millisecond, asked: map[string][]time.Time{}}
	s := httptest.NewServer(servertest.Handler(slow, "slow"))
	t.Cleanup(s.Close)
	args := evalArgs("tiny/math", "out", 80, "--engine", s.URL, "--engine-concurrency", "4")

	p := newPlace(t, h, "")
	c := p.start(t, nil, args...)
	deadline := time.After(time.Minute)
	for slow.answered() < 120 {
		select {
		case <-deadline:
			t.Fatalf("%d answers in a minute\n", slow.answered())
		case <-c.ended:
			t.Fatalf("ended before it could be killed: %s", &c.out)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-c.ended
	killed := time.Now()
	p.do(t, nil, args...)
	p.do(t, nil, evalArgs("tiny/math", "regraded", 80, "--engine", s.URL, "--set", "gsm8k.grader=lm_eval_flexible")...)

	var again, early int
	for prompt, times := range slow.asked {
		slices.SortFunc(times, time.Time.Compare)
		first := killed.Sub(times[0])
		if first > 3*time.Second {
			early++
		}
		if len(times) > 1 && !strings.HasPrefix(prompt, "The capital") { // the probe of every start
			again++
			if first > 3*time.Second || len(times) > 2 {
				t.Errorf("answered %v before the kill, and asked %d times in all", first, len(times))
			}
		}
	}
	t.Logf("%d of 160 items were asked twice; %d had been answered 3 s before the kill", again, early)
	if early == 0 || again > 100 {
		t.Errorf("too few items were kept: %d asked again", again)
	}
	quiet := newPlace(t, h, "")
	slow.delay = 0
	quiet.do(t, nil, evalArgs("tiny/math", "out", 80, "--engine", s.URL)...)
	same(t, "items", items(t, quiet.path("work", "out")), items(t, p.path("work", "out")))
}

// TestEvalByBadServers: servers that are none, want a key, or go away are clear errors with their exit codes, and what was
// answered before is kept.
func TestEvalByBadServers(t *testing.T) {
	t.Parallel()
	h := serveHub(t, familySeed(t), nil)
	answer := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	closed := httptest.NewServer(answer(200, ""))
	closed.Close()
	slow := &slowly{asked: map[string][]time.Time{}}
	good := servertest.Handler(slow, "slow")
	goes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slow.answered() > 20 {
			panic(http.ErrAbortHandler) // for good
		}
		good.ServeHTTP(w, r)
	})
	for name, c := range map[string]struct {
		handler http.Handler
		code    int
		words   string
	}{
		"nobody": {nil, exitNetwork, "connection refused"},
		"HTML":   {answer(200, "<html>Sign in</html>"), exitNetwork, "a page in HTML"},
		"no key": {answer(401, `{"error":{"message":"no key"}}`), exitUnauthorized, "MERGEBOT_ENGINE_KEY"},
		"other":  {answer(404, `{"error":"nothing here"}`), exitNetwork, "is this the address of an OpenAI-compatible server?"},
		"goes":   {goes, exitNetwork, "see to the server and run again"},
	} {
		url := closed.URL
		if c.handler != nil {
			s := httptest.NewServer(c.handler)
			t.Cleanup(s.Close)
			url = s.URL
		}
		p := newPlace(t, h, "")
		args := evalArgs("tiny/math", "out", 40, "--engine", url, "--engine-patience", "2s", "--engine-concurrency", "2")
		m := p.start(t, nil, args...)
		<-m.ended
		if code := m.ProcessState.ExitCode(); code != c.code || !strings.Contains(m.out.String(), c.words) {
			t.Errorf("%s: exit code %d, want %d; want %q in:\n%s", name, code, c.code, c.words, &m.out)
		}
		if name == "goes" {
			s := httptest.NewServer(good)
			t.Cleanup(s.Close)
			p.do(t, nil, evalArgs("tiny/math", "out", 40, "--engine", s.URL)...)
			for prompt, times := range slow.asked {
				if len(times) > 2 || len(times) > 1 && !strings.HasPrefix(prompt, "The capital") {
					t.Errorf("asked %d times: %.40q", len(times), prompt)
				}
			}
		}
	}
}
