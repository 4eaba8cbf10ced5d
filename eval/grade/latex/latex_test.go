package latex

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// verdict is T or F where both sides parse, else "s": graders then compare the strings.
func verdict(a, b string) string {
	x, err := Parse(a)
	if err != nil {
		return "s"
	}
	y, err := Parse(b)
	switch {
	case err != nil:
		return "s"
	case Equal(x, y):
		return "T"
	}
	return "F"
}

// TestSympy compares with verdicts of sympy 1.12 (parse_latex with the ANTLR 4.11 runtime, then simplify(a-b) == 0) on
// generated pairs of answers, normalised as Abel does.
func TestSympy(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/sympy.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	agree, total := 0, 0
	for s := bufio.NewScanner(f); s.Scan(); {
		var c struct{ A, B, R string }
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		total++
		if got := verdict(c.A, c.B); got == c.R {
			agree++
		} else {
			t.Errorf("%q and %q: %s, sympy %s", c.A, c.B, got, c.R)
		}
	}
	t.Logf("%d of %d agree", agree, total)
	if agree != 700 || total != 700 {
		t.Errorf("%d of %d agree, want 700 of 700", agree, total)
	}
}

// TestRules names the habits of the original that decide verdicts; sympy 1.12 gives each of these.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, want, why string }{
		{`\frac{1}{2}`, `0.5`, "T", "fractions and decimals"},
		{`\frac12`, `\dfrac{2}{4}`, "T", "shorthand"},
		{`0.333`, `\frac{1}{3}`, "F", "decimals are exact"},
		{`1.41421356`, `\sqrt{2}`, "F", "no tolerance"},
		{`0.3`, `0.1+0.2`, "F", "sums of decimals in double precision"},
		{`25+0.116`, `25.116`, "F", "sums of decimals in double precision, in a certain order"},
		{`25.116`, `25+0.116`, "T", "sums of decimals in double precision, in a certain order"},
		{`5.4\times10^{-4}`, `0.00054`, "F", "products of decimals in double precision"},
		{`x^{2.0}`, `x^{2}`, "F", "decimal exponents"},
		{`0.2857142857142857`, `\frac{2}{7}`, "F", "a long decimal is not a double"},
		{`2.5\pi`, `\frac{5\pi}{2}`, "T", "decimal factors"},
		{`4^{0.5}`, `2`, "T", "decimal exponents give doubles"},
		{`2^{0.5}`, `\sqrt{2}`, "F", "decimal exponents give doubles"},
		{`\sqrt{8}`, `2\sqrt{2}`, "T", "roots"},
		{`\sqrt[3]{2}\sqrt[3]{4}`, `2`, "T", "cube roots"},
		{`\sqrt[3]{-8}`, `-2`, "F", "principal branch"},
		{`\sqrt{3+2\sqrt{2}}`, `1+\sqrt{2}`, "T", "nested roots"},
		{`\sqrt{x^2}`, `x`, "F", "symbols are complex"},
		{`\sqrt{x}\sqrt{y}`, `\sqrt{xy}`, "F", "symbols are complex"},
		{`(x+1)^2`, `x^2+2x+1`, "T", "polynomials"},
		{`\frac{x^2-1}{x-1}`, `x+1`, "T", "rational functions"},
		{`1/2x`, `\frac{1}{2x}`, "T", "implicit products bind tighter"},
		{`2^3^2`, `64`, "T", "powers group from the left"},
		{`3x4`, `12`, "T", "x between numbers is a times sign"},
		{`seat`, `east`, "T", "words are products"},
		{`\text{yes}`, `yes`, "F", "commands are symbols"},
		{`day`, `yad`, "F", "da is a differential"},
		{`e^2`, `\exp(2)`, "F", "e is a symbol"},
		{`\sqrt{-4}`, `2i`, "F", "i is a symbol"},
		{`\pi`, `3.14159`, "F", "pi is a symbol"},
		{`\log2`, `\ln2`, "T", "log is ln"},
		{`\log_28`, `3`, "T", "the last digit is the argument"},
		{`\ln6`, `\ln2+\ln3`, "T", "logarithms of numbers"},
		{`\ln(x^2)`, `2\ln x`, "F", "branches"},
		{`\sin^2x+\cos^2x`, `1`, "T", "trigonometry"},
		{`\sin2x`, `2\sin(x)\cos(x)`, "T", "trigonometry"},
		{`\tan x`, `\frac{\sin x}{\cos x}`, "T", "trigonometry"},
		{`x(x+1)`, `x^2+x`, "F", "x(…) is a function"},
		{`2(x+1)`, `2x+2`, "T", "2(…) is a product"},
		{`5!`, `120`, "T", "factorials"},
		{`(n+1)!`, `(n+1)n!`, "T", "factorials of symbols"},
		{`\binom{n}{2}`, `\frac{n\cdot(n-1)}{2}`, "T", "binomials"},
		{`2^{n+1}`, `2\cdot2^{n}`, "T", "symbolic exponents"},
		{`10^{100}+1`, `10^{100}`, "F", "large numbers"},
		{`|x|`, `|-x|`, "T", "absolute values"},
		{`\lfloor2.5\rfloor`, `2`, "T", "floor"},
		{`\overline{3}`, `3`, "T", "overline is the conjugate"},
		{`1011_2`, `1011`, "T", "a subscript of a number is not read"},
		{`x_{12}`, `x_12`, "T", "subscripts"},
		{`12)`, `12`, "T", "what cannot go on is ignored"},
		{`1,5`, `1`, "T", "a comma ends the number"},
		{`1,500`, `1500`, "T", "thousands"},
		{`yes.`, `yes`, "T", "a point behind letters"},
		{`18.`, `1`, "T", "a point behind digits leaves the first"},
		{`28.721...`, `28.72`, "T", "a point behind decimals takes the last one away"},
		{`\frac{24}{10}`, `\frac{24.0}{10}`, "T", "the same but for a decimal"},
		{`8.`, `8`, "s", "a point behind one digit"},
		{`.5`, `0.5`, "s", "a leading point"},
		{`007`, `7`, "s", "leading zeros"},
		{`50%`, `50`, "s", "illegal character"},
		{`50)%`, `50`, "T", "illegal character behind the end"},
		{`(1,2)`, `(1,2)`, "s", "tuples"},
		{`x>5`, `x>5`, "F", "comparisons have no difference"},
		{`\frac{1}{0}`, `\frac{1}{0}`, "F", "undefined"},
		{`\infty`, `\infty`, "F", "undefined"},
		{`0^0`, `1`, "T", "0^0 is 1"},
		{``, ``, "s", "nothing"},
		{`\le(x\right)`, `\le(x\right)`, "s", "a comparison without left side"},
	} {
		if got := verdict(c.a, c.b); got != c.want {
			t.Errorf("%s: %q and %q: %s, want %s", c.why, c.a, c.b, got, c.want)
		}
	}
}

