package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Client talks to one hub and keeps one cache. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	token     string
	cache     string
	agent     string
	offline   bool
	workers   int
	gate      *gate // of downloads
	throttle  throttle
	minPiece  int64         // bytes of a file that are worth a request of their own
	silence   time.Duration // longest wait for the next byte of a body or for an answer
	http      *http.Client
	onWarn    func(string)
	warnMu    sync.Mutex
	warned    map[string]bool // topics already shown
	meters    meters
	sleep     func(context.Context, time.Duration) error
	whoMu     sync.Mutex
	who       string // the account of the token, asked for once: the call has a strict limit
	batchSize int    // files a preupload or LFS batch call may name
}

// New makes a client. It reads the environment for the empty fields of o and makes no request.
func New(o Options) (*Client, error) {
	env, err := readEnvironment(os.Getenv)
	if err != nil {
		return nil, err
	}
	return newClient(o, env)
}

func newClient(o Options, env environment) (*Client, error) {
	if o.Endpoint == "" {
		o.Endpoint = env.endpoint
	}
	base, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	token := strings.TrimSpace(o.Token)
	if token == "" {
		token = env.token
	}
	if o.Anonymous {
		token = ""
	}
	if err := checkToken(token); err != nil {
		return nil, err
	}
	if o.Cache == "" {
		o.Cache = env.cache
	}
	if o.Workers <= 0 {
		o.Workers = 8
	}
	if o.UserAgent == "" {
		o.UserAgent = "mergebot"
	}
	c := &Client{
		base: base, token: token, cache: o.Cache, agent: o.UserAgent, offline: o.Offline || env.offline,
		workers: o.Workers, silence: env.silence, onWarn: o.Warn, sleep: sleep, batchSize: 256, minPiece: minPiece,
		warned: map[string]bool{},
	}
	c.meters.report = o.Progress
	c.gate, c.throttle.rate = newGate(c.workers), o.Bandwidth
	c.http = &http.Client{CheckRedirect: c.checkRedirect}
	if o.HTTP != nil {
		c.http.Transport, c.http.Jar = o.HTTP.Transport, o.HTTP.Jar
	}
	if standard, ok := http.DefaultTransport.(*http.Transport); ok && c.http.Transport == nil {
		t := standard.Clone()
		t.MaxIdleConnsPerHost = c.gate.ceiling // the default of 2 has many small files open a connection each
		c.http.Transport = t
	}
	return c, nil
}

// Endpoint is the hub's base address without a slash at the end.
func (c *Client) Endpoint() string { return c.base.String() }

// Secret is the token, "" without one: for those who keep it out of what they write.
func (c *Client) Secret() string { return c.token }

// Anonymous says whether there is no token.
func (c *Client) Anonymous() bool { return c.token == "" }

// CacheDir is the folder that Python calls HF_HUB_CACHE.
func (c *Client) CacheDir() string { return c.cache }

// warn shows a text, once a topic.
func (c *Client) warn(topic, text string) {
	c.warnMu.Lock()
	defer c.warnMu.Unlock()
	if c.warned[topic] || c.onWarn == nil {
		return
	}
	c.warned[topic] = true
	c.onWarn(text)
}

// home says whether the address is on the endpoint's own origin: same scheme, host and port. Only there may the
// token go. The host name alone is not enough: another port is another server, and a subdomain another owner.
func (c *Client) home(u *url.URL) bool {
	return origin(u) == origin(c.base)
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// checkRedirect follows up to ten redirects. net/http drops Authorization only when the host name changes, and keeps
// it for subdomains and other ports; so it is done here, and for good once the chain has left the endpoint.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return fmt.Errorf("more than 10 redirects, the last to %s", address(req.URL))
	}
	if first := via[0]; req.Method != first.Method && first.Method != http.MethodHead {
		return fmt.Errorf("a %s was redirected to %s in a way that loses its content", first.Method, address(req.URL))
	}
	away := !c.home(req.URL)
	for _, v := range via {
		away = away || !c.home(v.URL)
	}
	if away {
		req.Header.Del("Authorization")
		req.Header.Del("Cookie")
	}
	return nil
}

// address is a URL fit to be shown: without its query, where signatures stand.
func address(u *url.URL) string {
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
