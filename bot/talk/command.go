package talk

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Command is what somebody asked of the bot.
type Command struct {
	Verb    string // plan, try, run, cancel, unlock, help
	Arg     string // a commit's full SHA, or a plan id, in lower case
	Problem string // why it is no command, with what to say instead; then the others are ""
}

// A verb of the bot. What it does is Markdown of the bot's own.
type verbDoc struct{ name, arg, does string }

// verbs are all there are, in the order of the help.
func verbs() []verbDoc {
	return []verbDoc{
		{"plan", "[sha]", "plans again. With the pull request's head, written in full, a maintainer vouches for a fork's commit"},
		{"try", "plan-id", "merges, and scores few rows; nothing is published"},
		{"run", "plan-id", "does all that the recipe says but publish; holds the lock of the target until the pull request is closed"},
		{"cancel", "", "ends this pull request's runs; finished steps are kept"},
		{"unlock", "", "gives the locks of this pull request back"},
		{"help", "", "says this"},
	}
}

const where = "a plan's id stands under the recipe's name in the bot's comment"

var (
	planID  = regexp.MustCompile(`^[0-9a-f]{12}-[0-9a-f]{12}$`)
	fullSHA = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

// Parse reads the first line of a comment. mine says that it begins with /mergebot, at the very first character but for
// backticks around it; what else other bots listen to is not ours. Whatever the case of the letters.
func Parse(body string) (c Command, mine bool) {
	first, _, _ := strings.Cut(body, "\n")
	first = strings.TrimRight(first, " \t\r")
	if n := len(first) - len(strings.TrimLeft(first, "`")); n > 0 {
		first = strings.TrimRight(strings.TrimSuffix(first[n:], strings.Repeat("`", n)), " \t")
	}
	const name = "/mergebot"
	if len(first) < len(name) || !strings.EqualFold(first[:len(name)], name) {
		return Command{}, false
	}
	rest := first[len(name):]
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' { // /mergebotx, /mergebot-plan
		return Command{}, false
	}
	words := strings.Fields(rest)
	if len(words) == 0 {
		return Command{Verb: "help"}, true
	}
	return understand(strings.ToLower(words[0]), words[1:]), true
}

func understand(word string, args []string) Command {
	for _, v := range verbs() {
		if v.name == word {
			return v.understand(args)
		}
	}
	s := fmt.Sprintf("there is no command %q", line(word, 40))
	if near := nearest(word); near != "" {
		return Command{Problem: fmt.Sprintf("%s; did you mean /mergebot %s?", s, near)}
	}
	return Command{Problem: s + "; there are " + listing(names())}
}

func (v verbDoc) understand(args []string) Command {
	arg := ""
	if len(args) > 0 {
		arg = strings.ToLower(strings.Trim(args[0], "`"))
	}
	refuse := func(format string, args ...any) Command { return Command{Problem: fmt.Sprintf(format, args...)} }
	switch {
	case len(args) > 1 && v.arg != "" || len(args) > 0 && v.arg == "":
		return refuse("too much on the line; say %s and nothing else there", v.usage())
	case v.arg == "" || v.arg == "[sha]" && arg == "":
		return Command{Verb: v.name}
	case v.arg == "[sha]" && fullSHA.MatchString(arg), v.arg == "plan-id" && planID.MatchString(arg):
		return Command{Verb: v.name, Arg: arg}
	case v.arg == "[sha]":
		return refuse("%q is no commit written in full; give all 40 digits, since another commit can be made to begin alike", line(arg, 40))
	case arg == "":
		return refuse("which plan? Say %s: %s", v.usage(), where)
	case len(arg) >= 12 && hexadecimal(arg):
		return refuse("%q names a plan but no pull request; %s, with a hyphen in the middle", line(arg, 40), where)
	}
	return refuse("%q is no plan id; %s", line(arg, 40), where)
}

func (v verbDoc) usage() string { return strings.TrimRight("/mergebot "+v.name+" "+v.arg, " ") }

func names() []string {
	var all []string
	for _, v := range verbs() {
		all = append(all, v.name)
	}
	return all
}

// nearest is the verb that a word was probably meant to be, "" if none is near.
func nearest(word string) string {
	best, least := "", 3
	if len(word) > 20 {
		return ""
	}
	for _, name := range names() {
		if n := levenshtein.ComputeDistance(word, name); n < least && n < len(name) {
			best, least = name, n
		}
	}
	return best
}

// Help is the table of commands, as Markdown.
func Help() string {
	t := newTable("First line of a comment", "What it does")
	for _, v := range verbs() {
		t.row("`"+v.usage()+"`", v.does)
	}
	return t.String() + "\nOnly people who may write to this repository are heard, and edited comments are not.\n"
}
