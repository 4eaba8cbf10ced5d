package github

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// delivery is as much of the payloads as is looked at. https://docs.github.com/webhooks/webhook-events-and-payloads
type delivery struct {
	Action     string `json:"action"`
	Repository struct {
		ID            int64  `json:"id"`
		FullName      string `json:"full_name"`
		DefaultBranch string `json:"default_branch"`
		Owner         struct {
			Login string `json:"login"`
		} `json:"owner"`
	} `json:"repository"`
	Ref         string   `json:"ref"` // of a push
	PullRequest numbered `json:"pull_request"`
	Issue       struct {
		numbered
		PullRequest *struct{} `json:"pull_request"` // nil: an issue
	} `json:"issue"`
	CheckRun   suite `json:"check_run"`
	CheckSuite suite `json:"check_suite"`
	Changes    struct {
		Repository struct {
			Name struct {
				From string `json:"from"`
			} `json:"name"`
		} `json:"repository"`
	} `json:"changes"`
}

type numbered struct {
	Number int `json:"number"`
}

// suite is a check run, too, as far as it is of interest.
type suite struct {
	HeadSHA      string `json:"head_sha"`
	PullRequests []struct {
		numbered
		Base struct {
			Repo struct {
				ID int64 `json:"id"`
			} `json:"repo"`
		} `json:"base"`
	} `json:"pull_requests"`
}

var errNoNumber = errors.New("the payload names no pull request: check the sender")

// of says whether the delivery is about repo; after it was renamed, too.
func (d *delivery) of(event, repo string) bool {
	if strings.EqualFold(d.Repository.FullName, repo) {
		return true
	}
	from := d.Changes.Repository.Name.From
	return event == "repository" && d.Action == "renamed" && from != "" &&
		strings.EqualFold(d.Repository.Owner.Login+"/"+from, repo)
}

// pullActions are those after which a pull request may be another one.
var pullActions = []string{"opened", "reopened", "synchronize", "edited", "closed", "ready_for_review", "converted_to_draft"}

// event fills e with where to look. why: nowhere, and for what reason.
func (d *delivery) event(e Event) (_ Event, why string, err error) {
	e.Action = d.Action
	switch e.Name {
	case "pull_request":
		if !slices.Contains(pullActions, d.Action) {
			return e, "nothing that matters here", nil
		}
		e.Change = changeID(d.PullRequest)
	case "issue_comment":
		if d.Issue.PullRequest == nil || d.Action != "created" { // an edited comment is no command
			return e, "no new comment on a pull request", nil
		}
		e.Change = changeID(d.Issue.numbered)
	case "push":
		if d.Repository.DefaultBranch == "" || d.Ref != "refs/heads/"+d.Repository.DefaultBranch {
			return e, "not the default branch", nil
		}
		e.Main = true
		return e, "", nil
	case "check_run", "check_suite":
		if d.Action != "rerequested" {
			return e, "nothing that matters here", nil
		}
		s := d.CheckRun
		if e.Name == "check_suite" {
			s = d.CheckSuite
		}
		e.Commit = s.HeadSHA
		for _, p := range s.PullRequests { // of other repositories with the same head, too
			if id := p.Base.Repo.ID; e.Change == "" && (id == 0 || id == d.Repository.ID) {
				e.Change = changeID(p.numbered)
			}
		}
		return e, "", nil
	case "repository":
		if d.Action != "renamed" {
			return e, "nothing that matters here", nil
		}
		return e, "", nil
	default:
		return e, "nothing that matters here", nil
	}
	if e.Change == "" {
		return e, "", errNoNumber
	}
	return e, "", nil
}

// changeID is a pull request's number in words; "" of none.
func changeID(n numbered) string {
	if n.Number <= 0 {
		return ""
	}
	return strconv.Itoa(n.Number)
}
