package web

import (
	"context"
	"net/http"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/run"
)

// recipesView is the list of recipes on the default branch.
type recipesView struct {
	Main *change.Main // nil before the bot has looked
	Rows []recipeRow
}

// recipeRow is a recipe in the list.
type recipeRow struct {
	change.Recipe
	Next   time.Time // zero: never by itself
	Newest *runRow
}

func (s *site) recipes(r *http.Request) (view, error) {
	ctx := r.Context()
	m, err := s.store.main(ctx)
	if err != nil {
		return view{}, err
	}
	v := recipesView{Main: m}
	if m != nil {
		for _, rec := range m.Recipes {
			row, err := s.recipeRow(ctx, rec)
			if err != nil {
				return view{}, err
			}
			v.Rows = append(v.Rows, row)
		}
	}
	return view{Template: "recipes", Title: "Recipes", Nav: "recipes", Refresh: 10, Data: v}, nil
}

func (s *site) recipeRow(ctx context.Context, r change.Recipe) (recipeRow, error) {
	row := recipeRow{Recipe: r, Next: s.next(r.Schedule)}
	if r.Run == "" {
		return row, nil
	}
	rec, ok, err := s.store.record(ctx, r.Run)
	if err != nil || !ok {
		return row, err
	}
	newest, err := s.row(ctx, rec)
	row.Newest = &newest
	return row, err
}

// recipeView is one recipe with its history.
type recipeView struct {
	recipeRow
	Branch  string
	Problem []problem
	History history
	Looked  int // runs that were looked at; 0: all
}

// historyShown is how many runs a history has.
const historyShown = 30

func (s *site) recipe(r *http.Request) (view, error) {
	ctx := r.Context()
	m, err := s.store.main(ctx)
	if err != nil {
		return view{}, err
	}
	if m == nil {
		return view{}, errNotFound
	}
	for _, rec := range m.Recipes {
		if rec.Path != r.PathValue("path") {
			continue
		}
		v := recipeView{Branch: m.Branch}
		if v.recipeRow, err = s.recipeRow(ctx, rec); err != nil {
			return view{}, err
		}
		for _, e := range rec.Problems {
			v.Problem = append(v.Problem, problem{Error: e})
		}
		rows, looked, err := s.released(ctx, rec.Path)
		if err != nil {
			return view{}, err
		}
		v.Looked, v.History = looked, newHistory(rows)
		name := rec.Name
		if name == "" {
			name = rec.Path
		}
		return view{Template: "recipe", Title: name, Nav: "recipes", Refresh: 10, Data: v}, nil
	}
	return view{}, errNotFound
}

// released are the newest runs of a recipe that came of the default branch or of its schedule, the oldest first. looked
// is how many runs of all recipes were read, where that was not all of them.
func (s *site) released(ctx context.Context, path string) (rows []runRow, looked int, err error) {
	ids, err := s.store.ids(ctx, "")
	if err != nil {
		return nil, 0, err
	}
	for i, id := range ids {
		if len(rows) == historyShown {
			break
		}
		if i == runsLookedAt {
			looked = i
			break
		}
		rec, ok, err := s.store.record(ctx, id)
		if err != nil {
			return nil, 0, err
		}
		if !ok || rec.Origin.Path != path || rec.Kind != run.Release && rec.Kind != run.Scheduled {
			continue
		}
		row, err := s.row(ctx, rec)
		if err != nil {
			return nil, 0, err
		}
		rows = append([]runRow{row}, rows...)
	}
	return rows, looked, nil
}
