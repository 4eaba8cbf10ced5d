package task

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Describe says in one line what is asked: how many rows of what, how they are put and how they are judged.
func (s *Set) Describe() string {
	t := s.Task
	rows := thousands(len(s.Items)) + " rows"
	if s.Total > len(s.Items) {
		rows = thousands(len(s.Items)) + " of " + thousands(s.Total) + " rows"
	}
	config := t.HubConfig
	if config == "" {
		config = fmt.Sprintf("%d configs", len(t.Configs()))
	}
	return fmt.Sprintf("%s: %s of %s (%s) at %.12s, %s; prompt %s (%.12s), grader %s, at most %s tokens an answer",
		t.Name, rows, t.Dataset, config, t.Revision, s.Source, t.Prompt, s.PromptHash, t.Grader, thousands(t.MaxTokens))
}

// Warnings are what a careful reader should hear of the rows; nil is nothing.
func (s *Set) Warnings() []string {
	var out []string
	t := s.Task
	if s.Solved > 0 {
		text := fmt.Sprintf("%s: %s of %s inputs show solved examples: a few-shot score", t.Name, thousands(s.Solved), thousands(len(s.Items)))
		if t.Dataset == financeDataset && t.Revision != financeRevision {
			text += fmt.Sprintf("; the paper's is zero-shot, which is revision %.12s", financeRevision)
		}
		out = append(out, text)
	}
	if n := t.Rows(); n > 0 && s.Split == t.Split && n != s.whole {
		out = append(out, fmt.Sprintf("%s: %s at %.12s is known with %s rows and has %s here", t.Name, t.Dataset, t.Revision, thousands(n), thousands(s.whole)))
	}
	return out
}

// solved counts the items whose input shows a solved example: what stands at its very end, the cue to answer, stands
// in it before with one of the options behind it. A cue that holds no word is none.
func solved(items []Item, template string) int {
	before, after, _ := strings.Cut(template, placeholder)
	n := 0
	for _, it := range items {
		input := strings.TrimSuffix(strings.TrimPrefix(it.Prompt, before), after)
		if showsExample(input, it.Options) {
			n++
		}
	}
	return n
}

func showsExample(input string, options []string) bool {
	const (
		longest = 40  // bytes of a last line: more would hold the row's own words
		most    = 200 // examples that are looked at
	)
	input = strings.ToLower(strings.TrimSpace(input))
	cue := input[strings.LastIndexByte(input, '\n')+1:]
	if len(cue) > longest {
		cue = cue[len(cue)-longest:]
	}
	if !strings.ContainsFunc(cue, func(r rune) bool { return r >= 'a' && r <= 'z' }) {
		return false
	}
	answers := make([]string, len(options))
	for i, o := range options {
		answers[i] = strings.ToLower(strings.TrimSpace(o))
	}
	rest := strings.TrimSuffix(input, cue)
	for range most {
		_, next, found := strings.Cut(rest, cue)
		if !found {
			return false
		}
		answer := strings.TrimSpace(next)
		if slices.ContainsFunc(answers, func(a string) bool { return strings.HasPrefix(answer, a) }) {
			return true
		}
		rest = next
	}
	return false
}

// thousands writes 1319 as 1,319.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
