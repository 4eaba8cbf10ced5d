package github

import (
	"cmp"
	"context"

	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

// maxDescription of a commit status, in characters. https://docs.github.com/rest/commits/statuses#create-a-commit-status
const maxDescription = 140

// setStatus writes a commit status, unless the newest one of that name says the same, or both that it goes on.
func (c *Client) setStatus(ctx context.Context, check forge.Check) error {
	s := &gh.RepoStatus{
		State:       gh.String(statusState(check.State)),
		Context:     gh.String(check.Name),
		Description: gh.String(firstRunes(cmp.Or(oneLine(check.Title), string(check.State)), maxDescription)),
		TargetURL:   detailsOf(check),
	}
	there, err := everything(func(page gh.ListOptions) ([]*gh.RepoStatus, *gh.Response, error) {
		all, resp, err := c.gh.Repositories.GetCombinedStatus(ctx, c.o.Owner, c.o.Name, check.Commit, &page)
		if err != nil {
			return nil, resp, err
		}
		return all.Statuses, resp, nil
	})
	if err != nil {
		return c.fail(ctx, err, "read the statuses of %s", check.Commit)
	}
	for _, t := range there {
		if t.GetContext() != s.GetContext() || t.GetState() != s.GetState() || t.GetTargetURL() != s.GetTargetURL() {
			continue
		}
		// A status cannot be edited, and a commit takes 1,000 of a name: progress is left to the comment.
		if t.GetDescription() == s.GetDescription() || check.State == forge.Pending {
			return nil
		}
	}
	_, _, err = c.gh.Repositories.CreateStatus(ctx, c.o.Owner, c.o.Name, check.Commit, s)
	return c.fail(ctx, err, "write status %q at %s", check.Name, check.Commit)
}

// statusState: a status has no word for neither good nor bad; what was cancelled must not look good.
func statusState(s forge.CheckState) string {
	switch s {
	case forge.Pending:
		return "pending"
	case forge.Success:
		return "success"
	case forge.Failure:
		return "failure"
	}
	return "error"
}

func firstRunes(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}
