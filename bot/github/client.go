// Package github is GitHub as a [forge.Forge] and a [forge.Talker], and the handler of its webhooks.
//
// Requests pass through a chain of transports, each with one duty: writes go one at a time and spaced ([pace]), reads
// are tried again ([retry]) and asked with the ETag of the last answer ([cache]), the token is added ([auth]), and
// answers that mean "not now" become a *[forge.Later] ([patience]). No request with a token goes to another host than
// the API's, and no error quotes an address or a token ([wire]).
package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

// Options say which repository, and who asks.
type Options struct {
	API         string // "" is https://api.github.com/
	Owner, Name string // of the repository

	// Token of a user, or an app's id and key. Of an app the Installation is found by the repository when it is 0.
	Token        string
	AppID        int64
	Installation int64
	PrivateKey   []byte // PEM

	// Team, org/slug, whose active members may command; "" goes by write permission.
	Team      string
	UserAgent string
	// WriteEvery is the least time between two writes; 0 is 1 s, as GitHub asks.
	WriteEvery time.Duration
	// Quota hears what each answer says of a rate limit; may be nil. It is called from several goroutines.
	Quota func(resource string, limit, remaining int)
	Base  http.RoundTripper // nil: http.DefaultTransport

	pause, timeout time.Duration // of tests; 0: retryPause, answerTimeout
}

// Client is a repository on GitHub.
type Client struct {
	o         Options
	web       string // where people look, with a slash at the end
	org, team string

	gh  *gh.Client
	jwt *gh.Client // as the app itself; nil with a token

	mu sync.Mutex
	me *identity // nil until asked for

	noChecks atomic.Bool // the token may not write check runs: statuses take their place
}

var (
	_ forge.Forge  = (*Client)(nil)
	_ forge.Talker = (*Client)(nil)
)

