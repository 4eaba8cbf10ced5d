package report_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"mergebot/eval/report"
)

// paired is a comparison with a difference, and one inside the noise.
func paired() report.Paired {
	task := func(name string, n, lost, gained int, d report.Interval, p float64) report.PairedTask {
		t := report.PairedTask{Name: name, ModelA: "tiny/a", ModelB: "tiny/b", N: n, A: 0.9, B: 0.9 + d.Value, ErrA: 0.021, ErrB: 0.031, Difference: d, P: p, Words: report.PairedWords(gained, lost, p)}
		for i := range lost {
			t.Lost = append(t.Lost, report.PairedItem{ID: fmt.Sprintf("%s/test/%d", name, i), LinkA: fmt.Sprintf("../a/items/%s-1.html#i%d", name, i+1), LinkB: fmt.Sprintf("../b/items/%s-1.html#i%d", name, i+1)})
		}
		for i := range gained {
			t.Gained = append(t.Gained, report.PairedItem{ID: fmt.Sprintf("%s/test/%d", name, lost+i)})
		}
		return t
	}
	p := report.Paired{A: report.Side{Folder: "out/dare", Title: "DARE 80 %", Role: report.Merged, Plan: "64879f7d"}, B: report.Side{Folder: "out/dppa", Title: "DPPA 80 %", Role: report.Merged}}
	p.Tasks = []report.PairedTask{task("gsm8k", 200, 31, 3, report.Interval{Value: -0.14, Low: -0.195, High: -0.09}, 1e-6), task("fpb", 200, 5, 4, report.Interval{Value: -0.005, Low: -0.035, High: 0.025}, 1)}
	p.Tasks[0].OnlyA, p.Tasks[0].Changed = 12, 2
	p.Warnings = []string{"gsm8k: the engine differs: llama.cpp and vllm."}
	return p
}

func TestPairedText(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := report.PairedText(&b, paired()); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(`
A  merged of DARE 80 % (out/dare)
B  merged of DPPA 80 % (out/dppa)

TASK   N    LEFT OUT  A, %  B, %  B − A, POINTS  95 % INTERVAL  B AGAINST A
gsm8k  200  14        90.0  76.0  −14.0          −19.5 to −9.0  B is worse (p < 0.001; 31 lost, 3 gained)
fpb    200  0         90.0  89.5  −0.5           −3.5 to +2.5   inside the noise (p = 1.00; 5 lost, 4 gained)
warning: gsm8k: the engine differs: llama.cpp and vllm.
`, "\n")
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, c := range []struct {
		gained, lost int
		p            float64
		want         string
	}{{0, 0, 1, "inside the noise (no item differs)"}, {9, 1, 0.02, "B is better (p = 0.020; 1 lost, 9 gained)"}} {
		if got := report.PairedWords(c.gained, c.lost, c.p); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestPairedHTML(t *testing.T) {
	t.Parallel()
	p := paired()
	elements := func(p report.Paired) (out []string) {
		var b strings.Builder
		if err := report.PairedHTML(&b, p); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\u202e") {
			t.Error("the page holds characters that cannot be seen")
		}
		z := html.NewTokenizer(strings.NewReader(b.String()))
		for z.Next() != html.ErrorToken {
			tok := z.Token()
			if tok.Type != html.StartTagToken {
				continue
			}
			out = append(out, tok.Data)
			for _, a := range tok.Attr {
				if a.Key == "href" && strings.Contains(a.Val, "javascript:") || strings.HasPrefix(a.Key, "on") || a.Key == "src" {
					t.Errorf("%s has %s=%q", tok.Data, a.Key, a.Val)
				}
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	plain := elements(p)
	if !slices.Contains(plain, "a") || slices.Contains(plain, "script") {
		t.Errorf("elements %s", plain)
	}
	p.A.Title, p.B.Folder, p.Warnings[0], p.Tasks[0].Name, p.Tasks[0].Words, p.Tasks[0].Lost[0].ID = hostile, hostile, hostile, hostile, "x", hostile
	p.Tasks[0].Lost[0].LinkA = "javascript:alert(1)"
	for _, e := range elements(p) {
		if e != "i" && !slices.Contains(plain, e) {
			t.Errorf("a text became the element %s", e)
		}
	}
}
