package grade

import "mergebot/eval/grade/mathverify"

// gradeMathVerify is verify(parse(gold), parse(output)) of Math-Verify, with the gold in a box as in a solution of MATH:
// so nothing is looked for in it, and what cannot be read is compared as text.
func gradeMathVerify(q Question, output string) Verdict {
	return mathVerdict(mathverify.Bare(`\boxed{`+q.Gold+`}`), mathverify.Find(output))
}

func bareMathVerify(q Question, answer string) Verdict {
	return mathVerdict(mathverify.Bare(q.Gold), mathverify.Bare(answer))
}

func mathVerdict(gold, pred mathverify.Answer) Verdict {
	return Verdict{Extracted: pred.Text, Correct: mathverify.Equal(gold, pred), NoAnswer: !pred.Found()}
}
