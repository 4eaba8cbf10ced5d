package githubtest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// complete makes what the emulator says, in an answer or an event, what GitHub would say. Things are known by their
// properties, wherever they stand.
func (s *Server) complete(body []byte) ([]byte, error) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	return json.Marshal(s.completeAny(v))
}

func (s *Server) completeAny(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = s.completeAny(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = s.completeAny(v[name])
		}
		s.completeObject(v)
	case string:
		return wholeSeconds(v)
	}
	return v
}

func (s *Server) completeObject(v object) {
	switch {
	case has(v, "login", "type", "followers_url"):
		completeUser(v)
	case has(v, "login", "type", "members_url"): // an owner's organisation has what users have
		fill(v, s.someUser(fmt.Sprint(v["login"]), "Organization", number(v["id"])))
	case has(v, "head", "base", "merge_commit_sha"):
		s.completePull(v)
	case has(v, "issue_url", "body", "html_url"):
		s.completeComment(v)
	case has(v, "repository_url", "number", "timeline_url"):
		s.completeIssue(v)
	case has(v, "check_suite", "details_url", "output"):
		s.completeCheck(v)
	case has(v, "clone_url", "full_name"):
		s.completeRepo(v)
	case has(v, "app_slug", "access_tokens_url"):
		s.completeInstallation(v)
	}
}

func has(v object, names ...string) bool {
	for _, name := range names {
		if _, ok := v[name]; !ok {
			return false
		}
	}
	return true
}

var precise = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z$`)

func wholeSeconds(text string) string { return precise.ReplaceAllString(text, "${1}Z") }

// completeUser makes apps' logins bots: the emulator knows people only.
func completeUser(v object) {
	if login, _ := v["login"].(string); strings.HasSuffix(login, "[bot]") {
		v["type"] = "Bot"
	}
}

// completeComment tells whether a comment was edited: never by the clock alone, always where it was.
func (s *Server) completeComment(v object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := number(v["id"])
	v["reactions"] = s.reactionCounts(fmt.Sprint(v["url"]), id)
	if !s.edited[id] {
		v["updated_at"] = v["created_at"]
		return
	}
	created, err := time.Parse(time.RFC3339, fmt.Sprint(v["created_at"]))
	updated, err2 := time.Parse(time.RFC3339, fmt.Sprint(v["updated_at"]))
	if err == nil && err2 == nil && !updated.After(created) {
		v["updated_at"] = created.Add(time.Second).Format(time.RFC3339)
	}
}

// completeIssue says that a pull request's issue is one: the emulator keeps that to itself.
func (s *Server) completeIssue(v object) {
	n := int(number(v["number"]))
	s.mu.Lock()
	p := s.pulls[n]
	s.mu.Unlock()
	if p == nil {
		return
	}
	page := fmt.Sprintf("%s/%s/pull/%d", s.URL, s.Repo(), n)
	v["pull_request"] = object{
		"url": s.URL + s.of("/pulls/%d", n), "html_url": page, "diff_url": page + ".diff", "patch_url": page + ".patch", "merged_at": nil,
	}
	v["html_url"] = page
}

// completeRepo gives a repository the few properties that the emulator lacks.
func (s *Server) completeRepo(v object) {
	fill(v, object{"web_commit_signoff_required": false, "network_count": v["forks_count"], "subscribers_count": 0})
	if v["pushed_at"] == nil {
		v["pushed_at"] = v["created_at"]
	}
}

// fill sets what is not there.
func fill(v, more object) {
	for name, value := range more {
		if _, ok := v[name]; !ok {
			v[name] = value
		}
	}
}

// someUser is somebody as other things mention them.
func (s *Server) someUser(login, kind string, id int64) object {
	u := s.URL + "/users/" + login
	return object{
		"login": login, "id": id, "node_id": fmt.Sprintf("U_%d", id), "avatar_url": s.URL + "/avatars/u/" + login, "gravatar_id": "",
		"url": u, "html_url": s.URL + "/" + login, "followers_url": u + "/followers", "following_url": u + "/following{/other_user}",
		"gists_url": u + "/gists{/gist_id}", "starred_url": u + "/starred{/owner}{/repo}", "subscriptions_url": u + "/subscriptions",
		"organizations_url": u + "/orgs", "repos_url": u + "/repos", "events_url": u + "/events{/privacy}",
		"received_events_url": u + "/received_events", "type": kind, "site_admin": false, "user_view_type": "public",
	}
}

func number(v any) int64 {
	switch v := v.(type) {
	case float64:
		return int64(v)
	case int64:
		return v
	case int:
		return int64(v)
	}
	return 0
}
