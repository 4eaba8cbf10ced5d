package githubtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// check is what the proxy keeps of a check run: the emulator forgets the columns and titles of annotations, replaces
// them where GitHub adds to them, and does not know whose a check is.
type check struct {
	annotations []object
}

// maxAnnotations is how many annotations a request may hold.
const maxAnnotations = 50

// addCheck answers POST …/check-runs, for apps.
func (s *Server) addCheck(w http.ResponseWriter, r *http.Request) { s.writeCheck(w, r, 0) }

// changeCheck answers PATCH …/check-runs/{id}, for the app that made it.
func (s *Server) changeCheck(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	s.mu.Lock()
	known := s.checks[id] != nil
	s.mu.Unlock()
	if err != nil || !known {
		notFound(w)
		return
	}
	s.writeCheck(w, r, id)
}

func (s *Server) writeCheck(w http.ResponseWriter, r *http.Request, id int64) {
	switch c := callerOf(r); {
	case c.login == "":
		refuse(w, http.StatusUnauthorized, "Requires authentication")
		return
	case !c.app:
		refuse(w, http.StatusForbidden, "You must authenticate via a GitHub App.")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.broken(w, err)
		return
	}
	var in struct {
		HeadSHA string `json:"head_sha"`
		Output  struct {
			Summary     string   `json:"summary"`
			Annotations []object `json:"annotations"`
		} `json:"output"`
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Output.Annotations) > maxAnnotations || len(in.Output.Summary) > 65535 {
		refuse(w, http.StatusUnprocessableEntity, "Invalid request.")
		return
	}
	if id == 0 {
		if _, err := s.commit(in.HeadSHA); err != nil {
			refuse(w, http.StatusUnprocessableEntity, "No commit found for SHA: "+in.HeadSHA)
			return
		}
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	s.checking.Lock()
	defer s.checking.Unlock()
	s.passObject(w, r, func(v object) {
		s.mu.Lock()
		defer s.mu.Unlock()
		id := number(v["id"])
		if s.checks[id] == nil {
			s.checks[id] = &check{}
		}
		s.checks[id].annotations = append(s.checks[id].annotations, in.Output.Annotations...)
	})
}

// completeCheck says whose a check is, how many annotations it has, and which pull requests it is about.
func (s *Server) completeCheck(v object) {
	id, sha := number(v["id"]), fmt.Sprint(v["head_sha"])
	v["app"] = s.appJSON()
	s.mu.Lock()
	defer s.mu.Unlock()
	if out, ok := v["output"].(object); ok {
		out["annotations_url"] = s.URL + s.of("/check-runs/%d/annotations", id)
		if c := s.checks[id]; c != nil {
			out["annotations_count"] = len(c.annotations)
		}
	}
	about := []any{}
	for n, p := range s.pulls {
		if p.open() && s.heads[p.label] == sha && !p.fork {
			about = append(about, s.minimalPull(n, p, sha))
		}
	}
	v["pull_requests"] = about
	if suite, ok := v["check_suite"].(object); ok {
		suite["pull_requests"], suite["app"] = about, v["app"]
	}
}

// listAnnotations answers GET …/check-runs/{id}/annotations.
func (s *Server) listAnnotations(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
	s.mu.Lock()
	c := s.checks[id]
	var all []object
	if c != nil {
		all = slices.Clone(c.annotations)
	}
	s.mu.Unlock()
	if c == nil {
		notFound(w)
		return
	}
	page, per := paging(r, 30)
	linkPages(w, r, len(all), page, per)
	out := []object{}
	for _, a := range slice(all, page, per) {
		out = append(out, object{
			"path": a["path"], "start_line": a["start_line"], "end_line": a["end_line"], "start_column": a["start_column"],
			"end_column": a["end_column"], "annotation_level": a["annotation_level"], "title": a["title"],
			"message": a["message"], "raw_details": a["raw_details"], "blob_href": s.URL + s.of("/git/blobs/%v", a["path"]),
		})
	}
	reply(w, http.StatusOK, out)
}

// listChecks answers GET …/commits/{ref}/check-runs in pages and by app, which the emulator does not.
func (s *Server) listChecks(w http.ResponseWriter, r *http.Request) {
	q := url.Values{"filter": {r.FormValue("filter")}}
	for _, name := range []string{"check_name", "status"} {
		if v := r.FormValue(name); v != "" {
			q.Set(name, v)
		}
	}
	if q.Get("filter") == "" {
		q.Set("filter", "latest")
	}
	s.checking.RLock()
	defer s.checking.RUnlock()
	var found struct {
		Runs []any `json:"check_runs"`
	}
	err := s.ask("", http.MethodGet, s.of("/commits/%s/check-runs?%s", url.PathEscape(r.PathValue("ref")), q.Encode()), nil, &found)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, "No commit found for SHA: "+r.PathValue("ref"))
		return
	}
	all := found.Runs
	if app := r.FormValue("app_id"); app != "" && app != strconv.FormatInt(s.App.ID, 10) {
		all = nil
	}
	page, per := paging(r, 30)
	linkPages(w, r, len(all), page, per)
	reply(w, http.StatusOK, object{"total_count": len(all), "check_runs": slice(all, page, per)})
}
