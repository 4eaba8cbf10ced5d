package mathverify

import (
	"math/big"
	"strings"

	"mergebot/eval/grade/latex"
)

type shape int

const (
	scalar   shape = iota // expr
	set                   // args, in the order as written
	tuple                 // args
	interval              // args[0] to args[1], open at either end
	union                 // args
	meet                  // args: an intersection
	minus                 // args[0] without args[1]
	named                 // a set with a name
	matrix                // args by rows, of the given number of columns
	relation              // a chain: args[i] signs[i] args[i+1]
)

// node is what an answer means.
type node struct {
	shape
	args []*node
	expr *latex.Expr
	// number is set on a scalar that is a number as written, a leading minus included; decimal says that it has a point,
	// percent that a percent sign follows it.
	number           *big.Rat
	decimal, percent bool
	// letters are the names of a product of symbols, a single one included.
	letters             []string
	leftOpen, rightOpen bool
	name                string // of a named set
	signs               []string
	columns             int
}

func numberNode(r *big.Rat, decimal bool) *node {
	return &node{expr: latex.Number(r, decimal), number: r, decimal: decimal}
}

func exprNode(e *latex.Expr) *node { return &node{expr: e} }

// symbolNode makes the constants pi and e of their names; all else is a symbol without regard to upper and lower case.
func symbolNode(name string, isReal bool) *node {
	name = strings.ToLower(name)
	switch name {
	case "pi":
		return exprNode(latex.Call("pi"))
	}
	return &node{expr: latex.Variable(name, isReal), letters: []string{name}}
}

func (n *node) isSymbol() bool { return n.shape == scalar && len(n.letters) == 1 && !n.isE() }

func (n *node) isE() bool { return n.expr != nil && n.expr.Key() == "e()" }

// infinite is the sign of an infinite end, or 0.
func (n *node) infinite() int {
	switch n.key() {
	case "infinity()":
		return 1
	case "*(-1,infinity())":
		return -1
	}
	return 0
}

func (n *node) integer() bool {
	return n.shape == scalar && n.number != nil && !n.decimal && !n.percent && n.number.IsInt()
}

func (n *node) rational() bool {
	return n.shape == scalar && n.number != nil && !n.decimal && !n.percent
}

// negated keeps a number a number.
func (n *node) negated() *node {
	if n.shape == scalar && n.number != nil && !n.percent {
		return numberNode(new(big.Rat).Neg(n.number), n.decimal)
	}
	if n.shape != scalar {
		out := *n
		out.args = nil
		for _, a := range n.args {
			out.args = append(out.args, a.negated())
		}
		return &out
	}
	return exprNode(latex.Negate(n.expr))
}

func (n *node) times(m *node) *node {
	out := exprNode(latex.Multiply(n.expr, m.expr))
	if n.letters != nil && m.letters != nil {
		out.letters = append(append([]string{}, n.letters...), m.letters...)
	}
	return out
}

func (n *node) over(m *node) *node {
	if n.integer() && m.integer() && m.number.Sign() != 0 {
		return numberNode(new(big.Rat).Quo(n.number, m.number), false)
	}
	return exprNode(latex.Multiply(n.expr, latex.Invert(m.expr)))
}

// percentOf is a hundredth, with the number remembered.
func (n *node) percentOf() *node {
	if n.shape != scalar {
		return n
	}
	return &node{expr: latex.Multiply(n.expr, latex.Number(big.NewRat(1, 100), false)), number: n.number, decimal: n.decimal, percent: true}
}

// key is equal for answers that are the same without any algebra.
func (n *node) key() string {
	if n.shape == scalar {
		return n.expr.Key()
	}
	var b strings.Builder
	b.WriteByte(byte('A' + n.shape))
	b.WriteString(n.name)
	b.WriteString(strings.Repeat("&", n.columns))
	for _, s := range n.signs {
		b.WriteString(s)
	}
	if n.leftOpen {
		b.WriteByte('l')
	}
	if n.rightOpen {
		b.WriteByte('r')
	}
	for _, a := range n.args {
		b.WriteByte(';')
		b.WriteString(a.key())
	}
	return b.String() + "."
}

func (n *node) plus(m *node) *node { return exprNode(latex.Add(n.expr, m.expr)) }

func (n *node) raised(m *node) *node { return exprNode(latex.Power(n.expr, m.expr)) }
