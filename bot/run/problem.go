package run

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/eval/task"
	"mergebot/hub"
	"mergebot/merge/checkpoint"
)

// located is an error with the place in the recipe that it is about. Its text is the error's own.
type located struct {
	configs.Position
	error
}

func (l located) Unwrap() error { return l.error }

// at says where in the recipe an error comes from. nil stays nil.
func at(p configs.Position, err error) error {
	if err == nil {
		return nil
	}
	return located{p, err}
}

// findings are all that Resolve has to say against a recipe, one a line.
type findings []error

func (f findings) Error() string {
	lines := make([]string, len(f))
	for i, err := range f {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (f findings) Unwrap() []error { return f }

// err is nil where nothing was found, and the error itself where there is one. What was given up for another's sake is
// no finding, and one outage speaks for all.
func (f findings) err() error {
	var out findings
	outage := false
	for _, err := range f {
		switch {
		case err == nil, errors.Is(err, errGivenUp):
			continue
		case !blames(err):
			if outage {
				continue
			}
			outage = true
		case slices.ContainsFunc(out, func(o error) bool { return o.Error() == err.Error() }):
			continue
		}
		out = append(out, err)
	}
	switch len(out) {
	case 0:
		return nil
	case 1:
		return out[0]
	}
	return out
}

// errGivenUp is why the rest of a resolution ends when there is an outage.
var errGivenUp = errors.New("given up because something else failed")

// Problems puts what Resolve or Execute found wrong on the recipe's own lines, in the order of the file. outage says
// that something failed for which the recipe cannot be blamed: the Hub could not be reached or asked to wait, the
// storage failed, the token is wrong. Then the same recipe may be right a little later. Both may be the case.
func Problems(r *configs.Recipe, err error) (problems []configs.Error, outage bool) {
	var all findings
	if err != nil && !errors.As(err, &all) {
		all = findings{err}
	}
	for _, err := range all {
		var own configs.Errors
		where := located{configs.Position{Line: 1, Column: 1}, err}
		switch {
		case !blames(err):
			outage = true
			continue
		case errors.As(err, &own):
			problems = append(problems, own...)
			continue
		case errors.As(err, &where) && where.Line == 0: // a reference that was not read from a file
			where.Position = configs.Position{Line: 1, Column: 1}
		}
		problems = append(problems, configs.Error{File: r.Path, Position: where.Position, Message: strings.TrimPrefix(lasting(where), r.Path+": ")})
	}
	slices.SortStableFunc(problems, func(a, b configs.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(problems), outage
}

// lasting is an error's text without the number of the Hub's request, so that the same problem found twice reads the same.
func lasting(err error) string {
	text := err.Error()
	var failed *hub.Error
	if errors.As(err, &failed) {
		plain := *failed
		plain.RequestID = ""
		text = strings.Replace(text, failed.Error(), plain.Error(), 1)
	}
	return text
}

// blames says whether an error is about the recipe or what it names, and not about the way there.
func blames(err error) bool {
	var own configs.Errors
	if errors.As(err, &own) {
		return true
	}
	for _, outage := range []error{hub.ErrNetwork, hub.ErrRateLimited, hub.ErrOffline, hub.ErrNoSpace, hub.ErrUnauthorized, ErrStorage,
		context.Canceled, context.DeadlineExceeded, errGivenUp} {
		if errors.Is(err, outage) {
			return false
		}
	}
	for _, ours := range []error{ErrRecipe, ErrStale, ErrGate, hub.ErrRepoNotFound, hub.ErrRevisionNotFound, hub.ErrEntryNotFound, hub.ErrGated,
		hub.ErrForbidden, hub.ErrDisabled, hub.ErrIntegrity, checkpoint.ErrCorrupt, checkpoint.ErrUnsupported, checkpoint.ErrMissingShard,
		task.ErrUnknownTask, task.ErrOption, task.ErrNoSplit, engine.ErrUnsupportedModel} {
		if errors.Is(err, ours) {
			return true
		}
	}
	return false
}
