package mathverify

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"mergebot/eval/grade/latex"
)

// Limits of the parser, which tries one reading after another.
const (
	maxDepth = 60
	maxSteps = 20000
)

var (
	thousands = regexp.MustCompile(`^\s*-?\d{1,3}(,\d{3})+(\.\d+)?\s*$`)
	complexes = regexp.MustCompile(`\\mathbb\{C\}|\\i\b|\bi\b|\\text\{i\}|\\mathrm\{i\}|\\imath\b|\\det|\\operatorname\{tr\}|\\operatorname\{rank\}|\\text\{rank\}|` +
		`\\arg\{|\\Re\{|\\Im\{|\\operatorname\{Re\}|\\operatorname\{Im\}|\\text\{Re\}|\\text\{Im\}`)
)

// parse reads normalized LaTeX, the whole of it.
func parse(s string) (*node, error) {
	if len(s) > maxAnswer {
		return nil, fmt.Errorf("%w: more than %d bytes", errSyntax, maxAnswer)
	}
	tokens, err := lex(s)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, real: !complexes.MatchString(s)}
	var n *node
	switch {
	case thousands.MatchString(s):
		n, err = literal(strings.TrimSpace(s))
	default:
		n, err = p.first(p.setAssigned, p.elements, p.setRelation)
	}
	if err == nil && size(n) > maxAnswer {
		err = fmt.Errorf("%w: too large", errSyntax)
	}
	return n, err
}

func size(n *node) int {
	s := 1
	if n.expr != nil {
		s += n.expr.Size()
	}
	for _, a := range n.args {
		s += size(a)
	}
	return s
}

func literal(s string) (*node, error) {
	plain := strings.ReplaceAll(s, ",", "")
	r, ok := new(big.Rat).SetString(plain)
	if _, exp, found := strings.Cut(plain, "E"); found && len(exp) > 3 {
		ok = false
	}
	if !ok {
		return nil, fmt.Errorf("%w: number %.20q", errSyntax, s)
	}
	return numberNode(r, strings.ContainsAny(plain, ".E")), nil
}

type parser struct {
	tokens []token
	pos    int
	depth  int
	steps  int
	real   bool
}

func (p *parser) at(i int) token {
	if p.pos+i < len(p.tokens) {
		return p.tokens[p.pos+i]
	}
	return token{}
}

func (p *parser) is(k kind, text string) bool {
	t := p.at(0)
	if t.kind != k || t.text != text {
		return false
	}
	p.pos++
	return true
}

func (p *parser) punct(text string) bool { return p.is(kPunct, text) }

func (p *parser) fail(what string) error {
	return fmt.Errorf("%w: %s expected, not %q", errSyntax, what, p.at(0).text)
}

func (p *parser) want(text string) error {
	if !p.punct(text) {
		return p.fail(text)
	}
	return nil
}

func (p *parser) enter() error {
	p.depth++
	if p.steps++; p.depth > maxDepth || p.steps > maxSteps {
		p.depth = 2 * maxDepth // nothing more is tried
		return fmt.Errorf("%w: too deep", errSyntax)
	}
	return nil
}

// first is the first reading that takes all tokens.
func (p *parser) first(readings ...func() (*node, error)) (*node, error) {
	err := p.fail("an answer")
	for _, f := range readings {
		p.pos, p.depth = 0, 0
		n, e := f()
		if e == nil && p.pos == len(p.tokens) {
			return n, nil
		}
		if e == nil {
			e = p.fail("the end")
		}
		err = e
	}
	return nil, err
}

// try gives the tokens back where f fails or is not followed by what may follow.
func (p *parser) try(f func() (*node, error), follows func(token) bool) (*node, bool) {
	pos, depth := p.pos, p.depth
	n, err := f()
	if err == nil && follows(p.at(0)) {
		return n, true
	}
	if p.depth < 2*maxDepth {
		p.pos, p.depth = pos, depth
	}
	return nil, false
}

func always(token) bool { return true }

// ends tells whether an element of a list can end before t.
func ends(t token) bool {
	return t.kind == kEOF || t.kind == kPunct && strings.Contains(`, ; ) ] } \} \)`, t.text)
}

