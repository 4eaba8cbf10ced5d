package latex

import (
	"fmt"
	"math/big"
	"strings"
)

func (p *parser) atom() (*Expr, error) {
	t, err := p.peek()
	if err != nil {
		return nil, err
	}
	switch t.kind {
	case tLetter, tSymbol:
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		if name == "infty" {
			return call("infinity"), nil
		}
		return symbol(name), nil
	case tDigit:
		return p.number()
	case tDiff:
		p.pos++
		return symbol(t.text), nil
	case tCommand:
		switch t.text {
		case "frac", "dfrac", "tfrac":
			return p.fraction()
		case "binom", "dbinom", "tbinom":
			p.pos++
			n, err := p.bracketed("{", "}")
			if err != nil {
				return nil, err
			}
			k, err := p.bracketed("{", "}")
			return call("binomial", n, k), err
		case "mathit":
			return p.mathit()
		}
	}
	return nil, fmt.Errorf("%w: %q not expected", ErrSyntax, t.text)
}

func (p *parser) mathit() (*Expr, error) {
	p.pos++
	if err := p.want("{"); err != nil {
		return nil, err
	}
	var name strings.Builder
	for {
		t, err := p.peek()
		if err != nil {
			return nil, err
		}
		if t.kind != tLetter {
			break
		}
		name.WriteString(t.text)
		p.pos++
	}
	return symbol(name.String()), p.want("}")
}

// fraction reads \frac with braced parts or single digits.
func (p *parser) fraction() (*Expr, error) {
	p.pos++
	part := func() (*Expr, error) {
		t, err := p.peek()
		if err != nil {
			return nil, err
		}
		if t.kind == tDigit {
			p.pos++
			return integer(int64(t.text[0] - '0')), nil
		}
		return p.bracketed("{", "}")
	}
	top, err := part()
	if err != nil {
		return nil, err
	}
	bottom, err := part()
	if err != nil {
		return nil, err
	}
	return node(opMul, top, inverse(bottom)), nil
}

// number reads digits, groups of three behind commas, and decimals.
func (p *parser) number() (*Expr, error) {
	digits := func(from, most int) (int, error) {
		n := 0
		for n < most {
			t, err := p.at(from + n)
			if err != nil {
				return 0, err
			}
			if t.kind != tDigit {
				break
			}
			n++
		}
		return n, nil
	}
	punct := func(i int, text string) (bool, error) {
		t, err := p.at(i)
		return err == nil && t.kind == tPunct && t.text == text, err
	}
	whole, err := digits(0, maxDigits+1)
	if err != nil {
		return nil, err
	}
	if whole > maxDigits {
		return nil, fmt.Errorf("%w: %w: a number of more than %d digits", ErrSyntax, errFatal, maxDigits)
	}
	end, beforeLast := whole, 0
	for {
		comma, err := punct(end, ",")
		if err != nil {
			return nil, err
		}
		if !comma {
			break
		}
		n, err := digits(end+1, 3)
		if err != nil {
			return nil, err
		}
		if n < 3 {
			break
		}
		beforeLast, end = end, end+4
		if end > maxDigits {
			return nil, fmt.Errorf("%w: %w: a number of more than %d digits", ErrSyntax, errFatal, maxDigits)
		}
	}
	point, err := punct(end, ".")
	if err != nil {
		return nil, err
	}
	decimals := 0
	if point {
		if decimals, err = digits(end+1, maxDigits); err != nil {
			return nil, err
		}
		switch {
		case decimals > 0:
			// `8.675.` is 8.67 and then `5.`, for the same reason as below.
			again, err := punct(end+1+decimals, ".")
			if err != nil {
				return nil, err
			}
			if again && decimals > 1 {
				decimals--
			}
			end += 1 + decimals
		case beforeLast > 0:
			// `1,234.` cannot be one number for the generated parser; it falls back to what is before the last comma,
			end = beforeLast
		case whole > 1:
			// and `12.` to the first digit.
			end = 1
		default:
			return nil, fmt.Errorf("%w: %w", ErrSyntax, errPoint)
		}
	}
	var b strings.Builder
	for i := range end {
		t, err := p.at(i)
		if err != nil {
			return nil, err
		}
		if t.text != "," {
			b.WriteString(t.text)
		}
	}
	p.pos += end
	return literal(b.String(), decimals > 0)
}

// maxDigits bounds a number that is read.
const maxDigits = 1000

// literal makes a number. Python refuses integers such as 007.
func literal(s string, decimal bool) (*Expr, error) {
	if !decimal && len(s) > 1 && s[0] == '0' && strings.Trim(s, "0") != "" {
		return nil, fmt.Errorf("%w: %w: integer with leading zeros", ErrSyntax, errFatal)
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil, fmt.Errorf("%w: %w: number", ErrSyntax, errFatal)
	}
	e := number(r)
	e.decimal = decimal
	return e, nil
}
