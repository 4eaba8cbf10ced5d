package mathverify

import (
	"regexp"
	"strings"
)

// openPoint is that of `2.`, a number in Python.
var openPoint = regexp.MustCompile(`(^\d+|[^\d.]\d+)\.([^\d.]|$)`)

// arithmetic reads an expression of numbers as Python does: no multiplication without a sign, ^ as a power.
func arithmetic(s string) (*node, error) {
	if strings.ContainsAny(s, "×÷") || len(s) > maxAnswer {
		return nil, errSyntax
	}
	tokens, err := lex(openPoint.ReplaceAllString(strings.ReplaceAll(s, "**", "^"), "${1}.0$2"))
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, real: true}
	n, err := p.sum()
	if err == nil && p.pos != len(tokens) {
		err = p.fail("the end")
	}
	return n, err
}

func (p *parser) sum() (*node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	left, err := p.term()
	for err == nil {
		t := p.at(0)
		if t != (token{kOp, "+"}) && t != (token{kOp, "-"}) {
			break
		}
		p.pos++
		var right *node
		if right, err = p.term(); err == nil {
			if t.text == "-" {
				right = right.negated()
			}
			left = left.plus(right)
		}
	}
	return left, err
}

func (p *parser) term() (*node, error) {
	left, err := p.signed()
	for err == nil {
		t := p.at(0)
		if t != (token{kOp, "*"}) && t != (token{kOp, "/"}) {
			break
		}
		p.pos++
		var right *node
		if right, err = p.signed(); err == nil {
			if t.text == "/" {
				left = left.over(right)
			} else {
				left = left.times(right)
			}
		}
	}
	return left, err
}

func (p *parser) signed() (*node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	switch {
	case p.is(kOp, "-"):
		n, err := p.signed()
		if err != nil {
			return nil, err
		}
		return n.negated(), nil
	case p.is(kOp, "+"):
		return p.signed()
	}
	var base *node
	var err error
	if p.punct("(") {
		if base, err = p.sum(); err == nil {
			err = p.want(")")
		}
	} else if t := p.at(0); t.kind == kNumber {
		p.pos++
		base, err = literal(t.text)
		if len(t.text) > 1 && t.text[0] == '0' && base != nil && !base.decimal && base.number.Sign() != 0 {
			err = p.fail("a number without leading zeros")
		}
	} else {
		err = p.fail("a number")
	}
	if err != nil || !p.punct("^") {
		return base, err
	}
	exponent, err := p.signed()
	if err != nil {
		return nil, err
	}
	return base.raised(exponent), nil
}
