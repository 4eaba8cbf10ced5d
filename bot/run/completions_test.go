package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mergebot/eval/engine"
	"mergebot/eval/engine/server"
)

// scripted answers every prompt with its own text in capitals, fails after some of them, and counts what it is asked.
type scripted struct {
	asked map[string]int
	after int // answers before err
	err   error
	info  engine.Info
}

func (s *scripted) Info() engine.Info { return s.info }

func (s *scripted) Generate(_ context.Context, reqs []engine.Request, each func(int, engine.Completion)) ([]engine.Completion, error) {
	out := make([]engine.Completion, len(reqs))
	for i, r := range reqs {
		if s.err != nil && i == s.after {
			return nil, s.err
		}
		s.asked[r.Prompt]++
		out[i] = engine.Completion{Text: "answer to " + r.Prompt, Finish: engine.FinishStop, PromptTokens: i + 1}
		if r.Prompt == "long" {
			out[i] = engine.Completion{Finish: engine.FinishError, Error: "too long"}
		}
		each(i, out[i])
	}
	return out, s.err
}

func requestsFor(n int) []engine.Request {
	var out []engine.Request
	for i := range n {
		out = append(out, engine.Request{Prompt: fmt.Sprint("prompt ", i), MaxTokens: 8})
	}
	return out
}

