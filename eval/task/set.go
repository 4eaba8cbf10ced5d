package task

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Purpose says what a set is for; the two sets of a task never share a row.
type Purpose string

const (
	// Test is what a report scores.
	Test Purpose = "test"
	// Select is what a search is judged on.
	Select Purpose = "select"
)

// HeldOutFraction of the test split judges the search where a data set has no other split. Which rows it is depends
// on the row ids alone, not on any seed, so that two loads with different seeds stay disjoint.
const HeldOutFraction = 0.2

var (
	// ErrNoSplit is returned when the data set has no file for a split that is needed.
	ErrNoSplit = errors.New("split not found")
	// ErrNoItems is returned when no row is left.
	ErrNoItems = errors.New("no items")
)

// Files is a data set at one commit.
type Files interface {
	// List returns the paths of all files, with slashes.
	List(ctx context.Context) ([]string, error)
	// Open gives access to one file and its size. If the reader is an io.Closer it is closed after use.
	Open(ctx context.Context, path string) (io.ReaderAt, int64, error)
}

// Set is the items of one task for one purpose.
type Set struct {
	Task Task
	// Split is the split read; Source says in words which of its rows these are.
	Split, Source string
	Items         []Item
	// Total is how many rows there are without a limit.
	Total int
	// Solved is how many of Items show a solved example before they ask: few-shot inputs.
	Solved int
	// PromptHash is the SHA-256 of the prompt template, ItemsHash that of the items with their prompts and golds.
	PromptHash, ItemsHash string

	whole int // rows of the split before any were left out
}

// Load reads the rows of a task for a purpose. A limit > 0 takes that many rows by a seeded hash of their ids, so that
// with one seed a smaller limit's rows are among a larger limit's; items are always in the data set's order.
// Errors: ErrNoSplit, ErrMalformed, ErrNoItems, and what f returns.
func Load(ctx context.Context, t Task, f Files, purpose Purpose, limit int, seed uint64) (*Set, error) {
	tmpl, err := PromptText(t.Prompt)
	if err != nil {
		return nil, err
	}
	files, err := f.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", t.Dataset, err)
	}
	split, heldOut, err := t.source(files, purpose)
	if err != nil {
		return nil, err
	}
	items, err := t.read(ctx, f, files, split, tmpl)
	if errors.Is(err, ErrMalformed) {
		return nil, fmt.Errorf("%s at %s: %w; the task reads the columns %s: set its revision or dataset to one that has them whole, or tell the owner",
			t.Dataset, t.Revision, err, strings.Join(t.schema.columns(), ", "))
	} else if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", t.Dataset, t.Revision, err)
	}
	s := &Set{Task: t, Split: split, Source: split + " split", PromptHash: templateHash(tmpl), whole: len(items)}
	if t.Subset == SubsetLabelled {
		items = slices.DeleteFunc(items, unlabelled)
		s.Source += ", rows with a label"
	}
	if heldOut {
		n := len(items)
		k := int(float64(n)*HeldOutFraction + 0.5)
		part := smallest(items, k, "held out", 0)
		if purpose == Test {
			items = slices.DeleteFunc(items, func(i Item) bool { return part[i.ID] })
			s.Source += fmt.Sprintf(", less the %d of %d rows held out for the search", k, n)
		} else {
			items = slices.DeleteFunc(items, func(i Item) bool { return !part[i.ID] })
			s.Source += fmt.Sprintf(", %d of %d rows held out for the search and not reported", k, n)
		}
	}
	if t.Select == SelectReported {
		s.Source += map[Purpose]string{Test: ", the very rows that judged the search", Select: ", the very rows that are reported"}[purpose]
	}
	s.Total = len(items)
	if limit > 0 && limit < len(items) {
		part := smallest(items, limit, "sample", seed)
		items = slices.DeleteFunc(items, func(i Item) bool { return !part[i.ID] })
		s.Source += fmt.Sprintf(", a sample of %d of %d (seed %d)", limit, s.Total, seed)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%w: %s of %s at %s is empty: use another split, subset or revision", ErrNoItems, s.Source, t.Dataset, t.Revision)
	}
	s.Items = items
	s.Solved = solved(items, tmpl)
	if s.ItemsHash, err = hashItems(items); err != nil {
		return nil, err
	}
	return s, nil
}

// Paths lists the data files that Load would open for a purpose, so that only those need to be fetched.
func (t Task) Paths(files []string, purpose Purpose) ([]string, error) {
	split, _, err := t.source(files, purpose)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, c := range t.Configs() {
		out = append(out, shards(files, c, split)...)
	}
	return out, nil
}

