package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"mergebot/bot/forge"
)

const (
	maxAdvert = 64 << 20 // bytes of a list of branches
	maxHaves  = 10_000
	dialLimit = 30 * time.Second // of an ssh handshake
	listLimit = 2 * time.Minute  // of connecting and listing branches
	retryWait = 30 * time.Second
)

// network is a remote by https or ssh.
type network struct {
	endpoint *transport.Endpoint
	client   transport.Transport
	basic    transport.AuthMethod // of http
	name     string
	user     string // of ssh
	secret   string
}

// connect shakes hands; with ssh it does not look at a context.
func (n *network) connect() (transport.UploadPackSession, error) {
	ep := *n.endpoint // a redirect changes it
	if ep.Protocol != "ssh" {
		return n.client.NewUploadPackSession(&ep, n.basic)
	}
	auth := &sshAuth{user: n.user, password: n.secret}
	defer auth.close()
	return n.client.NewUploadPackSession(&ep, auth)
}

func newNetwork(ep *transport.Endpoint, name, user, password string) (*network, error) {
	n := &network{endpoint: ep, name: name, secret: password}
	if ep.Protocol == "ssh" {
		n.client = gitssh.NewClient(nil)
		if user == "" {
			user = gitssh.DefaultUsername
		}
		n.user = user
		return n, nil
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.ResponseHeaderTimeout = 5 * time.Minute // a server may count objects for long before it answers
	n.client = githttp.NewClient(&http.Client{Transport: bounded{base}})
	if password != "" {
		if user == "" {
			user = gitssh.DefaultUsername // servers that take a token want some name beside it
		}
		n.basic = &githttp.BasicAuth{Username: user, Password: password}
	}
	return n, nil
}

// bounded keeps answers from growing without end.
type bounded struct{ base http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	limit := int64(MaxPack + MaxPack/16) // the pack, and how it is wrapped
	switch {
	case res.StatusCode >= 300:
		limit = 4 << 10
	case strings.HasSuffix(req.URL.Path, "/info/refs"):
		limit = maxAdvert
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, limit), res.Body}
	return res, nil
}

// sshAuth asks the agent for keys, or gives a password. Host keys must be known; a connection must come in time.
type sshAuth struct {
	user, password string
	agent          net.Conn // of one handshake
}

func (a *sshAuth) Name() string   { return "ssh" }
func (a *sshAuth) String() string { return "ssh" }

// ClientConfig leaves the check of the host's key to the transport, which reads known_hosts, refuses keys that are not
// there, and knows which kinds of keys to ask for.
func (a *sshAuth) ClientConfig() (*ssh.ClientConfig, error) {
	c := &ssh.ClientConfig{User: a.user, Timeout: dialLimit}
	if a.password != "" {
		c.Auth = []ssh.AuthMethod{ssh.Password(a.password)}
		return c, nil
	}
	var err error
	if a.agent, err = net.Dial("unix", os.Getenv("SSH_AUTH_SOCK")); err != nil {
		return nil, fmt.Errorf("%w: no ssh agent (SSH_AUTH_SOCK) to ask for a key: start one and ssh-add the key", forge.ErrForbidden)
	}
	c.Auth = []ssh.AuthMethod{ssh.PublicKeysCallback(agent.NewClient(a.agent).Signers)}
	return c, nil
}

func (a *sshAuth) close() {
	if a.agent != nil {
		a.agent.Close()
	}
}

type networkSession struct {
	*network
	session transport.UploadPackSession
	list    *packp.AdvRefs
	refs    advert
}

func (n *network) dial(ctx context.Context) (session, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	type answer struct {
		s    transport.UploadPackSession
		list *packp.AdvRefs
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		s, err := n.connect()
		if err != nil {
			got <- answer{err: err}
			return
		}
		list, err := s.AdvertisedReferencesContext(ctx)
		got <- answer{s, list, err}
	}()
	var a answer
	select {
	case a = <-got:
	case <-ctx.Done():
		go func() {
			if a := <-got; a.s != nil {
				a.s.Close()
			}
		}()
		return nil, n.explain(ctx, context.Cause(ctx))
	}
	s := &networkSession{network: n, session: a.s, list: a.list, refs: advert{heads: map[string]plumbing.Hash{}}}
	if errors.Is(a.err, transport.ErrEmptyRemoteRepository) {
		return s, nil
	}
	if a.err != nil {
		s.close()
		return nil, n.explain(ctx, a.err)
	}
	if f := a.list.Capabilities.Get(capability.ObjectFormat); len(f) > 0 && f[0] != "sha1" {
		s.close()
		return nil, fmt.Errorf("%s: object format %s is not built in: use sha1", n.name, printable(f[0], 20))
	}
	if len(a.list.Shallows) > 0 {
		s.close()
		return nil, fmt.Errorf("%s is a shallow clone, which lacks history: git fetch --unshallow there", n.name)
	}
	all, err := a.list.AllReferences()
	if err != nil && len(all) == 0 {
		s.close()
		return nil, n.explain(ctx, err)
	}
	for name, ref := range all {
		if name == plumbing.HEAD && ref.Type() == plumbing.SymbolicReference {
			s.refs.main = strings.TrimPrefix(ref.Target().String(), headPrefix)
		} else if ref.Type() == plumbing.HashReference {
			s.refs.add(name, ref.Hash())
		}
	}
	return s, nil
}

