package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// fault is a request without a usable answer.
type fault struct {
	words string // what happened, in words fit for an error: no credentials
	cause error  // of a connection that failed
	// again: the same request may succeed later. Otherwise, with item, this prompt has no answer but others may; without,
	// no request will have one.
	again, item bool
	busy        bool          // the server has too much to do
	late        bool          // no answer in time
	after       time.Duration // it asks to be left alone for this long
	html        bool
	missing     bool // 404
	key         bool // 401, 403
}

// Is finds the sentinels of the package.
func (f *fault) Is(target error) bool {
	return target == ErrUnauthorized && f.key || target == ErrUnavailable && !f.key && !f.item
}

func (f *fault) Error() string { return f.words }
func (f *fault) Unwrap() error { return f.cause }

// broken is a connection that failed, or a body that did not arrive whole.
func (c *client) broken(limit time.Duration, err error) error {
	f := &fault{again: true, cause: err}
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		f.again = false
		f.words = c.safe(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		f.late = true
		f.words = fmt.Sprintf("no answer within %v", limit)
	case errors.Is(err, syscall.ECONNREFUSED):
		f.words = c.safe(err.Error()) + ": is the server running, and is this its address?"
	default:
		f.words = c.safe(err.Error())
	}
	return f
}

// status is an answer other than 200 OK.
func (c *client) status(res *http.Response, body []byte) error {
	code := res.StatusCode
	said, kind := words(body)
	said = c.safe(said)
	f := &fault{words: fmt.Sprintf("HTTP %d: %s", code, said)}
	if said == "" {
		f.words = strings.TrimSuffix(fmt.Sprintf("HTTP %d: %s", code, strings.ToLower(http.StatusText(code))), ": ")
	}
	switch {
	case code >= 300 && code < 400:
		f.words = "it redirects elsewhere: give the final address as its URL"
		if to, err := res.Location(); err == nil {
			f.words = fmt.Sprintf("it redirects to %s://%s: give the final address as its URL", to.Scheme, to.Host)
		}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		f.key = true
		f.words += ": it wants an API key, or another one: set MERGEBOT_ENGINE_KEY"
	case code == http.StatusNotFound:
		f.missing = true
	case code == http.StatusRequestEntityTooLarge:
		f.item = true
	case code == http.StatusBadRequest || code == http.StatusUnprocessableEntity || code == http.StatusInternalServerError && tooLong(said, kind):
		f.item = tooLong(said, kind)
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		f.again, f.busy = true, true
		f.after = retryAfter(res.Header.Get("Retry-After"), time.Now())
	case code == http.StatusRequestTimeout || code == http.StatusConflict || code == http.StatusTooEarly || code >= 500:
		f.again = true
	}
	return f
}

// retryAfter reads the header of this name: seconds or a date. 0 is none.
func retryAfter(value string, now time.Time) time.Duration {
	if s, err := strconv.ParseFloat(value, 64); err == nil && s >= 0 { // not NaN
		return time.Duration(min(s, math.MaxInt32) * float64(time.Second))
	}
	if t, err := http.ParseTime(value); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// tooLongWords is how servers say that a prompt exceeds the model's context: vLLM, llama-server, SGLang, OpenAI,
// llama-cpp-python.
var tooLongWords = regexp.MustCompile(`(?i)context[ _](length|size|window)|max(imum)?[ _](model|prompt|input|sequence)[ _]len|(prompt|input)[^.]{0,40} (too long|longer than)`)

func tooLong(said, kind string) bool { return tooLongWords.MatchString(said + " " + kind) }

// words finds what an error's body says, and its type or code. Bodies seen: {"error": {"message", "type", "code"}},
// {"error": "…"}, {"message", "type"} (older vLLM, SGLang), {"detail": "…" or a list} (FastAPI), plain text.
func words(body []byte) (said, kind string) {
	var v struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Type    string          `json:"type"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &v) != nil {
		if isHTML(body) {
			return "a page in HTML", ""
		}
		return string(body), ""
	}
	var e struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Code    any    `json:"code"`
	}
	var text string
	switch {
	case json.Unmarshal(v.Error, &text) == nil:
		return text, v.Type
	case json.Unmarshal(v.Error, &e) == nil && e.Message != "":
		return e.Message, fmt.Sprint(e.Type, " ", e.Code)
	case v.Message != "":
		return v.Message, v.Type
	case json.Unmarshal(v.Detail, &text) == nil:
		return text, ""
	case len(v.Detail) > 0:
		return string(v.Detail), ""
	}
	return string(body), ""
}

const maxWords = 400 // bytes of a server's message that are repeated

// safe makes a server's text fit for an error: one short line, without the key, should the server repeat it.
func (c *client) safe(text string) string {
	if c.o.Key != "" {
		text = strings.ReplaceAll(text, c.o.Key, "***")
	}
	if len(text) > maxWords {
		text = text[:maxWords] + "…"
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return strings.TrimRight(strings.TrimSpace(text), ".")
}

// notJSON is an answer that cannot be read: cut off, or a proxy's page.
func notJSON(body []byte, err error) *fault {
	if isHTML(body) {
		return &fault{again: true, html: true, words: "it answers with a page in HTML: not an OpenAI-compatible server, or a proxy or login page before one"}
	}
	return &fault{again: true, words: fmt.Sprintf("its answer of %d bytes is not JSON, or cut off: %v", len(body), err)}
}

func isHTML(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }
