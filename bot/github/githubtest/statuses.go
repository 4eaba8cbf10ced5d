package githubtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// status is a commit status.
type status struct {
	id                              int64
	state, context, target, comment string
	login                           string
	at                              time.Time
}

// addStatus answers POST …/statuses/{sha}, for those who may write.
func (s *Server) addStatus(w http.ResponseWriter, r *http.Request) {
	c, sha := callerOf(r), r.PathValue("sha")
	if role := s.o.People[c.login]; !c.app && role != Admin && role != Write {
		notFound(w) // as GitHub says it
		return
	}
	if c.app { // the app was not given that permission
		refuse(w, http.StatusForbidden, "Resource not accessible by integration")
		return
	}
	if _, err := s.commit(sha); err != nil {
		refuse(w, http.StatusUnprocessableEntity, "No commit found for SHA: "+sha)
		return
	}
	var in struct {
		State       string `json:"state"`
		Context     string `json:"context"`
		TargetURL   string `json:"target_url"`
		Description string `json:"description"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len([]rune(in.Description)) > 140 {
		refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
		return
	}
	if in.Context == "" {
		in.Context = "default"
	}
	st := status{s.nextID(), in.State, in.Context, in.TargetURL, in.Description, c.login, time.Now()}
	s.mu.Lock()
	s.statuses[sha] = append([]status{st}, s.statuses[sha]...)
	s.mu.Unlock()
	reply(w, http.StatusCreated, s.statusJSON(sha, st, true))
}

func (s *Server) statusJSON(sha string, st status, creator bool) object {
	at := st.at.UTC().Format(time.RFC3339)
	out := object{
		"id": st.id, "node_id": fmt.Sprintf("SC_%d", st.id), "url": s.URL + s.of("/statuses/%s", sha), "avatar_url": s.URL + "/avatars/u/" + st.login,
		"state": st.state, "context": st.context, "description": st.comment, "target_url": st.target, "created_at": at, "updated_at": at,
	}
	if creator {
		out["creator"] = s.person(st.login)
	}
	return out
}

// listStatuses answers GET …/commits/{ref}/statuses: every one that was ever set, the newest first.
func (s *Server) listStatuses(w http.ResponseWriter, r *http.Request) {
	sha, err := s.resolve(r.PathValue("ref"))
	if err != nil {
		notFound(w)
		return
	}
	s.mu.Lock()
	all := slices.Clone(s.statuses[sha])
	s.mu.Unlock()
	page, per := paging(r, 30)
	linkPages(w, r, len(all), page, per)
	out := []object{}
	for _, st := range slice(all, page, per) {
		out = append(out, s.statusJSON(sha, st, true))
	}
	reply(w, http.StatusOK, out)
}

// combinedStatus answers GET …/commits/{ref}/status: the newest of each context, and what they are together.
func (s *Server) combinedStatus(w http.ResponseWriter, r *http.Request) {
	sha, err := s.resolve(r.PathValue("ref"))
	if err != nil {
		notFound(w)
		return
	}
	newest, state := []object{}, "success"
	all := s.Statuses(sha)
	for _, st := range all {
		newest = append(newest, s.statusJSON(sha, st.status, false))
		if st.State == "failure" || st.State == "error" {
			state = "failure"
		} else if st.State == "pending" && state == "success" {
			state = "pending"
		}
	}
	if len(newest) == 0 {
		state = "pending"
	}
	var repo object
	if err := s.ask("", http.MethodGet, s.of(""), nil, &repo); err != nil {
		s.broken(w, err)
		return
	}
	reply(w, http.StatusOK, object{
		"state": state, "statuses": newest, "sha": sha, "total_count": len(newest), "repository": repo,
		"commit_url": s.URL + s.of("/commits/%s", sha), "url": s.URL + s.of("/commits/%s/status", sha),
	})
}