// TestDifferences lists where this package is known not to follow sympy, with sympy's verdict.
func TestDifferences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, sympy, why string }{
		{`f(0.5)`, `f(\frac{1}{2})`, "F", "a function of a decimal is one of its value here"},
		{`x_{a+b}`, `x_{b+a}`, "T", "subscripts are compared as they are written"},
		{`|3|4|`, `|3|4|`, "T", "the shorter of two readings of a bar is not tried"},
		{`\int x`, `\int x`, "T", "integrals are not read"},
		{`\sum_{n=1}^{3}n`, `6`, "T", "sums are not read"},
		{`\lim_{x\to0}x`, `0`, "T", "limits are not read"},
		{`\frac{d}{dx}x`, `1`, "T", "derivatives are not read"},
	} {
		if got := verdict(c.a, c.b); got == c.sympy {
			t.Errorf("%q and %q: sympy's verdict %s is reached, the list says not: %s", c.a, c.b, got, c.why)
		}
	}
}

// TestBounded feeds what makes the original hang or run out of memory.
func TestBounded(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		strings.Repeat("(", 900), strings.Repeat("x(", 450), strings.Repeat("|", 900), strings.Repeat("{", 900),
		strings.Repeat("-", 900), strings.Repeat("9", 900), strings.Repeat("9^", 400) + "9", strings.Repeat("x!", 400),
		strings.Repeat(`\sin `, 180) + "x", strings.Repeat(`\sqrt{`, 140), strings.Repeat(`\frac{1}{`, 100),
		"9^{9^{9^{9}}}", "x^{9^{9^{9}}}", "99999999!", "9!!!!", `\binom{999999}{500000}`, `e^{e^{e^{e^{e^{e}}}}}`,
		`\exp(\exp(\exp(\exp(9))))`, "0.1^{999999999}", `\log_{1}2`, `\ln0`, `(-0.5)!`, `(-1)!`, "2^{0.3^{0.3^{0.3}}}",
		strings.Repeat("x^2y+", 180), strings.Repeat(`\sin x+`, 120) + "1", strings.Repeat("x_{", 300),
	} {
		start := time.Now()
		for range 2 {
			verdict(s, s)
			verdict(s, "1")
		}
		t.Logf("%v %.20q", time.Since(start), s)
	}
	if _, err := Parse(strings.Repeat("(", 900)); !errors.Is(err, ErrSyntax) {
		t.Error(err)
	}
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func FuzzEqual(f *testing.F) {
	for _, s := range []string{`\frac{1}{2}`, `x(2,3)`, `\log_28`, `1,234.5.`, `|x|y|`, `\sqrt[3]{x!}`, `d\pi^{0.5}`, `\binom{n}{2}`, `\sin^{-1}x`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 200 || len(b) > 200 {
			return
		}
		x, errA := Parse(a)
		y, errB := Parse(b)
		if (errA != nil && !errors.Is(errA, ErrSyntax)) || (errB != nil && !errors.Is(errB, ErrSyntax)) {
			t.Fatalf("errors %v, %v", errA, errB)
		}
		if errA != nil || errB != nil {
			return
		}
		// The process's own time: a busy machine does no harm. 100 ms are promised for two comparisons of answers.
		defer func(start time.Duration) {
			if took := cpu() - start; took > 2*time.Second {
				t.Errorf("%q, %q took %v", a, b, took)
			}
		}(cpu())
		// The order of sums in double precision may matter.
		if Equal(x, y) != Equal(y, x) && !strings.Contains(a+b, ".") {
			t.Fatalf("not symmetric: %q, %q", a, b)
		}
	})
}
