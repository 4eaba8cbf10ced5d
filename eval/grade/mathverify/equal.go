package mathverify

import (
	"math"
	"math/big"
	"slices"
	"strings"

	"mergebot/eval/grade/latex"
)

// maxComparisons bounds the comparisons by value of two answers.
const maxComparisons = 100

type comparer struct{ steps int }

func (c *comparer) spend() bool {
	c.steps++
	return c.steps <= maxComparisons
}

func (n *node) equation() bool {
	return n.shape == relation && !slices.ContainsFunc(n.signs, func(s string) bool { return s != "=" })
}

// onlySymbols tells whether n is a name: a symbol, a product of such, a function of such, a tuple of such.
func onlySymbols(n *node) bool {
	switch n.shape {
	case scalar:
		key := n.expr.Key()
		return n.letters != nil && !n.isE() || strings.HasPrefix(key, "function ") && !strings.ContainsAny(key, "0123456789")
	case tuple:
		return !slices.ContainsFunc(n.args, func(a *node) bool { return !onlySymbols(a) })
	}
	return false
}

func (n *node) assignment() bool { return n.equation() && onlySymbols(n.args[0]) }

func (n *node) last() *node { return n.args[len(n.args)-1] }

func (n *node) isSet() bool {
	switch n.shape {
	case set, interval, union, meet, minus, named:
		return true
	}
	return false
}

// equal is sympy_expr_eq in its strict form.
func (c *comparer) equal(gold, pred *node) bool {
	goldEquation, predEquation, assigned := gold.equation(), pred.equation(), gold.assignment()
	for _, n := range []**node{&gold, &pred} {
		if a := *n; a.assignment() && len(a.args) > 2 {
			*n = &node{shape: relation, args: []*node{a.args[0], a.last()}, signs: []string{"="}}
		}
	}
	if predEquation && !goldEquation {
		pred = pred.last()
	} else if assigned && !predEquation {
		gold = gold.last()
	}
	if gold.shape == relation && pred.isSet() {
		if s, ok := solutions(gold); ok {
			gold = s
		}
	}
	switch {
	case gold.key() == pred.key():
		return true
	case gold.shape == relation && pred.shape == relation:
		return c.relations(gold, pred)
	case gold.isSet() || pred.isSet() || gold.shape == tuple || pred.shape == tuple:
		return c.sets(gold, pred)
	case gold.shape == relation || pred.shape == relation:
		return false
	case gold.shape == matrix || pred.shape == matrix:
		return gold.shape == pred.shape && gold.columns == pred.columns && c.each(gold.args, pred.args)
	case gold.isSymbol() || pred.isSymbol():
		return symbols(gold, pred)
	}
	return c.scalars(gold, pred)
}

// symbols: a name is equal to the same name, upper and lower case alike, and to the product of its letters; one of digits
// to the number.
func symbols(gold, pred *node) bool {
	a, b := gold.word(), pred.word()
	return a != "" && strings.EqualFold(a, b)
}

func (n *node) word() string {
	if n.letters == nil && n.shape == scalar && n.rational() {
		return n.number.RatString()
	}
	return strings.Join(n.letters, "")
}

func (c *comparer) scalars(a, b *node) bool {
	if a.infinite() != 0 || b.infinite() != 0 {
		return a.infinite() == b.infinite()
	}
	if !c.spend() {
		return false
	}
	atomic := a.number != nil || b.number != nil
	switch {
	case a.number != nil && a.decimal || b.number != nil && b.decimal:
		if x, y, ok := reals(a, b); ok && rounded(x) == rounded(y) {
			return true
		}
	case !atomic:
		// 15 digits are as good as equality.
		if x, y, ok := reals(a, b); ok {
			d := new(big.Float).Sub(x, y)
			if d.Abs(d).Cmp(big.NewFloat(1e-15)) < 0 {
				return true
			}
		}
	}
	return latex.Equal(a.expr, b.expr)
}

func reals(a, b *node) (x, y *big.Float, ok bool) {
	x, ok = latex.Real(a.expr)
	if !ok {
		return nil, nil, false
	}
	y, ok = latex.Real(b.expr)
	return x, y, ok
}

// rounded is a value to six places. Far beyond a double's exact range, all of its digits count.
func rounded(x *big.Float) string {
	if x.MantExp(nil) > 1000 {
		return x.Text('g', 60)
	}
	s := x.Text('f', 6)
	if strings.Trim(s, "-0.") == "" {
		return "0"
	}
	return s
}

