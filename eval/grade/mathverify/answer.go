// Package mathverify finds and compares mathematical answers in the manner of Hugging Face's Math-Verify 0.8.0 with
// latex2sympy2_extended 1.10.2: an answer is looked for where people and models put it, and is a number, an expression,
// a set, a tuple, an interval, a matrix, an equation or an inequality. Decimals are compared to six places. It is not
// symmetric: an equation x = 5 given for the gold 5 is unwrapped, for instance.
//
// Time and memory are bounded for every input. Integrals, sums, limits and functions of matrices are not read.
package mathverify

// Answer is what Find found: the text, and its meaning where it could be read.
type Answer struct {
	Text  string
	value *node
	found bool
}

// Found tells whether there is an answer at all.
func (a Answer) Found() bool { return a.found }

// Limits: only the end of an output is searched, a longer answer is compared as text, and so many candidates are tried.
const (
	maxOutput     = 1 << 15
	maxAnswer     = 1000
	maxCandidates = 100
)

// Equal tells whether pred is the answer gold: by value, or because the texts are the same.
func Equal(gold, pred Answer) bool {
	if gold.Text != "" && gold.Text == pred.Text {
		return true
	}
	if gold.value == nil || pred.value == nil {
		return false
	}
	var c comparer
	return c.equal(gold.value, pred.value)
}
