package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// Answer is what one model gave for an item, and how it was judged.
type Answer struct {
	Role      Role   `json:"role"`
	Model     string `json:"model,omitempty"`
	Output    string `json:"output"`
	Extracted string `json:"extracted"`
	Correct   bool   `json:"correct"`
	NoAnswer  bool   `json:"no_answer,omitempty"`
	Several   bool   `json:"several,omitempty"`   // named more than one option
	Truncated bool   `json:"truncated,omitempty"` // stopped by the token limit
}

// Item is one question of a task and every model's answer, in the order of the task's Scores.
type Item struct {
	ID      string   `json:"id"`
	Prompt  string   `json:"prompt"`
	Gold    string   `json:"gold"`
	Answers []Answer `json:"answers"`
}

// TaskItems is a task of a domain with all its items.
type TaskItems struct {
	Domain, Task string
	Items        []Item
}

// Answer returns the answer of a role, and whether there is one.
func (it Item) Answer(role Role) (Answer, bool) {
	for _, a := range it.Answers {
		if a.Role == role {
			return a, true
		}
	}
	return Answer{}, false
}

// judged is the answer that an item's verdict is about: the merged model's, or that of the only one.
func (it Item) judged() (Answer, bool) {
	if a, ok := it.Answer(Merged); ok {
		return a, true
	}
	return it.Answer(Single)
}

// The verdicts that items can be filtered by. Every item with an answer is right or wrong; the others
// may come on top.
const (
	showRight     = "right"
	showWrong     = "wrong"
	showGained    = "gained" // merged right, expert wrong
	showLost      = "lost"
	showNoAnswer  = "no-answer"
	showTruncated = "truncated"
	showSeveral   = "several"
)

// verdicts are the names above that hold for an item.
func (it Item) verdicts() []string {
	a, ok := it.judged()
	if !ok {
		return nil
	}
	out := []string{showWrong}
	if a.Correct {
		out[0] = showRight
	}
	if e, ok := it.Answer(Expert); ok && a.Correct != e.Correct {
		out = append(out, map[bool]string{true: showGained, false: showLost}[a.Correct])
	}
	for _, f := range []struct {
		is   bool
		name string
	}{{a.NoAnswer, showNoAnswer}, {a.Truncated, showTruncated}, {a.Several, showSeveral}} {
		if f.is {
			out = append(out, f.name)
		}
	}
	return out
}

// itemLine is one line of items/<task>.jsonl.
type itemLine struct {
	Domain string `json:"domain,omitempty"`
	Task   string `json:"task"`
	Item
}

// writeItemLines writes a task's items, one line each.
func writeItemLines(w io.Writer, t TaskItems) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, it := range t.Items {
		if err := e.Encode(itemLine{t.Domain, t.Task, it}); err != nil {
			return err
		}
	}
	return nil
}

// maxItemLine bounds a line of items/<task>.jsonl: a prompt and three outputs are a hundredth of it.
const maxItemLine = 64 << 20

// ReadItems reads an items/<task>.jsonl, one item at a time.
func ReadItems(r io.Reader, each func(domain, task string, it Item) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxItemLine)
	n := 0
	for lines.Scan() {
		n++
		if len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		var l itemLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if l.Task == "" || l.ID == "" {
			return fmt.Errorf("line %d: no task, or no id", n)
		}
		if err := each(l.Domain, l.Task, l.Item); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

// taskKey is a task in one domain.
type taskKey struct{ domain, task string }

// itemStems gives every task the name that its files and links begin with: the task's own, and its
// domain's after it where two domains hold the same task.
func itemStems(all []taskKey) map[taskKey]string {
	times := map[string]int{}
	for _, k := range all {
		times[fileName(k.task)]++
	}
	stems, taken := map[taskKey]string{}, map[string]bool{}
	for _, k := range all {
		if stems[k] != "" {
			continue
		}
		stem := fileName(k.task)
		if times[stem] > 1 {
			stem += "." + fileName(k.domain)
		}
		free := stem
		for i := 2; taken[free]; i++ {
			free = stem + "." + strconv.Itoa(i)
		}
		stems[k], taken[free] = free, true
	}
	return stems
}

// fileName makes a name of 1 to 40 letters, digits, _ and - that every file system takes.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), 40)]
}

// ItemsPage is the page that lists every item, beside report.html; itemsDir holds what it leads to.
const (
	ItemsPage = "items.html"
	itemsDir  = "items"
)

// itemsLink leads to the items of one task, those of one verdict only if show names it.
func itemsLink(stem, show string) string {
	if stem == "" {
		return ItemsPage
	}
	link := ItemsPage + "#task=" + url.QueryEscape(stem)
	if show != "" {
		link += "&show=" + show
	}
	return link
}

// itemsAPage is how many items a leaf page holds.
const itemsAPage = 50

// leafName is the leaf page that holds a task's item number i, from 0.
func leafName(stem string, i int) string { return fmt.Sprintf("%s-%d.html", stem, i/itemsAPage+1) }

// itemAnchor is that item's place on it.
func itemAnchor(i int) string { return "i" + strconv.Itoa(i+1) }

// LeafLink leads from the folder of report.html to item number i, from 0, of the items that are in
// items/<stem>.jsonl.
func LeafLink(stem string, i int) string {
	return itemsDir + "/" + leafName(stem, i) + "#" + itemAnchor(i)
}
