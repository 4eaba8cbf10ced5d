package githubtest

import (
	"fmt"
	"net/http"
	"slices"
)

// user answers GET /user, which apps may not ask.
func (s *Server) user(w http.ResponseWriter, r *http.Request) {
	switch c := callerOf(r); {
	case c.app || c.itself:
		refuse(w, http.StatusForbidden, "Resource not accessible by integration")
	case c.login == "":
		refuse(w, http.StatusUnauthorized, "Requires authentication")
	default:
		s.pass(w, r)
	}
}

// permission answers GET …/collaborators/{login}/permission, which people without write access may not ask. Everybody
// may read: the repository is public. The emulator does not find strangers, and says push where GitHub says write.
func (s *Server) permission(w http.ResponseWriter, r *http.Request) {
	c, login := callerOf(r), r.PathValue("login")
	if !c.app && s.o.People[c.login] != Admin && s.o.People[c.login] != Write {
		refuse(w, http.StatusForbidden, "Must have push access to view collaborator permission.")
		return
	}
	role, ok := s.o.People[login]
	if !ok {
		notFound(w)
		return
	}
	user := s.someUser(login, "User", s.idOf(login))
	user["role_name"] = string(role)
	user["permissions"] = object{
		"pull": true, "triage": role != Read, "push": role != Read, "maintain": role == Admin, "admin": role == Admin,
	}
	reply(w, http.StatusOK, object{"permission": string(role), "role_name": string(role), "user": user})
}

// idOf finds a person's number in the emulator.
func (s *Server) idOf(login string) int64 {
	var u struct{ ID int64 }
	if err := s.ask("", http.MethodGet, "/users/"+login, nil, &u); err != nil {
		s.failed("githubtest: %v", err)
	}
	return u.ID
}

// team answers GET /orgs/{org}/teams/{team}.
func (s *Server) team(w http.ResponseWriter, r *http.Request) {
	if callerOf(r).login == "" || r.PathValue("org") != s.Owner || r.PathValue("team") != TeamName {
		notFound(w)
		return
	}
	self, o := fmt.Sprintf("%s/orgs/%s/teams/%s", s.URL, s.Owner, TeamName), s.organization()
	o["type"] = "Organization"
	fill(o, object{
		"html_url": s.URL + "/" + s.Owner, "has_organization_projects": true, "has_repository_projects": true,
		"public_repos": 1, "public_gists": 0, "followers": 0, "following": 0, "archived_at": nil,
		"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
	})
	reply(w, http.StatusOK, object{
		"id": 1, "node_id": "T_1", "type": "organization", "url": self, "html_url": self, "name": "Merge masters", "slug": TeamName, "description": nil,
		"permission": "push", "privacy": "closed", "members_url": self + "/members{/member}", "repositories_url": self + "/repos",
		"members_count": len(s.o.Team), "repos_count": 1, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
		"organization": o, "parent": nil,
	})
}

// organization is the owner as events and teams mention it.
func (s *Server) organization() object {
	o := s.URL + "/orgs/" + s.Owner
	return object{
		"login": s.Owner, "id": 1, "node_id": "O_1", "url": o, "repos_url": o + "/repos", "events_url": o + "/events", "hooks_url": o + "/hooks",
		"issues_url": o + "/issues", "members_url": o + "/members{/member}", "public_members_url": o + "/public_members{/member}",
		"avatar_url": s.URL + "/avatars/o/" + s.Owner, "description": nil,
	}
}

// membership answers GET /orgs/{org}/teams/{team}/memberships/{login}.
func (s *Server) membership(w http.ResponseWriter, r *http.Request) {
	c, login := callerOf(r), r.PathValue("login")
	if c.login == "" || r.PathValue("org") != s.Owner || r.PathValue("team") != TeamName || !slices.Contains(s.o.Team, login) {
		notFound(w)
		return
	}
	reply(w, http.StatusOK, object{
		"url":  fmt.Sprintf("%s/orgs/%s/teams/%s/memberships/%s", s.URL, s.Owner, TeamName, login),
		"role": "member", "state": "active",
	})
}

// rateLimit answers GET /rate_limit, which is free.
func (s *Server) rateLimit(w http.ResponseWriter, r *http.Request) {
	s.quota.mu.Lock()
	used := s.quota.used[callerOf(r).login]
	each := object{"limit": hourly, "used": used, "remaining": max(0, hourly-used), "reset": s.quota.reset.Unix()}
	s.quota.mu.Unlock()
	reply(w, http.StatusOK, object{"resources": object{"core": each, "search": each, "graphql": each}, "rate": each})
}
