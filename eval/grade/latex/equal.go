package latex

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
)

// samples is at how many points expressions with symbols are compared; branched is the same for those with roots or
// functions, whose branches agree on a part of the plane only.
const (
	samples  = 3
	branched = 16
	// maxWork bounds points times nodes: long answers are compared at fewer points.
	maxWork = 6000
)

// Equal tells whether a - b is zero. Numbers without roots are compared exactly, or as sympy does where they have decimals,
// which may depend on which of them is a; all else at pseudo-random complex
// points, to 48 digits. An undefined value (a division by zero, a comparison) equals nothing, itself included, and so
// does one that is too large to compute.
func Equal(a, b *Expr) bool {
	undefined := func(e *Expr) bool { return e.op == opRelation || e.op == opCall && e.name == "infinity" }
	if a.any(undefined) || b.any(undefined) {
		return false
	}
	if zero, ok := difference(a, b); ok {
		return zero
	}
	if x, ok := a.exact(); ok {
		if y, ok := b.exact(); ok {
			return x.Cmp(y) == 0
		}
	}
	points := 1
	has := func(f func(*Expr) bool) bool { return a.any(f) || b.any(f) }
	if has(func(e *Expr) bool { return e.op == opSymbol || e.op == opCall }) {
		points = samples
		if has((*Expr).branched) {
			points = max(samples, min(branched, maxWork/(a.Size()+b.Size())))
		}
	}
	for i := range points {
		p := point{uint64(i)}
		x := p.eval(a)
		if x == nil {
			return false
		}
		y := p.eval(b)
		if y == nil || !x.near(y) {
			return false
		}
	}
	return true
}

// branched tells whether e itself is a function or a power that is not a whole one.
func (e *Expr) branched() bool {
	if e.op != opPow {
		return e.op == opCall
	}
	n, ok := e.args[1].exact()
	return !ok || !n.IsInt()
}

// maxBits bounds exact numbers.
const maxBits = 1 << 15

// exact is the value of an expression of numbers, sums, products and whole powers; ok is false for any other and
// where the result is undefined or long.
func (e *Expr) exact() (r *big.Rat, ok bool) {
	switch e.op {
	case opNumber:
		return e.num, true
	case opCall:
		if len(e.args) != 1 {
			return nil, false
		}
		x, ok := e.args[0].exact()
		if !ok {
			return nil, false
		}
		return exactCall(e.name, x)
	case opAdd, opMul, opPow:
	default:
		return nil, false
	}
	x, ok := e.args[0].exact()
	if !ok {
		return nil, false
	}
	y, ok := e.args[1].exact()
	if !ok {
		return nil, false
	}
	r = new(big.Rat)
	switch e.op {
	case opAdd:
		r.Add(x, y)
	case opMul:
		r.Mul(x, y)
	default:
		return exactPow(x, y)
	}
	return r, bits(r) <= maxBits
}

func bits(r *big.Rat) int { return r.Num().BitLen() + r.Denom().BitLen() }

func exactPow(x, y *big.Rat) (*big.Rat, bool) {
	if !y.IsInt() || !y.Num().IsInt64() {
		return nil, false
	}
	n := y.Num().Int64()
	if x.Sign() == 0 && n < 0 {
		return nil, false
	}
	size := n
	if size < 0 {
		size = -size
	}
	if size > maxBits || int(size)*bits(x) > maxBits {
		return nil, false
	}
	e := big.NewInt(size)
	num, den := new(big.Int).Exp(x.Num(), e, nil), new(big.Int).Exp(x.Denom(), e, nil)
	if n < 0 {
		num, den = den, num
	}
	return new(big.Rat).SetFrac(num, den), true
}

// maxFactorial bounds n in n!, and by how much an argument of the factorial is shifted.
const maxFactorial = 500

func exactCall(name string, x *big.Rat) (*big.Rat, bool) {
	switch name {
	case "abs":
		return new(big.Rat).Abs(x), true
	case "conjugate":
		return x, true
	case "floor":
		return new(big.Rat).SetInt(floor(x)), true
	case "ceil":
		return new(big.Rat).SetInt(new(big.Int).Neg(floor(new(big.Rat).Neg(x)))), true
	case "factorial":
		if x.IsInt() && x.Sign() >= 0 && x.Cmp(big.NewRat(maxFactorial, 1)) <= 0 {
			return new(big.Rat).SetInt(new(big.Int).MulRange(1, x.Num().Int64())), true
		}
	}
	return nil, false
}

