package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

// failure is an error of this package that already says what could not be done.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// fail says what could not be done, in our own words: the library's errors quote whole addresses. nil stays nil.
func (c *Client) fail(ctx context.Context, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if errors.As(err, new(failure)) {
		return err
	}
	what := fmt.Sprintf("github: %s: %s", c.Repo(), fmt.Sprintf(format, args...))
	var later *forge.Later
	var answer *gh.ErrorResponse
	var address *url.Error
	switch {
	case errors.As(err, &later):
		return &forge.Later{Until: later.Until, Err: failure{fmt.Errorf("%s: %w", what, later.Err)}}
	case ctx.Err() != nil:
		return failure{fmt.Errorf("%s: %w", what, context.Cause(ctx))}
	case errors.As(err, &answer) && answer.Response != nil:
		return failure{fmt.Errorf("%s: %w", what, refusalOf(answer, c.jwt != nil))}
	case errors.As(err, &address):
		err = address.Err
	}
	return failure{fmt.Errorf("%s: %w", what, err)}
}

// refusal is an answer of the 4xx kind.
type refusal struct {
	status int
	text   string
	err    error // what callers branch on; nil where they do not
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.err }

// refusalOf puts GitHub's own words, which say most, beside what to do.
func refusalOf(e *gh.ErrorResponse, app bool) *refusal {
	r := &refusal{status: e.Response.StatusCode}
	words := []string{fmt.Sprintf("status %d", r.status)}
	if e.Message != "" {
		words = append(words, oneLine(e.Message))
	}
	for _, detail := range e.Errors[:min(len(e.Errors), 5)] {
		words = append(words, oneLine(strings.TrimSpace(strings.Join([]string{detail.Resource, detail.Field, detail.Code, detail.Message}, " "))))
	}
	said := strings.Join(words, ", ")
	switch r.status {
	case http.StatusUnauthorized:
		r.err = forge.ErrForbidden
		r.text = fmt.Sprintf("%v: the token is not accepted (%s): make a new one and set MERGEBOT_GITHUB_TOKEN", r.err, said)
		if app {
			r.text = fmt.Sprintf("%v: the app's token is not accepted (%s): check that the app is still installed", r.err, said)
		}
	case http.StatusForbidden:
		r.err = forge.ErrForbidden
		remedy := "give the token or the app that permission"
		if need := oneLine(e.Response.Header.Get("X-Accepted-GitHub-Permissions")); need != "" {
			remedy = "it needs the permission " + need
		} else if need := oneLine(e.Response.Header.Get("X-Accepted-OAuth-Scopes")); need != "" {
			remedy = "the token needs one of the scopes " + need
		}
		r.text = fmt.Sprintf("%v (%s): %s", r.err, said, remedy)
	case http.StatusNotFound, http.StatusGone:
		r.err = forge.ErrNotFound
		r.text = fmt.Sprintf("%v, or not visible to the bot (%s)", r.err, said)
	default:
		r.text = "GitHub refused (" + said + ")"
	}
	return r
}

// statusOf is the status of the answer that err tells of; 0 when there was none.
func statusOf(err error) int {
	var answer *gh.ErrorResponse
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.Response.StatusCode
	}
	return 0
}

// gone says that what was asked for is not there.
func gone(err error) bool {
	s := statusOf(err)
	return s == http.StatusNotFound || s == http.StatusGone
}

// oneLine makes somebody else's words fit into a message: printable, on one line, not too long.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	return cut(s, 300, "…")
}

// cut shortens s to at most limit bytes, at a rune, with end in place of what is cut off.
func cut(s string, limit int, end string) string {
	if len(s) <= limit {
		return s
	}
	n := limit - len(end)
	for n > 0 && s[n]&0xC0 == 0x80 { // in the middle of a rune
		n--
	}
	return s[:n] + end
}
