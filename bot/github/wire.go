package github

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// answerTimeout is how long one answer may take, its body included: GitHub itself gives up after 10 s.
	answerTimeout = 60 * time.Second
	// maxAnswer in bytes: the largest useful one, a recursive tree, has up to 7 MB.
	maxAnswer = 32 << 20
	// maxRedirects of one call: a renamed repository has one.
	maxRedirects = 5
)

var (
	errElsewhere = errors.New("a redirect to another host is not followed")
	errTooLong   = errors.New("the answer is too large")
)

// wire is the innermost transport. It keeps requests, which carry a token, at the API's host; reads each answer to its
// end within a time; and takes the token out of whatever an error could quote.
type wire struct {
	base    http.RoundTripper
	home    *url.URL
	timeout time.Duration
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if !sameOrigin(req.URL, w.home) {
		closeBody(req)
		return nil, errElsewhere
	}
	ctx, cancel := context.WithTimeout(req.Context(), w.timeout)
	defer cancel()
	_, secret, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	resp, err := w.base.RoundTrip(req.WithContext(ctx))
	if err == nil {
		err = readAll(resp, limitOf(ctx))
	}
	if err != nil {
		switch {
		case req.Context().Err() != nil:
			return nil, context.Cause(req.Context())
		case ctx.Err() != nil:
			return nil, fmt.Errorf("no answer within %s", w.timeout)
		case secret != "" && strings.Contains(err.Error(), secret):
			return nil, errors.New(strings.ReplaceAll(err.Error(), secret, "[token]"))
		}
		return nil, err
	}
	if resp.StatusCode >= 400 && secret != "" {
		hide(resp, secret)
	}
	return resp, nil
}

// answerLimit is the context's key for the most bytes that its answers may have.
type answerLimit struct{}

// atMost bounds the answers of a call below maxAnswer.
func atMost(ctx context.Context, bytes int64) context.Context {
	return context.WithValue(ctx, answerLimit{}, bytes)
}

func limitOf(ctx context.Context) int64 {
	if n, ok := ctx.Value(answerLimit{}).(int64); ok {
		return n
	}
	return maxAnswer
}

// readAll takes the body into memory, so that what fails midway fails here, where it can be tried again.
func readAll(resp *http.Response, limit int64) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if int64(len(body)) > limit {
		return errTooLong
	}
	setBody(resp, body)
	return nil
}

func setBody(resp *http.Response, body []byte) {
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}

// body returns what setBody set, and leaves it to be read again.
func body(resp *http.Response) []byte {
	b, _ := io.ReadAll(resp.Body) // from memory
	setBody(resp, b)
	return b
}

// hide takes the secret out of an answer that refuses: a proxy may quote the request.
func hide(resp *http.Response, secret string) {
	setBody(resp, bytes.ReplaceAll(body(resp), []byte(secret), []byte("[token]")))
	resp.Status = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	for _, values := range resp.Header {
		for i := range values {
			values[i] = strings.ReplaceAll(values[i], secret, "[token]")
		}
	}
}

// redirect lets a renamed repository be found, and nothing else.
func redirect(home *url.URL) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		switch {
		case !sameOrigin(req.URL, home):
			return errElsewhere
		case req.Method != via[0].Method:
			return errors.New("a redirect that would lose what is written is not followed: check serve.repo, the repository may have been renamed")
		case len(via) >= maxRedirects:
			return errors.New("too many redirects")
		}
		return nil
	}
}

func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Host, b.Host)
}

// closeBody keeps a transport's promise when a request is not sent.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
