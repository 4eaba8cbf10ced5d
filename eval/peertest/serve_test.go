package peertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mergebot/eval"
	"mergebot/eval/engine"
	"mergebot/eval/engine/server"
	"mergebot/eval/task"
)

// batching makes `transformers serve` decode its requests together. Its cache is bounded, since by default it takes
// most of the machine's memory and a minute.
var batching = []string{"--continuous-batching", "--cb-num-blocks", "256", "--cb-max-batch-tokens", "512"}

// TestServed scores the family by `transformers serve` and by the embedded engine, both in float32: the same text, the
// same finish and the same verdict for every item of the six tasks.
func TestServed(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name, model string
		args        []string
	}{
		{"base", "tiny/base", nil}, {"math", "tiny/math", nil}, {"finance", "tiny/finance", nil}, {"law", "tiny/law", nil},
		{"math batched", "tiny/math", batching},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := b.serve(t, c.model, c.args...)
			sets := b.sets(t, 40)
			sameResults(t, score(t, s.session(t, nil), sets), score(t, b.embedded(t, c.model), sets))
		})
	}
}

// TestServedBounds compares completions that end by max_tokens or by a stop string. Two habits of the server show here:
// a completion whose end token is the last token allowed counts as cut off ("length"), and with continuous batching stop
// strings do nothing but in our client, which cuts the text.
func TestServedBounds(t *testing.T) {
	b := newBench(t)
	embedded := b.embedded(t, "tiny/math")
	var requests []engine.Request
	for _, it := range b.sets(t, 30)[0].Items {
		requests = append(requests, engine.Request{ID: it.ID, Prompt: it.Prompt, MaxTokens: 21},
			engine.Request{ID: it.ID, Prompt: it.Prompt, MaxTokens: 64, Stop: []string{"####", " ="}},
			engine.Request{ID: it.ID, Prompt: it.Prompt, MaxTokens: 12, Stop: []string{" ="}})
	}
	want, err := embedded.Generate(t.Context(), requests, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"plain": nil, "batched": batching} {
		t.Run(name, func(t *testing.T) {
			got, err := b.serve(t, "tiny/math", args...).session(t, nil).Generate(t.Context(), requests, nil)
			if err != nil {
				t.Fatal(err)
			}
			cut, stopped, last := 0, 0, 0
			for i, w := range want {
				r, g := requests[i], got[i]
				finish := w.Finish
				switch {
				case len(r.Stop) > 0:
					stopped++
				case w.Finish == engine.FinishLength:
					cut++
				case len(w.Tokens)+1 == r.MaxTokens:
					last++
					finish = engine.FinishLength
				}
				if g.Text != w.Text || g.Finish != finish || g.PromptTokens != w.PromptTokens {
					t.Errorf("%s, at most %d tokens, stop %q:\nserver   %d tokens, then %q, %s\nembedded %d tokens, then %q, %s", r.ID, r.MaxTokens, r.Stop,
						g.PromptTokens, g.Text, g.Finish, w.PromptTokens, w.Text, w.Finish)
				}
			}
			t.Logf("%d completions: %d with stop strings, %d cut off, %d whose end token is the last token allowed", len(want), stopped, cut, last)
			if cut == 0 || last == 0 {
				t.Error("not every way to end is there")
			}
		})
	}
}

// TestServedRestart kills the server in the middle of a task and starts it again at the same address: the run
// completes, with every item once.
func TestServedRestart(t *testing.T) {
	b := newBench(t)
	s := b.serve(t, "tiny/math")
	session, set := s.session(t, nil), b.sets(t, 40)[0]
	dying := &killing{Generator: session, after: 5, kill: s.kill, answered: map[int]int{}}
	restarted := make(chan error, 1)
	dying.killed = func() { go func() { restarted <- s.start(t.Context()) }() }
	got := score(t, dying, []*task.Set{set})
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	if len(dying.answered) != len(set.Items) {
		t.Errorf("%d of %d items answered", len(dying.answered), len(set.Items))
	}
	for i, n := range dying.answered {
		if n != 1 {
			t.Errorf("item %d answered %d times", i, n)
		}
	}
	sameResults(t, got, score(t, b.embedded(t, "tiny/math"), []*task.Set{set}))
}

// killing kills the server when some items are answered, and counts the answers of each.
type killing struct {
	engine.Generator
	after        int
	kill, killed func()
	answered     map[int]int
}

func (k *killing) Generate(ctx context.Context, reqs []engine.Request, each func(int, engine.Completion)) ([]engine.Completion, error) {
	n := 0
	return k.Generator.Generate(ctx, reqs, func(i int, c engine.Completion) {
		k.answered[i]++
		if n++; n == k.after {
			k.kill()
			k.killed()
		}
		each(i, c)
	})
}

// served is a running `transformers serve`.
type served struct {
	b          *bench
	program    string
	model      string
	args       []string
	addr       string
	cmd        *exec.Cmd
	exited     chan struct{}
	output     *os.File
	outputPath string
}

