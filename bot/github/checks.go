package github

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

// maxSummary in bytes. https://docs.github.com/rest/checks/runs#create-a-check-run
const maxSummary = 65535

// SetCheck writes a check run, or, with a token that may not, a commit status.
func (c *Client) SetCheck(ctx context.Context, id int64, check forge.Check) (int64, error) {
	sha, err := c.sha(check.Commit)
	if err != nil {
		return 0, err
	}
	check.Commit = sha
	if !c.noChecks.Load() {
		id, err := c.setCheckRun(ctx, id, check)
		if c.jwt != nil || !errors.Is(err, forge.ErrForbidden) {
			return id, c.fail(ctx, err, "write check %q at %s", check.Name, check.Commit)
		}
		c.noChecks.Store(true) // only apps may write check runs
	}
	return 0, c.setStatus(ctx, check)
}

// setCheckRun makes the check be so. Annotations can be added to a check run, never taken away: one that has others than
// it should, or that has ended and is to begin again, is followed by a new one of the same name, which is what GitHub
// shows then.
func (c *Client) setCheckRun(ctx context.Context, id int64, check forge.Check) (int64, error) {
	wanted := annotationsOf(check.Annotations)
	found, missing, err := c.findCheckRun(ctx, id, check, wanted)
	if err != nil {
		return id, err
	}
	if found == 0 {
		first, rest := split(wanted)
		o := gh.CreateCheckRunOptions{Name: check.Name, HeadSHA: check.Commit, ExternalID: gh.String(check.Name), StartedAt: now()}
		o.Status, o.Conclusion, o.CompletedAt = stateOf(check.State)
		o.DetailsURL, o.Output = detailsOf(check), outputOf(check, first)
		made, _, err := c.gh.Checks.CreateCheckRun(ctx, c.o.Owner, c.o.Name, o)
		if err != nil {
			return 0, refused(err)
		}
		if len(rest) == 0 {
			return made.GetID(), nil
		}
		found, missing = made.GetID(), rest
	}
	for {
		var some []*gh.CheckRunAnnotation
		some, missing = split(missing)
		o := gh.UpdateCheckRunOptions{Name: check.Name, ExternalID: gh.String(check.Name)}
		o.Status, o.Conclusion, o.CompletedAt = stateOf(check.State)
		o.DetailsURL, o.Output = detailsOf(check), outputOf(check, some)
		if _, _, err := c.gh.Checks.UpdateCheckRun(ctx, c.o.Owner, c.o.Name, found, o); err != nil || len(missing) == 0 {
			return found, refused(err)
		}
	}
}

// refused keeps the answer and makes callers see that a permission is lacking.
func refused(err error) error {
	if statusOf(err) == http.StatusForbidden {
		return errors.Join(err, forge.ErrForbidden)
	}
	return err
}

// findCheckRun looks for a check run that can become like check: the known one, else the newest of its name. It also
// says which annotations that one lacks. 0: there is none.
func (c *Client) findCheckRun(ctx context.Context, id int64, check forge.Check, wanted []*gh.CheckRunAnnotation) (int64, []*gh.CheckRunAnnotation, error) {
	var app *int64
	if c.jwt != nil {
		me, err := c.whoami(ctx)
		if err != nil {
			return 0, nil, err
		}
		app = gh.Int64(me.app)
	}
	foreign := func(r *gh.CheckRun) bool { return app != nil && r.App != nil && r.App.GetID() != *app }
	if id != 0 {
		run, _, err := c.gh.Checks.GetCheckRun(ctx, c.o.Owner, c.o.Name, id)
		if err != nil && !gone(err) {
			return 0, nil, refused(err)
		}
		if err == nil && !foreign(run) { // another app's, where the bot had been that one: nobody else may write it
			missing, ok, err := c.fits(ctx, run, check, wanted)
			if err != nil || ok {
				return id, missing, err
			}
		}
	}
	runs, err := everything(func(page gh.ListOptions) ([]*gh.CheckRun, *gh.Response, error) {
		found, resp, err := c.gh.Checks.ListCheckRunsForRef(ctx, c.o.Owner, c.o.Name, check.Commit, &gh.ListCheckRunsOptions{
			CheckName: gh.String(check.Name), Filter: gh.String("all"), AppID: app, ListOptions: page,
		})
		if err != nil {
			return nil, resp, err
		}
		return found.CheckRuns, resp, nil
	})
	if err != nil {
		return 0, nil, refused(err)
	}
	runs = slices.DeleteFunc(runs, foreign)
	if len(runs) == 0 {
		return 0, nil, nil
	}
	newest := slices.MaxFunc(runs, func(a, b *gh.CheckRun) int { return cmp.Compare(a.GetID(), b.GetID()) })
	if newest.GetID() == id {
		return 0, nil, nil // it was looked at above
	}
	missing, ok, err := c.fits(ctx, newest, check, wanted)
	if err != nil || !ok {
		return 0, nil, err
	}
	return newest.GetID(), missing, nil
}

// fits says whether a check run can become like check, and which annotations it lacks.
func (c *Client) fits(ctx context.Context, run *gh.CheckRun, check forge.Check, wanted []*gh.CheckRunAnnotation) (missing []*gh.CheckRunAnnotation, ok bool, err error) {
	if run.GetName() != check.Name || run.GetHeadSHA() != check.Commit || run.GetStatus() == "completed" && check.State == forge.Pending {
		return nil, false, nil
	}
	if run.GetOutput().GetAnnotationsCount() == 0 {
		return wanted, true, nil
	}
	there, err := everything(func(page gh.ListOptions) ([]*gh.CheckRunAnnotation, *gh.Response, error) {
		return c.gh.Checks.ListCheckRunAnnotations(ctx, c.o.Owner, c.o.Name, run.GetID(), &page)
	})
	if err != nil {
		return nil, false, refused(err)
	}
	missing, ok = subtract(wanted, there)
	return missing, ok, nil
}

// stateOf puts a state into GitHub's words. What ended neither well nor badly was cancelled there: a neutral check passes
// where a branch requires the check, and what was only tried must not.
func stateOf(s forge.CheckState) (status, conclusion *string, completed *gh.Timestamp) {
	if s == forge.Pending {
		return gh.String("in_progress"), nil, nil
	}
	word := "cancelled"
	switch s {
	case forge.Success:
		word = "success"
	case forge.Failure:
		word = "failure"
	}
	return gh.String("completed"), gh.String(word), now()
}

func now() *gh.Timestamp { return &gh.Timestamp{Time: time.Now().UTC().Truncate(time.Second)} }

func outputOf(check forge.Check, some []*gh.CheckRunAnnotation) *gh.CheckRunOutput {
	title := cmp.Or(oneLine(check.Title), check.Name)
	return &gh.CheckRunOutput{
		Title:       gh.String(title),
		Summary:     gh.String(cut(cmp.Or(check.Summary, title), maxSummary, "\n\n…")),
		Annotations: some,
	}
}

// detailsOf is the address that a check links to; GitHub takes only such.
func detailsOf(check forge.Check) *string {
	if strings.HasPrefix(check.URL, "https://") || strings.HasPrefix(check.URL, "http://") {
		return gh.String(check.URL)
	}
	return nil
}
