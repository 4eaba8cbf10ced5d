package grade

import (
	"regexp"
	"strings"
)

var (
	officialNumber = regexp.MustCompile(`#### (-?[0-9.,]+)`)
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

// gradeFlexible is the flexible-extract filter: the last thing that looks like a number, by the pattern
// (-?[$0-9.,]{2,})|(-?[0-9]+).
func gradeFlexible(q Question, output string) Verdict {
	got, n := lastNumber(output)
	if n == 0 {
		return Verdict{NoAnswer: true}
	}
	return Verdict{Extracted: got, Correct: lmEvalEqual(got, q.Gold), Several: n > 1}
}

// lastNumber is the last match of flexible-extract's pattern, and how many there are. A scan by hand takes a tenth of the
// time that the pattern takes on an output of a megabyte.
func lastNumber(s string) (last string, n int) {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	for i := 0; i < len(s); {
		from := i
		if s[i] == '-' {
			i++
		}
		start := i
		for i < len(s) && (digit(s[i]) || s[i] == '$' || s[i] == '.' || s[i] == ',') {
			i++
		}
		switch {
		case i-start >= 2, i-start == 1 && digit(s[start]):
			last, n = s[from:i], n+1
		case i == from:
			i++
		}
	}
	return last, n
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
