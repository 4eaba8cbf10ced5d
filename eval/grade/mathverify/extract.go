package mathverify

import (
	"cmp"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// Find looks for the answer of an output: behind "final answer is … I hope", in \boxed{…}, behind "final answer … is",
// behind "answer:", behind "answer", and then anywhere. In each of these places the last answer that can be read counts;
// LaTeX in dollars or brackets and plain numbers are answers. The text is that of the first candidate.
func Find(output string) Answer {
	if len(output) > maxOutput {
		output = output[len(output)-maxOutput:]
	}
	var out Answer
	tries := 0
	for _, places := range [][]finder{
		{hopeLatex, hopeNumber}, {isLatex, boxedEnvironments, plainBox, isNumber}, {colonLatex, colonNumber}, {answerLatex, answerNumber}, {anyLatex, anyExpression, anyNumber},
	} {
		var found []candidate
		for _, f := range places {
			found = append(found, f(output)...)
		}
		slices.SortStableFunc(found, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(b.end, a.end), cmp.Compare(a.start, b.start))
		})
		for _, c := range found {
			if tries++; tries > maxCandidates {
				return out
			}
			text, value := c.read()
			if !out.found {
				out.Text = strings.TrimSpace(text)
			}
			out.found = true
			if value != nil {
				out.value = value
				return out
			}
		}
	}
	return out
}

// Bare is the answer that is the whole of s, a gold for instance.
func Bare(s string) Answer { return Find("$" + s + "$") }

// candidate is a place where an answer may be: environments of LaTeX, or a plain number or expression.
type candidate struct {
	start, end int
	parts      []environment
	box        bool // one \boxed{…} without dollars around it
	number     *number
}

type finder func(s string) []candidate

// read turns a candidate into its text and, where it can be read, its meaning.
func (c candidate) read() (string, *node) {
	if c.number != nil {
		return c.number.read()
	}
	var texts []string
	var values []*node
	for _, e := range c.parts {
		if len(e.content) > 4*maxAnswer {
			return "", nil
		}
		text := normalize(unbox(e.content, c.box))
		value, err := parseLast(text)
		if err == nil && e.percent {
			value = value.percentOf()
		}
		texts, values = append(texts, text), append(values, value)
	}
	if len(values) == 1 || slices.Contains(values, nil) {
		return texts[0], values[0]
	}
	all := &node{shape: set}
	for _, v := range values {
		if v.shape == set {
			all.args = append(all.args, v.args...)
		} else {
			all.args = append(all.args, v)
		}
	}
	return strings.Join(texts, " and "), all
}

// parseLast reads s, or what follows the last sign of equality where there are several.
func parseLast(s string) (*node, error) {
	n, err := parse(s)
	if err == nil || strings.ContainsAny(s, ",;") {
		return n, err
	}
	count, last := 0, 0
	for i := range len(s) {
		if s[i] == '=' && (i == 0 || strings.IndexByte(`\<!>`, s[i-1]) < 0) {
			count, last = count+1, i
		}
	}
	if count < 2 {
		return n, err
	}
	return parse(s[last+1:])
}

// environment is LaTeX between dollars or brackets.
type environment struct {
	content string
	end     int
	percent bool
}

var (
	percentSign   = regexp.MustCompile(`^\s*(?:\\?%|[Pp]ercent|[Pp]ercentage|[Pp]ct)`)
	conjunction   = regexp.MustCompile(`^\s*(?:,?and|,?or|,)\s*`)
	plainFraction = regexp.MustCompile(`^-?\\frac\{-?\d+(?:[.,]\d+)?\}\{-?\d+(?:[.,]\d+)?\}`)
	spacedBracket = regexp.MustCompile(`^\s\[([^\n\]\[]+?)\]\s`)
	boxInside     = regexp.MustCompile(`(?s)\\boxed\{.+?\}`)
)

func at(s string, i int) byte {
	if i < 0 || i >= len(s) {
		return 0
	}
	return s[i]
}

// environmentAt reads one that starts at i.
func environmentAt(s string, i int, boxed bool) (e environment, ok bool) {
	switch c := at(s, i); {
	case c == '$' && at(s, i-1) != '\\':
		if at(s, i+1) == '$' {
			e, ok = delimited(s, i, 2, "$$", "")
		}
		if !ok && (at(s, i-1) < '0' || at(s, i-1) > '9') {
			e, ok = dollar(s, i)
		}
	case c == '\\' && at(s, i+1) == '[' && at(s, i-1) != '\\':
		e, ok = delimited(s, i, 2, `\]`, "")
	case c == '\\' && at(s, i+1) == '(' && at(s, i-1) != '\\':
		e, ok = delimited(s, i, 2, `\)`, "\n")
	case strings.IndexByte(" \t\n\r", c) >= 0 && c != 0:
		if m := spacedBracket.FindStringSubmatchIndex(s[i:min(len(s), i+maxAnswer)]); m != nil {
			e, ok = environment{content: s[i+m[2] : i+m[3]], end: i + m[1]}, true
		}
	}
	if !ok && !boxed && (at(s, i) == '\\' || at(s, i) == '-') {
		if m := plainFraction.FindString(s[i:min(len(s), i+200)]); m != "" {
			e, ok = environment{content: m, end: i + len(m)}, true
		}
	}
	if !ok || boxed && !boxInside.MatchString(e.content) {
		return e, false
	}
	if m := percentSign.FindString(s[e.end:min(len(s), e.end+40)]); m != "" {
		e.percent, e.end = true, e.end+len(m)
	} else {
		for strings.IndexByte(" \t\n\r", at(s, e.end)) >= 0 && at(s, e.end) != 0 {
			e.end++
		}
	}
	return e, true
}

