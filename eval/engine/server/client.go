package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"mergebot/eval/engine"
)

// maxBody bounds an answer: a completion of thousands of tokens has some ten kilobytes.
const maxBody = 16 << 20

// client speaks the protocol, by openai-go: one call is one request, and every error that the server is to blame for is
// a *fault.
//
// The library is kept from what it does by itself: to repeat requests without regard to the others in flight, to read
// bodies of any length, and to send the key of another server, which it takes from OPENAI_API_KEY.
type client struct {
	o           Options
	address     string // for people: no credentials in it
	root        *url.URL
	completions openai.CompletionService
	header      http.Header // of every request; nobody changes it
	transport   http.RoundTripper
	model       string
}

func newClient(o Options) (*client, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil: // its text has the URL, and that may have a password
		return nil, errors.New("the server's URL cannot be read: write it as http://host:port/v1")
	case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return nil, fmt.Errorf("the server's URL %q is not http://… or https://…: write it as http://host:port/v1", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("the URL of the server at %s has a query or a fragment: leave it out", u.Host)
	}
	c := &client{o: o, model: o.Model, header: http.Header{
		"Accept": {"application/json"}, "Content-Type": {"application/json"}, "User-Agent": {"mergebot"},
	}}
	switch {
	case o.Key != "":
		c.header.Set("Authorization", "Bearer "+o.Key)
	case u.User != nil:
		basic := http.Request{Header: c.header}
		basic.SetBasicAuth(u.User.Username(), password(u))
	}
	u = u.JoinPath("/") // ends in one slash
	c.root = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if path, ok := strings.CutSuffix(u.Path, "/v1/"); ok {
		c.root.Path = path + "/"
	}
	// A service made directly takes nothing from OPENAI_* variables, as the library's client would.
	c.completions = openai.NewCompletionService(option.WithBaseURL(c.root.JoinPath("v1/").String()), option.WithHTTPClient(c), option.WithMaxRetries(0))
	c.address = c.root.JoinPath("v1").String()
	if c.o.Key == "" {
		c.o.Key = password(u) // never to be repeated either
	}
	if o.HTTP != nil && o.HTTP.Transport != nil {
		c.transport = o.HTTP.Transport
	} else {
		c.transport = newTransport(o.Concurrency)
	}
	return c, nil
}

func password(u *url.URL) string {
	p, _ := u.User.Password()
	return p
}

// newTransport keeps one HTTP/1.1 connection for every request in flight. HTTP/2 would put all of them on a single
// connection, and lose all of them with it.
func newTransport(connections int) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: connections,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression:  true,
	}
}

func (c *client) close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// answer is a good completion.
type answer struct {
	text         string
	finish       string // as the server says it
	promptTokens int
}

// complete asks for one completion, once.
func (c *client) complete(ctx context.Context, r engine.Request) (answer, error) {
	params := openai.CompletionNewParams{
		Model:       openai.CompletionNewParamsModel(c.model),
		Prompt:      openai.CompletionNewParamsPromptUnion{OfString: openai.String(r.Prompt)},
		MaxTokens:   openai.Int(int64(r.MaxTokens)),
		Temperature: openai.Float(0),
	}
	if len(r.Stop) > 0 {
		params.Stop.OfStringArray = r.Stop
	}
	v, err := c.completions.New(ctx, params)
	var bad *fault
	switch {
	case ctx.Err() != nil:
		return answer{}, ctx.Err()
	case errors.As(err, &bad): // without the library's words around it
		return answer{}, bad
	case err != nil:
		return answer{}, &fault{again: true, words: "its answer is no completion: " + c.safe(err.Error())}
	case len(v.Choices) == 0 || !v.Choices[0].JSON.Text.Valid():
		return answer{}, &fault{again: true, words: "its answer has no completion in it"}
	}
	return answer{text: v.Choices[0].Text, finish: string(v.Choices[0].FinishReason), promptTokens: int(v.Usage.PromptTokens)}, nil
}

// Do is how openai-go sends a request: with the few headers that matter, once, and the answer is a good one or an error.
func (c *client) Do(req *http.Request) (*http.Response, error) {
	plain := *req
	plain.Header = c.header
	body, err := c.do(req.Context(), c.o.Timeout, &plain)
	if err == nil && !json.Valid(body) {
		err = notJSON(body, errors.New("unexpected end or sign"))
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Request: req, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body))}, nil
}

// get reads the JSON at a path of the server into v.
func (c *client) get(ctx context.Context, path string, v any) error {
	body, err := c.do(ctx, min(c.o.Timeout, getTimeout), &http.Request{Method: http.MethodGet, URL: c.root.JoinPath(path), Header: c.header})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return notJSON(body, err)
	}
	return nil
}

// do sends a request, once, and returns the body of a good answer. It uses the transport itself, so redirects are not
// followed: the key goes to no other host. The end of ctx is nobody's fault, that of limit is the server's.
func (c *client) do(ctx context.Context, limit time.Duration, req *http.Request) ([]byte, error) {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	res, err := c.transport.RoundTrip(req.WithContext(within))
	var body []byte
	if err == nil {
		body, err = read(res)
		_ = res.Body.Close()
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case res != nil && res.StatusCode != http.StatusOK:
		return nil, c.status(res, body)
	case err != nil:
		return nil, c.broken(limit, err)
	}
	return body, nil
}

var errTooLarge = fmt.Errorf("its answer is larger than %d MiB", maxBody>>20)

// read reads a whole body of at most maxBody bytes.
func read(res *http.Response) ([]byte, error) {
	switch n := res.ContentLength; {
	case n > maxBody:
		return nil, errTooLarge
	case n >= 0:
		body := make([]byte, n)
		_, err := io.ReadFull(res.Body, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		return nil, errTooLarge
	}
	return body, err
}
