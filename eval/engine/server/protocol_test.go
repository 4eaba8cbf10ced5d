package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"mergebot/eval/engine"
	"mergebot/eval/engine/server/servertest"
)

// fixed answers each path with a status and a body.
type fixed map[string]struct {
	status int
	body   string
}

func (f fixed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := f[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

const (
	oneModel  = `{"object":"list","data":[{"id":"m","object":"model","owned_by":"me"}]}`
	twoModels = `{"data":[{"id":"m"},{"id":"other"}]}`
	fine      = `{"choices":[{"text":" Rome","finish_reason":"length"}]}`
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	const secret = "sk-very-secret"
	for name, c := range map[string]struct {
		model         string
		status        int
		models        string
		answer        int
		body          string
		want, wantNot string
	}{
		"page":          {"", 200, "<!doctype html><p>log in", 200, fine, "page in HTML", ""},
		"page later":    {"", 200, oneModel, 200, "<html>", "page in HTML", ""},
		"no list":       {"", 404, "not found", 200, fine, "no /v1/models", ""},
		"no model":      {"", 200, `{"data":[]}`, 200, fine, "no model that it lists", ""},
		"two models":    {"", 200, twoModels, 200, fine, "m, other", ""},
		"wrong model":   {"x", 200, twoModels, 200, fine, `no model "x"; it serves m, other`, ""},
		"key":           {"", 401, `{"error":{"message":"wrong key ` + secret + `"}}`, 200, fine, "set MERGEBOT_ENGINE_KEY", secret},
		"forbidden":     {"", 200, oneModel, 403, `{"error":"no"}`, "set MERGEBOT_ENGINE_KEY", ""},
		"chat only":     {"", 200, oneModel, 404, `{"detail":"Not Found"}`, "it serves m", ""},
		"bad request":   {"", 200, oneModel, 400, `{"object":"error","message":"no prompt"}`, "HTTP 400: no prompt", ""},
		"unprocessable": {"", 200, oneModel, 422, `{"detail":[{"msg":"field required"}]}`, "field required", ""},
		"echo":          {"", 200, oneModel, 200, fmt.Sprintf(`{"choices":[{"text":%q,"finish_reason":"length"}]}`, probe+" Rome"), "echo", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			answers := fixed{"/v1/models": {c.status, c.models}, "/v1/completions": {c.answer, c.body}}
			p := servertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				answers.ServeHTTP(w, r)
			}))
			_, err := Open(t.Context(), Options{URL: p.URL, Model: c.model, Key: secret})
			if err == nil || !strings.Contains(err.Error(), c.want) || c.wantNot != "" && strings.Contains(err.Error(), c.wantNot) {
				t.Errorf("error %v", err)
			}
			if n := requests.Load(); n > 3 { // the list, the probe, the list for the error
				t.Errorf("%d requests", n)
			}
		})
	}
	for _, url := range []string{"localhost:8000", "ftp://h", "http://", "http://h/v1?token=" + secret, "http://u:" + secret + "@\x7f"} {
		if _, err := Open(t.Context(), Options{URL: url}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://h": "http://h/v1", "http://h/": "http://h/v1", "http://h/v1": "http://h/v1", "http://h/v1/": "http://h/v1",
		"http://h/a/v1": "http://h/a/v1", "http://h/apiv1": "http://h/apiv1/v1", "http://u:p@h/v1//": "http://h/v1",
	} {
		if c, err := newClient(Options{URL: url}); err != nil || c.address != want {
			t.Errorf("%s: %v, %v, want %s", url, c.address, err, want)
		}
	}
}

