package run

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"mergebot/eval/engine"
)

// ErrStale means that a recipe now gives another plan than the one that was asked for.
var ErrStale = errors.New("the plan is stale")

// Difference is what a recipe's plan has otherwise than an earlier one.
type Difference struct {
	// Text is a unified diff of the recipe's file, "" when it is the same.
	Text string `json:"text,omitempty"`
	// Lock are the commits that moved.
	Lock []Moved `json:"lock,omitempty"`
}

// Moved is a model, a data set or the engine whose commit or version is another one. Of what is new, From is ""; of
// what is gone, To.
type Moved struct {
	What string `json:"what"` // base, model, adapter, dataset, engine
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Diff says what a plan has otherwise than an earlier one of the same file; nil where there is no earlier one.
func Diff(old, new *Plan) *Difference {
	if old == nil || new == nil {
		return nil
	}
	d := &Difference{}
	if old.Recipe.Text != new.Recipe.Text {
		d.Text = unified(or(old.Recipe.File, new.Recipe.File, "recipe.yaml"), or(new.Recipe.File, "recipe.yaml"), old.Recipe.Text, new.Recipe.Text)
	}
	before, after := old.Lock.entries(), new.Lock.entries()
	for _, e := range before {
		to, ok := after.find(e.lockKey)
		if !ok || to != e.commit {
			d.Lock = append(d.Lock, Moved{What: e.what, Name: e.name, From: e.commit, To: to})
		}
	}
	for _, e := range after {
		if _, ok := before.find(e.lockKey); !ok {
			d.Lock = append(d.Lock, Moved{What: e.what, Name: e.name, To: e.commit})
		}
	}
	slices.SortStableFunc(d.Lock, func(a, b Moved) int { return slices.Index(kinds, a.What) - slices.Index(kinds, b.What) })
	return d
}

func or(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// unified is a unified diff without the line that names a command.
func unified(from, to, old, new string) string {
	b := diff.Diff("a/"+from, []byte(old), "b/"+to, []byte(new))
	if _, rest, ok := bytes.Cut(b, []byte("\n")); ok {
		return string(rest)
	}
	return string(b)
}

// kinds are what a lock holds, in the order in which it is told.
var kinds = []string{"base", "model", "adapter", "dataset", "engine"}

// lockKey tells entries of a lock apart. nth counts those of one name: a recipe may take two revisions of a model.
type lockKey struct {
	what, name string
	nth        int
}

// lockEntry is one thing in a lock, and the commit or version that it is bound to.
type lockEntry struct {
	lockKey
	commit string
}

type lockEntries []lockEntry

func (l lockEntries) find(k lockKey) (string, bool) {
	for _, e := range l {
		if e.lockKey == k {
			return e.commit, true
		}
	}
	return "", false
}

func (l Lock) entries() lockEntries {
	var out lockEntries
	add := func(what, name, commit string) {
		k := lockKey{what: what, name: name}
		for {
			known, ok := out.find(k)
			if ok && known == commit { // a data set of several tasks
				return
			}
			if !ok {
				out = append(out, lockEntry{k, commit})
				return
			}
			k.nth++
		}
	}
	model := func(what string, m LockedModel) {
		add(what, m.where(), cmp.Or(m.SHA, m.Digest))
	}
	if l.Base != nil {
		model("base", *l.Base)
	}
	for _, m := range l.Models {
		model("model", m)
	}
	for _, m := range append(deref(l.Base), l.Models...) {
		if m.Adapter != nil {
			model("adapter", *m.Adapter)
		}
	}
	for _, d := range l.Datasets {
		add("dataset", d.Repo, d.SHA)
	}
	if l.Engine != nil {
		add("engine", "", engineWords(*l.Engine))
	}
	return out
}

// engineWords are all of an engine that decides what it generates.
func engineWords(i engine.Info) string {
	words := []string{i.Engine}
	for _, w := range []string{i.Version, i.DType} {
		if w != "" {
			words = append(words, w)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i.Flags)) {
		words = append(words, name+"="+i.Flags[name])
	}
	return strings.Join(words, " ")
}

// words says in a line what differs.
func (d *Difference) words() string {
	var out []string
	if d.Text != "" {
		out = append(out, "the recipe was changed")
	}
	for _, m := range d.Lock {
		name := strings.TrimSpace(m.What + " " + m.Name)
		switch {
		case m.From == "":
			out = append(out, name+" is new")
		case m.To == "":
			out = append(out, name+" is gone")
		default:
			out = append(out, fmt.Sprintf("%s moved from %s to %s", name, cut(m.From), cut(m.To)))
		}
	}
	if len(out) == 0 {
		return "a file that it reads was changed"
	}
	return strings.Join(out, ", ")
}

// cut shortens a hash, and leaves words alone.
func cut(commit string) string {
	if strings.ContainsRune(commit, ' ') {
		return commit
	}
	return short(commit)
}
