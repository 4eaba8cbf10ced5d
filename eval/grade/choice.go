package grade

import (
	"slices"
	"strings"
)

// mentioned returns the indices of the options whose text, blanks around it stripped, is part of the output. An
// option inside a longer word counts: the paper's rule knows no words.
func mentioned(q Question, output string, caseless bool) []int {
	if caseless {
		output = lower(output)
	}
	var found []int
	for i, o := range q.Options {
		o = strip(o)
		if caseless {
			o = lower(o)
		}
		if o != "" && strings.Contains(output, o) {
			found = append(found, i)
		}
	}
	return found
}

func (q Question) right(i int) bool { return slices.Contains(q.GoldIndex, i) }

// labels joins the options' texts for Verdict.Extracted.
func (q Question) labels(indices []int) string {
	var out []string
	for _, i := range indices {
		out = append(out, strip(q.Options[i]))
	}
	return strings.Join(out, " | ")
}

func (q Question) verdict(found []int, correct bool) Verdict {
	return Verdict{Extracted: q.labels(found), Correct: correct, NoAnswer: len(found) == 0, Several: len(found) > 1}
}

func contains(caseless bool) func(Question, string) Verdict {
	return func(q Question, output string) Verdict {
		found := mentioned(q, output, caseless)
		return q.verdict(found, slices.ContainsFunc(found, q.right))
	}
}

func gradeOnlyGold(q Question, output string) Verdict {
	found := mentioned(q, output, true)
	wrong := slices.ContainsFunc(found, func(i int) bool { return !q.right(i) })
	return q.verdict(found, len(found) > 0 && !wrong)
}

func gradeFirstOption(q Question, output string) Verdict {
	found := mentioned(q, output, true)
	v := q.verdict(found, len(found) > 0 && q.right(found[0]))
	if len(found) > 0 {
		v.Extracted = q.labels(found[:1])
	}
	return v
}
