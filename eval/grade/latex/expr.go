// Package latex reads the LaTeX of short answers and tells whether two of them have the same value.
//
// It follows sympy 1.12's parse_latex and simplify(a-b) == 0, by which several graders judge, on the notation that
// answers are written in: numbers, letters as products, fractions, roots, powers, absolute values, factorials,
// logarithms, trigonometry. It shares that parser's habits: reading stops at the first thing that cannot go on, words
// are products of their letters, \pi, e and i are plain symbols, \log is the natural logarithm. Integrals, sums,
// limits, derivatives, bras and kets are not read (ErrSyntax). Time and memory are bounded for every input.
package latex

import (
	"errors"
	"math/big"
)

// ErrSyntax is returned for what cannot be read.
var ErrSyntax = errors.New("cannot read LaTeX")

type op int

const (
	opNumber   op = iota // num
	opSymbol             // name
	opAdd                // args[0] + args[1]
	opMul                // args[0] · args[1]
	opPow                // args[0] ^ args[1]
	opCall               // name(args…)
	opRelation           // a comparison: has no value
)

// Expr is an expression; it is never changed after parsing.
type Expr struct {
	op   op
	num  *big.Rat
	name string
	args []*Expr
	// decimal is set on a number written with a point: sympy computes with such in floating point.
	decimal bool
	// real is set on a symbol that stands for real numbers only; Parse makes none.
	real bool
}

func number(r *big.Rat) *Expr         { return &Expr{op: opNumber, num: r} }
func integer(n int64) *Expr           { return number(big.NewRat(n, 1)) }
func symbol(name string) *Expr        { return &Expr{op: opSymbol, name: name} }
func node(o op, a, b *Expr) *Expr     { return &Expr{op: o, args: []*Expr{a, b}} }
func call(f string, a ...*Expr) *Expr { return &Expr{op: opCall, name: f, args: a} }
func negate(a *Expr) *Expr            { return node(opMul, integer(-1), a) }
func inverse(a *Expr) *Expr           { return node(opPow, a, integer(-1)) }

// any tells whether f holds for the expression or a part of it.
func (e *Expr) any(f func(*Expr) bool) bool {
	if f(e) {
		return true
	}
	for _, a := range e.args {
		if a.any(f) {
			return true
		}
	}
	return false
}

func (e *Expr) isSymbol() bool { return e.op == opSymbol }

// key is a text that is equal for equal trees; it names subscripted symbols.
func (e *Expr) key() string {
	switch e.op {
	case opNumber:
		if e.decimal {
			return e.num.RatString() + "."
		}
		return e.num.RatString()
	case opSymbol:
		if e.real {
			return "real " + e.name
		}
		return e.name
	}
	s := e.name
	if e.op != opCall {
		s = string("+*^"[min(int(e.op-opAdd), 2)])
	}
	s += "("
	for i, a := range e.args {
		if i > 0 {
			s += ","
		}
		s += a.key()
	}
	return s + ")"
}
