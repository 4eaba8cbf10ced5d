package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/golang-jwt/jwt/v4"
	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

// credential is where tokens come from.
type credential interface {
	// token to be sent now.
	token(ctx context.Context) (string, error)
	// renew forgets a token that was not accepted; false when there can be no other.
	renew(old string) bool
}

type staticToken string

func (s staticToken) token(context.Context) (string, error) { return string(s), nil }
func (staticToken) renew(string) bool                       { return false }

// auth adds the token, and takes a new one, once, when it is not accepted.
type auth struct {
	next http.RoundTripper
	who  credential
}

func (a *auth) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := a.who.token(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := a.send(req, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || req.Body != nil && req.GetBody == nil || !a.who.renew(token) {
		return resp, err
	}
	if token, err = a.who.token(req.Context()); err != nil {
		return nil, err
	}
	again := req.Clone(req.Context())
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return a.send(again, token)
}

func (a *auth) send(req *http.Request, token string) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token)
	return a.next.RoundTrip(req)
}

// app is a GitHub App in one of its installations. Its tokens last an hour and are made as they are needed.
type app struct {
	o      Options
	client *gh.Client // as the app itself

	mu           sync.Mutex
	installation int64 // 0: to be found
	last         string
	expires      time.Time
}

// tokenSpare is how long before its end a token is renewed: a request may wait for its turn.
const tokenSpare = 2 * time.Minute

func newApp(base http.RoundTripper, api *url.URL, o Options) (*app, error) {
	key, err := jwt.ParseRSAPrivateKeyFromPEM(o.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("github: github.private_key: %w: download a new one on the app's settings page", err)
	}
	itself, err := ghinstallation.NewAppsTransportWithOptions(base, o.AppID, ghinstallation.WithSigner(tolerant{ghinstallation.NewRSASigner(jwt.SigningMethodRS256, key)}))
	if err != nil {
		return nil, fmt.Errorf("github: %w", err)
	}
	chain := &retry{next: signed{itself}, pause: o.pause}
	return &app{o: o, client: newClient(chain, api, o.UserAgent)}, nil
}

// How far this machine's clock may be ahead of GitHub's, and behind it. GitHub takes no token from the future, and none
// that ends more than ten minutes from now; the library's own would bear 30 s.
// https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
const (
	clockAhead  = time.Minute
	clockBehind = 9 * time.Minute
)

// tolerant signs for a span of time that clocks which differ agree on.
type tolerant struct{ ghinstallation.Signer }

func (s tolerant) Sign(claims jwt.Claims) (string, error) {
	if c, ok := claims.(*jwt.RegisteredClaims); ok {
		now := time.Now().Truncate(time.Second)
		c.IssuedAt, c.ExpiresAt = jwt.NewNumericDate(now.Add(-clockAhead)), jwt.NewNumericDate(now.Add(clockBehind-clockAhead))
	}
	return s.Signer.Sign(claims)
}

// signed keeps the request as it was: the library writes into it.
type signed struct{ next *ghinstallation.AppsTransport }

func (s signed) RoundTrip(req *http.Request) (*http.Response, error) {
	return s.next.RoundTrip(req.Clone(req.Context()))
}

func (a *app) token(ctx context.Context) (string, error) {
	type answer struct {
		token string
		err   error
	}
	got := make(chan answer, 1)
	go func() { // others wait for the same token: it is asked for whether or not this caller goes away
		token, err := a.fetch(context.WithoutCancel(ctx))
		got <- answer{token, err}
	}()
	select {
	case a := <-got:
		return a.token, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// fetch returns the token that there is, or makes one.
func (a *app) fetch(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last != "" && time.Until(a.expires) > tokenSpare {
		return a.last, nil
	}
	id := cmp.Or(a.o.Installation, a.installation)
	if id == 0 {
		found, _, err := a.client.Apps.FindRepositoryInstallation(ctx, a.o.Owner, a.o.Name)
		if gone(err) {
			return "", fmt.Errorf("%w: the app %d is not installed on %s/%s: install it there, or check serve.repo", forge.ErrForbidden, a.o.AppID, a.o.Owner, a.o.Name)
		}
		if err != nil {
			return "", a.explain(err)
		}
		id = found.GetID()
	}
	made, _, err := a.client.Apps.CreateInstallationToken(ctx, id, &gh.InstallationTokenOptions{}) // nil would be sent as "null"
	if err != nil {
		a.installation = 0 // it may have been installed anew
		return "", a.explain(err)
	}
	if made.GetToken() == "" {
		return "", errors.New("GitHub's answer has no token for the app")
	}
	a.installation, a.last, a.expires = id, made.GetToken(), made.GetExpiresAt().Time
	if a.expires.IsZero() {
		a.expires = time.Now().Add(time.Hour)
	}
	return a.last, nil
}

// explain says which setting makes GitHub refuse a token.
func (a *app) explain(err error) error {
	var later *forge.Later
	if errors.As(err, &later) {
		return later
	}
	switch status := statusOf(err); status {
	case 0:
		return errors.New("GitHub's answer about the app cannot be read: check github.api")
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: the app's key is not accepted: check github.app_id, github.private_key and this machine's clock", forge.ErrForbidden)
	case http.StatusNotFound:
		return fmt.Errorf("%w: the app %d has no such installation: check github.installation, or leave it out", forge.ErrForbidden, a.o.AppID)
	default:
		return fmt.Errorf("%w: no token for the app (status %d): check that its installation is not suspended", forge.ErrForbidden, status)
	}
}

func (a *app) renew(old string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == old { // else somebody was faster
		a.last = ""
	}
	return true
}
