package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mergebot/eval/grade"
)

// Item is one question. Maths has Gold; choices have Options and GoldIndex, any of which counts as right.
type Item struct {
	// ID is config/split/row, the row counted from 0 in the split's file order; it does not depend on limit or seed.
	ID     string `json:"id"`
	Prompt string `json:"prompt"`
	Gold   string `json:"gold,omitempty"`
	// Options are as in the data set, leading blanks included.
	Options   []string `json:"options,omitempty"`
	GoldIndex []int    `json:"gold_index,omitempty"`
}

// Question is the part of the item that a grader needs.
func (i Item) Question() grade.Question {
	return grade.Question{Gold: i.Gold, Options: i.Options, GoldIndex: i.GoldIndex}
}

// row is one record of a data set: strings, int64, float64, bool, nil or []any of them, by column name.
type row map[string]any

// schema says which columns a task reads.
type schema int

const (
	gsm8kSchema  schema = iota // question, answer with "#### GOLD"
	mathSchema                 // problem, solution with \boxed{GOLD}
	choiceSchema               // input, options, gold_index
)

// columns names what a schema reads.
func (s schema) columns() []string {
	switch s {
	case gsm8kSchema:
		return []string{"question", "answer"}
	case mathSchema:
		return []string{"problem", "solution"}
	}
	return []string{"input", "options", "gold_index"}
}

// maxOptions and maxText bound what one row may hold: the longest real input (unfair_tos with exemplars) is 8 kB.
// maxPrompts bounds a task's prompts together, with their options and golds.
const (
	maxOptions = 1000
	maxText    = 4 << 20
	maxPrompts = 256 << 20
)

// item converts a row; input is the text that goes into the prompt. Errors name the column.
func (s schema) item(r row) (it Item, input string, err error) {
	switch s {
	case gsm8kSchema:
		var answer string
		if input, answer, err = r.pair("question", "answer"); err != nil {
			return it, "", err
		}
		it.Gold, err = gsm8kGold(answer)
	case mathSchema:
		var solution string
		if input, solution, err = r.pair("problem", "solution"); err != nil {
			return it, "", err
		}
		var ok bool
		if it.Gold, ok = grade.GoldFromSolution(solution); !ok || strings.TrimSpace(it.Gold) == "" {
			err = errors.New(`column "solution": no \boxed answer in it`)
		}
	case choiceSchema:
		if input, err = r.text("input"); err != nil {
			return it, "", err
		}
		if it.Options, err = r.texts("options"); err != nil {
			return it, "", err
		}
		if it.GoldIndex, err = r.indices("gold_index"); err != nil {
			return it, "", err
		}
		for _, g := range it.GoldIndex {
			if g < 0 || g >= len(it.Options) {
				return it, "", fmt.Errorf("column \"gold_index\": %d is not the index of one of the %d options", g, len(it.Options))
			}
		}
	}
	it.Gold = strings.Clone(it.Gold) // lest it keep the whole solution in memory
	return it, input, err
}

func gsm8kGold(answer string) (string, error) {
	_, gold, ok := strings.Cut(answer, "#### ")
	gold = strings.ReplaceAll(strings.TrimSpace(gold), ",", "")
	if !ok || gold == "" {
		return "", errors.New(`column "answer": no "#### " with the answer after it`)
	}
	return gold, nil
}

func (r row) pair(a, b string) (string, string, error) {
	x, err := r.text(a)
	if err != nil {
		return "", "", err
	}
	y, err := r.text(b)
	return x, y, err
}

func (r row) column(name string) (any, error) {
	v, ok := r[name]
	if !ok {
		var have []string
		for k := range r {
			have = append(have, k)
		}
		slices.Sort(have)
		return nil, fmt.Errorf("no column %q: the row has %s", name, strings.Join(have, ", "))
	}
	return v, nil
}

func (r row) text(name string) (string, error) {
	v, err := r.column(name)
	if err != nil {
		return "", err
	}
	return asText(name, v)
}

func asText(name string, v any) (string, error) {
	s, ok := v.(string)
	switch {
	case !ok:
		return "", fmt.Errorf("column %q: want text, got %s", name, kind(v))
	case len(s) > maxText:
		return "", fmt.Errorf("column %q: %d bytes of text, more than %d", name, len(s), maxText)
	}
	return s, nil
}

func (r row) texts(name string) ([]string, error) {
	v, err := r.column(name)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("column %q: want a list of texts, got %s", name, kind(v))
	}
	if len(list) == 0 || len(list) > maxOptions {
		return nil, fmt.Errorf("column %q: %d options, want 1 to %d", name, len(list), maxOptions)
	}
	out := make([]string, len(list))
	for i, e := range list {
		if out[i], err = asText(name, e); err != nil {
			return nil, err
		}
		if strings.TrimSpace(out[i]) == "" {
			return nil, fmt.Errorf("column %q: option %d is blank", name, i)
		}
		for j, o := range out[:i] {
			if strings.TrimSpace(o) == strings.TrimSpace(out[i]) {
				return nil, fmt.Errorf("column %q: options %d and %d are both %q: no answer could name the one and not the other", name, j, i, strings.TrimSpace(o))
			}
		}
	}
	return out, nil
}

// indices reads a whole number or a list of them, ascending and without doubles.
func (r row) indices(name string) ([]int, error) {
	v, err := r.column(name)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 || len(list) > maxOptions {
		return nil, fmt.Errorf("column %q: %d indices, want 1 to %d", name, len(list), maxOptions)
	}
	out := make([]int, len(list))
	for i, e := range list {
		n, ok := whole(e)
		if !ok {
			return nil, fmt.Errorf("column %q: want a whole number or a list of them, got %s", name, kind(e))
		}
		out[i] = n
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func whole(v any) (int, bool) {
	switch n := v.(type) {
	case int64:
		return int(n), int64(int(n)) == n
	case float64:
		return int(n), n == float64(int32(n))
	case json.Number:
		i, err := n.Int64()
		return int(i), err == nil && int64(int(i)) == i
	}
	return 0, false
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case string:
		return "text"
	case bool:
		return "true or false"
	case int64, float64, json.Number:
		return fmt.Sprintf("the number %v", v)
	case []any:
		return "a list"
	}
	return "an object"
}
