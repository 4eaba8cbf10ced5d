package mathverify

import (
	"math/big"
	"strings"

	"mergebot/eval/grade/latex"
)

// scalarExpr is an expression that is not a matrix.
func (p *parser) scalarExpr() (*node, error) {
	n, err := p.expr()
	if err == nil && n.shape != scalar {
		err = p.fail("a number or an expression")
	}
	return n, err
}

func (p *parser) expr() (*node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	left, err := p.product(true)
	for err == nil {
		t := p.at(0)
		if t.kind != kOp || t.text != "+" && t.text != "-" {
			break
		}
		p.pos++
		var right *node
		if right, err = p.product(true); err != nil {
			return nil, err
		}
		if left.shape != scalar || right.shape != scalar {
			return nil, p.fail("numbers")
		}
		if t.text == "-" {
			right = right.negated()
		}
		left = left.plus(right)
	}
	return left, err
}

// product is factors joined by signs; functions says whether a function may follow a factor without one.
func (p *parser) product(functions bool) (*node, error) {
	left, err := p.unary(functions)
	for err == nil {
		t := p.at(0)
		over := t == token{kOp, "/"} || t == token{kPunct, ":"}
		if !over && t != (token{kOp, "*"}) {
			break
		}
		p.pos++
		var right *node
		if right, err = p.unary(functions); err != nil {
			return nil, err
		}
		if left.shape != scalar || right.shape != scalar {
			return nil, p.fail("numbers")
		}
		if over {
			left = left.over(right)
		} else {
			left = left.times(right)
		}
	}
	return left, err
}

func (p *parser) unary(functions bool) (*node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if t := p.at(0); t.kind == kOp && (t.text == "+" || t.text == "-") {
		p.pos++
		n, err := p.unary(functions)
		if err == nil && t.text == "-" {
			n = n.negated()
		}
		if err != nil {
			return nil, err
		}
		return n, nil
	}
	first, err := p.postfix()
	if err != nil {
		return nil, err
	}
	factors := []*node{first}
	for functions || !p.function() {
		n, ok := p.try(p.postfix, always)
		if !ok {
			break
		}
		factors = append(factors, n)
	}
	return p.side(factors)
}

// side multiplies factors written side by side, from the last to the first. A whole number before a positive rational is
// a mixed number.
func (p *parser) side(factors []*node) (*node, error) {
	out := factors[len(factors)-1]
	for i := len(factors) - 2; i >= 0; i-- {
		f := factors[i]
		if f.shape != scalar || out.shape != scalar {
			return nil, p.fail("numbers")
		}
		if f.integer() && out.rational() && out.number.Sign() > 0 {
			sum := new(big.Rat).Add(f.number, out.number)
			if f.number.Sign() < 0 {
				sum.Sub(f.number, out.number)
			}
			out = numberNode(sum, false)
			continue
		}
		out = f.times(out)
	}
	return out, nil
}

func (p *parser) function() bool {
	t := p.at(0)
	return t.kind == kCommand && (functions[t.text] || t.text == "sqrt" || t.text == "operatorname") || t == token{kLetter, "e"}
}

func (p *parser) postfix() (*node, error) {
	n, err := p.power()
	for err == nil {
		switch {
		case p.punct("!"):
			if n.shape != scalar {
				return nil, p.fail("a number")
			}
			n = exprNode(latex.Call("factorial", n.expr))
		case p.is(kCommand, "degrees"): // means nothing
		default:
			return n, nil
		}
	}
	return n, err
}

func (p *parser) power() (*node, error) {
	base, err := p.primary()
	for err == nil && p.at(0) == (token{kPunct, "^"}) {
		p.pos++
		var exponent *node
		if exponent, err = p.script(); err != nil {
			return nil, err
		}
		if base.shape != scalar || exponent.shape != scalar {
			return nil, p.fail("numbers")
		}
		base = base.raised(exponent)
	}
	return base, err
}

// script is what stands behind ^: an atom or a braced expression.
func (p *parser) script() (*node, error) {
	if p.punct("{") {
		n, err := p.expr()
		if err != nil {
			return nil, err
		}
		return n, p.want("}")
	}
	return p.atom()
}

var brackets = map[string]string{"(": ")", "[": "]", "{": "}", `\{`: `\}`, `\lbrace`: `\rbrace`, "|": "|"}

func (p *parser) primary() (*node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	t := p.at(0)
	switch t.kind {
	case kPunct:
		end, ok := brackets[t.text]
		if !ok {
			return nil, p.fail("an expression")
		}
		p.pos++
		n, err := p.expr()
		if err == nil {
			if t.text == "{" && p.is(kCommand, "choose") {
				k, err := p.scalarExpr()
				if err != nil || n.shape != scalar {
					return nil, p.fail("numbers")
				}
				return exprNode(latex.Call("binomial", n.expr, k.expr)), p.want("}")
			}
			err = p.want(end)
		}
		if err == nil && t.text == "|" {
			if n.shape != scalar {
				return nil, p.fail("a number")
			}
			n = exprNode(latex.Call("abs", n.expr))
		}
		return n, err
	case kCommand:
		return p.command(t.text)
	case kMatrix:
		return p.matrix()
	case kLetter, kText:
		if t == (token{kLetter, "e"}) {
			p.pos++
			return &node{expr: latex.Call("e"), letters: []string{"e"}}, nil
		}
		if n, ok := p.try(p.application, always); ok {
			return n, nil
		}
	}
	return p.atom()
}