var (
	ownerPattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,99})$`)
	namePattern  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
)

// Open checks the options and that the repository can be seen with them. When GitHub cannot be reached it succeeds all
// the same: every call says so by itself.
func Open(ctx context.Context, o Options) (*Client, error) {
	c, err := assemble(o)
	if err != nil {
		return nil, err
	}
	if err := c.check(ctx); err != nil {
		var later *forge.Later
		if !errors.As(err, &later) {
			return nil, err
		}
	}
	return c, nil
}

// check finds mistakes in the settings that only GitHub can see.
func (c *Client) check(ctx context.Context) error {
	_, _, err := c.gh.Repositories.Get(ctx, c.o.Owner, c.o.Name)
	if err := c.fail(ctx, err, "read the repository"); err != nil {
		if errors.Is(err, forge.ErrNotFound) {
			return fmt.Errorf("%w: check serve.repo, and that the token or the app has access to it", err)
		}
		return err
	}
	if c.team == "" {
		return nil
	}
	_, _, err = c.gh.Teams.GetTeamBySlug(ctx, c.org, c.team)
	if err := c.fail(ctx, err, "read the team %s", c.o.Team); err != nil {
		if errors.Is(err, forge.ErrNotFound) {
			return fmt.Errorf("%w: check github.team (org/slug), and that the token or the app may read the organisation's members", err)
		}
		return err
	}
	return nil
}

func assemble(o Options) (*Client, error) {
	api, err := parseAPI(o.API)
	if err != nil {
		return nil, err
	}
	if !ownerPattern.MatchString(o.Owner) || !namePattern.MatchString(o.Name) || o.Name == "." || o.Name == ".." {
		return nil, fmt.Errorf("github: %q is not a repository: set serve.repo to owner/name", o.Owner+"/"+o.Name)
	}
	c := &Client{o: o, web: webOf(api)}
	if o.Team != "" {
		var ok bool
		if c.org, c.team, ok = strings.Cut(o.Team, "/"); !ok || !ownerPattern.MatchString(c.org) || !namePattern.MatchString(c.team) {
			return nil, fmt.Errorf("github: team %q: set github.team to organisation/team-slug", o.Team)
		}
	}
	o.Token = strings.TrimSpace(o.Token) // a file's last line has an end
	if strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("github: MERGEBOT_GITHUB_TOKEN is no token: there are blanks or line breaks in it")
	}
	base := o.Base
	if base == nil {
		base = http.DefaultTransport
	}
	o.pause = cmp.Or(o.pause, retryPause)
	line := &wire{base: base, home: api, timeout: cmp.Or(o.timeout, answerTimeout)}
	plain := &patience{next: line, quota: o.Quota}
	var who credential = staticToken(o.Token)
	switch {
	case o.Token != "" && o.AppID != 0:
		return nil, errors.New("github: a token and an app are set: take one of them away")
	case o.AppID != 0:
		a, err := newApp(&patience{next: line}, api, o) // an app has limits of its own
		if err != nil {
			return nil, err
		}
		who, c.jwt = a, a.client
	case o.Token == "":
		return nil, errors.New("github: neither a token nor an app is set: set MERGEBOT_GITHUB_TOKEN, or github.app_id and github.private_key")
	}
	chain := newPace(&retry{next: newCache(&auth{next: plain, who: who}), pause: o.pause}, cmp.Or(o.WriteEvery, time.Second))
	c.gh = newClient(chain, api, o.UserAgent)
	return c, nil
}

// newClient makes a go-github client on a chain of transports.
func newClient(chain http.RoundTripper, api *url.URL, agent string) *gh.Client {
	client := gh.NewClient(&http.Client{Transport: chain, CheckRedirect: redirect(api)})
	client.BaseURL = api
	client.UserAgent = cmp.Or(agent, "mergebot")
	return client
}

// parseAPI reads the API's address, and gives it a slash at the end.
func parseAPI(s string) (*url.URL, error) {
	if s == "" {
		s = "https://api.github.com/"
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		// The address is not quoted: it may hold a password.
		return nil, errors.New("github: github.api is not the address of an API: it looks like https://github.example.com/api/v3/")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return nil, fmt.Errorf("github: github.api: the token would go to %s in the clear: use https", u.Host)
	}
	u.Path = strings.TrimRight(u.Path, "/") + "/"
	u.RawPath = ""
	return u, nil
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// webOf is where people see what the API serves: api.github.com, api.NAME.ghe.com, or HOST/api/v3/ of a server of
// one's own. https://docs.github.com/en/enterprise-server/rest/quickstart
func webOf(api *url.URL) string {
	host := api.Host
	if host == "api.github.com" || strings.HasPrefix(host, "api.") && strings.HasSuffix(host, ".ghe.com") {
		host = strings.TrimPrefix(host, "api.")
	}
	return api.Scheme + "://" + host + strings.TrimSuffix(api.Path, "api/v3/")
}

// Repo is owner/name.
func (c *Client) Repo() string { return c.o.Owner + "/" + c.o.Name }

// Link is the page of a file at a commit, or of the commit.
func (c *Client) Link(sha, path string) string {
	if path == "" {
		return c.web + c.Repo() + "/commit/" + url.PathEscape(sha)
	}
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return c.web + c.Repo() + "/blob/" + url.PathEscape(sha) + "/" + strings.Join(parts, "/")
}

// identity is the account that the bot's comments, checks and issues are written by.
type identity struct {
	login string
	app   int64 // 0 with a token
}

// whoami asks once.
func (c *Client) whoami(ctx context.Context) (identity, error) {
	c.mu.Lock()
	me := c.me
	c.mu.Unlock()
	if me != nil {
		return *me, nil
	}
	me = new(identity)
	if c.jwt != nil {
		app, _, err := c.jwt.Apps.Get(ctx, "")
		if err := c.fail(ctx, err, "read who the app is"); err != nil {
			return identity{}, err
		}
		*me = identity{app.GetSlug() + "[bot]", app.GetID()}
	} else {
		user, _, err := c.gh.Users.Get(ctx, "")
		if err := c.fail(ctx, err, "read whose the token is"); err != nil {
			return identity{}, err
		}
		*me = identity{login: user.GetLogin()}
	}
	if me.login == "" || me.login == "[bot]" {
		return identity{}, fmt.Errorf("github: %s: GitHub did not say whose the token is", c.Repo())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.me = me
	return *me, nil
}

// wrote says that this account is the author.
func (i identity) wrote(user *gh.User) bool {
	return user != nil && strings.EqualFold(user.GetLogin(), i.login)
}
