package report

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed items.html.tmpl
var itemsTemplate string

//go:embed items.css
var itemsCSS string

//go:embed items.js
var itemsScript string

// How much of a text the list of items shows; the pages behind it show the whole.
const (
	maxListedID   = 60
	maxListedText = 40
)

// WriteItems writes every item of every task for a reader: dir/items.html, a list that can be
// filtered; dir/items/<task>-<n>.html with 50 items each, and dir/items/<task>.jsonl with all of
// them. They work from disk, ask nothing of the network, and run nothing but the filter.
//
// Pages are written one after another, so that memory holds none whole, each under another name first.
// One that is the same already is left alone. Pages of an earlier run that are no longer led to are
// removed; what is not a page of ours stays. Without tasks there is nothing to write, only to remove.
func WriteItems(dir string, r Report, tasks []TaskItems) error {
	p, err := newItemPages(r, tasks)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, itemsDir)
	written := map[string]bool{}
	if len(tasks) > 0 {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("folder for the items: %w", err)
		}
	}
	for i := range p.Tasks {
		for name, write := range p.files(&p.Tasks[i]) {
			if err := place(filepath.Join(folder, name), write); err != nil {
				return err
			}
			written[name] = true
		}
	}
	index := filepath.Join(dir, ItemsPage)
	if len(tasks) > 0 {
		err = place(index, func(w io.Writer) error { return p.template.ExecuteTemplate(w, "index", p) })
	} else if ours(index) {
		err = os.Remove(index)
	}
	if err != nil {
		return err
	}
	return removeStale(folder, written)
}

// itemPages is what the templates see.
type itemPages struct {
	template                *template.Template
	Title, Alarm            string
	CSS                     template.CSS
	Script                  template.JS
	IndexPolicy, LeafPolicy string
	Tasks                   []itemTask
	Roles                   []Role
	Verdicts                []verdictCount
	Total                   int
}

type verdictCount struct {
	Name string
	N    int
}

// itemTask is a task with the name that its files begin with.
type itemTask struct {
	TaskItems
	Stem  string
	Roles []Role // the list's columns
}

func newItemPages(r Report, tasks []TaskItems) (*itemPages, error) {
	p := &itemPages{Title: visible(r.title()), Alarm: r.selection(), CSS: template.CSS(pageCSS + itemsCSS), Script: template.JS(itemsScript),
		IndexPolicy: policy(pageCSS+itemsCSS, itemsScript), LeafPolicy: policy(pageCSS+itemsCSS, "")}
	var err error
	if p.template, err = template.New("items").Funcs(pageFuncs()).Funcs(itemFuncs()).Parse(itemsTemplate); err != nil {
		return nil, fmt.Errorf("parse the items' pages: %w", err)
	}
	var all []taskKey
	counts, roles := map[string]int{}, map[Role]bool{}
	for _, t := range tasks {
		all = append(all, taskKey{t.Domain, t.Task})
		p.Total += len(t.Items)
		for _, it := range t.Items {
			for _, v := range it.verdicts() {
				counts[v]++
			}
			for _, a := range it.Answers {
				roles[a.Role] = true
			}
		}
	}
	for _, role := range []Role{Base, Expert, Merged, Single} {
		if roles[role] {
			p.Roles = append(p.Roles, role)
		}
	}
	stems := itemStems(all)
	for i, t := range tasks {
		if slices.Contains(all[:i], all[i]) {
			return nil, fmt.Errorf("items of task %s are given twice for domain %s", t.Task, t.Domain)
		}
		p.Tasks = append(p.Tasks, itemTask{t, stems[all[i]], p.Roles})
	}
	for _, v := range []string{showRight, showWrong, showGained, showLost, showNoAnswer, showTruncated, showSeveral} {
		if roles[Expert] && roles[Merged] || v != showGained && v != showLost {
			p.Verdicts = append(p.Verdicts, verdictCount{v, counts[v]})
		}
	}
	return p, nil
}

// files are a task's files with what writes them.
func (p *itemPages) files(t *itemTask) iter.Seq2[string, func(io.Writer) error] {
	return func(yield func(string, func(io.Writer) error) bool) {
		for from := 0; from < len(t.Items) || from == 0; from += itemsAPage {
			page := leaf{itemPages: p, Task: t, from: from}
			if !yield(leafName(t.Stem, from), func(w io.Writer) error { return p.template.ExecuteTemplate(w, "leaf", page) }) {
				return
			}
		}
		yield(t.Stem+".jsonl", func(w io.Writer) error { return writeItemLines(w, t.TaskItems) })
	}
}

// leaf is one page of a task's items, beginning with number from.
type leaf struct {
	*itemPages
	Task *itemTask
	from int
}

func (l leaf) end() int   { return min(l.from+itemsAPage, len(l.Task.Items)) }
func (l leaf) First() int { return min(l.from+1, l.end()) }
func (l leaf) Last() int  { return l.end() }

