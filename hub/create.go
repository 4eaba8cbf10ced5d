package hub

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// CreateRepo makes a repository and returns its page. One that exists is no error; its visibility stays as it is.
func (c *Client) CreateRepo(ctx context.Context, r Repo, private bool) (string, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	body := map[string]string{"name": r.ID, "visibility": "public"}
	if org, name, ok := strings.Cut(r.ID, "/"); ok {
		body["organization"], body["name"] = org, name
	}
	if r.Type == Dataset {
		body["type"] = string(Dataset)
	}
	if private {
		body["visibility"] = "private"
	}
	page := c.Endpoint() + "/" + r.String()
	var answer struct {
		URL string `json:"url"`
	}
	q := request{op: "create the repository", repo: r, url: "/api/repos/create"}.asJSON(body)
	err := c.retry(ctx, func() error {
		err := c.once(ctx, q, &answer)
		var e *Error
		if errors.As(err, &e) && e.Status == http.StatusConflict && strings.Contains(e.Message, "conflicting operation") {
			e.again = true // the Hub is busy with the same name
		}
		return err
	})
	var e *Error
	switch {
	case err == nil && answer.URL != "":
		return answer.URL, nil
	case err == nil:
		return page, nil
	case errors.As(err, &e) && e.Status == http.StatusConflict && !e.again:
		if private {
			c.warnIfPublic(ctx, r)
		}
		return page, nil
	case errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Status == http.StatusPaymentRequired || e.Status == http.StatusForbidden):
		// No right to create, but perhaps it was made for us.
		if _, infoErr := c.Info(ctx, r, ""); infoErr == nil {
			return page, nil
		}
		if e.Status == http.StatusUnauthorized {
			e.Err = ErrUnauthorized // not "missing": that is why it is created
			e.Remedy = c.remedy(e)
		}
	}
	return "", err
}

// warnIfPublic speaks up when what is to stay private would be put where all can read it.
func (c *Client) warnIfPublic(ctx context.Context, r Repo) {
	if info, err := c.Info(ctx, r, ""); err == nil && !info.Private {
		c.warn("public "+r.String(), r.String()+" exists and is public, though a private repository was asked for")
	}
}

// Branch makes a branch that begins at a revision ("" is main). One that exists is no error: it is left as it is.
func (c *Client) Branch(ctx context.Context, r Repo, branch, from string) error {
	if from == "" {
		from = "main"
	}
	if err := errors.Join(r.Validate(), checkRevision(branch), checkRevision(from)); err != nil {
		return err
	}
	q := request{op: "make the branch " + branch, repo: r, revision: from, url: r.api("branch", branch)}.
		asJSON(map[string]string{"startingPoint": from})
	_, err := c.call(ctx, q, nil)
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// Tag gives a commit a name. A tag of that name on the same commit is no error; on another one it is [ErrConflict].
func (c *Client) Tag(ctx context.Context, r Repo, revision, tag, message string) error {
	if revision == "" {
		revision = "main"
	}
	if err := errors.Join(r.Validate(), checkRevision(revision), checkRevision(tag)); err != nil {
		return err
	}
	q := request{op: "tag " + tag, repo: r, revision: revision, url: r.api("tag", revision)}.
		asJSON(map[string]string{"tag": tag, "message": message})
	_, err := c.call(ctx, q, nil)
	if !errors.Is(err, ErrConflict) {
		return err
	}
	sha, commitErr := c.commit(ctx, r, revision)
	refs, refsErr := c.Refs(ctx, r)
	if commitErr != nil || refsErr != nil {
		return err
	}
	for _, ref := range refs.Tags {
		if ref.Name == tag && ref.Commit == sha {
			return nil
		}
	}
	return err
}
