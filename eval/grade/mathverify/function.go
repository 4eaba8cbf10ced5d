package mathverify

import (
	"math/big"
	"strings"

	"mergebot/eval/grade/latex"
)

func (p *parser) root() (*node, error) {
	degree := latex.Number(big.NewRat(2, 1), false)
	if p.punct("[") {
		n, err := p.scalarExpr()
		if err != nil {
			return nil, err
		}
		if err := p.want("]"); err != nil {
			return nil, err
		}
		degree = n.expr
	}
	n, err := p.braced()
	if err != nil {
		return nil, err
	}
	return exprNode(latex.Power(n.expr, latex.Invert(degree))), nil
}

// call reads a named function with its base, power and argument. \log is to base 10, \ln to base e.
func (p *parser) call(name string) (*node, error) {
	var sub, sup *node
	for range 2 {
		var err error
		switch {
		case sub == nil && p.punct("_"):
			sub, err = p.script()
		case sup == nil && p.punct("^"):
			sup, err = p.script()
		}
		if err != nil {
			return nil, err
		}
	}
	args, err := p.arguments(name == "gcd" || name == "lcm" || name == "max" || name == "min")
	if err != nil {
		return nil, err
	}
	if n, ok := fold(name, args); ok && sup == nil {
		return n, nil
	}
	arg := args[0]
	out := latex.Call(name, args...)
	switch {
	case strings.HasPrefix(name, "log") || name == "ln":
		base := latex.Number(big.NewRat(10, 1), false)
		if sub != nil {
			base = sub.expr
		}
		out = latex.Call("log", arg)
		if name != "ln" || sub != nil {
			out = latex.Multiply(out, latex.Invert(latex.Call("log", base)))
		}
	case strings.HasPrefix(name, "arc") && strings.HasSuffix(name, "h"):
		out = latex.Call("ar"+name[3:], arg)
	}
	if sup == nil {
		return exprNode(out), nil
	}
	if sup.number != nil && sup.number.Cmp(big.NewRat(-1, 1)) == 0 && len(name) == 3 && name != "log" && name != "exp" {
		return exprNode(latex.Call("arc"+name, arg)), nil
	}
	return exprNode(latex.Power(out, sup.expr)), nil
}

// fold computes what the functions of several numbers are.
func fold(name string, args []*latex.Expr) (*node, bool) {
	var out *big.Rat
	for _, a := range args {
		r, ok := latex.Rational(a)
		if !ok {
			return nil, false
		}
		switch {
		case name != "max" && name != "min" && name != "gcd" && name != "lcm":
			return nil, false
		case out == nil:
			out = r
		case name == "max" || name == "min":
			if (r.Cmp(out) > 0) == (name == "max") {
				out = r
			}
		case !r.IsInt() || !out.IsInt() || r.Sign() <= 0 || out.Sign() <= 0:
			return nil, false
		default:
			g := new(big.Int).GCD(nil, nil, r.Num(), out.Num())
			if name == "lcm" {
				g = new(big.Int).Quo(new(big.Int).Mul(r.Num(), out.Num()), g)
			}
			out = new(big.Rat).SetInt(g)
		}
	}
	return numberNode(out, false), out != nil
}

func (p *parser) arguments(many bool) ([]*latex.Expr, error) {
	n, ok := p.try(func() (*node, error) {
		if err := p.want("("); err != nil {
			return nil, err
		}
		out := &node{shape: tuple}
		for {
			a, err := p.scalarExpr()
			if err != nil {
				return nil, err
			}
			out.args = append(out.args, a)
			if !many || !p.punct(",") {
				return out, p.want(")")
			}
		}
	}, always)
	if !ok {
		a, err := p.product(false)
		if err == nil && a.shape != scalar {
			err = p.fail("a number")
		}
		if err != nil {
			return nil, err
		}
		n = &node{args: []*node{a}}
	}
	var out []*latex.Expr
	for _, a := range n.args {
		out = append(out, a.expr)
	}
	return out, nil
}

// application is f(x), f(2), g(x, y): a symbol with one atom or several arguments in brackets.
func (p *parser) application() (*node, error) {
	if p.at(0) == (token{kLetter, "e"}) || p.at(0) == (token{kLetter, "E"}) {
		return nil, p.fail("a name")
	}
	name, err := p.symbol()
	if err != nil {
		return nil, err
	}
	end := brackets[p.at(0).text]
	if p.at(0).kind != kPunct || end != ")" && end != "]" {
		return nil, p.fail("(")
	}
	p.pos++
	a, err := p.atom()
	if err != nil {
		return nil, err
	}
	args := []*latex.Expr{a.expr}
	for p.punct(",") {
		a, err := p.scalarExpr()
		if err != nil {
			return nil, err
		}
		args = append(args, a.expr)
	}
	return exprNode(latex.Call("function "+name.expr.Key(), args...)), p.want(end)
}
