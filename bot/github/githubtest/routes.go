package githubtest

import "net/http"

// routes says what the proxy does itself or otherwise than the emulator. The rest is passed on.
func (s *Server) routes() {
	m := http.NewServeMux()
	s.mux = m
	repo := "/repos/" + s.Repo()

	m.HandleFunc("/", s.pass)
	m.HandleFunc("GET /user", s.user)
	m.HandleFunc("GET /rate_limit", s.rateLimit)
	m.HandleFunc("GET /app", s.itself(s.app))
	m.HandleFunc("GET "+repo+"/installation", s.itself(s.pass))
	m.HandleFunc("POST /app/installations/{id}/access_tokens", s.itself(s.installationToken))
	m.HandleFunc("GET "+repo+"/collaborators/{login}/permission", s.permission)
	m.HandleFunc("GET /orgs/{org}/teams/{team}", s.team)
	m.HandleFunc("GET /orgs/{org}/teams/{team}/memberships/{login}", s.membership)

	m.HandleFunc("GET "+repo+"/compare/{basehead}", s.compare)
	m.HandleFunc("GET "+repo+"/commits/{ref}", s.oneCommit)
	m.HandleFunc("GET "+repo+"/git/commits/{sha}", s.gitCommit)
	m.HandleFunc("GET "+repo+"/branches/{branch}", s.branchRoute)
	m.HandleFunc("GET "+repo+"/pulls/{number}/files", s.pullFiles)

	m.HandleFunc("GET "+repo+"/issues/{number}/comments", s.listComments)
	m.HandleFunc("PATCH "+repo+"/issues/comments/{id}", s.editComment)
	m.HandleFunc("DELETE "+repo+"/issues/comments/{id}", s.deleteComment)
	m.HandleFunc("GET "+repo+"/issues/comments/{id}/reactions", s.listReactions)
	m.HandleFunc("POST "+repo+"/issues/comments/{id}/reactions", s.addReaction)

	m.HandleFunc("POST "+repo+"/statuses/{sha}", s.addStatus)
	m.HandleFunc("GET "+repo+"/commits/{ref}/statuses", s.listStatuses)
	m.HandleFunc("GET "+repo+"/commits/{ref}/status", s.combinedStatus)
	m.HandleFunc("POST "+repo+"/check-runs", s.addCheck)
	m.HandleFunc("PATCH "+repo+"/check-runs/{id}", s.changeCheck)
	m.HandleFunc("GET "+repo+"/check-runs/{id}/annotations", s.listAnnotations)
	m.HandleFunc("GET "+repo+"/commits/{ref}/check-runs", s.listChecks)
}
