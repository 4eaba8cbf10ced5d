package web

import (
	"html"
	"net/http"
	"path"
	"regexp"
)

// A report's pages name their style sheet and script by hash in a policy of their own.
var (
	ownPolicy    = regexp.MustCompile(`<meta http-equiv="Content-Security-Policy" content="([^"]*)">`)
	strictPolicy = regexp.MustCompile(`^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'(; script-src 'sha256-[A-Za-z0-9+/=]+')?; base-uri 'none'; form-action 'none'$`)
)

// reportPolicy is what a report's page may do: what its own policy says, in a sandbox of no origin, so that it can
// reach nothing of this site. A page whose policy is not one of ours may do nothing but be read.
func reportPolicy(page []byte) string {
	const closed = "; frame-ancestors 'none'"
	m := ownPolicy.FindSubmatch(page[:min(len(page), 2048)])
	if m == nil {
		return "sandbox; default-src 'none'; style-src 'unsafe-inline'" + closed
	}
	own := html.UnescapeString(string(m[1]))
	found := strictPolicy.FindStringSubmatch(own)
	switch {
	case found == nil:
		return "sandbox; default-src 'none'; style-src 'unsafe-inline'" + closed
	case found[1] != "":
		return "sandbox allow-scripts allow-downloads; " + own + closed
	}
	return "sandbox allow-downloads; " + own + closed
}

// reportFile sends a file of a run's report as it is kept.
func (s *site) reportFile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	rec, ok, err := s.store.record(r.Context(), r.PathValue("id"))
	if err == nil && (!ok || !isReport(name)) {
		err = errNotFound
	}
	var b []byte
	if err == nil {
		if b, ok, err = s.Storage.ReadBytes(r.Context(), rec.Path()+"report/"+name); err == nil && !ok {
			err = errNotFound
		}
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	b = []byte(s.Redact(string(b)))
	h := w.Header()
	switch path.Ext(name) {
	case ".html":
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", reportPolicy(b))
	case ".json":
		h.Set("Content-Type", "application/json")
	case ".jsonl":
		h.Set("Content-Type", "application/jsonl; charset=utf-8")
		h.Set("Content-Disposition", `attachment; filename="`+path.Base(name)+`"`)
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	_, _ = w.Write(b) // whoever asked has gone away
}