// serve starts `transformers serve` with a model that it fetches from the bench's hub, and waits until it answers.
func (b *bench) serve(t *testing.T, model string, args ...string) *served {
	t.Helper()
	s := &served{b: b, program: filepath.Join(peers(t), "venv", "bin", "transformers"), model: model, args: args, outputPath: filepath.Join(t.TempDir(), "serve.log")}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	l.Close()
	if s.output, err = os.Create(s.outputPath); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.kill()
		s.output.Close()
		if t.Failed() {
			t.Logf("the server's output ends in:\n%s", s.tail())
		}
	})
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// start starts the process and waits until it is healthy.
func (s *served) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	host, port, _ := net.SplitHostPort(s.addr)
	args := append([]string{"serve", s.model, "--host", host, "--port", port, "--device", "cpu", "--dtype", "float32"}, s.args...)
	s.cmd = exec.Command(s.program, args...)
	s.cmd.Env = append(s.b.environment(), "OMP_NUM_THREADS=1")
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.program, err)
	}
	s.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait() // it is killed in the end
		close(exited)
	}(s.cmd, s.exited)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/health", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-s.exited:
			return fmt.Errorf("transformers serve ended: %s", s.tail())
		case <-ctx.Done():
			return fmt.Errorf("transformers serve is not healthy: %w: %s", ctx.Err(), s.tail())
		}
	}
}

// kill ends the process at once (SIGKILL).
func (s *served) kill() {
	if s.exited != nil {
		_ = s.cmd.Process.Kill() // fails only when it has ended
		<-s.exited
	}
}

// tail is the end of what the server printed.
func (s *served) tail() []byte {
	b, err := os.ReadFile(s.outputPath)
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-4000):]
}

// session opens the server as an engine; client may be nil.
func (s *served) session(t *testing.T, client *http.Client) engine.Session {
	t.Helper()
	session, err := server.Open(t.Context(), server.Options{URL: "http://" + s.addr, Model: s.model, Note: func(note string) { t.Log(note) }, HTTP: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// embedded opens a model of the family in the embedded engine.
func (b *bench) embedded(t *testing.T, repo string) engine.Session {
	t.Helper()
	requireEngine(t, b.env.Engines.Llama.LibDir)
	c := familyModel(t, repo)
	s, err := engine.OpenLlama(t.Context(), c.Dir(), c, b.env.Engines.Llama)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// sets are a sample of the six tasks' test rows, asked as publish.yaml says.
func (b *bench) sets(t *testing.T, limit int) []*task.Set {
	t.Helper()
	options := loadRecipe(t, "publish").Mergebot.Evaluate.Tasks
	var out []*task.Set
	for _, name := range task.Names() {
		k, err := task.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if k, err = k.With(options[name]); err != nil {
			t.Fatal(err)
		}
		set, err := task.Load(t.Context(), k, folder(filepath.Join(b.work, "seed", "datasets", k.Dataset)), task.Test, limit, 0)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, set)
	}
	return out
}

// folder is a data set on disk.
type folder string

func (f folder) List(context.Context) (names []string, err error) {
	err = fs.WalkDir(os.DirFS(string(f)), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

func (f folder) Open(_ context.Context, name string) (io.ReaderAt, int64, error) {
	b, err := os.ReadFile(filepath.Join(string(f), filepath.FromSlash(name)))
	return bytes.NewReader(b), int64(len(b)), err
}

// score asks the sets one after another.
func score(t *testing.T, g engine.Generator, sets []*task.Set) []*eval.Result {
	t.Helper()
	var out []*eval.Result
	for _, set := range sets {
		r, err := eval.Run(t.Context(), g, set, nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// sameResults compares what a server and the embedded engine answered, item by item.
func sameResults(t *testing.T, got, want []*eval.Result) {
	t.Helper()
	for k, w := range want {
		g := got[k]
		t.Logf("%s: %d of %d correct, %d without answer, %d with several, %d cut off; %.1f s, embedded %.1f s",
			g.Task, g.Correct, g.N, g.NoAnswer, g.Several, g.Truncated, g.Seconds, w.Seconds)
		if g.N != w.N || g.N == 0 || g.Correct != w.Correct || g.NoAnswer != w.NoAnswer || g.Several != w.Several || g.Truncated != w.Truncated {
			t.Errorf("%s: the server scores %+v, the embedded engine %+v", w.Task, counts(g), counts(w))
		}
		for i := range w.Items {
			if g.Items[i] != w.Items[i] {
				t.Errorf("%s %s:\nserver   %+v\nembedded %+v", w.Task, w.Items[i].ID, g.Items[i], w.Items[i])
			}
		}
	}
}

func counts(r *eval.Result) [5]int { return [5]int{r.N, r.Correct, r.NoAnswer, r.Several, r.Truncated} }
