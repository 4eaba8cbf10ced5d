// Package talk is what the bot says on a pull request, and what it understands. Its functions are pure: from what is
// known of a change to Markdown of GitHub's dialect, from a comment to a command.
//
// It promises that
//
//   - the same input gives the same bytes, so that a hash tells whether there is anything new to say;
//   - no text from outside (names, paths, errors, licences, logins) becomes markup, a link, a mention, a reference, a
//     marker or a command;
//   - a comment holds at most [Limit] bytes. What is too much is left out whole, the least needed first, and this is said.
package talk

import (
	"crypto/sha256"
	"encoding/hex"

	"mergebot/bot/change"
	"mergebot/bot/run"
	"mergebot/eval/report"
)

// Limit is the most bytes that a comment or a check's summary has. GitHub takes 65,536 characters.
const Limit = 60_000

// Run is what is known of a run.
type Run struct {
	Record run.Record
	Report *report.Report // nil while there is none
	Steps  []run.Event    // the kept log
	Now    *run.Event     // newest progress, may be nil
}

// Conversation is all that a change's comment is made of.
type Conversation struct {
	State  *change.State
	Runs   []Run             // of the change, and those on the default branch that came of it; oldest first
	Page   string            // address of the page, "" when there is none
	Target string            // name of the default branch
	Locks  map[string]string // target repo → what holds its lock, in words ("#12"), where another change does

	// Link is the address of a file at a commit, or of the commit when path is "" (forge.Forge.Link); nil: no links.
	Link func(commit, path string) string
	// Hub is the address under which models are shown to people, such as https://huggingface.co; "": no links.
	Hub string
}

// Marker is how the bot finds its comment on a change again: an HTML comment, which nobody sees, at its beginning.
func Marker(change string) string { return marker("change", change) }

// marker hashes what it stands for, so that whatever is in a name, it stays one comment.
func marker(kind string, names ...string) string {
	h := sha256.New()
	for _, s := range names {
		sum := sha256.Sum256([]byte(s))
		h.Write(sum[:])
	}
	return "<!-- mergebot:" + kind + ":" + hex.EncodeToString(h.Sum(nil)[:12]) + " -->"
}

// Comment is the living comment: [Marker] first, then where things stand and what to do next, then recipe by recipe,
// then what was before, folded away.
func Comment(c Conversation) string {
	d := document{}
	d.add(essential, Marker(c.State.ID)+"\n"+c.headline())
	d.add(essential, c.place())
	d.add(essential, c.lastCommand())
	d.add(essential, c.strangers())
	for _, p := range c.State.Plans {
		c.recipe(&d, p)
	}
	if c.askedForHelp() {
		d.add(aside, Help())
	} else {
		d.add(aside, folded("Commands", Help()))
	}
	d.add(history, c.history())
	return d.String("here", c.changePage())
}
