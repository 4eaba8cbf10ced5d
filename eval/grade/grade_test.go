package grade

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestGet(t *testing.T) {
	t.Parallel()
	for _, n := range Names() {
		g, err := Get(n)
		if err != nil || g.Name() != n {
			t.Errorf("Get(%s): %v", n, err)
		}
		// Nothing, and nothing to compare with, is never right.
		if v := g.Grade(Question{Gold: "5", Options: []string{"a"}, GoldIndex: []int{0}}, ""); v.Correct || !v.NoAnswer {
			t.Errorf("%s: no output is judged %+v", n, v)
		}
	}
	if g, err := Get("abe"); !errors.Is(err, ErrUnknown) || g != nil {
		t.Errorf("%v, %v", g, err)
	}
	for _, d := range Docs() {
		if d.Text == "" {
			t.Errorf("%s has no description", d.Name)
		}
	}
}

func TestAbelExtraction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ output, extracted string }{
		{"#### 12", "12"}, {"#### 12\n", "12"}, {"#### 12\n\n", ""}, {"#### 12\nthanks", ""}, {"#### 12\n\nQuestion:", ""},
		{"#### 12\nQuestion:", "12"}, {"The Question is #### 12", ""}, {"#### 6 #### 7", "6####7"}, {"#### 1\n#### 2", "2"},
		{"####12", ""}, {"#### 12</s>", "12"}, {"#### 12 </s>", "12"}, {"#### 12</s>.", "12<"}, {"#### </s>", ""},
		{"#### \u00bd</s>", "\u00bd"}, {"#### 12\r\n", "12\r"}, {"#### 3*4=12", "12"},
	} {
		v := gradeAbel(Question{Gold: "12"}, c.output)
		if v.Extracted != c.extracted || v.Correct != (strings.TrimSpace(c.extracted) == "12") || v.NoAnswer != (c.extracted == "") {
			t.Errorf("%q: %+v, want %q", c.output, v, c.extracted)
		}
	}
	if v := gradeAbel(Question{Gold: "12"}, "#### 11\n#### 12"); !v.Several || !v.Correct {
		t.Errorf("two answers: %+v", v)
	}
}

