// Package grade judges a model's output against the gold answer.
//
// Each grader restates, rule for rule, a scorer that others published or that the paper describes; where its name
// is a peer's, its verdicts are the peer's, oddities included. Graders are stateless, never panic, and are bounded in
// time and memory for every input.
package grade

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrUnknown is returned by Get for a name that is not a grader.
var ErrUnknown = errors.New("unknown grader")

// Question is what an output is judged against: Gold for maths; Options and the indices of those that are right for
// choices.
type Question struct {
	Gold      string
	Options   []string
	GoldIndex []int
}

// Verdict is the judgement of one output.
type Verdict struct {
	// Extracted is what the grader took for the answer.
	Extracted string
	Correct   bool
	// NoAnswer: nothing was found that could be an answer.
	NoAnswer bool
	// Several: more than one option, or more than one answer, was found.
	Several bool
}

// Grader judges outputs. Its methods may be called from several goroutines.
type Grader interface {
	Name() string
	Grade(q Question, output string) Verdict
}

// Doc describes a grader.
type Doc struct {
	Name string
	// Choice: for choice questions; otherwise for maths.
	Choice bool
	// Text says what the rule is and where it is from.
	Text string
}

// grader is a rule with its description.
type grader struct {
	Doc
	grade func(q Question, output string) Verdict
	// bare judges an answer that needs no extraction; nil where there is no such thing.
	bare func(q Question, answer string) Verdict
}

func (g grader) Name() string { return g.Doc.Name }

func (g grader) Grade(q Question, output string) Verdict { return g.grade(q, output) }

func graders() []grader {
	return []grader{
		{Doc{"abel", false, "last `#### ` line, normalised, LaTeX equivalence (GAIR-NLP/abel 3a24ef2)"}, gradeAbel, bareAbel},
		{Doc{"hendrycks", false, "last \\boxed, string rules (hendrycks/math 985bdc1)"}, gradeHendrycks, bareHendrycks},
		{Doc{"minerva", false, "`Final Answer: The final answer is …`, normalised, LaTeX equivalence (lm-evaluation-harness 4e7e0d4)"}, gradeMinerva, bareMinerva},
		{Doc{"gsm8k_official", false, "first `#### NUMBER` (grade-school-math 3101c7d)"}, gradeOfficial, nil},
		{Doc{"lm_eval_strict", false, "gsm8k strict-match (lm-evaluation-harness 4e7e0d4)"}, gradeStrict, nil},
		{Doc{"lm_eval_flexible", false, "gsm8k flexible-extract: the last number (lm-evaluation-harness 4e7e0d4)"}, gradeFlexible, nil},
		{Doc{"math_verify", false, "\\boxed, then LaTeX, then numbers, the last first; sets, intervals, equations, decimals to 6 places (Math-Verify 0.8.0)"}, gradeMathVerify, bareMathVerify},
		{Doc{"contains", true, "a right option is part of the output, upper and lower case alike: the paper's rule"}, contains(true), nil},
		{Doc{"contains_cs", true, "a right option is part of the output, case as written"}, contains(false), nil},
		{Doc{"only_gold", true, "right options are part of the output, and no other option is"}, gradeOnlyGold, nil},
		{Doc{"first_option", true, "the first option, in the options' order, that is part of the output (PIXIU da45ac4)"}, gradeFirstOption, nil},
	}
}

func find(name string) (grader, error) {
	for _, g := range graders() {
		if g.Name() == name {
			return g, nil
		}
	}
	return grader{}, fmt.Errorf("%w %q: use one of %s", ErrUnknown, name, strings.Join(Names(), ", "))
}

// Get returns a grader by its name, or ErrUnknown.
func Get(name string) (Grader, error) {
	g, err := find(name)
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Docs describes all graders.
func Docs() []Doc {
	var out []Doc
	for _, g := range graders() {
		out = append(out, g.Doc)
	}
	return out
}

// Names lists all graders.
func Names() []string { return slices.Concat(For(false), For(true)) }

// For lists the graders for choice questions, or those for maths.
func For(choice bool) []string {
	var out []string
	for _, g := range graders() {
		if g.Choice == choice {
			out = append(out, g.Name())
		}
	}
	return out
}

// maxAnswer bounds an extracted answer, in bytes; a longer one is compared as a string only.
const maxAnswer = 1000
