package talk

import (
	"fmt"
	"slices"
	"strings"
)

// rank says how much a block is needed: where a document is too long, the highest goes first.
type rank int

const (
	essential rank = iota // where things stand
	section               // a recipe's name, plan id and state
	problems
	scores
	warnings
	facts    // what was planned
	moves    // of the lock
	progress // steps of what runs
	cautions
	history
	aside // the commands' table, steps of what is over
	diff
	chart
)

// document is a text in blocks, each of which is whole in itself: a paragraph, a table, a fence, a fold.
type document struct{ blocks []block }

type block struct {
	rank rank
	text string
}

func (d *document) add(r rank, text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		d.blocks = append(d.blocks, block{r, text})
	}
}

func (d *document) drop(r rank) {
	d.blocks = slices.DeleteFunc(d.blocks, func(b block) bool { return b.rank == r })
}

// String joins the blocks. Where they are more than [Limit] bytes, the least needed are left out, the last of them first;
// place and address say where, and where all of it is.
func (d *document) String(place, address string) string {
	const note = 400 // bytes kept free for saying so
	size := 0
	for _, b := range d.blocks {
		size += len(b.text) + 2
	}
	blocks, left := d.blocks, 0
	if size > Limit {
		keep := make([]bool, len(blocks))
		for i := range keep {
			keep[i] = true
		}
		for r := chart; r >= section && size > Limit-note; r-- {
			for i := len(blocks) - 1; i >= 0 && size > Limit-note; i-- {
				if blocks[i].rank == r {
					keep[i], size, left = false, size-len(blocks[i].text)-2, left+1
				}
			}
		}
		blocks = nil
		for i, b := range d.blocks {
			if keep[i] {
				blocks = append(blocks, b)
			}
		}
	}
	texts := make([]string, len(blocks), len(blocks)+1)
	for i, b := range blocks {
		texts[i] = b.text
	}
	if left > 0 {
		texts = append(texts, fmt.Sprintf("_%s left out %s, where there is no room for more%s._", plural(left, "part"), place, whole(address)))
	}
	return strings.Join(texts, "\n\n") + "\n"
}

func whole(address string) string {
	if l := link("the page", address); strings.HasPrefix(l, "[") && len(l) < 300 {
		return ": " + l + " has all of it"
	}
	return ""
}

// folded puts Markdown behind a summary, which is Markdown's plain text without markup.
func folded(summary, body string) string {
	if body = strings.Trim(body, "\n"); body == "" {
		return ""
	}
	return "<details><summary>" + summary + "</summary>\n\n" + body + "\n\n</details>"
}

// table is a Markdown table. A column whose name begins with ">" holds numbers.
type table struct{ strings.Builder }

func newTable(names ...string) *table {
	t := &table{}
	rules := make([]string, len(names))
	for i, n := range names {
		rules[i] = "---"
		if strings.HasPrefix(n, ">") {
			names[i], rules[i] = n[1:], "--:"
		}
	}
	t.row(names...)
	t.row(rules...)
	return t
}

func (t *table) row(cells ...string) { t.WriteString("| " + strings.Join(cells, " | ") + " |\n") }

// bullets is a list of at most most items; what is more is counted.
func bullets(items []string, most int) string {
	var b strings.Builder
	for i, s := range items {
		if i == most {
			fmt.Fprintf(&b, "- … %s more\n", count(int64(len(items)-most)))
			break
		}
		b.WriteString("- " + s + "\n")
	}
	return b.String()
}
