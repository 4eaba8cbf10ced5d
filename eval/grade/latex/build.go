package latex

import "math/big"

// The functions here make expressions for graders whose grammar is not that of Parse.

// Number is a rational number; decimal says that it was written with a point.
func Number(r *big.Rat, decimal bool) *Expr {
	e := number(r)
	e.decimal = decimal
	return e
}

// Variable is a symbol. A real one stands for real numbers, so that the root of its square is its absolute value; it is
// another symbol than the complex one of that name.
func Variable(name string, isReal bool) *Expr {
	e := symbol(name)
	e.real = isReal
	return e
}

// Add, Multiply, Power, Negate and Invert are arithmetic; Call is a function: those that Parse knows, and "pi" and "e"
// without arguments. An unknown function is equal to itself only.
func Add(a, b *Expr) *Expr                  { return node(opAdd, a, b) }
func Multiply(a, b *Expr) *Expr             { return node(opMul, a, b) }
func Power(a, b *Expr) *Expr                { return node(opPow, a, b) }
func Negate(a *Expr) *Expr                  { return negate(a) }
func Invert(a *Expr) *Expr                  { return inverse(a) }
func Call(name string, args ...*Expr) *Expr { return call(name, args...) }

// Key is a text that is equal for equal trees.
func (e *Expr) Key() string { return e.key() }

// Size is the number of nodes.
func (e *Expr) Size() int {
	n := 1
	for _, a := range e.args {
		n += a.Size()
	}
	return n
}

// Real is the value of an expression without symbols, to 48 digits; ok is false where there is none or it is not real.
func Real(e *Expr) (value *big.Float, ok bool) {
	if e.any((*Expr).isSymbol) {
		return nil, false
	}
	v := point{}.eval(e).chop()
	if v == nil || v.im.Sign() != 0 {
		return nil, false
	}
	return v.re, true
}

// Rational is the exact value of an expression of rational numbers.
func Rational(e *Expr) (*big.Rat, bool) { return e.exact() }

// Proportional tells whether a is a constant times b: the equation a = 0 then has the solutions of b = 0.
func Proportional(a, b *Expr) bool {
	var ratio *value
	for i := range samples {
		p := point{uint64(i)}
		r := p.eval(a).mul(p.eval(b).inv())
		if r == nil || r.zero() || ratio != nil && !r.near(ratio) {
			return false
		}
		ratio = r
	}
	return true
}