func (c *comparer) each(a, b []*node) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !c.equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (c *comparer) sets(a, b *node) bool {
	wrap := func(n *node) *node {
		if !n.isSet() && n.shape != tuple {
			return &node{shape: set, args: []*node{n}}
		}
		return n
	}
	a, b = wrap(a), wrap(b)
	list := func(n *node) bool { return n.shape == set || n.shape == tuple }
	pair := func(n *node) bool { return n.shape == interval && n.leftOpen && n.rightOpen }
	switch {
	case a.shape == interval && b.shape == interval:
		return a.leftOpen == b.leftOpen && a.rightOpen == b.rightOpen && c.each(a.args, b.args)
	case list(a) && list(b):
		if a.shape == tuple {
			return (b.shape == tuple || len(sorted(b)) == len(a.args)) && c.each(a.args, b.args)
		}
		return c.each(sorted(a), sorted(b))
	case pair(a) && list(b) && len(b.args) == 2:
		// (1,2) is read as an interval; 1,2 and {1,2} may mean the same.
		return c.each(a.args, b.args)
	case pair(b) && list(a) && len(a.args) == 2:
		if a.shape == set {
			return c.each(sorted(a), b.args)
		}
		return c.each(a.args, b.args)
	case a.shape == b.shape && (a.shape == union || a.shape == meet):
		return c.each(sorted(a), sorted(b))
	case a.shape == minus && b.shape == minus:
		return c.each(a.args, b.args)
	}
	return false
}

// sorted are the elements without repetition, by value where they have one, else by their text.
func sorted(n *node) []*node {
	type element struct {
		value float64
		key   string
		node  *node
	}
	var list []element
	seen := map[string]bool{}
	for _, a := range n.args {
		e := element{math.Inf(1), a.key(), a}
		if n.shape == set && seen[e.key] {
			continue
		}
		seen[e.key] = true
		v := a
		if a.assignment() {
			v = a.last()
		}
		if v.shape == interval {
			v = v.args[0]
		}
		if v.shape == scalar {
			if v.infinite() < 0 {
				e.value = math.Inf(-1)
			} else if x, ok := latex.Real(v.expr); ok {
				e.value, _ = x.Float64()
			}
		}
		list = append(list, e)
	}
	slices.SortStableFunc(list, func(x, y element) int {
		if x.value != y.value {
			if x.value < y.value {
				return -1
			}
			return 1
		}
		return strings.Compare(x.key, y.key)
	})
	out := make([]*node, len(list))
	for i, e := range list {
		out[i] = e.node
	}
	return out
}

// order compares two values, infinite ones included.
func order(a, b *node) (int, bool) {
	if i, j := a.infinite(), b.infinite(); i != 0 || j != 0 {
		return i - j, true
	}
	x, y, ok := reals(a, b)
	if !ok {
		return 0, false
	}
	return x.Cmp(y), true
}

var flipped = map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<=", "!=": "!="}

// relations compares chains part by part, a part by the difference of its sides; that of an equation may be a multiple of
// the other's.
func (c *comparer) relations(gold, pred *node) bool {
	if len(gold.signs) != len(pred.signs) {
		return false
	}
	for i := range gold.signs {
		if !c.part(gold, pred, i) {
			return false
		}
	}
	return true
}

func (c *comparer) part(gold, pred *node, i int) bool {
	for _, n := range []*node{gold.args[i], gold.args[i+1], pred.args[i], pred.args[i+1]} {
		if n.shape != scalar {
			// A tuple or a set on one side: both sides have to be the same.
			return gold.signs[i] == pred.signs[i] && gold.args[i].key() == pred.args[i].key() && gold.args[i+1].key() == pred.args[i+1].key()
		}
	}
	if !c.spend() {
		return false
	}
	a := latex.Add(gold.args[i].expr, latex.Negate(gold.args[i+1].expr))
	b := latex.Add(pred.args[i].expr, latex.Negate(pred.args[i+1].expr))
	switch {
	case gold.signs[i] == "=" && pred.signs[i] == "=":
		return latex.Proportional(a, b)
	case gold.signs[i] == pred.signs[i] && latex.Equal(a, b):
		return true
	}
	return flipped[gold.signs[i]] == pred.signs[i] && latex.Equal(a, latex.Negate(b))
}

// solutions is the set that an inequality for one symbol describes: a < x, x >= a, a < x <= b.
func solutions(n *node) (*node, bool) {
	infinity := exprNode(latex.Call("infinity"))
	low, high := infinity.negated(), infinity
	lowOpen, highOpen := true, true
	variable := ""
	for i, sign := range n.signs {
		a, b := n.args[i], n.args[i+1]
		if onlySymbols(b) && !onlySymbols(a) {
			a, b, sign = b, a, flipped[sign]
		}
		if !onlySymbols(a) || a.shape != scalar || b.shape != scalar || variable != "" && variable != a.key() {
			return nil, false
		}
		variable = a.key()
		switch sign {
		case "<", "<=":
			high, highOpen = b, sign == "<"
		case ">", ">=":
			low, lowOpen = b, sign == ">"
		default:
			return nil, false
		}
	}
	return &node{shape: interval, args: []*node{low, high}, leftOpen: lowOpen, rightOpen: highOpen}, true
}
