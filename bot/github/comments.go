package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

// anyMarker is what the markers of all living comments begin with.
const anyMarker = "<!-- mergebot:"

// comment is what the API says of one. The library leaves out what tells an app that writes for a person.
type comment struct {
	ID      int64     `json:"id"`
	Body    string    `json:"body"`
	User    *gh.User  `json:"user"`
	App     *struct{} `json:"performed_via_github_app"`
	Created time.Time `json:"created_at"`
	Updated time.Time `json:"updated_at"`
	URL     string    `json:"html_url"`
}

// listComments reads those of a pull request that changed at or after since; all when it is zero.
func (c *Client) listComments(ctx context.Context, pull int, since time.Time) ([]comment, error) {
	all, err := everything(func(page gh.ListOptions) ([]comment, *gh.Response, error) {
		q := url.Values{"per_page": {strconv.Itoa(page.PerPage)}, "page": {strconv.Itoa(page.Page)}}
		if !since.IsZero() {
			q.Set("since", since.UTC().Format(time.RFC3339))
		}
		req, err := c.gh.NewRequest(http.MethodGet, fmt.Sprintf("repos/%s/issues/%d/comments?%s", c.Repo(), pull, q.Encode()), nil)
		if err != nil {
			return nil, nil, err
		}
		var found []comment
		resp, err := c.gh.Do(ctx, req, &found)
		return found, resp, err
	})
	if err != nil {
		return nil, c.fail(ctx, err, "list the comments of pull request %d", pull)
	}
	slices.SortFunc(all, func(a, b comment) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return slices.CompactFunc(all, func(a, b comment) bool { return a.ID == b.ID }), nil // one deleted meanwhile moves the pages
}

// Comments lists what was said. A person whose token the bot uses is heard, too: of that account only what the bot
// itself wrote counts as a bot's.
func (c *Client) Comments(ctx context.Context, change string, since time.Time) ([]forge.Comment, error) {
	n, err := c.number(change)
	if err != nil {
		return nil, err
	}
	me, err := c.whoami(ctx)
	if err != nil {
		return nil, err
	}
	since = since.Truncate(time.Second) // GitHub's times are whole seconds
	all, err := c.listComments(ctx, n, since)
	if err != nil {
		return nil, err
	}
	var out []forge.Comment
	for _, f := range all {
		if f.Created.Before(since) || me.wrote(f.User) && strings.HasPrefix(f.Body, anyMarker) {
			continue
		}
		out = append(out, forge.Comment{
			ID:     f.ID,
			Author: loginOf(f.User),
			Bot:    f.User.GetType() == "Bot" || f.App != nil || me.app != 0 && me.wrote(f.User),
			Body:   f.Body,
			At:     f.Created,
			Edited: f.Updated.After(f.Created),
			URL:    f.URL,
		})
	}
	return out, nil
}

// React adds a reaction.
func (c *Client) React(ctx context.Context, id int64, r forge.Reaction) error {
	_, _, err := c.gh.Reactions.CreateIssueCommentReaction(ctx, c.o.Owner, c.o.Name, id, string(r))
	return c.fail(ctx, err, "react to comment %d", id)
}

// SetComment keeps the living comment. Of several, which a lost answer may have left, the oldest stays.
func (c *Client) SetComment(ctx context.Context, change string, id int64, marker, body string) (int64, error) {
	n, err := c.number(change)
	if err != nil {
		return 0, err
	}
	if marker == "" || !strings.HasPrefix(body, marker) {
		return 0, fmt.Errorf("github: %s: a living comment has to begin with its marker", c.Repo())
	}
	if id != 0 {
		err := c.edit(ctx, id, body)
		// Gone, or somebody else's: written when the bot had another account.
		if err == nil || !errors.Is(err, forge.ErrNotFound) && !errors.Is(err, forge.ErrForbidden) {
			return id, err
		}
	}
	ours, err := c.living(ctx, n, marker)
	if err != nil {
		return 0, err
	}
	if len(ours) > 0 {
		return c.fold(ctx, ours, body)
	}
	made, _, err := c.gh.Issues.CreateComment(ctx, c.o.Owner, c.o.Name, n, &gh.IssueComment{Body: gh.String(body)})
	if err == nil {
		return made.GetID(), nil
	}
	if errors.Is(err, errOutage) { // the answer was lost, perhaps not the comment
		if ours, lerr := c.living(ctx, n, marker); lerr == nil && len(ours) > 0 {
			return c.fold(ctx, ours, body)
		}
	}
	return 0, c.fail(ctx, err, "comment on pull request %d", n)
}

// living finds the comments with that marker that this account wrote: anyone can write the marker.
func (c *Client) living(ctx context.Context, pull int, marker string) ([]comment, error) {
	me, err := c.whoami(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.listComments(ctx, pull, time.Time{})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(f comment) bool { return !me.wrote(f.User) || !strings.HasPrefix(f.Body, marker) }), nil
}

// fold makes the first say body and takes the others away.
func (c *Client) fold(ctx context.Context, ours []comment, body string) (int64, error) {
	for _, more := range ours[1:] {
		if _, err := c.gh.Issues.DeleteComment(ctx, c.o.Owner, c.o.Name, more.ID); err != nil && !gone(err) {
			return ours[0].ID, c.fail(ctx, err, "delete comment %d, which is there twice", more.ID)
		}
	}
	if ours[0].Body == body {
		return ours[0].ID, nil
	}
	return ours[0].ID, c.edit(ctx, ours[0].ID, body)
}

func (c *Client) edit(ctx context.Context, id int64, body string) error {
	_, _, err := c.gh.Issues.EditComment(ctx, c.o.Owner, c.o.Name, id, &gh.IssueComment{Body: gh.String(body)})
	return c.fail(ctx, err, "edit comment %d", id)
}
