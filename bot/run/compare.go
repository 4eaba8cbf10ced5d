package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mergebot/eval"
	"mergebot/eval/engine"
	"mergebot/eval/report"
)

var (
	// ErrNotARun is returned for a folder that holds no report, or none of the role that was asked for.
	ErrNotARun = errors.New("nothing to compare")
	// ErrIncomparable is returned where two runs put other questions, or judged answers by another rule.
	ErrIncomparable = errors.New("this is no comparison")
)

// CompareOptions say what is compared.
type CompareOptions struct {
	// A and B are folders of a run or of an evaluation, with ":role" after them where it shall not be
	// the merged, or the only, model.
	A, B string
	Out  string // where compare.html and compare.json go, "" = nowhere
	// Force compares although graders or prompts differ; items are then paired by id and right answer.
	Force bool
}

// Compare compares two models item by item, and returns the path of the page, if one was written.
func Compare(ctx context.Context, o CompareOptions) (*report.Paired, string, error) {
	a, err := openSide(ctx, o.A)
	if err != nil {
		return nil, "", err
	}
	b, err := openSide(ctx, o.B)
	if err != nil {
		return nil, "", err
	}
	out, err := compare(ctx, a, b, o)
	if err != nil || o.Out == "" {
		return out, "", err
	}
	page, err := writePaired(o.Out, *out)
	return out, page, err
}

// CompareRuns compares the merged models of two runs item by item, b against a, by what storage keeps of them. Runs that
// put other questions, or judged answers by another rule, are ErrIncomparable; runs without a report or without a merged
// model that was scored are ErrNotARun.
func CompareRuns(ctx context.Context, s *Storage, a, b string) (*report.Paired, error) {
	var sides [2]*side
	for i, id := range []string{a, b} {
		var err error
		if sides[i], err = readSide(ctx, "run "+id, report.Merged, inStorage{s, reportFolder(id)}); err != nil {
			return nil, err
		}
	}
	return compare(ctx, sides[0], sides[1], CompareOptions{A: sides[0].Folder, B: sides[1].Folder})
}

func compare(ctx context.Context, a, b *side, o CompareOptions) (*report.Paired, error) {
	out := &report.Paired{A: a.Side, B: b.Side}
	for _, s := range []struct {
		name string
		*side
	}{{"A", a}, {"B", b}} {
		if s.report.Selection != "" && s.Role != report.Base && s.Role != report.Expert { // nothing was tuned of the others
			out.Warnings = append(out.Warnings, fmt.Sprintf("%s was tuned on the very items that are compared: it is too good by an unknown amount.", s.name))
		}
	}
	for _, name := range a.order {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if b.tasks[name] == nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("%s: only A has it.", name))
			continue
		}
		warnings, err := differences(name, a.tasks[name], b.tasks[name], o.Force)
		if err != nil {
			return nil, err
		}
		out.Warnings = append(out.Warnings, warnings...)
		t, err := pair(name, a, b, o.Out)
		if err != nil {
			return nil, err
		}
		if t == nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("%s: no item is in both runs.", name))
			continue
		}
		out.Tasks = append(out.Tasks, *t)
	}
	for _, name := range b.order {
		if a.tasks[name] == nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("%s: only B has it.", name))
		}
	}
	if len(out.Tasks) == 0 {
		return nil, fmt.Errorf("%w: %s and %s have no item in common: compare runs of the same tasks, splits, limits and seeds", ErrIncomparable, o.A, o.B)
	}
	return out, nil
}

func writePaired(dir string, p report.Paired) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("output folder: %w", err)
	}
	page := filepath.Join(dir, "compare.html")
	var html, json bytes.Buffer
	if err := report.PairedHTML(&html, p); err != nil {
		return "", err
	}
	if err := report.PairedJSON(&json, p); err != nil {
		return "", err
	}
	if err := writeFile(page, html.Bytes()); err != nil {
		return "", err
	}
	return page, writeFile(filepath.Join(dir, "compare.json"), json.Bytes())
}

// differences are what else than the model differs between two scores. Another grader or prompt makes the comparison
// meaningless, and is ErrIncomparable unless forced.
func differences(task string, a, b *sideTask, force bool) ([]string, error) {
	var out []string
	say := func(what string, x, y any) {
		out = append(out, fmt.Sprintf("%s: %s differs: %v and %v.", task, what, x, y))
	}
	if a.protocol.Grader != b.protocol.Grader {
		say("the grader", a.protocol.Grader, b.protocol.Grader)
	}
	if a.protocol.PromptHash != b.protocol.PromptHash || a.protocol.Prompt != b.protocol.Prompt {
		say("the prompt", a.protocol.Prompt, b.protocol.Prompt)
	}
	if len(out) > 0 && !force {
		return nil, fmt.Errorf("%w: %s --force compares all the same", ErrIncomparable, strings.Join(out, " "))
	}
	if a.protocol.MaxTokens != b.protocol.MaxTokens {
		say("the token limit", a.protocol.MaxTokens, b.protocol.MaxTokens)
	}
	if a.protocol.Dataset != b.protocol.Dataset || a.protocol.Revision != b.protocol.Revision {
		say("the data set", a.protocol.Dataset+"@"+a.protocol.Revision, b.protocol.Dataset+"@"+b.protocol.Revision)
	}
	if x, y, differ := engines(a.score.Engine, b.score.Engine); differ {
		say("the engine", x, y)
	}
	return out, nil
}

