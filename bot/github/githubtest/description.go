package githubtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// description is GitHub's own description of its REST API and of its webhooks. It has 800 paths; an operation is made
// ready when it is first used, with the few schemas that it refers to.
type description struct {
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Webhooks   map[string]map[string]json.RawMessage `json:"x-webhooks"`
	Components map[string]map[string]json.RawMessage `json:"components"`

	templates []template

	mu    sync.Mutex
	ready map[string]*operation
}

// template is a path with parameters.
type template struct {
	path    string
	pattern *regexp.Regexp
	names   []string
}

// operation is a method of a path.
type operation struct {
	route *routers.Route
	query map[string]bool
	body  map[string]bool // properties of the request's body; nil where they are not listed
	codes map[string]bool // status codes that are described
}

var (
	readMu sync.Mutex
	read   = map[string]*description{}
)

// readDescription reads the file once a process: it has 13 MB.
func readDescription(dir string) (*description, error) {
	readMu.Lock()
	defer readMu.Unlock()
	if d := read[dir]; d != nil {
		return d, nil
	}
	b, err := os.ReadFile(filepath.Join(dir, "api.github.com.json"))
	if err != nil {
		return nil, fmt.Errorf("GitHub's description: %w; run bot/github/githubtest/setup.sh", err)
	}
	d := &description{ready: map[string]*operation{}}
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("GitHub's description: %w", err)
	}
	for path := range d.Paths {
		d.templates = append(d.templates, newTemplate(path))
	}
	// The first that matches is taken: what is literal goes before a parameter, and the longer path before its beginning.
	rank := func(t template) string { return strings.ReplaceAll(t.path, "{", "~") + "\x7f" }
	slices.SortFunc(d.templates, func(a, b template) int { return cmp.Compare(rank(a), rank(b)) })
	read[dir] = d
	return d, nil
}

var parameter = regexp.MustCompile(`\\\{([a-z_]+)\\\}`)

// The names of refs and of compared commits contain slashes where the path ends with them.
func newTemplate(path string) template {
	t := template{path: path}
	quoted := regexp.QuoteMeta(path)
	for _, m := range parameter.FindAllStringSubmatch(quoted, -1) {
		t.names = append(t.names, m[1])
	}
	open := `([^/]+)`
	quoted = parameter.ReplaceAllStringFunc(quoted, func(p string) string {
		if strings.HasSuffix(quoted, p) && (p == `\{ref\}` || p == `\{basehead\}` || p == `\{path\}`) {
			return `(.+)`
		}
		return open
	})
	t.pattern = regexp.MustCompile("^" + quoted + "$")
	return t
}

// errUndescribed means that GitHub has no such route.
var errUndescribed = errors.New("not in GitHub's description of its API")

// find says which operation a request is, and the values of the path's parameters.
func (d *description) find(method string, u *url.URL) (*operation, map[string]string, error) {
	for _, t := range d.templates {
		m := t.pattern.FindStringSubmatch(u.EscapedPath())
		if m == nil {
			continue
		}
		methods := d.Paths[t.path]
		if methods[strings.ToLower(method)] == nil {
			continue
		}
		op, err := d.operation(method+" "+t.path, t.path, strings.ToLower(method), methods)
		if err != nil {
			return nil, nil, err
		}
		values := map[string]string{}
		for i, name := range t.names {
			v, err := url.PathUnescape(m[i+1])
			if err != nil {
				return nil, nil, err
			}
			values[name] = v
		}
		return op, values, nil
	}
	return nil, nil, fmt.Errorf("%s %s: %w", method, u.Path, errUndescribed)
}

// operation makes an operation ready.
func (d *description) operation(key, path, method string, methods map[string]json.RawMessage) (*operation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op := d.ready[key]; op != nil {
		return op, nil
	}
	item := map[string]json.RawMessage{method: methods[method]}
	if common, ok := methods["parameters"]; ok {
		item["parameters"] = common
	}
	small, err := json.Marshal(map[string]any{
		"openapi":    "3.0.3",
		"info":       map[string]string{"title": "GitHub", "version": "1"},
		"paths":      map[string]any{path: item},
		"components": d.closure(methods[method], methods["parameters"]),
	})
	if err != nil {
		return nil, err
	}
	spec, err := openapi3.NewLoader().LoadFromData(small)
	if err != nil {
		return nil, fmt.Errorf("GitHub's description of %s: %w", key, err)
	}
	pi := spec.Paths.Value(path)
	o := pi.GetOperation(strings.ToUpper(method))
	op := &operation{
		route: &routers.Route{Spec: spec, Path: path, PathItem: pi, Method: strings.ToUpper(method), Operation: o},
		query: map[string]bool{}, codes: map[string]bool{},
	}
	for _, p := range slices.Concat(o.Parameters, pi.Parameters) {
		if p.Value.In == "query" {
			op.query[p.Value.Name] = true
		}
	}
	for code := range o.Responses.Map() {
		op.codes[code] = true
	}
	if o.RequestBody != nil {
		if m := o.RequestBody.Value.Content.Get("application/json"); m != nil {
			op.body = properties(m.Schema.Value)
		}
	}
	d.ready[key] = op
	return op, nil
}

