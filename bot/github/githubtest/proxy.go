package githubtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// Request is a request that arrived, and what came of it.
type Request struct {
	Method, Path, Query string
	Login               string // who asked; "" nobody, or the app itself with its JWT
	Body                []byte
	Status              int // 0 while it is under way, and where the answer was lost
	At                  time.Time
}

// String is the request's first line, with its answer's status.
func (r Request) String() string {
	if r.Query != "" {
		return fmt.Sprintf("%s %s?%s %d", r.Method, r.Path, r.Query, r.Status)
	}
	return fmt.Sprintf("%s %s %d", r.Method, r.Path, r.Status)
}

// Requests are those so far, in the order in which they came.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Writes are the requests that would change something, without those for a token.
func (s *Server) Writes() (out []Request) {
	for _, r := range s.Requests() {
		if r.writes() {
			out = append(out, r)
		}
	}
	return out
}

// Written is how many those are.
func (s *Server) Written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

func (r Request) writes() bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.HasSuffix(r.Path, "/access_tokens")
}

// caller is who asks.
type caller struct {
	login   string
	app     bool // by a token of the installation
	itself  bool // the app, by its JWT
	expires time.Time
}

type callerKey struct{}

func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// ServeHTTP is the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // whoever asked is gone
	}
	x := exchange{request: r, body: body}
	n := s.arrived(r, body)
	if err := s.description.checkRequest(x); err != nil {
		s.violation("request", x, err)
	}
	lose, done := s.faults.before(s, w, r)
	if done {
		return
	}
	c, ok := s.who(r)
	s.identified(n, c)
	rec := httptest.NewRecorder()
	switch {
	case !ok:
		refuse(rec, http.StatusUnauthorized, "Bad credentials")
	default:
		inner := r.Clone(context.WithValue(r.Context(), callerKey{}, c))
		inner.Body = io.NopCloser(bytes.NewReader(body))
		s.mux.ServeHTTP(rec, inner)
	}
	x.status, x.header, x.answer = rec.Code, rec.Header(), s.completed(rec)
	if err := s.description.checkAnswer(x); err != nil {
		s.violation("answer", x, err)
	}
	s.hold(n, x.status)
	if lose {
		s.faults.drop(w)
		return
	}
	s.send(w, r, c, x)
	s.answered(n, x.status)
}

// send answers, with 304 where the caller has the same already, which costs no quota.
func (s *Server) send(w http.ResponseWriter, r *http.Request, c caller, x exchange) {
	maps.Copy(w.Header(), x.header)
	w.Header().Del("Content-Length")
	w.Header().Set("X-GitHub-Media-Type", "github.v3; format=json")
	same := false
	if r.Method == http.MethodGet && x.status == http.StatusOK {
		sum := sha256.Sum256(x.answer)
		etag := fmt.Sprintf(`W/"%x"`, sum)
		same = strings.TrimPrefix(r.Header.Get("If-None-Match"), "W/") == strings.TrimPrefix(etag, "W/")
		w.Header().Set("ETag", etag)
		w.Header().Set("Cache-Control", "private, max-age=60, s-maxage=60")
		w.Header().Set("Vary", "Accept, Authorization, Cookie, X-GitHub-OTP,Accept-Encoding, Accept, X-Requested-With")
	}
	s.quota.count(w.Header(), c.login, same)
	if same {
		w.Header().Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.WriteHeader(x.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(x.answer)
	}
}

// completed is the recorded answer as GitHub would give it.
func (s *Server) completed(rec *httptest.ResponseRecorder) []byte {
	body := rec.Body.Bytes()
	if len(body) == 0 || !strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") {
		return body
	}
	b, err := s.complete(body)
	if err != nil {
		s.failed("githubtest: the answer is no JSON: %v\n%s", err, body)
		return body
	}
	return b
}

// who says whose token came with a request; false for a token that nobody has, or that has expired.
func (s *Server) who(r *http.Request) (caller, bool) {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case kind == "":
		return caller{}, true
	case strings.EqualFold(kind, "basic"):
		return caller{}, false
	case strings.HasPrefix(token, "eyJ"):
		return caller{itself: true}, s.App.verify(token, time.Now())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.tokens[token]
	if ok && !c.expires.IsZero() && time.Now().After(c.expires) {
		return caller{}, false
	}
	return c, ok
}

// ExpireTokens makes all tokens of the installation useless, as an hour does.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.tokens, func(_ string, c caller) bool { return c.app })
}

// InstallationTokens are those that were made for the app and have not been made useless.
func (s *Server) InstallationTokens() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, c := range s.tokens {
		if c.app {
			out = append(out, token)
		}
	}
	return out
}

// pass hands a request to the emulator as it is.
func (s *Server) pass(w http.ResponseWriter, r *http.Request) {
	status, header, answer, ok := s.through(w, r)
	if !ok {
		return
	}
	for _, name := range []string{"Content-Type", "Link"} {
		if v := header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// through asks the emulator what was asked here. Writing asks for a name; false: it has been answered.
func (s *Server) through(w http.ResponseWriter, r *http.Request) (int, http.Header, []byte, bool) {
	c := callerOf(r)
	if r.Method != http.MethodGet && r.Method != http.MethodHead && c.login == "" && !c.itself {
		refuse(w, http.StatusUnauthorized, "Requires authentication")
		return 0, nil, nil, false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.broken(w, err)
		return 0, nil, nil, false
	}
	status, h, answer, err := s.forward(c.login, r.Method, r.URL.RequestURI(), body)
	if err != nil {
		if r.Context().Err() == nil {
			s.broken(w, err)
		}
		return 0, nil, nil, false
	}
	return status, h, answer, true
}

// passObject is through for an answer that is an object, which change may alter before it is sent.
func (s *Server) passObject(w http.ResponseWriter, r *http.Request, change func(object)) {
	status, _, answer, ok := s.through(w, r)
	if !ok {
		return
	}
	var v object
	if err := json.Unmarshal(answer, &v); err != nil {
		s.broken(w, fmt.Errorf("%s %s: %w: %s", r.Method, r.URL, err, answer))
		return
	}
	if status < 300 {
		change(v)
	}
	reply(w, status, v)
}

// BeforeAnswer has f called for each write that was done, before it is answered; nil ends that. The answer waits for f.
func (s *Server) BeforeAnswer(f func(Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

func (s *Server) hold(n, status int) {
	s.mu.Lock()
	f, r := s.before, s.requests[n]
	s.mu.Unlock()
	if f != nil && r.writes() && status < 300 {
		r.Status = status
		f(r)
	}
}

func (s *Server) arrived(r *http.Request, body []byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Body: body, At: time.Now()}
	if one.writes() {
		s.written++
	}
	s.requests = append(s.requests, one)
	return len(s.requests) - 1
}

func (s *Server) identified(n int, c caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[n].Login = c.login
}

func (s *Server) answered(n, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[n].Status = status
}

// violation fails the test with all that is needed to see why.
func (s *Server) violation(what string, x exchange, err error) {
	s.failed("GitHub's description does not know this %s: %s %s\n%s\nanswered with %d %s\n%s",
		what, x.request.Method, x.request.URL, short(x.body), x.status, short(x.answer), short([]byte(err.Error())))
}

func short(b []byte) string {
	const most = 2500
	if len(b) > most {
		return fmt.Sprintf("%s… (%d bytes)", b[:most], len(b))
	}
	return string(b)
}
