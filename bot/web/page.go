package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"

	"crypto/sha256"
	"encoding/hex"
)

//go:embed templates/*.tmpl
var templateFiles embed.FS

//go:embed assets/*
var assetFiles embed.FS

// errNotFound is answered with the page that says so.
var errNotFound = errors.New("there is nothing here")

// view is a page to draw.
type view struct {
	Template string // its file, without .tmpl
	Title    string
	Nav      string // which part of the site is marked
	Refresh  int    // seconds after which the script loads the page's content again; 0: never
	Data     any
}

// frame is what the layout sees.
type frame struct {
	view
	Repo, URL, Version string
}

// pages are the parsed templates, by name.
type pages map[string]*template.Template

// parsePages parses the embedded templates, which a test holds to be right.
func parsePages(words template.FuncMap) pages {
	layout := template.Must(template.New("").Funcs(words).ParseFS(templateFiles, "templates/layout.tmpl", "templates/parts.tmpl"))
	names, err := fs.Glob(templateFiles, "templates/*.tmpl")
	if err != nil {
		panic("web: the embedded templates are broken: " + err.Error())
	}
	out := pages{}
	for _, name := range names {
		out[strings.TrimSuffix(path.Base(name), ".tmpl")] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, name))
	}
	return out
}

// part draws a named piece of a page.
func (p pages) part(name string, data any) (template.HTML, error) {
	var b strings.Builder
	if err := p["parts"].ExecuteTemplate(&b, name, data); err != nil {
		return "", fmt.Errorf("draw %s: %w", name, err)
	}
	return template.HTML(b.String()), nil
}

// write draws a page whole before it sends the first byte: half a page says nothing of what went wrong.
func (s *site) write(w http.ResponseWriter, r *http.Request, status int, v view) {
	var b bytes.Buffer
	if err := s.pages[v.Template].ExecuteTemplate(&b, "layout", frame{v, s.Repo, s.URL, s.Version}); err != nil {
		slog.ErrorContext(r.Context(), "a page could not be drawn", "path", r.URL.Path, "error", s.Redact(err.Error()))
		plain(w, http.StatusInternalServerError, "this page could not be drawn; the log of the bot says why\n")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // whoever asked has gone away
}

// fail answers with the page for what is not there, or for what went wrong. The error goes to the log alone: it may
// name folders of the server.
func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errNotFound):
		s.write(w, r, http.StatusNotFound, view{Template: "error", Title: "Not here", Data: "There is nothing at this address. The run may have been cleared away, or the address cut short."})
	case errors.Is(err, context.Canceled):
		plain(w, http.StatusServiceUnavailable, "the request was given up\n")
	default:
		slog.ErrorContext(r.Context(), "a page could not be made", "path", r.URL.Path, "error", s.Redact(err.Error()))
		s.write(w, r, http.StatusInternalServerError, view{Template: "error", Title: "Something went wrong", Data: "The page could not be made of what is in storage. The log of the bot says why; loading the page again is safe."})
	}
}

// assetPath is an asset's address, which changes with its content, so that browsers may keep it for ever.
func assetPath(name string) (string, error) {
	b, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return "/assets/" + name + "?v=" + hex.EncodeToString(sum[:6]), nil
}

func (s *site) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	b, err := assetFiles.ReadFile("assets/" + name)
	if err != nil || kinds[path.Ext(name)] == "" {
		s.fail(w, r, errNotFound)
		return
	}
	w.Header().Set("Content-Type", kinds[path.Ext(name)])
	if r.URL.Query().Has("v") {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(b) // whoever asked has gone away
}
