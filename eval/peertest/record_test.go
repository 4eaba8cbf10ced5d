package peertest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"mergebot/eval/engine/server"
	"mergebot/eval/task"
)

// recordingPath holds the answers of `transformers serve` to the requests of our client, a line each.
var recordingPath = filepath.Join("golden", "transformers_serve.jsonl")

// recordedSets are ten rows a task, and those of gsm8k again with too few tokens to finish.
func (b *bench) recordedSets(t *testing.T) []*task.Set {
	t.Helper()
	sets := b.sets(t, 10)
	short := *sets[0]
	short.Task.MaxTokens = 16
	return append(sets, &short)
}

// TestServedRecording holds the recording to what the server answers now, but for ids and times, or makes it anew.
func TestServedRecording(t *testing.T) {
	b := newBench(t)
	s := b.serve(t, "tiny/math")
	var r recorder
	score(t, s.session(t, &http.Client{Transport: &r}), b.recordedSets(t))
	got := r.sorted()
	if *update {
		writeLines(t, recordingPath, got)
		return
	}
	want := readLines(t, recordingPath)
	if len(got) != len(want) {
		t.Fatalf("%d answers, the recording has %d", len(got), len(want))
	}
	for i, w := range want {
		if g := got[i]; g.key() != w.key() || g.Status != w.Status || lasting(g.Response) != lasting(w.Response) {
			t.Errorf("the server no longer answers as in the recording:\nnow %+v\nwas %+v", g, w)
		}
	}
}

// TestRecorded scores tiny/math by the recorded answers, without the server: as the embedded engine scores it. A client
// that asks something else needs a new recording, since the server may refuse it: it knows few fields.
func TestRecorded(t *testing.T) {
	if *update {
		t.Skip("the recording is being made")
	}
	b := newBench(t)
	embedded := b.embedded(t, "tiny/math")
	recorded, asked := map[string]exchange{}, map[string]bool{}
	for _, e := range readLines(t, recordingPath) {
		recorded[e.key()] = e
	}
	var mu sync.Mutex
	replay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		key := exchange{Method: r.Method, Path: r.URL.Path, Request: string(body)}.key()
		mu.Lock()
		defer mu.Unlock()
		e, ok := recorded[key]
		if !ok || err != nil {
			t.Errorf("not in the recording: %s (%v): make it anew by %s", key, err, updateCommand)
			http.Error(w, "not recorded", http.StatusBadRequest)
			return
		}
		asked[key] = true
		for name, value := range e.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(e.Status)
		_, _ = io.WriteString(w, e.Response)
	}))
	defer replay.Close()
	session, err := server.Open(t.Context(), server.Options{URL: replay.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if i := session.Info(); i.Engine != "transformers" || i.Flags["model"] != "tiny/math" {
		t.Errorf("the server is taken for %+v", i)
	}
	sets := b.recordedSets(t)
	got := score(t, session, sets)
	sameResults(t, got, score(t, embedded, sets))
	if last := got[len(got)-1]; last.Truncated == 0 || last.Truncated == last.N {
		t.Errorf("%d of %d answers are cut off: the recording should have both kinds", last.Truncated, last.N)
	}
	if len(asked) != len(recorded) {
		t.Errorf("%d of %d recorded requests were made", len(asked), len(recorded))
	}
}

// exchange is a request and its answer.
type exchange struct {
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Request  string            `json:"request,omitempty"`
	Status   int               `json:"status"`
	Header   map[string]string `json:"header"`
	Response string            `json:"response"`
}

// recorder keeps what goes over the wire, each request once.
type recorder struct {
	mu        sync.Mutex
	exchanges []exchange
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	e := exchange{Method: req.Method, Path: req.URL.Path, Header: map[string]string{}}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		e.Request, req.Body = string(body), io.NopCloser(bytes.NewReader(body))
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	e.Status, e.Response, resp.Body = resp.StatusCode, string(body), io.NopCloser(bytes.NewReader(body))
	for _, name := range []string{"Content-Type", "Server"} {
		if v := resp.Header.Get(name); v != "" {
			e.Header[name] = v
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.ContainsFunc(r.exchanges, func(x exchange) bool { return x.key() == e.key() }) {
		r.exchanges = append(r.exchanges, e)
	}
	return resp, nil
}

// key is the request; the order of its fields does not matter.
func (e exchange) key() string { return e.Method + " " + e.Path + " " + canonical(e.Request, nil) }

func (r *recorder) sorted() []exchange {
	return slices.SortedFunc(slices.Values(r.exchanges), func(a, b exchange) int { return cmp.Compare(a.key(), b.key()) })
}

// lasting is a body without what differs each time: the id of an answer, and times.
func lasting(body string) string {
	return canonical(body, func(v map[string]any) {
		delete(v, "id")
		delete(v, "created")
		models, _ := v["data"].([]any)
		for _, m := range models {
			if m, ok := m.(map[string]any); ok {
				delete(m, "created")
			}
		}
	})
}

// canonical is a JSON object with its keys in order, changed if change is not nil; anything else is itself.
func canonical(body string, change func(map[string]any)) string {
	var v map[string]any
	if json.Unmarshal([]byte(body), &v) != nil {
		return body
	}
	if change != nil {
		change(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return body
	}
	return string(b)
}

func readLines(t *testing.T, path string) []exchange {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []exchange
	for d := json.NewDecoder(bytes.NewReader(data)); d.More(); {
		var e exchange
		if err := d.Decode(&e); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, e)
	}
	return out
}

func writeLines(t *testing.T, path string, all []exchange) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, x := range all {
		if err := e.Encode(x); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