// TestAbelNormal: the expected strings are those of the original function.
func TestAbelNormal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"x = y = 5": "5", "a 3": "3", "an apple": "apple", `\$5.50`: "5.50", `5\%`: "5%", "12,34": "1234", "1,234.5": "1,234.5",
		"\u00b2,\u00b3": "\u00b2\u00b3", "\u0661,\u0662": "\u0661\u0662", "1,-2": "1,-2", ",": ",",
		"so $x$ is $y$": "x", "a$b": "ab", "$1$\n$2$": "1\n2", `\text{a}\text{b}`: "ab", `\text{a`: `\text{a`,
		`\boxed{\frac{1}{2}}`: `\frac{1}{2}`, `\boxed{1} and \boxed{2}`: `1}and\boxed{2`, `\textbf{No}`: "No",
		`\frac12`: `\frac{1}{2}`, `\frac1{2}`: `\frac{1}{{}2}`, `\frac`: `\frac`, `\frac1`: `\frac1`, `\sqrt3`: `\sqrt{3}`,
		`\sqrt[3]{8}`: `\sqrt{[}3]{8}`, `\sqrt`: `\sqrt`, `12\text{ cm}^2`: "12", "surfaces": "surfaces", "pursuer": "purr",
		`\left(1\right)`: `\le(1\right)`, `90^{\circ}`: "90", `\infty`: `\iny`, `1 \text{ and } 2`: "12", `x \text{ and } 2`: "x,2", "": "",
	} {
		if got := abelNormal(in); got != want {
			t.Errorf("abelNormal(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestLower: Python's lower() makes two characters of the dotted capital I, so that it is not the letter of an option.
func TestLower(t *testing.T) {
	t.Parallel()
	q := Question{Options: []string{"Positive"}, GoldIndex: []int{0}}
	if contains(true)(q, "POS\u0130TIVE").Correct || !contains(true)(q, "POSITIVE").Correct {
		t.Error("a dotted I is an i")
	}
}

func TestGoldFromSolution(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`so $\boxed{\frac{1}{2}}$.`: `\frac{1}{2}`, `\boxed{1} then \boxed{2}`: "2", `\fbox{3}`: "3", `$\boxed 4$ it is`: "4",
		`\boxed{5`: "", "6": "", `\boxed{}`: "", `\boxed `: "",
	} {
		got, ok := GoldFromSolution(in)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", in, got, ok, want)
		}
	}
}

func TestScoreJSONL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in, out string
		o             Options
		want          Summary
	}{
		{
			"maths", `{"id":1,"gold":"12","output":"#### 12"}` + "\n\n" + `{"id":"b","gold":0.5,"output":"#### \\frac12"}` + "\r\n" + `{"id":"c","gold":"3","output":"three"}`,
			`{"id":1,"extracted":"12","correct":true}` + "\n" + `{"id":"b","extracted":"\\frac{1}{2}","correct":true}` + "\n" + `{"id":"c","extracted":"","correct":false}` + "\n",
			Options{Task: "gsm8k"}, Summary{Grader: "abel", N: 3, Correct: 2, NoAnswer: 1},
		},
		{
			"bare", `{"id":1,"gold":"\\frac{3}{4}","output":"0.75"}`, `{"id":1,"extracted":"0.75","correct":true}` + "\n",
			Options{Task: "math", Bare: true}, Summary{Grader: "abel", N: 1, Correct: 1},
		},
		{
			"choices", `{"id":1,"gold":1,"options":["Yes","No"],"output":"no, yes"}` + "\n" + `{"id":2,"gold":[0,1],"options":[" <a>","b"],"output":"<a>"}`,
			`{"id":1,"extracted":"Yes | No","correct":true}` + "\n" + `{"id":2,"extracted":"<a>","correct":true}` + "\n",
			Options{Task: "FiQA_SA"}, Summary{Grader: "contains", N: 2, Correct: 2, Several: 1},
		},
		{"nothing", "", "", Options{Task: "math", Grader: "hendrycks"}, Summary{Grader: "hendrycks"}},
	} {
		var b strings.Builder
		got, err := ScoreJSONL(t.Context(), strings.NewReader(c.in), &b, c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.want.N > 0 {
			p := float64(c.want.Correct) / float64(c.want.N)
			c.want.Accuracy, c.want.StdErr = p, math.Sqrt(p*(1-p)/float64(max(1, c.want.N-1)))
		}
		c.want.Lo, c.want.Hi = Wilson(c.want.Correct, c.want.N)
		if got != c.want || b.String() != c.out {
			t.Errorf("%s: %+v\n%s", c.name, got, b.String())
		}
	}
}