// ask puts requests to s through what is remembered in storage.
func ask(t *testing.T, storage *Storage, a author, s *scripted, reqs []engine.Request) ([]engine.Completion, int, error) {
	t.Helper()
	c, err := storage.recall(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	told := map[int]bool{}
	r := &remembering{known: c, open: func(context.Context) (engine.Generator, error) { return s, nil }}
	got, err := r.Generate(t.Context(), reqs, func(i int, c engine.Completion) {
		if told[i] {
			t.Errorf("request %d is told twice", i)
		}
		told[i] = true
	})
	if err == nil && len(told) != len(reqs) {
		t.Errorf("%d of %d requests were told", len(told), len(reqs))
	}
	return got, r.recalled, err
}

// Killed after its last answer was kept and before its score was, a run recalls them all: its score says what answered,
// with all that the engine says of itself once it runs, as it would have undisturbed.
func TestRecalledSaysWhoAnswered(t *testing.T) {
	t.Parallel()
	storage := openTestStorage(t)
	a := author{Weights: "w", Engine: engine.Info{Engine: "scripted"}}
	running := engine.Info{Engine: "scripted", LiveSwap: true, Flags: map[string]string{"lanes": "2"}}
	generate := func(open func(context.Context) (engine.Generator, error)) *remembering {
		t.Helper()
		c, err := storage.recall(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		r := &remembering{known: c, info: a.Engine, open: open}
		if _, err := r.Generate(t.Context(), requestsFor(5), nil); err != nil {
			t.Fatal(err)
		}
		return r
	}
	s := &scripted{asked: map[string]int{}, info: running}
	generate(func(context.Context) (engine.Generator, error) { return s, nil })
	r := generate(func(context.Context) (engine.Generator, error) { return nil, errors.New("opened for nothing") })
	if r.recalled != 5 || !reflect.DeepEqual(r.Info(), running) {
		t.Errorf("%d answers recalled of %+v; want 5 of %+v", r.recalled, r.Info(), running)
	}
	if err := r.known.compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := generate(nil); !reflect.DeepEqual(r.Info(), running) {
		t.Errorf("made one blob, they are of %+v", r.Info())
	}
}

func openTestStorage(t *testing.T) *Storage {
	t.Helper()
	s, err := OpenStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestNothingIsAskedTwice(t *testing.T) {
	t.Parallel()
	storage, a := openTestStorage(t), author{Weights: "w", Engine: engine.Info{Engine: "scripted"}}
	broken := errors.New("the engine is gone")
	s := &scripted{asked: map[string]int{}, after: 3, err: broken}
	if _, _, err := ask(t, storage, a, s, requestsFor(10)); !errors.Is(err, broken) {
		t.Fatalf("a failing engine: %v", err)
	}
	s.err = nil
	got, recalled, err := ask(t, storage, a, s, requestsFor(10))
	if err != nil || recalled != 3 {
		t.Fatalf("%d answers were recalled, want 3; %v", recalled, err)
	}
	for i, c := range got {
		if want := fmt.Sprint("answer to prompt ", i); c.Text != want || c.Finish != engine.FinishStop || c.PromptTokens == 0 {
			t.Errorf("answer %d is %+v", i, c)
		}
	}
	if _, recalled, err = ask(t, storage, a, s, requestsFor(10)); err != nil || recalled != 10 {
		t.Errorf("the third time %d are recalled; %v", recalled, err)
	}
	for p, n := range s.asked {
		if n != 1 {
			t.Errorf("%s was asked %d times", p, n)
		}
	}
	// Whatever may change an answer is another question.
	other := requestsFor(10)
	for i := range other {
		other[i].MaxTokens++
	}
	stop := requestsFor(10)
	for i := range stop {
		stop[i].Stop = []string{"\n"}
	}
	for name, c := range map[string]struct {
		a    author
		reqs []engine.Request
	}{
		"weights":    {author{Weights: "x", Engine: a.Engine}, requestsFor(10)},
		"tokenizer":  {author{Weights: "w", Tokenizer: "x", Engine: a.Engine}, requestsFor(10)},
		"engine":     {author{Weights: "w", Engine: engine.Info{Engine: "scripted", Version: "2"}}, requestsFor(10)},
		"max tokens": {a, other},
		"stop":       {a, stop},
	} {
		if _, recalled, err := ask(t, storage, c.a, s, c.reqs); err != nil || recalled != 0 {
			t.Errorf("other %s: %d were recalled, want none; %v", name, recalled, err)
		}
	}
}

func TestUnansweredPromptsAreAskedAgain(t *testing.T) {
	t.Parallel()
	storage, a := openTestStorage(t), author{Weights: "w"}
	s := &scripted{asked: map[string]int{}}
	for range 2 {
		got, _, err := ask(t, storage, a, s, []engine.Request{{Prompt: "long", MaxTokens: 1}, {Prompt: "short", MaxTokens: 1}})
		if err != nil || got[0].Finish != engine.FinishError || got[0].Error == "" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if s.asked["long"] != 2 || s.asked["short"] != 1 {
		t.Errorf("asked %v", s.asked)
	}
}

// TestAnswersOfAChangedServer: when a server turns out to be another one than at the start, none of its answers are kept.
func TestAnswersOfAChangedServer(t *testing.T) {
	t.Parallel()
	storage, a := openTestStorage(t), author{Weights: "w"}
	s := &scripted{asked: map[string]int{}}
	if _, _, err := ask(t, storage, a, s, requestsFor(2)); err != nil {
		t.Fatal(err)
	}
	s.after, s.err = 99, server.ErrChanged
	if _, _, err := ask(t, storage, a, s, requestsFor(5)); !errors.Is(err, server.ErrChanged) {
		t.Fatal(err)
	}
	s.err = nil
	if _, recalled, err := ask(t, storage, a, s, requestsFor(5)); err != nil || recalled != 2 {
		t.Errorf("%d were recalled, want the 2 of before; %v", recalled, err)
	}
}

// TestForgottenAnswersStayForgotten: whatever happens while the answers of a changed server are thrown away, none of them
// is left in storage. Here a folder stands where what is left over would be written.
func TestForgottenAnswersStayForgotten(t *testing.T) {
	t.Parallel()
	storage, a := openTestStorage(t), author{Weights: "w"}
	s := &scripted{asked: map[string]int{}}
	if _, _, err := ask(t, storage, a, s, requestsFor(1)); err != nil {
		t.Fatal(err)
	}
	only, err := storage.recall(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(t, storage, a, s, requestsFor(3)); err != nil {
		t.Fatal(err)
	}
	c, err := storage.recall(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	var wrong []string
	for key := range c.known {
		if _, ok := only.known[key]; !ok {
			wrong = append(wrong, key)
		}
	}
	inTheWay := filepath.Join(storageDir(storage), only.blobs[0])
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(inTheWay, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.blobs = slices.DeleteFunc(c.blobs, func(name string) bool { return name == only.blobs[0] })
	if err := c.forget(t.Context(), wrong); err == nil {
		t.Error("what is left could not be written, and nobody says so")
	}
	if c, err = storage.recall(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for _, key := range wrong {
		if _, ok := c.known[key]; ok {
			t.Errorf("%s came back", key)
		}
	}
}

func storageDir(s *Storage) string { return strings.TrimPrefix(s.URL(), "file://") }

// TestStorageThatFailsForAWhile: what could not be kept at once is kept later, and the answers are not lost for it.
func TestStorageThatFailsForAWhile(t *testing.T) {
	t.Parallel()
	storage, a := openTestStorage(t), author{Weights: "w"}
	c, err := storage.recall(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	inTheWay := filepath.Join(storageDir(storage), "completions")
	if err := os.WriteFile(inTheWay, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c.keep(t.Context(), "key", engine.Completion{Text: "text", Finish: engine.FinishStop}, engine.Info{})
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		c.mu.Lock()
		tried := c.timer == nil
		c.mu.Unlock()
		if tried {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatal("it is never written")
		}
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if err := c.flush(t.Context()); err != nil {
		t.Errorf("all is stored, and yet: %v", err)
	}
	if c, err = storage.recall(t.Context(), a); err != nil || c.known["key"].Text != "text" {
		t.Errorf("stored is %v; %v", c.known, err)
	}
}

// TestOnePromptOfSeveralRows: rows of equal prompts are one question.
func TestOnePromptOfSeveralRows(t *testing.T) {
	t.Parallel()
	storage, a := openTestStorage(t), author{Weights: "w"}
	s := &scripted{asked: map[string]int{}}
	reqs := append(requestsFor(3), requestsFor(2)...)
	for i := range reqs {
		reqs[i].ID = fmt.Sprint(i)
	}
	got, recalled, err := ask(t, storage, a, s, reqs)
	if err != nil || recalled != 0 || s.asked["prompt 0"] != 1 {
		t.Fatalf("asked %v, recalled %d; %v", s.asked, recalled, err)
	}
	for i, c := range got {
		if c.Text != "answer to "+reqs[i].Prompt {
			t.Errorf("request %d has %q", i, c.Text)
		}
	}
}

// TestDamagedCompletions: a blob that is cut short or garbage costs its answers, not the run; and many blobs become one.
func TestDamagedCompletions(t *testing.T) {
	t.Parallel()
	storage, a := openTestStorage(t), author{Weights: "w"}
	s := &scripted{asked: map[string]int{}}
	for n := 1; n <= maxBlobs+3; n++ {
		if _, recalled, err := ask(t, storage, a, s, requestsFor(n)); err != nil || recalled != n-1 {
			t.Fatalf("%d prompts: %d were recalled; %v", n, recalled, err)
		}
	}
	c, err := storage.recall(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.blobs); n > maxBlobs {
		t.Errorf("there are %d blobs after %d runs", n, maxBlobs+3)
	}
	known := len(c.known)
	whole, err := storage.keeper.read(t.Context(), c.blobs[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, damage := range [][]byte{whole[:len(whole)-5], []byte("garbage"), nil} {
		if err := storage.WriteBytes(t.Context(), c.folder+fmt.Sprintf("%d.jsonl.gz", i), damage); err != nil {
			t.Fatal(err)
		}
	}
	if c, err = storage.recall(t.Context(), a); err != nil || len(c.known) != known {
		t.Errorf("with damaged blobs beside: %d answers, %v; want %d", len(c.known), err, known)
	}
	if err := storage.WriteBytes(t.Context(), c.blobs[len(c.blobs)-1], whole[:len(whole)/2]); err != nil {
		t.Fatal(err)
	}
	if c, err = storage.recall(t.Context(), a); err != nil || len(c.known) >= known {
		t.Errorf("a torn blob: %d answers, %v; want fewer than %d", len(c.known), err, known)
	}
}