func (p *parser) braced() (*node, error) {
	if err := p.want("{"); err != nil {
		return nil, err
	}
	n, err := p.scalarExpr()
	if err != nil {
		return nil, err
	}
	return n, p.want("}")
}

func (p *parser) command(name string) (*node, error) {
	p.pos++
	switch name {
	case "boxed", "phantom":
		return p.braced()
	case "frac":
		a, err := p.braced()
		if err != nil {
			return nil, err
		}
		b, err := p.braced()
		if err != nil {
			return nil, err
		}
		return a.over(b), nil
	case "binom", "dbinom", "tbinom":
		a, err := p.braced()
		if err != nil {
			return nil, err
		}
		b, err := p.braced()
		if err != nil {
			return nil, err
		}
		return exprNode(latex.Call("binomial", a.expr, b.expr)), nil
	case "infty":
		return exprNode(latex.Call("infinity")), nil
	case "lfloor", "lceil":
		n, err := p.scalarExpr()
		if err != nil {
			return nil, err
		}
		if !p.is(kCommand, "r"+name[1:]) {
			return nil, p.fail("r" + name[1:])
		}
		return exprNode(latex.Call(name[1:], n.expr)), nil
	case "sqrt":
		return p.root()
	}
	if functions[name] {
		return p.call(name)
	}
	if name == "sum" || name == "prod" || name == "int" || name == "lim" {
		// What these are of is not computed: the rest as it is written stands for it.
		start := p.pos
		p.pos = len(p.tokens)
		return exprNode(latex.Call("unread " + name + text(p.tokens[start:]))), nil
	}
	p.pos--
	return nil, p.fail("an expression")
}

// symbol is a letter, a Greek one or \text{…}, with a subscript.
func (p *parser) symbol() (*node, error) {
	t := p.at(0)
	if t.kind != kLetter && t.kind != kText || t.text == "e" && t.kind == kLetter {
		return nil, p.fail("a symbol")
	}
	p.pos++
	name := t.text
	if t.kind == kLetter && name == "I" {
		return exprNode(latex.Power(latex.Number(big.NewRat(-1, 1), false), latex.Number(big.NewRat(1, 2), false))), nil
	}
	if p.punct("_") {
		sub, err := p.subscript()
		if err != nil {
			return nil, err
		}
		if len(sub) > 1 {
			sub = "{" + sub + "}"
		}
		name += "_" + sub
	}
	if name == "" {
		return nil, p.fail("a symbol")
	}
	return symbolNode(name, p.real), nil
}

// subscript is the text of an atom, or of what is in braces.
func (p *parser) subscript() (string, error) {
	start := p.pos
	if p.at(0) == (token{kPunct, "{"}) {
		depth := 0
		for ; p.pos < len(p.tokens); p.pos++ {
			switch p.at(0) {
			case token{kPunct, "{"}:
				depth++
			case token{kPunct, "}"}:
				depth--
			}
			if depth == 0 {
				p.pos++
				break
			}
		}
		if depth > 0 || p.pos-start < 3 {
			return "", p.fail("a subscript")
		}
		start++
	} else if _, err := p.atom(); err != nil {
		return "", err
	}
	s := text(p.tokens[start:p.pos])
	if start > 0 && p.tokens[start-1] == (token{kPunct, "{"}) {
		s = strings.TrimSuffix(s, "}")
	}
	return s, nil
}

func text(tokens []token) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString(t.text)
	}
	return b.String()
}

func (p *parser) atom() (*node, error) {
	t := p.at(0)
	switch t.kind {
	case kNumber:
		p.pos++
		n, err := literal(t.text)
		if err == nil && p.punct("_") {
			_, err = p.subscript() // of a base: not read
		}
		return n, err
	case kPercent:
		p.pos++
		n, err := literal(strings.TrimRight(t.text, "\\% \t\n"))
		if err != nil {
			return nil, err
		}
		return n.percentOf(), nil
	case kLetter, kText:
		return p.symbol() // which e is not: it cannot be a bare exponent
	case kCommand:
		if t.text == "infty" {
			return p.command(t.text)
		}
	}
	return nil, p.fail("an expression")
}

func (p *parser) matrix() (*node, error) {
	p.pos++
	out := &node{shape: matrix}
	columns := 0
	for {
		n, err := p.scalarExpr()
		if err != nil {
			return nil, err
		}
		out.args = append(out.args, n)
		columns++
		if p.punct("&") {
			continue
		}
		if out.columns == 0 {
			out.columns = columns
		}
		if columns != out.columns {
			return nil, p.fail("rows of the same length")
		}
		columns = 0
		if p.at(0).kind == kRow {
			p.pos++
			if p.at(0).kind != kEnd {
				continue
			}
		}
		if p.at(0).kind != kEnd {
			return nil, p.fail("the matrix's end")
		}
		p.pos++
		return out, nil
	}
}