// TestKey: the key goes to the server, to nobody else, and no other key goes to the server.
func TestKey(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-of-another")
	t.Setenv("OPENAI_CUSTOM_HEADERS", "X-Other: 1")
	var keys, elsewhere atomic.Value
	h := servertest.Handler(parrot{}, "m")
	p := servertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys.Store(r.Header.Get("Authorization") + r.Header.Get("X-Other"))
		h.ServeHTTP(w, r)
	}))
	open(t, Options{URL: p.URL})
	if got := keys.Load(); got != "" {
		t.Errorf("without a key, %q was sent", got)
	}
	s := open(t, Options{URL: p.URL, Key: "sk-mine"})
	if got := keys.Load(); got != "Bearer sk-mine" {
		t.Errorf("%q was sent", got)
	}
	if b, _ := json.Marshal(s.Info()); strings.Contains(string(b), "sk-") || strings.Contains(string(b), "127.0.0.1") {
		t.Errorf("%s", b)
	}
	other := servertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { elsewhere.Store(1) }))
	moved := servertest.Start(t, http.RedirectHandler(other.URL+"/v1/models?key=1", http.StatusTemporaryRedirect))
	_, err := Open(t.Context(), Options{URL: moved.URL, Key: "sk-mine"})
	if err == nil || !strings.Contains(err.Error(), "redirects to "+other.URL) || elsewhere.Load() != nil {
		t.Errorf("error %v, the other server was asked: %v", err, elsewhere.Load())
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	type info = engine.Info
	flags := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for name, c := range map[string]struct {
		server fixed
		model  string
		want   info
	}{
		"vllm": {fixed{
			"/v1/models": {200, `{"object":"list","data":[{"id":"abel","created":1,"owned_by":"vllm","root":"GAIR/Abel-7B-001","max_model_len":4096,"permission":[{"id":"modelperm-1"}]}]}`},
			"/version":   {200, `{"version":"0.11.0"}`},
		}, "", info{Engine: "vllm", Version: "0.11.0", DType: "unknown", Flags: flags("model", "abel", "root", "GAIR/Abel-7B-001", "max_model_len", "4096")}},
		"llama-server": {fixed{
			"/v1/models": {200, `{"data":[{"id":"a.gguf","owned_by":"llamacpp","meta":{"n_params":3950000,"size":7900000}}]}`},
			"/props":     {200, `{"build_info":"b8681","model_path":"/models/a.gguf","total_slots":4,"default_generation_settings":{"n_ctx":512}}`},
		}, "", info{Engine: "llama-server", Version: "b8681", DType: "unknown", Flags: flags("model", "a.gguf", "root", "/models/a.gguf", "max_model_len", "512", "slots", "4", "n_params", "3950000", "size", "7900000")}},
		"sglang": {fixed{
			"/v1/models":       {200, `{"data":[{"id":"a","owned_by":"sglang","root":"a","max_model_len":2048}]}`},
			"/get_server_info": {200, `{"version":"0.5.3","dtype":"bfloat16","kv_cache_dtype":"auto","quantization":null,"internal_states":[{"last_gen_throughput":1.5}]}`},
		}, "", info{Engine: "sglang", Version: "0.5.3", DType: "bfloat16", Flags: flags("model", "a", "max_model_len", "2048", "kv_cache_dtype", "auto")}},
		"transformers": {fixed{
			"/v1/models": {200, `{"data":[{"id":"org/a","owned_by":"org"},{"id":"who/b","owned_by":"who"}]}`},
		}, "/tmp/model", info{Engine: "transformers", Version: "unknown", DType: "unknown", Flags: flags("model", "/tmp/model")}},
		"other": {fixed{"/v1/models": {200, oneModel}}, "m", info{Engine: "openai-compatible", Version: "unknown", DType: "unknown", Flags: flags("model", "m")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := servertest.Start(t, c.server)
			for range 2 {
				got, err := Identify(t.Context(), Options{URL: p.URL, Model: c.model})
				if err != nil {
					t.Fatal(err)
				}
				if got.Engine != c.want.Engine || got.Version != c.want.Version || got.DType != c.want.DType || !maps.Equal(got.Flags, c.want.Flags) || got.LiveSwap {
					t.Errorf("%+v, want %+v", got, c.want)
				}
			}
		})
	}
}