// delimited reads to the first closing mark, which no backslash stands before; a character of stop ends the search.
func delimited(s string, i, open int, mark, stop string) (environment, bool) {
	j := strings.Index(s[i+open:], mark)
	if j < 1 {
		return environment{}, false
	}
	content := s[i+open : i+open+j]
	if strings.HasSuffix(content, `\`) || stop != "" && strings.Contains(content, stop) {
		return environment{}, false
	}
	return environment{content: content, end: i + open + j + len(mark)}, true
}

// dollar reads to the next dollar sign of the line; \$ is a part of the content.
func dollar(s string, i int) (environment, bool) {
	for j := i + 1; j < len(s) && s[j] != '\n'; j++ {
		if s[j] == '$' && s[j-1] != '\\' {
			return environment{content: s[i+1 : j], end: j + 1}, j > i+1
		}
	}
	return environment{}, false
}

// environmentsAt reads up to six that are joined by a comma, and, or.
func environmentsAt(s string, i int, boxed bool) (candidate, bool) {
	e, ok := environmentAt(s, i, boxed)
	if !ok {
		return candidate{}, false
	}
	c := candidate{start: i, end: e.end, parts: []environment{e}}
	for range 5 {
		m := conjunction.FindString(s[c.end:min(len(s), c.end+40)])
		if m == "" {
			break
		}
		next, ok := environmentAt(s, c.end+len(m), boxed)
		if !ok {
			break
		}
		c.end = next.end
		c.parts = append(c.parts, next)
	}
	return c, true
}

func environments(s string, boxed bool) []candidate {
	var out []candidate
	for i := 0; i < len(s); {
		if strings.IndexByte("$\\- \t\n\r", s[i]) < 0 {
			i++
			continue
		}
		c, ok := environmentsAt(s, i, boxed)
		if !ok {
			i++
			continue
		}
		out = append(out, c)
		i = c.end
	}
	return out
}

func anyLatex(s string) []candidate          { return environments(s, false) }
func boxedEnvironments(s string) []candidate { return environments(s, true) }

// plainBox is from the first \boxed{ to the last closing brace.
func plainBox(s string) []candidate {
	i, j := strings.Index(s, `\boxed{`), strings.LastIndexByte(s, '}')
	if i < 0 || j <= i+len(`\boxed{`) {
		return nil
	}
	// Only the last boxes count, so that a long output between the first and the last does no harm.
	start := max(i, j+1-2*maxAnswer)
	return []candidate{{start: i, end: j + 1, box: true, parts: []environment{{content: s[start : j+1]}}}}
}

var (
	finalIs     = regexp.MustCompile(`(?i)final answer is:?\s*`)
	finalAnswer = regexp.MustCompile(`(?i)final answer`)
	hope        = regexp.MustCompile(`^\.?\s?I hope`)
	isMark      = regexp.MustCompile(`^\s+is:?`)
	answerColon = regexp.MustCompile(`(?i)answer:`)
	answerWord  = regexp.MustCompile(`(?i)answer`)
)

func hopeLatex(s string) []candidate {
	return behind(s, finalIs, func(from int) (candidate, bool) {
		c, ok := environmentsAt(s, from, false)
		// The blanks behind the environment may belong to what follows.
		end := c.end
		for ok && end > from && strings.IndexByte(" \t\n\r", s[end-1]) >= 0 {
			end--
		}
		return c, ok && (hope.MatchString(s[c.end:]) || hope.MatchString(s[end:]))
	})
}

func isLatex(s string) []candidate {
	return behind(s, finalAnswer, func(from int) (candidate, bool) {
		for i := from; i <= min(from+100, len(s)); i++ {
			m := isMark.FindString(s[i:])
			if m == "" {
				continue
			}
			j := i + len(m)
			for j < len(s) && strings.IndexByte(" \t\n\r", s[j]) >= 0 {
				j++
			}
			if c, ok := environmentsAt(s, j, false); ok {
				return c, true
			}
		}
		return candidate{}, false
	})
}

func colonLatex(s string) []candidate  { return behind(s, answerColon, within(s, 50)) }
func answerLatex(s string) []candidate { return behind(s, answerWord, within(s, 50)) }

func within(s string, most int) func(int) (candidate, bool) {
	return func(from int) (candidate, bool) {
		for i := from; i <= min(from+most, len(s)); i++ {
			if c, ok := environmentsAt(s, i, false); ok {
				return c, true
			}
		}
		return candidate{}, false
	}
}

// behind applies f behind every mark, not again inside of what was found.
func behind(s string, mark *regexp.Regexp, f func(from int) (candidate, bool)) []candidate {
	var out []candidate
	end := 0
	for _, m := range mark.FindAllStringIndex(s, -1) {
		if m[0] < end {
			continue
		}
		if c, ok := f(m[1]); ok {
			c.start = m[0]
			end = c.end
			out = append(out, c)
		}
	}
	return out
}

// number is a plain number or expression in the text.
type number struct {
	text, expression string
	percent          bool
}

const (
	numberPattern = `(?:(?P<integer>-?[1-9]\d{0,2}(?:[ ,]\d{3})+)(?P<decimal>\.\d+)?|(?P<integer>-?\d+)(?P<decimal>[.,]\d+)|(?P<decimal>\.\d+)|(?P<integer>-?\d+))` +
		`(?P<percent>\s*(?:%|[Pp]ercent|\s*[Pp]ercentage|\s*[Pp]ct))?`
	mathChars    = `[\d.\s+\-*×/^()÷]`
	mathSigns    = `[+\-*×/^()÷]`
	expression   = `(?P<expr>-?\(?-?\d` + mathChars + `*` + mathSigns + mathChars + `+\)?)`
	before       = `(?:^|\s|=)(?:\*\*)?`
	currency     = `[$€£¥₹₽₪₩₫฿₡₢₣₤₥₦₧₨₭₮₯₰₱₲₳₴₵₶₷₸₺₻₼₾₿]?`
	expressionIn = `(?:` + before + expression + `(?:\*\*)?(?:[.,:)$]|\s|$))`
	numberIn     = `(?:` + before + currency + numberPattern + `)`
	either       = `(?:` + expressionIn + `|` + numberIn + `)`
	// noEquals is (?!\s*=): no pattern looks ahead in Go, so the match goes on to the next character that is not blank.
	noEquals = `(?P<rest>\s*(?:[^\s=]|$))`
)

func numbers(pattern string) finder {
	// Duplicate names of groups are told apart by their number.
	n := 0
	unique := regexp.MustCompile(`\(\?P<[a-z]+`).ReplaceAllStringFunc(pattern, func(s string) string {
		n++
		return s + "_" + string(rune('a'+n))
	})
	first := regexp.MustCompile(unique)
	later := regexp.MustCompile(strings.ReplaceAll(unique, `(?:^|\s|=)`, `(?:\s|=)`))
	return func(s string) []candidate {
		var out []candidate
		re := first
		for pos := 0; pos < len(s); {
			m := re.FindStringSubmatchIndex(s[pos:])
			if m == nil {
				break
			}
			c := candidate{start: pos + m[0], end: pos + m[1], number: &number{}}
			var integer, decimal string
			for i, name := range re.SubexpNames() {
				if m[2*i] < 0 || name == "" {
					continue
				}
				text := s[pos+m[2*i] : pos+m[2*i+1]]
				switch name[:strings.IndexByte(name, '_')] {
				case "integer":
					integer = text
				case "decimal":
					decimal = text
				case "percent":
					c.number.percent = true
				case "expr":
					c.number.expression = text
				case "rest":
					c.end = pos + m[2*i]
				}
			}
			if integer+decimal != "" {
				integer = strings.TrimLeft(strings.NewReplacer(",", "", " ", "").Replace(integer), "0")
				if integer == "" {
					integer = "0"
				}
				c.number.text = integer + strings.ReplaceAll(decimal, ",", ".")
			}
			out = append(out, c)
			pos, re = max(c.end, pos+m[0]+1), later
		}
		return out
	}
}

var (
	hopeNumber    = numbers(`(?i:final answer is):?\s*` + either + `\.?\s?I hope`)
	isNumber      = numbers(`(?i:final answer.{0,100}?)\s+is:?` + either)
	colonNumber   = numbers(`(?i:answer):(?:.{0,100}=\s*|.{0,50}?)` + either + noEquals)
	answerNumber  = numbers(`(?i:answer)(?:.{0,100}=\s*|.{0,50}?)` + either + noEquals)
	anyExpression = numbers(expressionIn)
	anyNumber     = numbers(numberIn)
)

func (n *number) read() (string, *node) {
	if n.text != "" {
		r, ok := new(big.Rat).SetString(n.text)
		if !ok || len(n.text) > maxAnswer {
			return n.text, nil
		}
		v := numberNode(r, strings.Contains(n.text, "."))
		if n.percent {
			v = v.percentOf()
		}
		return n.text, v
	}
	v, err := arithmetic(n.expression)
	if err != nil {
		return n.expression, nil
	}
	return n.expression, v
}
