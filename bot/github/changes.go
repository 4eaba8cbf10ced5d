package github

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

// Head is the tip of the default branch.
func (c *Client) Head(ctx context.Context) (forge.Commit, string, error) {
	branch, err := c.defaultBranch(ctx)
	if err != nil {
		return forge.Commit{}, "", err
	}
	sha, err := c.tip(ctx, branch)
	if err != nil {
		return forge.Commit{}, "", err
	}
	commit, _, err := c.gh.Git.GetCommit(ctx, c.o.Owner, c.o.Name, sha)
	if err != nil {
		return forge.Commit{}, "", c.fail(ctx, err, "read commit %s", sha)
	}
	return forge.Commit{SHA: sha, Time: commit.GetCommitter().GetDate().Time}, branch, nil
}

func (c *Client) defaultBranch(ctx context.Context) (string, error) {
	repo, _, err := c.gh.Repositories.Get(ctx, c.o.Owner, c.o.Name)
	if err != nil {
		return "", c.fail(ctx, err, "read the repository")
	}
	if repo.GetDefaultBranch() == "" {
		return "", fmt.Errorf("github: %s: the repository has no default branch: push a first commit", c.Repo())
	}
	return repo.GetDefaultBranch(), nil
}

// tip of a branch now.
func (c *Client) tip(ctx context.Context, branch string) (string, error) {
	ref, _, err := c.gh.Git.GetRef(ctx, c.o.Owner, c.o.Name, "refs/heads/"+branch)
	if err != nil {
		return "", c.fail(ctx, err, "read branch %s", branch)
	}
	return c.sha(ref.GetObject().GetSHA())
}

// Open lists the pull requests to the default branch.
func (c *Client) Open(ctx context.Context) ([]forge.Change, error) {
	branch, err := c.defaultBranch(ctx)
	if err != nil {
		return nil, err
	}
	base, err := c.tip(ctx, branch)
	if err != nil {
		return nil, err
	}
	pulls, err := everything(func(page gh.ListOptions) ([]*gh.PullRequest, *gh.Response, error) {
		return c.gh.PullRequests.List(ctx, c.o.Owner, c.o.Name, &gh.PullRequestListOptions{
			State: "open", Base: branch, Sort: "created", Direction: "asc", ListOptions: page,
		})
	})
	if err != nil {
		return nil, c.fail(ctx, err, "list the open pull requests")
	}
	changes := make([]forge.Change, 0, len(pulls))
	seen := map[int]bool{} // one that is closed meanwhile moves the pages
	for _, p := range pulls {
		if seen[p.GetNumber()] || p.GetBase().GetRef() != branch {
			continue
		}
		seen[p.GetNumber()] = true
		change := changeOf(p)
		change.Base = base
		changes = append(changes, change)
	}
	return changes, nil
}

// Change reads a pull request.
func (c *Client) Change(ctx context.Context, id string) (forge.Change, error) {
	n, err := c.number(id)
	if err != nil {
		return forge.Change{}, err
	}
	pull, _, err := c.gh.PullRequests.Get(ctx, c.o.Owner, c.o.Name, n)
	if err != nil {
		return forge.Change{}, c.fail(ctx, err, "read pull request %d", n)
	}
	change := changeOf(pull)
	if change.Head, err = c.sha(change.Head); err != nil {
		return forge.Change{}, err
	}
	if change.State != forge.Open { // its branch may be gone, and what it said is history
		return change, nil
	}
	// What the pull request says of its base is from when it was last pushed to.
	change.Base, err = c.tip(ctx, change.Target)
	return change, err
}

// changeOf puts a pull request into our words. Base is as old as GitHub's answer.
func changeOf(p *gh.PullRequest) forge.Change {
	c := forge.Change{
		ID:      strconv.Itoa(p.GetNumber()),
		Title:   p.GetTitle(),
		Author:  loginOf(p.GetUser()),
		URL:     p.GetHTMLURL(),
		State:   forge.Open,
		Head:    p.GetHead().GetSHA(),
		Base:    p.GetBase().GetSHA(),
		Target:  p.GetBase().GetRef(),
		Fork:    foreign(p.GetHead().GetRepo(), p.GetBase().GetRepo()),
		Updated: p.GetUpdatedAt().Time,
	}
	switch {
	case p.GetMerged() || p.MergedAt != nil:
		c.State, c.MergeCommit = forge.Merged, p.GetMergeCommitSHA()
	case p.GetState() != "open":
		c.State = forge.Closed
	}
	return c
}

// foreign says that the head lies elsewhere than the base. A head whose repository is gone was a fork.
func foreign(head, base *gh.Repository) bool {
	if head == nil || base == nil {
		return true
	}
	if head.GetID() != 0 && base.GetID() != 0 {
		return head.GetID() != base.GetID()
	}
	return head.GetFullName() == "" || !strings.EqualFold(head.GetFullName(), base.GetFullName())
}

// loginOf names an author; accounts that were deleted are shown as ghost, as GitHub does.
func loginOf(u *gh.User) string {
	if u.GetLogin() == "" {
		return "ghost"
	}
	return u.GetLogin()
}

// number of a pull request.
func (c *Client) number(change string) (int, error) {
	n, err := strconv.Atoi(change)
	if err != nil || n <= 0 || strconv.Itoa(n) != change {
		return 0, failure{fmt.Errorf("github: %s: pull request %q: %w: a number is expected", c.Repo(), cut(change, 80, "…"), forge.ErrNotFound)}
	}
	return n, nil
}

// sha checks an object id: it becomes part of addresses.
func (c *Client) sha(s string) (string, error) {
	if len(s) == 40 || len(s) == 64 {
		if strings.Trim(s, "0123456789abcdef") == "" {
			return s, nil
		}
	}
	return "", failure{fmt.Errorf("github: %s: object %q: %w: a full id in lower-case hex is expected", c.Repo(), cut(s, 80, "…"), forge.ErrNotFound)}
}