// setAssigned is a symbol, or symbols in brackets, that are, or are in, what follows.
func (p *parser) setAssigned() (*node, error) {
	left, err := p.symbols()
	if err != nil {
		return nil, err
	}
	if !p.is(kRel, "=") && !p.is(kCommand, "in") {
		return nil, p.fail("=")
	}
	right, err := p.list(false)
	if err != nil {
		return nil, err
	}
	return &node{shape: relation, args: []*node{left, right}, signs: []string{"="}}, nil
}

func (p *parser) symbols() (*node, error) {
	if !p.punct("(") {
		return p.symbol()
	}
	out := &node{shape: tuple}
	for {
		s, err := p.symbol()
		if err != nil {
			return nil, err
		}
		out.args = append(out.args, s)
		if !p.punct(",") {
			break
		}
	}
	if len(out.args) == 1 {
		out = out.args[0]
	}
	return out, p.want(")")
}

func (p *parser) elements() (*node, error) { return p.list(true) }

// list is what is separated by commas and semicolons: one element is itself, several are a set, groups are tuples in one.
func (p *parser) list(relations bool) (*node, error) {
	groups, err := p.groups(relations)
	if err != nil {
		return nil, err
	}
	if len(groups) == 1 {
		if len(groups[0]) == 1 {
			return groups[0][0], nil
		}
		return &node{shape: set, args: groups[0]}, nil
	}
	out := &node{shape: set}
	single := true
	for _, g := range groups {
		single = single && len(g) == 1
	}
	for _, g := range groups {
		if single {
			out.args = append(out.args, g[0])
		} else {
			out.args = append(out.args, &node{shape: tuple, args: g})
		}
	}
	return out, nil
}

func (p *parser) groups(relations bool) ([][]*node, error) {
	groups := [][]*node{nil}
	for {
		e, err := p.element(relations)
		if err != nil {
			return nil, err
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], e...)
		switch {
		case p.punct(","):
		case p.punct(";"):
			groups = append(groups, nil)
		default:
			return groups, nil
		}
	}
}

func (p *parser) element(relations bool) ([]*node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	var both []*node
	if _, ok := p.try(func() (n *node, err error) { both, err = p.plusMinus(); return nil, err }, ends); ok {
		return both, nil
	}
	if n, ok := p.try(p.setAtom, ends); ok {
		return []*node{n}, nil
	}
	f := p.expr
	if relations {
		f = p.relation
	}
	n, err := f()
	return []*node{n}, err
}

func (p *parser) plusMinus() ([]*node, error) {
	if p.is(kCommand, "pm") {
		n, err := p.scalarExpr()
		if err != nil {
			return nil, err
		}
		return []*node{n.negated(), n}, nil
	}
	a, err := p.scalarExpr()
	if err != nil {
		return nil, err
	}
	if !p.is(kCommand, "pm") {
		return nil, p.fail(`\pm`)
	}
	b, err := p.scalarExpr()
	if err != nil {
		return nil, err
	}
	return []*node{exprNode(latex.Add(a.expr, b.expr)), exprNode(latex.Add(a.expr, b.negated().expr))}, nil
}

// relation is an expression or a chain of comparisons.
func (p *parser) relation() (*node, error) {
	first, err := p.expr()
	if err != nil {
		return nil, err
	}
	out := &node{shape: relation, args: []*node{first}}
	for p.at(0).kind == kRel {
		sign := p.at(0).text
		p.pos++
		n, err := p.expr()
		if err != nil {
			return nil, err
		}
		if sign == "~" {
			// x ≈ 1.4 is 1.4, and anything longer is what it was before the sign.
			if len(out.args) == 1 && onlySymbols(first) {
				out.args[0] = n
			}
			continue
		}
		out.args, out.signs = append(out.args, n), append(out.signs, sign)
	}
	if len(out.signs) == 0 {
		return out.args[0], nil
	}
	return out, nil
}