func floor(x *big.Rat) *big.Int {
	q, m := new(big.Int).DivMod(x.Num(), x.Denom(), new(big.Int))
	_ = m // Euclidean: with a positive denominator the quotient is the floor
	return q
}

// point assigns a value to every symbol and to every function that is not computed.
type point struct{ seed uint64 }

// eval is the value of e at the point, or nil.
func (p point) eval(e *Expr) *value {
	if r, ok := e.exact(); ok {
		return realOf(float().SetRat(r))
	}
	switch e.op {
	case opSymbol:
		if e.real {
			return realOf(p.opaque("real symbol "+e.name, nil).re)
		}
		return p.opaque("symbol "+e.name, nil)
	case opCall:
		args := make([]*value, len(e.args))
		for i, a := range e.args {
			if args[i] = p.eval(a); args[i] == nil {
				return nil
			}
		}
		return p.call(e.name, args)
	case opAdd, opMul, opPow:
	default:
		return nil
	}
	x := p.eval(e.args[0])
	if x == nil {
		return nil
	}
	if e.op == opPow {
		return p.power(x, e.args[0], e.args[1])
	}
	y := p.eval(e.args[1])
	if y == nil {
		return nil
	}
	if e.op == opAdd {
		z := x.add(y)
		if z != nil && z.size() < max(x.size(), y.size())-tolerance {
			// What cancels to rounding is zero; a division by it must not look like one by a number.
			return fromInt(0)
		}
		return z
	}
	return x.mul(y)
}

// power keeps whole exponents exact. With a decimal exponent a power of a symbol is equal to itself only, and a decimal exponent makes sympy compute in double precision, so that 2^{0.5} is a
// number near the root of 2, and 4^{0.5} is 2.
func (p point) power(x *value, base, exponent *Expr) *value {
	isDecimal := func(e *Expr) bool { return e.decimal }
	if exponent.any(isDecimal) && base.any((*Expr).isSymbol) {
		y := p.eval(exponent)
		if y == nil {
			return nil
		}
		return p.opaque("power", []*value{x, y})
	}
	if r, ok := exponent.exact(); ok && r.IsInt() && r.Num().IsInt64() {
		n := r.Num().Int64()
		if n < 0 && x.zero() || n > maxExponent || n < -maxExponent {
			return nil
		}
		return x.powInt(n)
	}
	y := p.eval(exponent)
	if y == nil {
		return nil
	}
	z := x.pow(y)
	if z != nil && exponent.any(isDecimal) {
		for _, f := range []*big.Float{z.re, z.im} {
			f.SetPrec(53).SetPrec(prec)
		}
	}
	return z
}

// opaque is a pseudo-random value that depends on the name and the arguments, equal for arguments that differ only by
// rounding.
func (p point) opaque(name string, args []*value) *value {
	b := binary.LittleEndian.AppendUint64(nil, p.seed)
	b = append(b, name...)
	for _, a := range args {
		for _, f := range []*big.Float{a.re, a.im} {
			b = append(b, 0)
			r := new(big.Float).SetPrec(100).SetMode(big.ToNearestEven).Set(f)
			if r.Sign() != 0 && r.MantExp(nil) < a.size()-100 {
				r.SetInt64(0)
			}
			b = r.Append(b, 'p', 0)
		}
	}
	sum := sha256.Sum256(b)
	part := func(i int) *big.Float {
		// Between 0.5 and 2.5 in size, either sign.
		n := int64(binary.LittleEndian.Uint64(sum[8*i:]) >> 2)
		f := float().SetMantExp(float().SetInt64(n), -61)
		f.Add(f, big.NewFloat(0.5))
		if sum[31-i]&1 == 1 {
			f.Neg(f)
		}
		return f
	}
	return &value{part(0), part(1)}
}