// TestChanged: a server that is started again with another model must not give a mixed score.
func TestChanged(t *testing.T) {
	t.Parallel()
	var later atomic.Bool
	h := servertest.Handler(parrot{}, "m")
	p := servertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			fmt.Fprintf(w, `{"data":[{"id":"m","root":"model-%v"}]}`, later.Load())
			return
		}
		h.ServeHTTP(w, r)
	}))
	s := open(t, Options{URL: p.URL})
	if _, err := s.Generate(t.Context(), questions(3), nil); err != nil {
		t.Fatal(err)
	}
	y := newTally(t)
	_, err := s.Generate(t.Context(), questions(3), func(i int, c engine.Completion) { y.each(i, c); later.Store(true) })
	if !errors.Is(err, ErrChanged) || y.count.Load() != 3 {
		t.Errorf("error %v after %d items", err, y.count.Load())
	}
}

// narrow is a server that refuses prompts which, with max_tokens, exceed a context of 100 characters.
func narrow(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, `{"data":[{"id":"m","max_model_len":100}]}`)
		return
	}
	var in struct {
		Prompt    string
		MaxTokens int `json:"max_tokens"`
		Stop      []string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if len(in.Prompt)+in.MaxTokens > 100 {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":{"message":"This model's maximum context length is 100 tokens. However, you requested %d output tokens.","code":400}}`, in.MaxTokens)
		return
	}
	fmt.Fprintf(w, `{"choices":[{"text":"%d","finish_reason":"length"}],"usage":{"prompt_tokens":%d}}`, in.MaxTokens, len(in.Prompt))
}

