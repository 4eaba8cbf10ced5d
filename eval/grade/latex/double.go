package latex

import (
	"math"
	"math/big"
)

// Where decimals are added or multiplied, sympy computes some of it in double precision and some of it exactly, so that
// its verdict on `0.1+0.2` and `0.3` depends on which of them is the gold. This file follows its steps.

// double is a number of sympy's: a rational, or a double where a decimal was involved.
type double struct {
	exact *big.Rat // nil for a double
	value float64
}

func (d double) float() float64 {
	if d.exact == nil {
		return d.value
	}
	f, _ := d.exact.Float64()
	return f
}

func (d double) add(e double) double {
	if d.exact != nil && e.exact != nil {
		return double{exact: new(big.Rat).Add(d.exact, e.exact)}
	}
	return double{value: d.float() + e.float()}
}

func (d double) mul(e double) double {
	if d.exact != nil && e.exact != nil {
		return double{exact: new(big.Rat).Mul(d.exact, e.exact)}
	}
	return double{value: d.float() * e.float()}
}

// maxPower bounds the exponents that are followed here.
const maxPower = 300

// literal is the number that e is as written, a sign included, or a whole power of one.
func (e *Expr) literal() (double, bool) {
	switch {
	case e.op == opNumber && e.decimal:
		f, _ := e.num.Float64()
		return double{value: f}, fits(e.num)
	case e.op == opNumber:
		return double{exact: e.num}, true
	case e.op == opMul && e.args[0].isMinusOne():
		d, ok := e.args[1].literal()
		return d.mul(double{exact: big.NewRat(-1, 1)}), ok && e.args[1].op == opNumber
	case e.op == opPow:
		x, ok := e.args[0].literal()
		n, whole := e.args[1].exact()
		if !ok || !whole || !n.IsInt() || n.Num().BitLen() > 9 || n.Num().Int64() > maxPower || n.Num().Int64() < -maxPower {
			return double{}, false
		}
		if x.exact == nil {
			return double{value: math.Pow(x.value, float64(n.Num().Int64()))}, true
		}
		r, ok := exactPow(x.exact, n)
		return double{exact: r}, ok
	}
	return double{}, false
}

// fits tells whether a decimal has 15 digits at most: sympy gives a longer one more precision.
func fits(r *big.Rat) bool {
	n := new(big.Rat).Set(r)
	for range 40 {
		if n.IsInt() {
			return len(n.Num().String()) <= 15
		}
		n.Mul(n, big.NewRat(10, 1))
	}
	return false
}

func (e *Expr) isMinusOne() bool {
	return e.op == opNumber && e.num.IsInt() && e.num.Num().IsInt64() && e.num.Num().Int64() == -1
}

// product is a product of numbers, in the order of its parts; sums in it evaluated first.
func (e *Expr) product() (double, bool) {
	if d, ok := e.literal(); ok {
		return d, true
	}
	switch e.op {
	case opAdd, opMul:
		x, ok := e.args[0].product()
		if !ok {
			return x, false
		}
		y, ok := e.args[1].product()
		if e.op == opAdd {
			return x.add(y), ok
		}
		return x.mul(y), ok
	}
	return double{}, false
}

// negative is -e: the sum of its numbers, and its products.
func (e *Expr) negative() (sum double, products []double, ok bool) {
	sum = double{exact: new(big.Rat)}
	minusOne := double{exact: big.NewRat(-1, 1)}
	if d, ok := e.literal(); ok {
		return d.mul(minusOne), nil, true
	}
	if e.op != opAdd {
		d, ok := e.product()
		return sum, []double{d.mul(minusOne)}, ok
	}
	for _, a := range e.args {
		s, p, ok := a.negative()
		if !ok {
			return sum, nil, false
		}
		sum, products = sum.add(s), append(products, p...)
	}
	return sum, products, true
}

// twin tells whether a and b are the same but for numbers written as decimals: their terms cancel.
func (e *Expr) twin(b *Expr) bool {
	if e.op != b.op || len(e.args) != len(b.args) || e.op == opNumber && e.num.Cmp(b.num) != 0 {
		return false
	}
	for i, a := range e.args {
		if !a.twin(b.args[i]) {
			return false
		}
	}
	return e.op != opSymbol && e.op != opCall && e.op != opRelation
}

// difference tells whether sympy's simplify(a - b) is zero, for numbers with decimals in them; ok is false for others.
func difference(a, b *Expr) (zero, ok bool) {
	isDecimal := func(e *Expr) bool { return e.decimal }
	if !a.any(isDecimal) && !b.any(isDecimal) {
		return false, false
	}
	if a.twin(b) {
		return true, true
	}
	// The terms of nested sums are put behind what follows; numbers are added in that order, then come the products.
	sum := double{exact: new(big.Rat)}
	var products []double
	type term struct {
		expr   *Expr
		number double
		sum    bool // the number is a term of a sum
	}
	queue := []term{{expr: a}}
	minusB, parts, ok := b.negative()
	if !ok {
		return false, false
	}
	_, number := b.literal()
	switch {
	case number, b.op == opAdd && len(parts) == 0:
		queue = append(queue, term{number: minusB})
	case b.op == opAdd:
		queue = append(queue, term{number: minusB, sum: true})
	}
	products = append(products, parts...)
	for ; len(queue) > 0; queue = queue[1:] {
		o := queue[0]
		switch {
		case o.sum:
			queue = append(queue, term{number: o.number})
			continue
		case o.expr == nil:
			sum = sum.add(o.number)
			continue
		}
		d, ok := o.expr.literal()
		switch {
		case ok && o.expr.op == opPow:
			queue = append(queue, term{number: d})
		case ok:
			sum = sum.add(d)
		case o.expr.op == opAdd:
			queue = append(queue, term{expr: o.expr.args[0]}, term{expr: o.expr.args[1]})
		default:
			if d, ok = o.expr.product(); !ok {
				return false, false
			}
			products = append([]double{d}, products...)
		}
	}
	for _, d := range products {
		sum = sum.add(d)
	}
	if sum.exact != nil {
		return sum.exact.Sign() == 0, true
	}
	return sum.value == 0, true
}
