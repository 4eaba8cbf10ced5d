package github

import (
	"fmt"
	"strings"

	gh "github.com/google/go-github/v60/github"

	"mergebot/bot/forge"
)

const (
	// annotationsAtOnce is how many a request may carry. https://docs.github.com/rest/checks/runs#create-a-check-run
	annotationsAtOnce = 50
	// The limits of an annotation's texts, in bytes.
	maxAnnotationTitle   = 255
	maxAnnotationMessage = 64 << 10
)

// annotationsOf puts remarks into GitHub's words.
func annotationsOf(remarks []forge.Annotation) []*gh.CheckRunAnnotation {
	out := make([]*gh.CheckRunAnnotation, 0, len(remarks))
	for _, r := range remarks {
		line, level := max(r.Line, 1), "failure"
		if r.Warning {
			level = "warning"
		}
		a := &gh.CheckRunAnnotation{
			Path: gh.String(r.Path), StartLine: gh.Int(line), EndLine: gh.Int(line), AnnotationLevel: gh.String(level),
			Message: gh.String(cut(strings.TrimSpace(r.Message), maxAnnotationMessage, "…")),
		}
		if a.GetMessage() == "" { // GitHub wants one
			a.Message = gh.String("see the summary")
		}
		if title := cut(strings.TrimSpace(r.Title), maxAnnotationTitle, "…"); title != "" {
			a.Title = gh.String(title)
		}
		if r.Column > 0 {
			a.StartColumn, a.EndColumn = gh.Int(r.Column), gh.Int(r.Column)
		}
		out = append(out, a)
	}
	return out
}

// split takes as many as go into one request.
func split(all []*gh.CheckRunAnnotation) (some, rest []*gh.CheckRunAnnotation) {
	n := min(len(all), annotationsAtOnce)
	return all[:n:n], all[n:]
}

// subtract says which of the wanted are not there yet; false when there is one that is not wanted.
func subtract(wanted, there []*gh.CheckRunAnnotation) (missing []*gh.CheckRunAnnotation, ok bool) {
	// What a reader goes by: some servers do not give titles and columns back.
	key := func(a *gh.CheckRunAnnotation) string {
		return fmt.Sprintf("%q %d %d %s %q", a.GetPath(), a.GetStartLine(), a.GetEndLine(), a.GetAnnotationLevel(), a.GetMessage())
	}
	have := map[string]int{}
	for _, a := range there {
		have[key(a)]++
	}
	for _, a := range wanted {
		if k := key(a); have[k] > 0 {
			have[k]--
		} else {
			missing = append(missing, a)
		}
	}
	for _, n := range have {
		if n > 0 {
			return nil, false
		}
	}
	return missing, true
}
