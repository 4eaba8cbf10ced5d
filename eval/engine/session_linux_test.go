//go:build amd64 || arm64

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mergebot/eval/engine/wire"
)

func TestMain(m *testing.M) {
	if os.Getenv(ChildEnv) == "1" {
		if err := ServeChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// openFamily opens a model of the tiny family, or skips the test where the library is not installed.
func openFamily(t testing.TB, model string, o Options) *session {
	t.Helper()
	return openSwapping(t, model, o, true)
}

// library is the engine folder, or skips the test where nothing is installed in it.
func library(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("MERGEBOT_ENGINE_DIR")
	if _, err := Installed(dir); errors.Is(err, ErrNotInstalled) {
		t.Skip(err)
	}
	return dir
}

func openSwapping(t testing.TB, model string, o Options, live bool) *session {
	t.Helper()
	o.LibDir = library(t)
	dir, w := readFamily(t, model)
	s, err := open(t.Context(), dir, w, o, live)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

type golden struct {
	Task   string
	Prompt string
	IDs    []int32
	Final  []float64 `json:"final_logits"`
	Argmax []int32   `json:"argmax_per_position"`
	Greedy []int32   `json:"greedy_ids"`
	Text   string    `json:"greedy_text"`
}

func readGolden(t testing.TB) (g map[string][]golden) {
	t.Helper()
	readJSON(t, filepath.Join(family, "golden_logits.json"), &g)
	return g
}

func maxTokens(task string) int {
	switch task {
	case "gsm8k", "MATH":
		return 64
	case "FiQA_SA", "FPB":
		return 12
	}
	return 16
}

// requests are the golden prompts as requests.
func requests(g []golden) []Request {
	out := make([]Request, len(g))
	for i, x := range g {
		out[i] = Request{Prompt: x.Prompt, MaxTokens: maxTokens(x.Task)}
	}
	return out
}

func checkGreedy(t *testing.T, s Session, g []golden) {
	t.Helper()
	got, err := s.Generate(t.Context(), requests(g), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range g {
		if !slices.Equal(got[i].Tokens, x.Greedy) || got[i].Text != x.Text {
			t.Errorf("prompt %d: %v %q, want %v %q", i, got[i].Tokens, got[i].Text, x.Greedy, x.Text)
		}
		if got[i].PromptTokens != len(x.IDs) {
			t.Errorf("prompt %d: %d tokens, want %d", i, got[i].PromptTokens, len(x.IDs))
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := openFamily(t, "base", Options{})
	var cases []struct {
		Text, Decoded string
		IDs           []int32
	}
	readJSON(t, filepath.Join(family, "golden_tokens.json"), &cases)
	for _, c := range cases {
		ids, err := s.tokenize(t.Context(), c.Text)
		if err != nil || !slices.Equal(ids, c.IDs) {
			t.Errorf("%q: %v %v, want %v", c.Text, ids, err, c.IDs)
		}
		if text, err := s.text(t.Context(), c.IDs); err != nil || text != c.Decoded {
			t.Errorf("%v: %q %v, want %q", c.IDs, text, err, c.Decoded)
		}
	}
	// Special tokens in the text are parsed, and BOS is not doubled.
	once, err1 := s.tokenize(t.Context(), "Tom has 12 apples.")
	spelt, err2 := s.tokenize(t.Context(), "<s>Tom has 12 apples.")
	ended, err3 := s.tokenize(t.Context(), "Tom has 12 apples.</s>")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(once, spelt) || !slices.Equal(ended, append(slices.Clone(once), 2)) {
		t.Errorf("special tokens: %v %v %v", once, spelt, ended)
	}
	// NUL is filtered: llama.cpp would abort.
	if nul, err := s.tokenize(t.Context(), "Tom\x00 has 12 apples."); err != nil || !slices.Equal(nul, once) {
		t.Errorf("with NUL: %v %v", nul, err)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for model, cases := range readGolden(t) {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			s := openFamily(t, model, Options{})
			if !s.Info().LiveSwap {
				t.Error("weights are not swapped in place")
			}
			for i, g := range cases {
				ids, err := s.tokenize(t.Context(), g.Prompt)
				if err != nil || !slices.Equal(ids, g.IDs) {
					t.Fatalf("prompt %d: ids %v %v, want %v", i, ids, err, g.IDs)
				}
				rows, err := s.logits(t.Context(), ids)
				if err != nil {
					t.Fatal(err)
				}
				for k, want := range g.Final {
					if d := math.Abs(float64(rows[len(rows)-1][k]) - want); !(d < 1e-3) {
						t.Fatalf("prompt %d: logit %d differs by %g", i, k, d)
					}
				}
				for k, row := range rows {
					if got := slices.Index(row, slices.Max(row)); got != int(g.Argmax[k]) {
						t.Errorf("prompt %d: argmax at %d is %d, want %d", i, k, got, g.Argmax[k])
					}
				}
			}
			checkGreedy(t, s, cases)
		})
	}
}

func TestSwap(t *testing.T) {
	t.Parallel()
	g := readGolden(t)
	for _, live := range []bool{true, false} {
		t.Run(fmt.Sprintf("live=%v", live), func(t *testing.T) {
			t.Parallel()
			s := openSwapping(t, "base", Options{}, live)
			if s.Info().LiveSwap != live {
				t.Fatalf("live swap: %v", s.Info().LiveSwap)
			}
			for _, model := range []string{"math", "base", "law", "finance", "base"} {
				_, w := readFamily(t, model)
				if err := s.Swap(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				checkGreedy(t, s, g[model])
			}
		})
	}
}

func TestSwapEqualsFreshLoad(t *testing.T) {
	t.Parallel()
	_, math := readFamily(t, "math")
	swapped, fresh := openFamily(t, "base", Options{}), openFamily(t, "math", Options{})
	if err := swapped.Swap(t.Context(), math); err != nil {
		t.Fatal(err)
	}
	for _, g := range readGolden(t)["math"] {
		a, err1 := swapped.logits(t.Context(), g.IDs)
		b, err2 := fresh.logits(t.Context(), g.IDs)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		for i := range a {
			if !slices.Equal(a[i], b[i]) {
				t.Fatalf("logits at position %d differ", i)
			}
		}
	}
}

func TestUnusableWeights(t *testing.T) {
	t.Parallel()
	s := openFamily(t, "base", Options{})
	_, w := readFamily(t, "base")
	cases := readGolden(t)["base"]
	if err := s.Swap(t.Context(), w.scaled(float32(math.NaN()))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(t.Context(), requests(cases), nil); !errors.Is(err, ErrUnusable) {
		t.Fatalf("NaN weights: %v", err)
	}
	if err := s.Swap(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	checkGreedy(t, s, cases)
}

func TestCrashRecovers(t *testing.T) {
	t.Parallel()
	s := openFamily(t, "math", Options{})
	cases := readGolden(t)["math"]
	kill := func() { _ = syscall.Kill(s.proc.cmd.Process.Pid, syscall.SIGKILL) }
	kill() // while idle
	checkGreedy(t, s, cases)

	reqs, killed := requests(cases), false // while it generates
	told := map[int]bool{}
	got, err := s.Generate(t.Context(), reqs, func(i int, c Completion) {
		if told[i] || c.Text != cases[i].Text {
			t.Errorf("completion %d is told as %q, told before: %v", i, c.Text, told[i])
		}
		told[i] = true
		if !killed {
			killed = true
			kill()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != len(cases) {
		t.Errorf("%d of %d completions were told", len(told), len(cases))
	}
	for i, c := range got {
		if c.Text != cases[i].Text {
			t.Errorf("prompt %d: %q, want %q", i, c.Text, cases[i].Text)
		}
	}
	// A process that dies every time is an error that says how.
	_, err = s.call(t.Context(), nil, wire.Request{Kind: wire.Item})
	if !errors.Is(err, ErrCrashed) || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("dying twice: %v", err)
	}
	checkGreedy(t, s, cases)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := openFamily(t, "base", Options{})
	cases := readGolden(t)["base"]
	var reqs []Request
	for range 200 {
		reqs = append(reqs, requests(cases)...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := s.Generate(ctx, reqs, func(int, Completion) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if _, err := s.Generate(ctx, reqs[:1], nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled before: %v", err)
	}
	checkGreedy(t, s, cases)
	// A process that does not answer is killed.
	_ = syscall.Kill(s.proc.cmd.Process.Pid, syscall.SIGSTOP)
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Generate(ctx, reqs, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("stopped process: %v", err)
	}
	checkGreedy(t, s, cases)
}

func TestItems(t *testing.T) {
	t.Parallel()
	s := openFamily(t, "math", Options{Context: 64})
	g := readGolden(t)["math"][0]
	stop := g.Text[3:6]
	got, err := s.Generate(t.Context(), []Request{
		{Prompt: g.Prompt, MaxTokens: 2},
		{Prompt: strings.Repeat("very long ", 200), MaxTokens: 8},
		{Prompt: g.Prompt, MaxTokens: 64, Stop: []string{"no such text", stop}},
		{Prompt: g.Prompt, MaxTokens: 0},
		{Prompt: g.Prompt, MaxTokens: 1 << 30},
		{Prompt: strings.Repeat("x", maxPrompt+1), MaxTokens: 8},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := got[0]; c.Finish != FinishLength || !slices.Equal(c.Tokens, g.Greedy[:2]) {
		t.Errorf("two tokens: %+v", c)
	}
	for i, want := range map[int]string{1: "the context 64", 3: "at least 1", 5: "bytes"} {
		if c := got[i]; c.Finish != FinishError || c.Text != "" || !strings.Contains(c.Error, want) {
			t.Errorf("item %d: %+v, want an error with %q", i, c, want)
		}
	}
	before, _, _ := strings.Cut(g.Text, stop)
	if c := got[2]; c.Finish != FinishStop || c.Text != before {
		t.Errorf("stop string: %+v, want %q", c, before)
	}
	if c := got[4]; len(c.Tokens)+c.PromptTokens > 64 {
		t.Errorf("more than the context: %+v", c)
	}
	if empty, err := s.Generate(t.Context(), nil, nil); err != nil || len(empty) != 0 {
		t.Errorf("no requests: %v %v", empty, err)
	}
}

func TestSameWhateverTheOrderOfCalls(t *testing.T) {
	t.Parallel()
	g := readGolden(t)["law"]
	a, b := openFamily(t, "law", Options{Lanes: 2, Slots: 2}), openFamily(t, "law", Options{Lanes: 2, Slots: 2})
	if _, err := b.logits(t.Context(), g[0].IDs); err != nil { // makes b's caches smaller at first
		t.Fatal(err)
	}
	x, err1 := a.Generate(t.Context(), requests(g), nil)
	y, err2 := b.Generate(t.Context(), requests(g), nil)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	la, err1 := a.logits(t.Context(), g[1].IDs)
	lb, err2 := b.logits(t.Context(), g[1].IDs)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for i := range x {
		if x[i].Text != y[i].Text {
			t.Errorf("prompt %d: %q and %q", i, x[i].Text, y[i].Text)
		}
	}
	if !slices.EqualFunc(la, lb, slices.Equal) {
		t.Error("logits depend on earlier calls")
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	lib := library(t)
	dir, base := readFamily(t, "base")
	wrong := tensors{}
	for n, x := range base {
		wrong[n] = x
	}
	wrong["model.norm.weight"] = tensor{[]int64{80, 2}, base["model.norm.weight"].data}
	if _, err := OpenLlama(t.Context(), dir, wrong, Options{LibDir: lib}); err == nil || !strings.Contains(err.Error(), "model.norm.weight") {
		t.Errorf("wrong shape: %v", err)
	}
	delete(wrong, "model.norm.weight")
	if _, err := OpenLlama(t.Context(), dir, wrong, Options{LibDir: lib}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("missing tensor: %v", err)
	}
	if _, err := OpenLlama(t.Context(), dir, base, Options{LibDir: t.TempDir()}); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("not installed: %v", err)
	}
	var log bytes.Buffer
	s, err := OpenLlama(t.Context(), dir, base, Options{LibDir: lib, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if _, err := s.Generate(t.Context(), nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := s.Swap(t.Context(), base); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if log.Len() == 0 {
		t.Error("no log")
	}
}

func TestLiveSwapIsNotTakenForGranted(t *testing.T) {
	t.Parallel()
	s := openFamily(t, "base", Options{})
	shared := s.mem
	apart, err := newMemory(shared.file) // memory that the engine's process does not have
	if err != nil {
		t.Fatal(err)
	}
	s.mem = apart
	proved, err := s.provesLiveSwap(t.Context())
	s.mem = shared
	apart.close()
	if err != nil || proved {
		t.Errorf("proved %v, %v", proved, err)
	}
	if proved, err := s.provesLiveSwap(t.Context()); err != nil || !proved {
		t.Errorf("proved %v, %v", proved, err)
	}
}
