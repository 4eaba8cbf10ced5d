package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"mergebot/bot/forge"
)

// remote is the repository that is mirrored.
type remote interface {
	// dial asks what branches there are.
	dial(ctx context.Context) (session, error)
}

// session is one conversation with a remote.
type session interface {
	advert() advert
	// fetch puts into the mirror what wants need and haves do not; already has objects of the mirror as it is.
	fetch(ctx context.Context, m mirror, already *objects, wants, haves []plumbing.Hash) error
	close()
}

// advert says where branches stand. Branches whose names cannot be kept are not in it.
type advert struct {
	main  string // that the remote's HEAD names; "" when it names none
	heads map[string]plumbing.Hash
}

func (a *advert) add(ref plumbing.ReferenceName, h plumbing.Hash) {
	if branch, ok := strings.CutPrefix(ref.String(), headPrefix); ok && nameable(branch) {
		a.heads[branch] = h
	}
}

// newRemote reads the address. Errors do not repeat it: it may hold a password.
func newRemote(o Options) (remote, string, error) {
	if path, ok := localPath(o.URL); ok {
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, "", fmt.Errorf("gitrepo: %w", err)
		}
		r, err := newLocal(path)
		return r, path, err
	}
	ep, err := transport.NewEndpoint(o.URL)
	if err != nil || ep.Host == "" {
		return nil, "", errors.New("gitrepo: serve.repo is neither a URL nor a folder")
	}
	if strings.ContainsAny(ep.Path, "?#") {
		return nil, "", errors.New("gitrepo: serve.repo has a query or a fragment, which no git address has; secrets go into MERGEBOT_GIT_PASSWORD")
	}
	user, password := ep.User, ep.Password
	if o.Username != "" {
		user = o.Username
	}
	if o.Password != "" {
		password = o.Password
	}
	ep.User, ep.Password = "", ""
	name := ep.String()
	switch ep.Protocol {
	case "https":
	case "http":
		if password != "" && !loopback(ep.Host) {
			return nil, "", fmt.Errorf("gitrepo: %s: a password is not sent without encryption: use https", name)
		}
	case "ssh":
	default:
		return nil, "", fmt.Errorf("gitrepo: %s: %q is not spoken: use https, ssh, file, or a path", name, ep.Protocol)
	}
	n, err := newNetwork(ep, name, user, password)
	return n, name, err
}

// localPath recognises paths and file URLs.
func localPath(address string) (string, bool) {
	if rest, ok := strings.CutPrefix(address, "file://"); ok {
		u, err := url.Parse(address)
		if err != nil || u.Host != "" && u.Host != "localhost" {
			return rest, true
		}
		return filepath.FromSlash(u.Path), true
	}
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, ".") || filepath.IsAbs(address) {
		return address, true
	}
	return address, address != "" && !strings.Contains(address, ":")
}

func loopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// mainOf decides on the default branch.
func (r *Repo) mainOf(a advert) (string, error) {
	main := r.options.Branch
	if main == "" {
		main = a.main
	}
	switch _, ok := a.heads[main]; {
	case len(a.heads) == 0:
		return "", fmt.Errorf("%w: %s is empty: push a first commit", forge.ErrNotFound, r.name)
	case main == "":
		return "", fmt.Errorf("%w: the HEAD of %s names no branch: set serve.branch", forge.ErrNotFound, r.name)
	case !ok:
		return "", fmt.Errorf("%w: %s has no branch %q: push it, or set serve.branch to the default branch", forge.ErrNotFound, r.name, main)
	}
	return main, nil
}
