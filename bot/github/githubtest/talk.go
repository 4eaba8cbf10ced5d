package githubtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// reaction is one person's to a comment.
type reaction struct {
	id      int64
	login   string
	content string
	at      time.Time
}

var reactionKinds = []string{"+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"}

// reactionCounts is the summary within a comment; s.mu is held.
func (s *Server) reactionCounts(comment string, id int64) object {
	out := object{"url": comment + "/reactions", "total_count": len(s.reactions[id])}
	for _, kind := range reactionKinds {
		out[kind] = 0
	}
	for _, r := range s.reactions[id] {
		out[r.content] = out[r.content].(int) + 1
	}
	return out
}

func (s *Server) reactionJSON(r reaction) object {
	return object{
		"id": r.id, "node_id": fmt.Sprintf("REA_%d", r.id), "user": s.person(r.login),
		"content": r.content, "created_at": r.at.UTC().Format(time.RFC3339),
	}
}

// person is somebody as other things mention them.
func (s *Server) person(login string) object {
	var u object
	if err := s.ask("", http.MethodGet, "/users/"+login, nil, &u); err != nil {
		s.failed("githubtest: %v", err)
		return nil
	}
	for name := range u {
		if _, ok := s.someUser("", "", 0)[name]; !ok {
			delete(u, name)
		}
	}
	return u
}

// comment finds the number of a comment that is there.
func (s *Server) comment(w http.ResponseWriter, r *http.Request) (int64, bool) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err == nil {
		err = s.ask("", http.MethodGet, s.of("/issues/comments/%d", id), nil, nil)
	}
	if err != nil {
		notFound(w)
	}
	return id, err == nil
}

// addReaction answers POST …/issues/comments/{id}/reactions: 200 for one that was there already.
func (s *Server) addReaction(w http.ResponseWriter, r *http.Request) {
	var in struct{ Content string }
	id, ok := s.comment(w, r)
	if !ok {
		return
	}
	login := callerOf(r).login
	if login == "" {
		refuse(w, http.StatusUnauthorized, "Requires authentication")
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !slices.Contains(reactionKinds, in.Content) {
		refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
		return
	}
	fresh := reaction{s.nextID(), login, in.Content, time.Now()}
	s.mu.Lock()
	i := slices.IndexFunc(s.reactions[id], func(r reaction) bool { return r.login == login && r.content == in.Content })
	status := http.StatusOK
	if i < 0 {
		s.reactions[id], status = append(s.reactions[id], fresh), http.StatusCreated
	} else {
		fresh = s.reactions[id][i]
	}
	s.mu.Unlock()
	reply(w, status, s.reactionJSON(fresh))
}

// listReactions answers GET …/issues/comments/{id}/reactions.
func (s *Server) listReactions(w http.ResponseWriter, r *http.Request) {
	id, ok := s.comment(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	all := slices.Clone(s.reactions[id])
	s.mu.Unlock()
	if kind := r.FormValue("content"); kind != "" {
		all = slices.DeleteFunc(all, func(r reaction) bool { return r.content != kind })
	}
	page, per := paging(r, 30)
	linkPages(w, r, len(all), page, per)
	out := []object{}
	for _, one := range slice(all, page, per) {
		out = append(out, s.reactionJSON(one))
	}
	reply(w, http.StatusOK, out)
}

// listComments answers GET …/issues/{number}/comments with its parameter since, which the emulator does not heed.
func (s *Server) listComments(w http.ResponseWriter, r *http.Request) {
	var all []any
	for page := 1; ; page++ {
		var some []any
		err := s.ask("", http.MethodGet, s.of("/issues/%s/comments?per_page=100&page=%d", r.PathValue("number"), page), nil, &some)
		if err != nil {
			notFound(w)
			return
		}
		all = append(all, some...)
		if len(some) < 100 {
			break
		}
	}
	since, err := time.Parse(time.RFC3339, r.FormValue("since"))
	all = slices.DeleteFunc(all, func(c any) bool {
		s.completeAny(c)
		at, _ := time.Parse(time.RFC3339, fmt.Sprint(c.(object)["updated_at"]))
		return err == nil && at.Before(since)
	})
	page, per := paging(r, 30)
	linkPages(w, r, len(all), page, per)
	reply(w, http.StatusOK, slice(all, page, per))
}

// mayChange says whether somebody may change a comment: who wrote it, or who may write to the repository.
func (s *Server) mayChange(w http.ResponseWriter, r *http.Request) (int64, bool) {
	var c struct{ User struct{ Login string } }
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err := s.ask("", http.MethodGet, s.of("/issues/comments/%d", id), nil, &c); err != nil {
		notFound(w)
		return 0, false
	}
	login := callerOf(r).login
	if role := s.o.People[login]; c.User.Login != login && role != Admin && role != Write {
		refuse(w, http.StatusForbidden, "Must have admin rights to Repository.")
		return 0, false
	}
	return id, true
}

// editComment answers PATCH …/issues/comments/{id}.
func (s *Server) editComment(w http.ResponseWriter, r *http.Request) {
	id, ok := s.mayChange(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	s.edited[id] = true
	s.mu.Unlock()
	s.pass(w, r)
}

// deleteComment answers DELETE …/issues/comments/{id}.
func (s *Server) deleteComment(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.mayChange(w, r); ok {
		s.pass(w, r)
	}
}
