package mathverify

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// errSyntax is for what cannot be read.
var errSyntax = errors.New("cannot read the answer")

type kind int

const (
	kEOF     kind = iota
	kPunct        // one character, or \{ \} \|
	kNumber       // digits with a point
	kPercent      // a number with a percent sign
	kLetter       // one letter, and names of Greek ones
	kText         // \text{…} and other accents: text is the name
	kCommand      // \name that has a meaning
	kMatrix       // \begin{…matrix}: text is the environment
	kEnd          // \end{…matrix}
	kRow          // \\
	kOp           // + - * / as such, whatever the sign
	kRel          // = < <= > >= !=
	kSet          // a named set
)

type token struct {
	kind kind
	text string
}

var (
	numberToken  = regexp.MustCompile(`^(?:\d*\.\d+|\d+)`)
	percentToken = regexp.MustCompile(`^(?:\d*\.\d+|\d+)\s?\\?%`)
	powerToken   = regexp.MustCompile(`^(?:\d*\.\d+|\d+)E[+-]?\d+`)
	accentToken  = regexp.MustCompile(`^\\(acute|bar|overline|breve|check|dot|ddot|grave|hat|tilde|widetilde|vec|overrightarrow|bm|boldsymbol|text|textit|textbf|textnormal|` +
		`mathbb|mathbf|mathcal|mathfrak|mathit|mathnormal|mathrm|mathscr|mathsf|mathtt|mathop|mathord|mathrel|mathbin|mbox)\s?\{((?:\\\}|[^}])*?)\}`)
	matrixToken  = regexp.MustCompile(`^\\begin\{(matrix|pmatrix|bmatrix)\}|^\\begin\{array\}\{[clr]*\}`)
	differential = regexp.MustCompile(`^d\s*[a-zA-Z]`)
	degreeToken  = regexp.MustCompile(`^\^(?:\\circ|\\degree|\\circle|°|\{(?:\\circ|\\degree|\\circle|°)\})`)
	endToken     = regexp.MustCompile(`^\\end\{(?:matrix|pmatrix|bmatrix|array)\}`)
)

func words(s string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(s) {
		out[w] = true
	}
	return out
}

var (
	greek = words("alpha beta gamma Gamma delta Delta epsilon varepsilon zeta eta theta Theta vartheta iota kappa lambda Lambda mu nu xi Xi omicron pi Pi " +
		"varpi rho varrho sigma Sigma varsigma tau upsilon Upsilon phi Phi varphi chi psi Psi omega Omega " +
		"wp nabla bigstar angle triangle square ell hbar prime imath jmath Re Im surd complement Diamond lozenge varnothing blacksquare")
	spaces    = words("thinspace medspace thickspace quad qquad negthinspace negmedspace negthickspace vrule vcenter vbox vskip vspace hfil")
	commands  = words("sum prod int lim to rightarrow frac sqrt binom dbinom tbinom infty boxed phantom lfloor rfloor lceil rceil langle rangle lvert rvert vert choose mod pm mp cup cap setminus in notin over operatorname lgroup rgroup lbrack rbrack lbrace rbrace exponentialE")
	functions = words("log ln exp sin cos tan csc sec cot arcsin arccos arctan arccsc arcsec arccot sinh cosh tanh arsinh arcosh artanh arcsinh arccosh arctanh floor ceil gcd lcm max min")
	signs     = map[string]token{
		"times": {kOp, "*"}, "cdot": {kOp, "*"}, "div": {kOp, "/"}, "over": {kOp, "/"}, "leq": {kRel, "<="}, "le": {kRel, "<="}, "leqslant": {kRel, "<="}, "lt": {kRel, "<"},
		"geq": {kRel, ">="}, "ge": {kRel, ">="}, "geqslant": {kRel, ">="}, "gt": {kRel, ">"}, "ne": {kRel, "!="}, "neq": {kRel, "!="}, "equiv": {kRel, "="}, "approx": {kRel, "~"},
		"emptyset": {kSet, "empty"}, "mod": {kOp, "mod"}, "mp": {kCommand, "pm"},
		"lbrace": {kPunct, `\lbrace`}, "rbrace": {kPunct, `\rbrace`}, "lbrack": {kPunct, "["}, "rbrack": {kPunct, "]"}, "lgroup": {kPunct, "("}, "rgroup": {kPunct, ")"},
		"lvert": {kPunct, "|"}, "rvert": {kPunct, "|"}, "vert": {kPunct, "|"}, "exponentialE": {kLetter, "e"},
	}
	characters = map[rune]token{
		'∔': {kOp, "+"}, '⊕': {kOp, "+"}, '−': {kOp, "-"}, '∸': {kOp, "-"}, '×': {kOp, "*"}, '⋅': {kOp, "*"}, '∗': {kOp, "*"}, '∙': {kOp, "*"}, '∘': {kOp, "*"}, '÷': {kOp, "/"}, '∕': {kOp, "/"},
		'≤': {kRel, "<="}, '≦': {kRel, "<="}, '≥': {kRel, ">="}, '≧': {kRel, ">="}, '≠': {kRel, "!="}, '≡': {kRel, "="}, '≈': {kRel, "~"}, '∪': {kCommand, "cup"}, '∩': {kCommand, "cap"},
		'∖': {kCommand, "setminus"}, '±': {kCommand, "pm"}, '∓': {kCommand, "pm"}, '∅': {kSet, "empty"}, 'ℕ': {kSet, "N"}, 'ℤ': {kSet, "Z"}, 'ℚ': {kSet, "Q"}, 'ℝ': {kSet, "R"}, 'ℂ': {kSet, "C"},
		'∉': {kCommand, "notin"}, 'π': {kLetter, "pi"}, 'α': {kLetter, "alpha"}, 'β': {kLetter, "beta"}, 'γ': {kLetter, "gamma"}, 'δ': {kLetter, "delta"}, 'θ': {kLetter, "theta"},
		'λ': {kLetter, "lambda"}, 'μ': {kLetter, "mu"}, 'φ': {kLetter, "phi"}, 'σ': {kLetter, "sigma"}, 'τ': {kLetter, "tau"}, 'ω': {kLetter, "omega"},
	}
)

