package github

import (
	"context"
	"errors"
	"fmt"
	"strings"

	gh "github.com/google/go-github/v60/github"
)

// issuePages is how far back an issue is looked for.
const issuePages = 5

// OpenIssue opens an issue once. Only this account's own are looked at: anyone can write the marker.
func (c *Client) OpenIssue(ctx context.Context, marker, title, body string) (string, error) {
	if marker == "" {
		return "", fmt.Errorf("github: %s: an issue has to have a marker", c.Repo())
	}
	if !strings.Contains(body, marker) {
		body = marker + "\n" + body
	}
	at, err := c.findIssue(ctx, marker)
	if err != nil || at != "" {
		return at, err
	}
	made, _, err := c.gh.Issues.Create(ctx, c.o.Owner, c.o.Name, &gh.IssueRequest{Title: gh.String(oneLine(title)), Body: gh.String(body)})
	if err == nil {
		return made.GetHTMLURL(), nil
	}
	if errors.Is(err, errOutage) { // the answer was lost, perhaps not the issue
		if at, ferr := c.findIssue(ctx, marker); ferr == nil && at != "" {
			return at, nil
		}
	}
	return "", c.fail(ctx, err, "open an issue")
}

// findIssue returns the address of the oldest one with the marker, open or closed; "" when there is none.
func (c *Client) findIssue(ctx context.Context, marker string) (string, error) {
	me, err := c.whoami(ctx)
	if err != nil {
		return "", err
	}
	ours, _, err := pages(issuePages, func(page gh.ListOptions) ([]*gh.Issue, *gh.Response, error) {
		return c.gh.Issues.ListByRepo(ctx, c.o.Owner, c.o.Name, &gh.IssueListByRepoOptions{
			State: "all", Creator: me.login, Sort: "created", Direction: "desc", ListOptions: page,
		})
	})
	if err != nil {
		return "", c.fail(ctx, err, "list the issues of %s", me.login)
	}
	at := ""
	for _, i := range ours {
		if !i.IsPullRequest() && me.wrote(i.User) && strings.Contains(i.GetBody(), marker) {
			at = i.GetHTMLURL()
		}
	}
	return at, nil
}