// properties lists those of an object; nil when it may have any.
func properties(s *openapi3.Schema) map[string]bool {
	all := map[string]bool{}
	for _, part := range slices.Concat(openapi3.SchemaRefs{{Value: s}}, s.OneOf, s.AnyOf, s.AllOf) {
		for name := range part.Value.Properties {
			all[name] = true
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

var reference = regexp.MustCompile(`"\$ref": ?"#/components/([a-z]+)/([^"]+)"`)

// closure collects the components that texts refer to, and those that these refer to.
func (d *description) closure(texts ...json.RawMessage) map[string]map[string]json.RawMessage {
	out := map[string]map[string]json.RawMessage{}
	for len(texts) > 0 {
		text := texts[0]
		texts = texts[1:]
		for _, m := range reference.FindAllSubmatch(text, -1) {
			kind, name := string(m[1]), string(m[2])
			if out[kind] == nil {
				out[kind] = map[string]json.RawMessage{}
			}
			if _, ok := out[kind][name]; !ok {
				out[kind][name] = d.Components[kind][name]
				texts = append(texts, d.Components[kind][name])
			}
		}
	}
	return out
}

// options leave who asks to the proxy, and keep errors short: the library's hold the schema and the value, whole.
func options() *openapi3filter.Options {
	o := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true}
	o.WithCustomSchemaErrorFunc(func(err *openapi3.SchemaError) string {
		for { // what no alternative matches says why where there is one alternative
			inner, ok := err.Origin.(*openapi3.SchemaError)
			if !ok {
				break
			}
			err = inner
		}
		return fmt.Sprintf("/%s: %s", strings.Join(err.JSONPointer(), "/"), err.Reason)
	})
	return o
}

// exchange is a request that was answered.
type exchange struct {
	request *http.Request // its body is not read
	body    []byte
	status  int
	header  http.Header
	answer  []byte
}

// checkRequest holds a request to the description: path, parameters, body, and that it names nothing that GitHub does not know.
func (d *description) checkRequest(x exchange) error {
	op, values, err := d.find(x.request.Method, x.request.URL)
	if err != nil {
		return err
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(x.request.URL.Query())) {
		if !op.query[name] {
			all = append(all, fmt.Errorf("query parameter %s is not described", name))
		}
	}
	if op.body != nil && len(x.body) > 0 {
		var sent map[string]json.RawMessage
		if err := json.Unmarshal(x.body, &sent); err != nil {
			all = append(all, fmt.Errorf("the body is no JSON object: %w", err))
		}
		for _, name := range slices.Sorted(maps.Keys(sent)) {
			if !op.body[name] {
				all = append(all, fmt.Errorf("property %s of the body is not described", name))
			}
		}
	}
	if x.request.UserAgent() == "" {
		all = append(all, errors.New("GitHub refuses requests without a user agent"))
	}
	if err := openapi3filter.ValidateRequest(context.Background(), op.input(x, values)); err != nil {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// checkAnswer holds an answer to the description. Any route may answer that the caller is not known or not permitted,
// asks too much, or that GitHub is ill; the description says so only of some.
func (d *description) checkAnswer(x exchange) error {
	op, values, err := d.find(x.request.Method, x.request.URL)
	if err != nil {
		return err
	}
	if code := fmt.Sprint(x.status); !op.codes[code] {
		switch x.status {
		case 304, 400, 401, 403, 404, 422, 429, 500, 502, 503:
			return nil
		}
		return fmt.Errorf("status %s is not described", code)
	}
	if len(x.answer) == 0 && x.status == http.StatusNotModified {
		return nil
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: op.input(x, values),
		Status:                 x.status, Header: x.header, Body: io.NopCloser(bytes.NewReader(x.answer)),
		Options: options(),
	})
}

func (op *operation) input(x exchange, values map[string]string) *openapi3filter.RequestValidationInput {
	r := x.request.Clone(context.Background())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
	if len(x.body) == 0 {
		r.Body = http.NoBody
	}
	return &openapi3filter.RequestValidationInput{
		Request: r, PathParams: values, QueryParams: r.URL.Query(), Route: op.route, Options: options(),
	}
}

// checkEvent holds a webhook's body and headers to the description. Names are like pull-request-closed, or push.
func (d *description) checkEvent(header http.Header, name, action string, body []byte) error {
	key := strings.ReplaceAll(name, "_", "-")
	if action != "" {
		key += "-" + strings.ReplaceAll(action, "_", "-")
	}
	methods := d.Webhooks[key]
	if methods == nil {
		return fmt.Errorf("event %s: %w", key, errUndescribed)
	}
	op, err := d.operation("event "+key, "/webhook", "post", methods)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(http.MethodPost, "http://receiver/webhook", nil)
	if err != nil {
		return err
	}
	r.Header = header
	return openapi3filter.ValidateRequest(context.Background(), op.input(exchange{request: r, body: body}, nil))
}