// source decides the split and whether the test split must give up rows for the search.
func (t Task) source(files []string, purpose Purpose) (split string, heldOut bool, err error) {
	has := func(split string) bool {
		return !slices.ContainsFunc(t.Configs(), func(c string) bool { return len(shards(files, c, split)) == 0 })
	}
	need := func(split string, heldOut bool) (string, bool, error) {
		if !has(split) {
			return "", false, t.noSplit(files, split)
		}
		return split, heldOut, nil
	}
	sel := t.Select
	if sel == SelectAuto {
		sel = SelectHeldOut
		for _, s := range []string{"validation", "dev", "train"} {
			if s != t.Split && has(s) {
				sel = s
				break
			}
		}
	}
	switch {
	case purpose == Test:
		return need(t.Split, sel == SelectHeldOut)
	case purpose != Select:
		return "", false, fmt.Errorf("%w: purpose %q", ErrOption, purpose)
	case sel == SelectNone:
		return "", false, fmt.Errorf("%w: task %s has select %q: there are no rows to judge a search on", ErrOption, t.Name, SelectNone)
	case sel == SelectHeldOut:
		return need(t.Split, true)
	case sel == SelectReported:
		return need(t.Split, false)
	default:
		return need(sel, false)
	}
}

// noSplit says what there is instead of the split.
func (t Task) noSplit(files []string, split string) error {
	i := slices.IndexFunc(t.Configs(), func(c string) bool { return len(shards(files, c, split)) == 0 })
	config := t.Configs()[i]
	var splits, folders []string
	for _, f := range files {
		dir, name := path.Split(strings.TrimPrefix(f, "data/"))
		if !slices.Contains([]string{".parquet", ".json", ".jsonl"}, path.Ext(name)) {
			continue
		}
		name, _, _ = strings.Cut(strings.TrimSuffix(name, path.Ext(name)), "-")
		if dir = strings.TrimSuffix(dir, "/"); dir == config {
			splits = append(splits, name)
		} else if dir != "" {
			folders = append(folders, dir)
		}
	}
	at := fmt.Sprintf("%s at %s", t.Dataset, t.Revision)
	switch {
	case len(splits) > 0:
		return fmt.Errorf("%w: %s has no split %q of %s: there are %s", ErrNoSplit, at, split, config, few(splits))
	case len(folders) > 0:
		return fmt.Errorf("%w: %s has no config %s (no file such as %s): there are %s; set the task's dataset or revision to one that has it",
			ErrNoSplit, at, config, patterns(config, split)[0], few(folders))
	}
	return fmt.Errorf("%w: %s holds no data that the task reads, such as %s or %s.json: set the task's dataset or revision to one that does",
		ErrNoSplit, at, patterns(config, split)[0], path.Join(config, split))
}

// few lists names, each once and no more than a reader wants.
func few(names []string) string {
	const most = 10
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// patterns are the places where Hub data sets keep a split, the usual one first.
func patterns(config, split string) []string {
	return []string{
		config + "/" + split + "-*.parquet", config + "/" + split + ".parquet",
		config + "/" + split + ".json", config + "/" + split + ".jsonl",
		"data/" + config + "/" + split + "-*.parquet",
	}
}

// shards are the files of one split, in order.
func shards(files []string, config, split string) []string {
	for _, p := range patterns(config, split) {
		var found []string
		for _, name := range files {
			if ok, err := path.Match(p, name); err == nil && ok {
				found = append(found, name)
			}
		}
		if len(found) > 0 {
			slices.Sort(found)
			return found
		}
	}
	return nil
}

func (t Task) read(ctx context.Context, f Files, files []string, split, tmpl string) ([]Item, error) {
	var items []Item
	size := 0
	for _, config := range t.Configs() {
		n := 0
		for _, name := range shards(files, config, split) {
			err := readFile(ctx, f, name, t.schema.columns(), func(r row) error {
				it, input, err := t.schema.item(r)
				if err != nil {
					return err
				}
				it.ID = config + "/" + split + "/" + strconv.Itoa(n)
				it.Prompt = fill(tmpl, input)
				size += len(it.Prompt) + len(it.Gold)
				for _, o := range it.Options {
					size += len(o)
				}
				if size > maxPrompts { // a few bytes of a file may name one text a million times
					return fmt.Errorf("more than %d MiB of prompts", maxPrompts>>20)
				}
				items = append(items, it)
				n++
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

// unlabelled tells whether the gold is nothing but the option "None".
func unlabelled(i Item) bool {
	return !slices.ContainsFunc(i.GoldIndex, func(g int) bool {
		return !strings.EqualFold(strings.TrimSpace(i.Options[g]), "none")
	})
}

// smallest picks the k items with the smallest hash of (use, seed, id).
func smallest(items []Item, k int, use string, seed uint64) map[string]bool {
	type key struct {
		hash [sha256.Size]byte
		id   string
	}
	keys := make([]key, len(items))
	for i, it := range items {
		b := binary.LittleEndian.AppendUint64([]byte(use+"\x00"), seed)
		keys[i] = key{sha256.Sum256(append(b, it.ID...)), it.ID}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(slices.Compare(a.hash[:], b.hash[:]), cmp.Compare(a.id, b.id))
	})
	out := make(map[string]bool, k)
	for _, e := range keys[:min(k, len(keys))] {
		out[e.id] = true
	}
	return out
}

func hashItems(items []Item) (string, error) {
	h := sha256.New()
	enc := json.NewEncoder(h)
	enc.SetEscapeHTML(false)
	for _, it := range items {
		if err := enc.Encode(it); err != nil {
			return "", fmt.Errorf("hash items: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