func TestContext(t *testing.T) {
	t.Parallel()
	p := servertest.Start(t, http.HandlerFunc(narrow))
	s := open(t, Options{URL: p.URL})
	got, err := s.Generate(t.Context(), []engine.Request{
		{Prompt: strings.Repeat("a", 60), MaxTokens: 40},
		{Prompt: strings.Repeat("b", 60), MaxTokens: 2048}, // lowered to what the context leaves
		{Prompt: strings.Repeat("c", 100), MaxTokens: 5},
		{Prompt: "", MaxTokens: 5},
		{Prompt: "x", MaxTokens: 0},
		{Prompt: "d\x00\xff", MaxTokens: 5},
		{Prompt: strings.Repeat("e", maxPrompt+1), MaxTokens: 5},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []engine.Completion{
		{Text: "40", Finish: "length", PromptTokens: 60}, {Text: "40", Finish: "length", PromptTokens: 60},
		{Finish: "error", Error: "maximum context length"}, {Finish: "error", Error: "empty"}, {Finish: "error", Error: "at least 1"},
		{Text: "5", Finish: "length", PromptTokens: 4}, {Finish: "error", Error: "bytes"},
	} {
		g := got[i]
		if g.Text != want.Text || g.Finish != want.Finish || g.PromptTokens != want.PromptTokens || !strings.Contains(g.Error, want.Error) {
			t.Errorf("item %d: %+v, want %+v", i, g, want)
		}
	}
}

func TestFinish(t *testing.T) {
	t.Parallel()
	r := engine.Request{Stop: []string{"", "\n\n", "Q:"}}
	for _, c := range []struct {
		a    answer
		want engine.Completion
	}{
		{answer{text: " 4", finish: "stop"}, engine.Completion{Text: " 4", Finish: "stop"}},
		{answer{text: "4", finish: "length"}, engine.Completion{Text: "4", Finish: "length"}},
		{answer{text: "4 Q: 5\n\n", finish: "length"}, engine.Completion{Text: "4 ", Finish: "stop"}},
		{answer{text: "4", finish: "content_filter"}, engine.Completion{Finish: "error", Error: "content_filter"}},
		{answer{text: "4"}, engine.Completion{Finish: "error", Error: "does not say"}},
	} {
		got := completion(r, c.a)
		if got.Text != c.want.Text || got.Finish != c.want.Finish || !strings.Contains(got.Error, c.want.Error) {
			t.Errorf("%+v: %+v", c.a, got)
		}
	}
}

// TestTooLong has the words of real servers.
func TestTooLong(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"error":{"message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (2952 in the messages, 2048 in the completion)."}}`:                           true,
		`{"error":{"message":"'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context length is 4096 tokens and your request has 2778 input tokens","code":400}}`: true,
		`{"object":"error","message":"The decoder prompt (length 5000) is longer than the maximum model length of 4096."}`:                                                                         true,
		`{"error":{"code":400,"message":"request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it","type":"exceed_context_size_error"}}`:                          true,
		`{"object":"error","message":"The input (131123 tokens) is longer than the model's context length (131072 tokens)."}`:                                                                      true,
		`{"error":{"message":"bad","code":"context_length_exceeded"}}`:                                                                                                                             true,
		`{"error":{"message":"Requested tokens (600) exceed context window of 512"}}`:                                                                                                              true,
		`{"error":{"message":"context canceled"}}`:                  false,
		`{"error":{"message":"temperature must be non-negative"}}`:  false,
		`{"error":{"message":"max_tokens must be at least 1"}}`:     false,
		`{"detail":"Unexpected fields in the request: {'prompt'}"}`: false,
	} {
		if said, kind := words([]byte(body)); tooLong(said, kind) != want {
			t.Errorf("%s: %v", body, !want)
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty": "", "cut": fine[:20], "no choices": `{"choices":[]}`, "no text": `{"choices":[{"text":null,"finish_reason":"stop"}]}`,
		"page": "<html>", "large": `{"x":"` + strings.Repeat("x", maxBody) + `"}`, "NaN": `{"choices":[{"text":"a","logprobs":NaN}]}`,
	} {
		for _, chunked := range []bool{false, true} {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if chunked {
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = io.WriteString(w, body)
			}))
			c, err := newClient(Options{URL: s.URL}.withDefaults())
			if err != nil {
				t.Fatal(err)
			}
			var bad *fault
			if _, err := c.complete(t.Context(), engine.Request{Prompt: "a", MaxTokens: 1}); !errors.As(err, &bad) || !bad.again || len(bad.words) > 500 || name == "large" && !errors.Is(err, errTooLarge) {
				t.Errorf("%s: %v", name, err)
			}
			c.close()
			s.Close()
		}
	}
}

// TestEnd: a cancelled or closed session stops soon, though its server never answers.
func TestEnd(t *testing.T) {
	t.Parallel()
	h := servertest.Handler(parrot{}, "m")
	asked := make(chan struct{}, 10)
	p := servertest.Start(t, route("question", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}), h))
	s := open(t, Options{URL: p.URL, Concurrency: 2})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := s.Generate(ctx, questions(5), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := s.Swap(t.Context(), nil); !errors.Is(err, engine.ErrCannotSwap) {
		t.Errorf("swap: %v", err)
	}
	for len(asked) > 0 {
		<-asked
	}
	go func() { <-asked; _ = s.Close() }()
	for range 2 {
		if _, err := s.Generate(t.Context(), questions(5), nil); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	}
}

var _ engine.Session = (*Session)(nil)

func TestHandlerLists(t *testing.T) {
	t.Parallel()
	p := servertest.Start(t, servertest.Handler(parrot{}, "m"))
	res, err := http.Post(p.URL+"/v1/completions", "application/json", strings.NewReader(`{"model":"m","prompt":["a","b"],"temperature":0,"max_tokens":3}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var v struct {
		Choices []struct {
			Index int
			Text  string
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil || len(v.Choices) != 2 || v.Choices[1].Text != "B!" || v.Choices[1].Index != 1 {
		t.Errorf("%+v %v", v, err)
	}
}