func (l leaf) Previous() string {
	if l.from == 0 {
		return ""
	}
	return leafName(l.Task.Stem, l.from-itemsAPage)
}

func (l leaf) Next() string {
	if l.end() == len(l.Task.Items) {
		return ""
	}
	return leafName(l.Task.Stem, l.from+itemsAPage)
}

// placedItem is an item with its number in the task.
type placedItem struct {
	Item
	Number int // from 1
	Anchor string
}

func (l leaf) Items() iter.Seq[placedItem] {
	return func(yield func(placedItem) bool) {
		for i := l.from; i < l.end(); i++ {
			if !yield(placedItem{l.Task.Items[i], i + 1, itemAnchor(i)}) {
				return
			}
		}
	}
}

// itemRow is a line of the list.
type itemRow struct {
	Item
	Link, Classes, Notes string
	roles                []Role
}

// Rows are the task's lines, made as they are written.
func (t itemTask) Rows() iter.Seq[itemRow] {
	return func(yield func(itemRow) bool) {
		for i, it := range t.Items {
			verdicts := it.verdicts()
			row := itemRow{Item: it, Link: LeafLink(t.Stem, i), Classes: strings.Join(verdicts, " "), roles: t.Roles}
			if len(verdicts) > 1 {
				row.Notes = strings.ReplaceAll(strings.Join(verdicts[1:], ", "), "-", " ")
			}
			if !yield(row) {
				return
			}
		}
	}
}

// cell is a role's verdict; Correct is nil where it has no answer.
type cell struct {
	Role    Role
	Correct *bool
}

// Cells are the row's verdicts, a role a column.
func (r itemRow) Cells() []cell {
	out := make([]cell, len(r.roles))
	for i, role := range r.roles {
		out[i].Role = role
		if a, ok := r.Answer(role); ok {
			out[i].Correct = &a.Correct
		}
	}
	return out
}

func (r itemRow) Extracted() string {
	a, _ := r.judged()
	return a.Extracted
}

func itemFuncs() template.FuncMap {
	return template.FuncMap{
		"line":      func(s string) template.HTML { return shownLine(s, maxListedText) },
		"id":        func(s string) template.HTML { return shownLine(s, maxListedID) },
		"words":     func(s string) string { return strings.ReplaceAll(s, "-", " ") },
		"itemsLink": itemsLink,
		"deref":     func(b *bool) bool { return *b },
		"head": func(policy, title string, css template.CSS) map[string]any {
			return map[string]any{"Policy": policy, "Title": title, "CSS": css}
		},
		"verdicts": func(it placedItem) []string { return it.verdicts() },
		"brief":    func(s string) bool { return len(s) <= 700 && strings.Count(s, "\n") <= 12 },
	}
}

// halfWritten begins the names of files that are not whole yet.
const halfWritten = ".mergebot-tmp-"

// place puts a whole file in place, unless the same is there.
func place(path string, write func(io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), halfWritten+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone by then, if it was renamed
	defer f.Close()
	b := bufio.NewWriterSize(f, 1<<16)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if same(f, path) {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// same tells whether path holds what f does.
func same(f *os.File, path string) bool {
	old, err := os.Open(path)
	if err != nil {
		return false
	}
	defer old.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false
	}
	a, b := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, errA := io.ReadFull(f, a)
		m, errB := io.ReadFull(old, b)
		if !bytes.Equal(a[:n], b[:m]) {
			return false
		}
		if errA != nil || errB != nil {
			return errA == errB
		}
	}
}

var leafPattern = regexp.MustCompile(`^(.+)-[0-9]+\.html$`)

// generator is in the head of every page of items: what holds it, we wrote.
const generator = `<meta name="generator" content="mergebot items">`

// removeStale removes our pages that were not written this time, the downloads beside them, and what
// a killed run left half-written.
func removeStale(folder string, written map[string]bool) error {
	entries, err := os.ReadDir(folder)
	if os.IsNotExist(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("old pages of items: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		var stale []string
		switch m := leafPattern.FindStringSubmatch(name); {
		case !e.Type().IsRegular() || written[name]:
		case strings.HasPrefix(name, halfWritten):
			stale = []string{name}
		case m != nil && ours(filepath.Join(folder, name)):
			stale = []string{name}
			if download := m[1] + ".jsonl"; !written[download] {
				stale = append(stale, download)
			}
		}
		for _, s := range stale {
			if err := os.Remove(filepath.Join(folder, s)); err != nil && !os.IsNotExist(err) {
				return fmt.Errorf("old pages of items: %w", err)
			}
		}
	}
	if len(written) == 0 {
		os.Remove(folder) // only if nothing is left in it
	}
	return nil
}

// ours tells whether a page is one that WriteItems wrote.
func ours(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 512)
	n, _ := io.ReadFull(f, head)
	return bytes.Contains(head[:n], []byte(generator))
}
