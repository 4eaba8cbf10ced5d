package githubtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

const docs = "https://docs.github.com/rest"

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, object{"message": message, "documentation_url": docs, "status": strconv.Itoa(status)})
}

func notFound(w http.ResponseWriter) { refuse(w, http.StatusNotFound, "Not Found") }

// broken is a fault of the proxy or of the emulator, which the test must see.
func (s *Server) broken(w http.ResponseWriter, err error) {
	s.failed("githubtest: %v", err)
	refuse(w, http.StatusInternalServerError, err.Error())
}

// paging reads which page is asked for.
func paging(r *http.Request, per int) (page, each int) {
	page, each = 1, per
	if n, err := strconv.Atoi(r.FormValue("page")); err == nil && n > 0 {
		page = n
	}
	if n, err := strconv.Atoi(r.FormValue("per_page")); err == nil && n > 0 {
		each = min(n, 100)
	}
	return page, each
}

// slice is one page of all; never nil, which JSON would call null.
func slice[T any](all []T, page, per int) []T {
	from := min(len(all), (page-1)*per)
	return append([]T{}, all[from:min(len(all), from+per)]...)
}

// linkPages says where the other pages are.
func linkPages(w http.ResponseWriter, r *http.Request, total, page, per int) {
	last := max(1, (total+per-1)/per)
	var links []string
	link := func(page int, rel string) {
		q := r.URL.Query()
		q.Set("page", strconv.Itoa(page))
		links = append(links, fmt.Sprintf(`<http://%s%s?%s>; rel="%s"`, r.Host, r.URL.EscapedPath(), q.Encode(), rel))
	}
	if page > 1 {
		link(page-1, "prev")
		link(1, "first")
	}
	if page < last {
		link(page+1, "next")
		link(last, "last")
	}
	if len(links) > 0 {
		w.Header().Set("Link", strings.Join(links, ", "))
	}
}
