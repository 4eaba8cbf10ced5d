package mathverify

import (
	"strings"
	"testing"
)

// TestEqual: the verdicts are those of Math-Verify 0.8.0 for verify(parse("$gold$"), parse("$pred$")).
func TestEqual(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		gold, pred string
		want       bool
	}{
		{`\frac{1}{2}`, `0.5`, true}, {`\frac{1}{3}`, `0.3333333`, true}, {`\frac{1}{3}`, `0.333`, false}, {`1\frac{1}{2}`, `\frac{3}{2}`, true},
		{`50\%`, `0.5`, true}, {`50\%`, `50`, false}, {`1,000`, `1000`, true}, {`1,5`, `15`, false}, {`1011_2`, `1011`, true},
		{`(1,2)`, `1,2`, true}, {`(1,2)`, `(2,1)`, false}, {`\{1,2\}`, `\{2,1\}`, true}, {`1,2`, `2,1`, true}, {`1,-1`, `\pm 1`, true}, {`(1,2,3)`, `(3,2,1)`, false},
		{`[2,5)`, `[2,5]`, false}, {`(-\infty,3]`, `[-\infty,3]`, true}, {`(-\infty,0)\cup(1,2]`, `(1,2]\cup(-\infty,0)`, true}, {`1<x<2`, `(1,2)`, true}, {`\{1,2\}\cup\{3\}`, `3,1,2`, true},
		{`x=5`, `5`, true}, {`5`, `x=5`, true}, {`x=3`, `y=3`, false}, {`y=2x+3`, `2y=4x+6`, true}, {`x>2`, `2<x`, true}, {`x>2`, `x\ge 2`, false}, {`x=1,x=2`, `1,2`, true},
		{`\text{Monday}`, `monday`, true}, {`\text{east}`, `seat`, false}, {`\text{no solution}`, `no solution`, true}, {`3`, `\text{3}`, true},
		{`\begin{pmatrix} 1 \\ 2 \end{pmatrix}`, `\begin{bmatrix} 1 \\ 2 \end{bmatrix}`, true}, {`\begin{pmatrix} 1 \\ 2 \end{pmatrix}`, `\begin{pmatrix} 1 & 2 \end{pmatrix}`, false},
		{`\log 2`, `\ln 2`, false}, {`\log_2 8`, `3`, true}, {`|x|`, `\sqrt{x^2}`, true}, {`e^2`, `\exp(2)`, true}, {`2\pi`, `\pi 2`, true}, {`xy`, `yx`, true}, {`\max(3,1)`, `3`, true},
		{`12`, `12\text{ cm}`, true}, {`90`, `90^\circ`, true}, {`x(x+1)`, `x^2+x`, true}, {`a^{2}`, `a^{2.0}`, false}, {`-i`, `-1i`, false},
	} {
		if got := Equal(Bare(c.gold), Bare(c.pred)); got != c.want {
			t.Errorf("gold %s, answer %s: %v, want %v", c.gold, c.pred, got, c.want)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		`First \boxed{10}, but corrected: \boxed{12}.`:                      "10,12", // close together: both
		`First \boxed{10}, ` + strings.Repeat("long ", 20) + `\boxed{12}.`:  "12",
		`$x=1$. Final Answer: The final answer is $5$. I hope it is right.`: "5",
		`the answer is 7, of 9`:          "7",
		`from $x=3$ we get $12$`:         "12",
		`It has 1,200.50 left`:           "1200.50",
		`18%`:                            "18",
		`#### 9+9=18`:                    "18",
		`$1$, $2$ and $3$`:               "1 and 2 and 3",
		`nothing`:                        "",
		`Hence $$\boxed{\frac12}$$ ok 4`: `\frac{1}{2}`,
	} {
		if a := Find(output); a.Text != want || a.Found() != (want != "") {
			t.Errorf("%q: %q (found %v), want %q", output, a.Text, a.Found(), want)
		}
	}
	if a, b := Find("$1$, $2$ and $3$"), Bare("3,2,1"); !Equal(b, a) {
		t.Error("three environments are not a set")
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`\dfrac34`: `\frac{3}{4}`, `\sqrt3`: `\sqrt{3}`, `.5`: `\frac{1}{2}`, `1/2`: `\frac{1}{2}`, `12\text{ cm}^2`: "12", `6 apples`: "6", `1 \text{ and } 2`: "1, 2",
		`\left(1,2\right)`: "(1,2)", `25 percent`: `25\%`, `\text{Monday}`: `\text{Monday}`, `10\,000`: `10\,000`, `2^(1/2)`: `2^{1/2}`, `inf`: `\infty`, `sand`: "sand",
	} {
		if got := normalize(in); got != want {
			t.Errorf("normalize(%q) = %q, want %q", in, got, want)
		}
	}
}