// lex cuts all of s, at most maxAnswer bytes, into tokens.
func lex(s string) ([]token, error) {
	var out []token
	add := func(k kind, text string, n int) {
		out = append(out, token{k, text})
		s = s[n:]
	}
	for s != "" {
		c := s[0]
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			s = s[1:]
		case percentToken.MatchString(s):
			m := percentToken.FindString(s)
			add(kPercent, numberToken.FindString(m), len(m))
		case powerToken.MatchString(s):
			m := powerToken.FindString(s)
			add(kNumber, m, len(m))
		case numberToken.MatchString(s):
			m := numberToken.FindString(s)
			add(kNumber, m, len(m))
		case c == '\\':
			t, n, err := command(s)
			if err != nil {
				return nil, err
			}
			if n < 0 {
				s = s[-n:]
				continue
			}
			add(t.kind, t.text, n)
		case differential.MatchString(s):
			m := differential.FindString(s)
			add(kLetter, "d"+m[len(m)-1:], len(m))
		case letter(c):
			add(kLetter, s[:1], 1)
		case c == '+', c == '-', c == '*', c == '/':
			add(kOp, s[:1], 1)
		case strings.HasPrefix(s, "<="), strings.HasPrefix(s, ">="), strings.HasPrefix(s, "!="):
			add(kRel, s[:2], 2)
		case strings.HasPrefix(s, "=="):
			add(kRel, "=", 2)
		case c == '=', c == '<', c == '>':
			add(kRel, s[:1], 1)
		case degreeToken.MatchString(s):
			add(kCommand, "degrees", len(degreeToken.FindString(s)))
		case strings.IndexByte("()[]{}|,;:_^!&'", c) >= 0:
			add(kPunct, s[:1], 1)
		default:
			r := []rune(s[:min(len(s), 4)])[0]
			t, ok := characters[r]
			if !ok {
				return nil, fmt.Errorf("%w: illegal character at %.20q", errSyntax, s)
			}
			add(t.kind, t.text, len(string(r)))
		}
	}
	return out, nil
}

// command reads what starts with a backslash; a negative n says that -n bytes are blank.
func command(s string) (t token, n int, err error) {
	if m := accentToken.FindStringSubmatch(s); m != nil {
		return accent(m[1], m[2]), len(m[0]), nil
	}
	if m := matrixToken.FindString(s); m != "" {
		return token{kMatrix, ""}, len(m), nil
	}
	if m := endToken.FindString(s); m != "" {
		return token{kEnd, ""}, len(m), nil
	}
	n = 1
	for n < len(s) && letter(s[n]) {
		n++
	}
	name := s[1:n]
	if name == "" {
		switch {
		case len(s) < 2:
		case s[1] == '\\':
			return token{kRow, ""}, 2, nil
		case strings.IndexByte("{}|()", s[1]) >= 0:
			return token{kPunct, s[:2]}, 2, nil
		case strings.IndexByte(",:;!$", s[1]) >= 0:
			return t, -2, nil
		}
		return t, 0, fmt.Errorf("%w: illegal character at %.20q", errSyntax, s)
	}
	// The generated lexer takes the longest known name: \cdotx is \cdot and x.
	for n := len(name); n > 0; n-- {
		switch short := name[:n]; {
		case spaces[short]:
			return t, -(n + 1), nil
		case signs[short].kind != kEOF:
			return signs[short], n + 1, nil
		case commands[short], functions[short]:
			return token{kCommand, short}, n + 1, nil
		case greek[short]:
			return token{kLetter, short}, n + 1, nil
		}
	}
	return t, 0, fmt.Errorf("%w: unknown command at %.20q", errSyntax, s)
}

func accent(name, text string) token {
	text = strings.ReplaceAll(text, " ", "")
	switch {
	case name == "mathbb" && len(text) == 1 && strings.Contains("NZQRC", text):
		return token{kSet, text}
	case strings.HasPrefix(name, "text"), name == "mbox":
		return token{kText, strings.NewReplacer("(", "", ")", "").Replace(text)}
	case strings.HasPrefix(name, "math"):
		name = "math"
	case name == "overline":
		name = "bar"
	case name == "overrightarrow":
		name = "vec"
	case name == "widetilde":
		name = "tilde"
	}
	return token{kText, name + "{" + text + "}"}
}