func (p point) call(name string, args []*value) *value {
	if len(args) == 1 {
		if f, ok := elementary[name]; ok {
			return f(args[0])
		}
	}
	switch name {
	case "pi":
		return realOf(fromInt(-1).log().im)
	case "e":
		return fromInt(1).exp()
	case "factorial":
		return p.factorial(args[0])
	case "binomial":
		return p.binomial(args[0], args[1])
	case "floor", "ceil":
		// Of an irrational real number; a symbol's floor is only equal to itself.
		if x := args[0]; x.im.Sign() == 0 && x.size() < prec/2 {
			n, _ := x.re.Int(nil)
			if name == "floor" && x.re.Sign() < 0 {
				n.Sub(n, big.NewInt(1))
			} else if name == "ceil" && x.re.Sign() > 0 {
				n.Add(n, big.NewInt(1))
			}
			return realOf(float().SetInt(n))
		}
	}
	return p.opaque(name, args)
}

// factorial obeys z! = z·(z-1)!: it is an opaque function on the strip 0 <= Re z < 1, continued by that rule.
func (p point) factorial(z *value) *value {
	if z == nil {
		return nil
	}
	n, _ := z.re.Int64()
	if z.re.Sign() < 0 && !z.re.IsInt() {
		n--
	}
	if z.re.IsInt() && z.im.Sign() == 0 && n < 0 {
		return nil
	}
	if n > maxFactorial || n < -maxFactorial {
		return p.opaque("factorial", []*value{z})
	}
	base := z.add(fromInt(-n))
	out := p.opaque("factorial", []*value{base})
	if base.zero() {
		out = fromInt(1)
	}
	for k := int64(1); k <= n; k++ {
		out = out.mul(base.add(fromInt(k)))
	}
	for k := int64(0); k > n; k-- {
		out = out.mul(base.add(fromInt(k)).inv())
	}
	return out
}

func (p point) binomial(n, k *value) *value {
	// For a whole k it is the product of k factors; otherwise three factorials.
	if k.im.Sign() == 0 && k.re.IsInt() {
		if m, _ := k.re.Int64(); m < 0 {
			return fromInt(0)
		} else if m <= maxFactorial {
			out := fromInt(1)
			for i := range m {
				out = out.mul(n.add(fromInt(-i))).mul(fromInt(i + 1).inv())
			}
			return out
		}
	}
	return p.factorial(n).mul(p.factorial(k).inv()).mul(p.factorial(n.add(k.neg())).inv())
}

// elementary are the functions that are computed; the others, inverse functions among them, are opaque.
var elementary = map[string]func(*value) *value{
	"abs":       func(x *value) *value { return realOf(x.abs()) },
	"conjugate": func(x *value) *value { return &value{x.re, float().Neg(x.im)} },
	"exp":       (*value).exp,
	"log":       (*value).log,
	"sin":       func(x *value) *value { return trig(x, true, opSin) },
	"cos":       func(x *value) *value { return trig(x, true, opCos) },
	"tan":       func(x *value) *value { return trig(x, true, opSin, opCos) },
	"cot":       func(x *value) *value { return trig(x, true, opCos, opSin) },
	"sec":       func(x *value) *value { return trig(x, true, opOne, opCos) },
	"csc":       func(x *value) *value { return trig(x, true, opOne, opSin) },
	"sinh":      func(x *value) *value { return trig(x, false, opSin) },
	"cosh":      func(x *value) *value { return trig(x, false, opCos) },
	"tanh":      func(x *value) *value { return trig(x, false, opSin, opCos) },
}

type trigPart int

const (
	opOne trigPart = iota
	opSin
	opCos
)

// trig computes parts[0] / parts[1] from e^{ix} and e^{-ix}, or from e^x and e^{-x} for the hyperbolic functions.
func trig(x *value, circular bool, parts ...trigPart) *value {
	z := x
	if circular {
		z = &value{float().Neg(x.im), x.re}
	}
	up, down := z.exp(), z.neg().exp()
	half := realOf(float().SetFloat64(0.5))
	part := func(k trigPart) *value {
		switch k {
		case opCos:
			return up.add(down).mul(half)
		case opSin:
			s := up.add(down.neg()).mul(half)
			if circular && s != nil {
				s = &value{s.im, float().Neg(s.re)} // divided by i
			}
			return s
		}
		return fromInt(1)
	}
	out := part(parts[0])
	for _, k := range parts[1:] {
		out = out.mul(part(k).inv())
	}
	return out.chop()
}