// setRelation is an expression of sets, what it equals or is in, included.
func (p *parser) setRelation() (*node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	left, ok := p.try(p.symbols, func(t token) bool { return t == token{kRel, "="} || t == token{kCommand, "in"} })
	if !ok {
		return p.without()
	}
	p.pos++
	right, err := p.setRelation()
	return &node{shape: relation, args: []*node{left, right}, signs: []string{"="}}, err
}

func (p *parser) without() (*node, error) { return p.setChain("setminus", minus, p.union) }
func (p *parser) union() (*node, error)   { return p.setChain("cup", union, p.meet) }
func (p *parser) meet() (*node, error)    { return p.setChain("cap", meet, p.setGroup) }

func (p *parser) setChain(sign string, s shape, part func() (*node, error)) (*node, error) {
	first, err := part()
	if err != nil || p.at(0) != (token{kCommand, sign}) {
		return first, err
	}
	out := &node{shape: s, args: []*node{asSet(first)}}
	for p.is(kCommand, sign) {
		n, err := part()
		if err != nil {
			return nil, err
		}
		out.args = append(out.args, asSet(n))
	}
	if s == union && !slices.ContainsFunc(out.args, func(a *node) bool { return a.shape != set }) {
		all := &node{shape: set}
		for _, a := range out.args {
			all.args = append(all.args, a.args...)
		}
		return all, nil
	}
	return out, nil
}

// asSet takes a tuple in an operation of sets for the set of its elements.
func asSet(n *node) *node {
	if n.shape == tuple {
		return &node{shape: set, args: n.args}
	}
	return n
}

func (p *parser) setGroup() (*node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if n, ok := p.try(p.setAtom, always); ok {
		return n, nil
	}
	if err := p.want("("); err != nil {
		return nil, err
	}
	n, err := p.without()
	if err != nil {
		return nil, err
	}
	return n, p.want(")")
}

// setAtom is an interval, a tuple, a set in braces or one with a name.
func (p *parser) setAtom() (*node, error) {
	t := p.at(0)
	if t.kind == kSet {
		p.pos++
		return &node{shape: named, name: t.text}, nil
	}
	p.is(kCommand, "boxed")
	boxed := t == token{kCommand, "boxed"}
	open := p.at(0)
	if open.kind != kPunct || boxed && open.text != "{" {
		return nil, p.fail("a set")
	}
	p.pos++
	switch open.text {
	case "{", `\{`:
		end := map[string]string{"{": "}", `\{`: `\}`}[open.text]
		if p.punct(end) {
			return &node{shape: named, name: "empty"}, nil
		}
		groups, err := p.groups(true)
		if err != nil {
			return nil, err
		}
		flat := &node{shape: set}
		for _, g := range groups {
			flat.args = append(flat.args, g...)
		}
		if boxed && len(flat.args) == 1 {
			flat = flat.args[0]
		}
		return flat, p.want(end)
	case "(", "[", `\(`:
		groups, err := p.groups(true)
		if err != nil {
			return nil, err
		}
		left, end := strings.TrimPrefix(open.text, `\`), strings.TrimPrefix(p.at(0).text, `\`)
		if end != ")" && end != "]" {
			return nil, p.fail(")")
		}
		p.pos++
		var flat []*node
		for _, g := range groups {
			flat = append(flat, g...)
		}
		if len(groups) == 1 && len(flat) == 2 && flat[0].shape == scalar && flat[1].shape == scalar {
			return span(flat[0], flat[1], left == "(", end == ")"), nil
		}
		if (left == "(") != (end == ")") {
			return nil, p.fail("the same bracket")
		}
		if len(flat) == 1 {
			return flat[0], nil
		}
		return &node{shape: tuple, args: flat}, nil
	}
	return nil, p.fail("a set")
}

// span is an interval, or a pair where an interval would be empty.
func span(a, b *node, leftOpen, rightOpen bool) *node {
	leftOpen, rightOpen = leftOpen || a.infinite() != 0, rightOpen || b.infinite() != 0
	if c, ok := order(a, b); ok && (leftOpen && rightOpen && c >= 0 || !leftOpen && !rightOpen && c > 0) {
		return &node{shape: tuple, args: []*node{a, b}}
	}
	return &node{shape: interval, args: []*node{a, b}, leftOpen: leftOpen, rightOpen: rightOpen}
}
