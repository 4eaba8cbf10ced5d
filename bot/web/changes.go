package web

import (
	"context"
	"net/http"
	"strings"

	"mergebot/bot/change"
	"mergebot/bot/run"
	"mergebot/configs"
)

// changesView is the list of changes.
type changesView struct {
	Open, Settled []*change.State
	More          int // settled ones that are not shown
}

const settledShown = 100

func (s *site) changes(r *http.Request) (view, error) {
	all, err := s.store.changes(r.Context())
	if err != nil {
		return view{}, err
	}
	var v changesView
	for _, c := range all {
		switch {
		case open(c):
			v.Open = append(v.Open, c)
		case len(v.Settled) < settledShown:
			v.Settled = append(v.Settled, c)
		default:
			v.More++
		}
	}
	return view{Template: "changes", Title: "Changes", Nav: "changes", Refresh: 10, Data: v}, nil
}

// changeView is one change.
type changeView struct {
	*change.State
	Rows  []planView
	Runs  []runRow // the newest first
	Talks bool     // comments are read
}

// planView is a recipe of a change.
type planView struct {
	change.Plan
	Models   []run.LockedModel
	Problems []problem
}

// problem is a problem with the lines that it is about.
type problem struct {
	configs.Error
	Excerpt []numbered
}

// numbered is a line of a recipe.
type numbered struct {
	Number int
	Text   string
	Here   bool
}

// longestLine is how many characters of a line are shown: a file may have but one, and a problem on each word of it.
const longestLine = 240

// around cuts a line out of a text, with the two before and after it.
func around(text string, at int) []numbered {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if text == "" || at < 1 || at > len(lines) {
		return nil
	}
	var out []numbered
	for n := max(1, at-2); n <= min(len(lines), at+2); n++ {
		out = append(out, numbered{n, clip(longestLine, lines[n-1]), n == at})
	}
	return out
}

func (s *site) change(r *http.Request) (view, error) {
	ctx := r.Context()
	c, ok, err := s.store.change(ctx, r.PathValue("key"))
	if err != nil {
		return view{}, err
	}
	if !ok {
		return view{}, errNotFound
	}
	v := changeView{State: c, Talks: c.URL != ""}
	for _, p := range c.Plans {
		row := planView{Plan: p}
		if p.Plan != nil {
			row.Models = lockedModels(p.Plan)
		}
		for _, e := range p.Problems {
			row.Problems = append(row.Problems, problem{e, around(p.Text, e.Line)})
		}
		v.Rows = append(v.Rows, row)
	}
	if v.Runs, err = s.rows(ctx, c.Runs); err != nil {
		return view{}, err
	}
	return view{Template: "change", Title: title(c), Nav: "changes", Refresh: 10, Data: v}, nil
}

func title(c *change.State) string {
	if c.Title != "" {
		return c.Title
	}
	return c.ID
}

// rows reads runs by their ids, the last of them first.
func (s *site) rows(ctx context.Context, ids []string) ([]runRow, error) {
	var out []runRow
	for i := len(ids) - 1; i >= 0; i-- {
		rec, ok, err := s.store.record(ctx, ids[i])
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		row, err := s.row(ctx, rec)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, nil
}