func TestScoreJSONLErrors(t *testing.T) {
	t.Parallel()
	const good = `{"id":1,"gold":0,"options":["a"],"output":"a"}` + "\n"
	for _, c := range []struct{ in, want string }{
		{good + "{", "line 2"}, {good + "\n[]", "line 3"}, {`{"gold":0,"options":["a"],"output":"a"}`, `no "id"`},
		{`{"id":1,"options":["a"],"output":"a"}`, `no "gold"`}, {`{"id":1,"gold":0,"options":["a"]}`, `no "output"`},
		{`{"id":1,"gold":0,"output":"a"}`, `no "options"`}, {`{"id":1,"gold":1,"options":["a"],"output":"a"}`, "not the index"},
		{`{"id":1,"gold":[],"options":["a"],"output":"a"}`, "empty list"}, {`{"id":1,"gold":"a","options":["a"],"output":"a"}`, "index of an option"},
		{`{"id":1,"gold":null,"options":["a"],"output":"a"}`, "index of an option"}, {`{"id":1,"gold":-1,"options":["a"],"output":"a"}`, "not the index"},
		{`{"id":1,"gold":0,"options":["a"],"output":5}`, "line 1"}, {`{"id":1,"output":"` + strings.Repeat("x", maxLine) + `"}`, "more than"},
	} {
		var b strings.Builder
		_, err := ScoreJSONL(t.Context(), strings.NewReader(c.in), &b, Options{Task: "fpb"})
		if !errors.Is(err, ErrLine) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%.80q: %v, want %q", c.in, err, c.want)
		}
	}
	for _, o := range []Options{{Task: "x"}, {Task: "math", Grader: "contains"}, {Task: "fpb", Grader: "abel"}, {Task: "math", Grader: "x"}, {Task: "gsm8k", Grader: "lm_eval_strict", Bare: true}} {
		if _, err := ScoreJSONL(t.Context(), strings.NewReader(""), new(strings.Builder), o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func FuzzGraders(f *testing.F) {
	for _, c := range goldenSeeds {
		f.Add(c, "12")
	}
	f.Fuzz(func(t *testing.T, output, gold string) {
		if len(output) > 400 || len(gold) > 200 {
			return // see TestHardInputs
		}
		q := Question{Gold: gold, Options: []string{gold, "b"}, GoldIndex: []int{0}}
		for _, g := range graders() {
			within(t, g.Name(), func() {
				if v := g.grade(q, output); v.Correct && v.NoAnswer && abelNormal(gold) != "" {
					t.Errorf("%s: right without an answer: %+v", g.Name(), v)
				}
			})
			if g.bare != nil {
				within(t, g.Name()+" bare", func() { g.bare(q, output) })
			}
		}
		GoldFromSolution(output)
	})
}

// mostCPU is what one verdict may take. It is measured as the process's own time, so that a busy machine does no harm, and
// far above the 100 ms that are promised, for tests run several times slower with the race detector or for coverage.
const mostCPU = 2 * time.Second

// most is mostCPU, or what MERGEBOT_MOST_CPU says, such as the promised 100ms.
func most() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("MERGEBOT_MOST_CPU")); err == nil {
		return d
	}
	return mostCPU
}

func within(t *testing.T, what string, f func()) time.Duration {
	t.Helper()
	start := cpu()
	f()
	took := cpu() - start
	if took > most() {
		t.Errorf("%s took %v", what, took)
	}
	return took
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// hardInputs make the originals hang, or would make a careless restatement.
func hardInputs() []string {
	n := strings.Repeat
	return []string{
		n("(", 900), n("9^", 400) + "9", "9^{9^{9^9}}", n("9^{", 300) + "9" + n("}", 300), n("9", 990), "0." + n("3", 900), "9999999999!", "9!!!!!!", n("5!+", 300) + "1",
		n(`\frac{1}{1+`, 90) + "x" + n("}", 90), n(`\sqrt{2+`, 100) + "1" + n("}", 100), n("x!", 400), n(`\sin `, 180) + "x", n("x^2y+", 180) + "1", n(`\sin x+`, 120) + "1",
		n("1,", 490) + "1", "(" + n(`\sqrt{2},`, 100) + "1)", n(`\{`, 100) + "1" + n(`\}`, 100), n("[1,2]\\cup", 100) + "[3,4]", n("x<", 400) + "1", n("a=", 450) + "1", n("|x", 400) + n("|", 400),
		n("2", 30) + "^{" + n("3", 30) + "}", `\binom{999999}{500000}`, `e^{e^{e^{e^{e}}}}`, `\exp(\exp(\exp(9)))`, "0.1^{999999999}", "1.1^{999}", "(1+x)^{999999}", `10^{100000}`, n(`\text{a}`, 140),
		n("7.5+", 240) + "1", n(`1.5\cdot`, 140) + "2", "1E999", `\gcd(` + n("8,", 400) + "4)", n("x_{", 300), n("f(", 400), n("-", 990) + "1", n("(x+1)", 190), n(`\pm`, 300) + "1", n(`\ln `, 300) + "2",
	}
}

// longOutput is a hundred times what models write, in bytes.
const longOutput = 1 << 20

// TestHardInputs reports what each costs; long outputs full of candidates besides.
func TestHardInputs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	n := strings.Repeat
	outputs := hardInputs()
	for _, s := range []string{
		`\boxed{1} `, `$\boxed{x}$ `, `\boxed{`, "$", "$x", `\[`, `\(x`, "answer ", "Answer: ", "final answer is ", "final answer is $x$ ", "1+1 ", "1/", "#### ", "#### 1\n", `\text{`, `\frac1`, "= ", "}", `\sqrt`, "1,000 ", "(", "answer 3 =",
		"$y z and $", ", and $x$", "Question", `\%`, " [x] ", "-",
	} {
		outputs = append(outputs, n(s, longOutput/len(s)))
	}
	worst, slowest := time.Duration(0), ""
	for _, s := range outputs {
		gold := s[:min(len(s), 990)]
		q := Question{Gold: gold, Options: []string{gold, "b"}, GoldIndex: []int{0}}
		forms := []string{"#### " + s, `$\boxed{` + s + "}$"}
		if len(s) > 1000 {
			forms = []string{s}
		}
		for _, g := range graders() {
			for _, output := range forms {
				what := g.Name() + " on " + output[:min(len(output), 40)]
				if d := within(t, what, func() { g.grade(q, output) }); d > worst {
					worst, slowest = d, what
				}
			}
		}
	}
	t.Logf("slowest: %v of processor time: %s", worst, slowest)
}