// amounts are flags of the embedded engine that say how much it did at once. They are another machine's, or another
// hour's, and what was recalled has none.
var amounts = []string{"lanes", "slots", "threads", "cache_mib"}

// engines are two engines with no other flags than those that differ. Of the embedded engine only flags that both have
// count: an answer that was recalled may be of any run of that version.
func engines(a, b report.Engine) (x, y report.Engine, differ bool) {
	x, y = a, b
	x.Flags, y.Flags = map[string]string{}, map[string]string{}
	embedded := a.Name == b.Name && a.Name == engine.Pinned().Engine
	for _, flags := range []map[string]string{a.Flags, b.Flags} {
		for name := range flags {
			of, inA := a.Flags[name]
			other, inB := b.Flags[name]
			switch {
			case inA && inB && of == other:
				continue
			case embedded && (!inA || !inB || slices.Contains(amounts, name)):
				continue
			}
			if inA {
				x.Flags[name] = of
			}
			if inB {
				y.Flags[name] = other
			}
		}
	}
	return x, y, a.Name != b.Name || a.Version != b.Version || a.DType != b.DType || len(x.Flags)+len(y.Flags) > 0
}

// pair compares the items of a task that both sides have; nil if there are none.
func pair(name string, a, b *side, out string) (*report.PairedTask, error) {
	ta, tb := a.tasks[name], b.tasks[name]
	anyPrompt := ta.protocol.PromptHash != tb.protocol.PromptHash || ta.protocol.Prompt != tb.protocol.Prompt // forced
	t := &report.PairedTask{Name: name, ModelA: ta.score.Model, ModelB: tb.score.Model, Gained: []report.PairedItem{}, Lost: []report.PairedItem{}}
	var ra, rb eval.Result
	for _, id := range ta.order {
		x := ta.items[id]
		y, ok := tb.items[id]
		switch {
		case !ok:
			t.OnlyA++
			continue
		case x.gold != y.gold, x.whole != y.whole && !anyPrompt:
			t.Changed++
			continue
		}
		add(&ra, name, id, x.correct)
		add(&rb, name, id, y.correct)
		if x.correct == y.correct {
			continue
		}
		item := report.PairedItem{ID: id, LinkA: itemLink(a.dir, ta.stem, x.at, out), LinkB: itemLink(b.dir, tb.stem, y.at, out)}
		if y.correct {
			t.Gained = append(t.Gained, item)
		} else {
			t.Lost = append(t.Lost, item)
		}
	}
	for _, id := range tb.order {
		if _, ok := ta.items[id]; !ok {
			t.OnlyB++
		}
	}
	if ra.N == 0 {
		return nil, nil
	}
	difference, i, err := eval.AccuracyDifference(rb, ra)
	if err != nil {
		return nil, err
	}
	m, err := eval.CompareMcNemar(rb, ra)
	if err != nil {
		return nil, err
	}
	t.N, t.A, t.B, t.P = ra.N, ra.Accuracy(), rb.Accuracy(), m.P
	t.ErrA, t.ErrB = eval.StandardError(ra.Correct, ra.N), eval.StandardError(rb.Correct, rb.N)
	t.Difference = report.Interval{Value: difference, Low: i.Lo, High: i.Hi}
	t.Words = report.PairedWords(m.Gained, m.Lost, m.P)
	return t, nil
}

func add(r *eval.Result, task, id string, correct bool) {
	r.Task = task
	r.N++
	if correct {
		r.Correct++
	}
	r.Items = append(r.Items, eval.ItemResult{ID: id, Correct: correct})
}

// itemLink leads from out to an item's page in a run's folder, "" if it is not there.
func itemLink(dir, stem string, at int, out string) string {
	if out == "" {
		return ""
	}
	link := report.LeafLink(stem, at)
	file, anchor, _ := strings.Cut(link, "#")
	path := filepath.Join(dir, filepath.FromSlash(file))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	from, err1 := filepath.Abs(out)
	to, err2 := filepath.Abs(path)
	if err1 != nil || err2 != nil {
		return ""
	}
	rel, err := filepath.Rel(from, to)
	if err != nil { // another drive
		return ""
	}
	return (&url.URL{Path: filepath.ToSlash(rel), Fragment: anchor}).String()
}