func (s *networkSession) advert() advert { return s.refs }

func (s *networkSession) close() {
	if s.session != nil {
		s.session.Close()
	}
}

func (s *networkSession) fetch(ctx context.Context, m mirror, already *objects, wants, haves []plumbing.Hash) error {
	req := packp.NewUploadPackRequestFromCapabilities(s.list.Capabilities)
	req.Wants, req.Haves = wants, haves[:min(len(haves), maxHaves)]
	if s.list.Capabilities.Supports(capability.NoProgress) {
		req.Capabilities.Set(capability.NoProgress)
	}
	if s.list.Capabilities.Supports(capability.Filter) {
		req.Capabilities.Set(capability.Filter)
		req.Filter = packp.FilterBlobLimit(forge.MaxFile+1, packp.BlobLimitPrefixNone)
	}
	res, err := s.session.UploadPack(ctx, req)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer res.Close()
	var pack io.Reader = res
	if req.Capabilities.Supports(capability.Sideband64k) {
		pack = sideband.NewDemuxer(sideband.Sideband64k, res)
	} else if req.Capabilities.Supports(capability.Sideband) {
		pack = sideband.NewDemuxer(sideband.Sideband, res)
	}
	if err := m.receive(ctx, pack, func(o *objects) error {
		_, err := closure(ctx, o, wants, already.has, false)
		return wrap(foreign(err), "what the server sent is not whole")
	}); err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

// explain says in this package's words what went wrong. What a server writes is not repeated at length: it may hold
// anything, what it was sent included.
func (n *network) explain(ctx context.Context, err error) error {
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) { // it does not unwrap
		err = unexpected.Err
	}
	if ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), context.Canceled) {
			return fmt.Errorf("%s: %w", n.name, context.Canceled)
		}
		return n.later(0, errors.New("no answer in time"))
	}
	text := err.Error()
	var status *githttp.Err
	var netErr net.Error
	switch {
	case errors.Is(err, forge.ErrForbidden):
		return fmt.Errorf("%s: %w", n.name, err)
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return fmt.Errorf("%w: %s: no such repository, or it is hidden from these credentials (MERGEBOT_GIT_PASSWORD)", forge.ErrNotFound, n.name)
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed), strings.Contains(text, "unable to authenticate"):
		return fmt.Errorf("%w: %s does not accept these credentials for reading: check MERGEBOT_GIT_PASSWORD, or the keys of the ssh agent", forge.ErrForbidden, n.name)
	case strings.Contains(text, "knownhosts: key is unknown"):
		return fmt.Errorf("%w: %s: the server's key is in no known_hosts file: add it with ssh-keyscan after checking it", forge.ErrForbidden, n.name)
	case strings.Contains(text, "knownhosts: key mismatch"), strings.Contains(text, "knownhosts: key is revoked"):
		return fmt.Errorf("%w: %s: the server's key is not the one in known_hosts: somebody may be listening in; ask who runs it", forge.ErrForbidden, n.name)
	case strings.Contains(text, "known_hosts"):
		return fmt.Errorf("%w: %s: no known_hosts file: add the server's key with ssh-keyscan after checking it, or set SSH_KNOWN_HOSTS", forge.ErrForbidden, n.name)
	case errors.As(err, &status):
		code := status.StatusCode()
		if code == http.StatusTooManyRequests || code >= 500 {
			seconds, _ := strconv.Atoi(status.Response.Header.Get("Retry-After"))
			return n.later(min(time.Duration(seconds)*time.Second, time.Hour), fmt.Errorf("the server answers %d", code))
		}
		return fmt.Errorf("%s: the server answers %d", n.name, code)
	case errors.As(err, &netErr), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return n.later(0, errors.New(n.redact(text)))
	}
	return fmt.Errorf("%s: %s", n.name, n.redact(text))
}

func (n *network) later(wait time.Duration, err error) error {
	return &forge.Later{Until: time.Now().Add(max(wait, retryWait)), Err: fmt.Errorf("%s: %w", n.name, err)}
}

func (n *network) redact(text string) string {
	if n.secret != "" {
		text = strings.ReplaceAll(text, n.secret, "***")
	}
	return printable(text, 300)
}