var goldenSeeds = []string{
	"#### 12</s>", "Question #### 1", `\boxed{\frac12}`, `\text{ a}\text{ b}`, `\sqrt`, `\frac`, "a/b", "k=\\frac1", ".5", "#### $5$", "\\fbox{1}",
	"Final Answer: The final answer is $x$. I hope it is correct.", "12 b", "9^{9^{9^9}}", "9!!!!!!", `$\boxed{\{1,2\}}$ or $(1,2]\cup\{3\}$`, `$1<x\le\infty$`, "answer: 1/2 = 0.5%",
	`$\begin{pmatrix}1&2\\3&4\end{pmatrix}$, $\pm\sqrt[3]{x!}$ and \(f(x,2)\)`, `\frac{1.5}{3}+0.1`, `\max(3,\gcd(4,6))\text{ cm}^2`,
}

func FuzzScoreJSONL(f *testing.F) {
	f.Add(`{"id":1,"gold":[0],"options":["a"],"output":"a"}`)
	f.Add(`{"doc_id":1,"target":"1","doc":{"options":["a","b"]},"resps":[["a"]]}`)
	f.Add(`{"id":null,"gold":1e999,"output":""}`)
	f.Fuzz(func(t *testing.T, in string) {
		for _, o := range []Options{{Task: "math"}, {Task: "fpb"}, {Task: "math", Format: FormatLMEval}, {Task: "fpb", Format: FormatLMEval}} {
			var b strings.Builder
			s, err := ScoreJSONL(t.Context(), strings.NewReader(in), &b, o)
			if n := strings.Count(b.String(), "\n"); n != s.N && err == nil {
				t.Errorf("%d verdicts, summary %+v", n, s)
			}
		}
	})
}

// TestLastNumber holds the scan to the pattern that it restates.
func TestLastNumber(t *testing.T) {
	pattern := regexp.MustCompile(`(-?[$0-9.,]{2,})|(-?[0-9]+)`)
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		b := make([]byte, r.IntN(12))
		for i := range b {
			b[i] = "--$0123.,a 9"[r.IntN(12)]
		}
		m := pattern.FindAllString(string(b), -1)
		want := ""
		if len(m) > 0 {
			want = m[len(m)-1]
		}
		if got, n := lastNumber(string(b)); got != want || n != len(m) {
			t.Fatalf("%q: %q of %d, want %q of %d", b, got, n, want, len(m))
		}
	}
}
