package grade

import (
	"regexp"
	"strings"
)

var (
	officialNumber = regexp.MustCompile(`#### (-?[0-9.,]+)`)
	flexibleNumber = regexp.MustCompile(`(-?[$0-9.,]{2,})|(-?[0-9]+)`)
	beforeMark     = regexp.MustCompile(`(?s)^.*#### `)
)

// gradeOfficial is dataset.py of grade-school-math: the first "#### NUMBER", commas removed, equal as strings.
func gradeOfficial(q Question, output string) Verdict {
	m := officialNumber.FindAllStringSubmatch(output, 2)
	if m == nil {
		return Verdict{NoAnswer: true}
	}
	got := strings.ReplaceAll(strip(m[0][1]), ",", "")
	return Verdict{Extracted: got, Correct: got == strings.ReplaceAll(strip(q.Gold), ",", ""), Several: len(m) > 1}
}

// gradeStrict is the strict-match filter of lm-eval's gsm8k task.
func gradeStrict(q Question, output string) Verdict {
	m := officialNumber.FindAllStringSubmatch(output, 2)
	if m == nil {
		return Verdict{NoAnswer: true}
	}
	return Verdict{Extracted: m[0][1], Correct: lmEvalEqual(m[0][1], q.Gold), Several: len(m) > 1}
}

// gradeFlexible is the flexible-extract filter: the last thing that looks like a number.
func gradeFlexible(q Question, output string) Verdict {
	if !strings.ContainsAny(output, "$0123456789.,") {
		return Verdict{NoAnswer: true}
	}
	m := flexibleNumber.FindAllString(tail(output), -1)
	if len(m) < 2 {
		m = flexibleNumber.FindAllString(output, -1)
	}
	if m == nil {
		return Verdict{NoAnswer: true}
	}
	got := strip(m[len(m)-1])
	return Verdict{Extracted: got, Correct: lmEvalEqual(got, q.Gold), Several: len(m) > 1}
}

// tail is the end of a long output, cut where no number goes on.
func tail(output string) string {
	const enough = 1 << 16
	if len(output) <= enough {
		return output
	}
	i := strings.IndexFunc(output[len(output)-enough:], func(r rune) bool { return !strings.ContainsRune("$0123456789.,", r) })
	if i < 0 {
		return output
	}
	return output[len(output)-enough+i:]
}

// lmEvalEqual is exact_match with the task's ignore list: ",", "$", everything up to "#### ", a final period, case.
func lmEvalEqual(a, b string) bool {
	plain := func(s string) string {
		s = strings.NewReplacer(",", "", "$", "").Replace(s)
		s = beforeMark.ReplaceAllString(s, "")
		s = strings.TrimSuffix(s, ".")
		return lower(s)
	}
	return plain(a) == plain(b)
}
