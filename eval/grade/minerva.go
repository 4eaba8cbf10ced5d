package grade

import (
	"regexp"
	"strings"

	"mergebot/eval/grade/latex"
)

var minervaAnswer = regexp.MustCompile(`Final Answer: The final answer is(.*?). I hope it is correct.`)

const minervaInvalid = "[invalidanswer]"

// gradeMinerva is lm-eval's minerva_math: get_unnormalized_answer on the output, both sides normalised, is_equiv. Unlike
// Abel's, what does not parse is wrong.
func gradeMinerva(q Question, output string) Verdict {
	answer := minervaInvalid
	// The peer puts its own end mark behind the text, so that an output cut off before the last words still counts.
	m := minervaAnswer.FindStringSubmatch(output + "I hope it is correct.")
	if m != nil {
		answer = strip(m[1])
	}
	v := bareMinerva(q, answer)
	v.NoAnswer = m == nil
	return v
}

func bareMinerva(q Question, answer string) Verdict {
	gold, pred := normalAnswer(q.Gold, false), normalAnswer(answer, false)
	a, b, ok := parseBoth(gold, pred)
	return Verdict{Extracted: pred, Correct: ok && latex.Equal(b, a), NoAnswer: strings.TrimSpace(pred) == ""}
}
