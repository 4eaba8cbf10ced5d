package eval_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"mergebot/eval"
)

func TestAccuracyDifference(t *testing.T) {
	t.Parallel()
	// 300 items: 60 gained, 20 lost. The difference of paired shares has the standard error
	// sqrt(b + c - (b-c)²/n)/n (Newcombe 1998), so the interval ends near 1.96 of these from it.
	a, b := results(strings.Repeat("11111111", 10)[:60]+strings.Repeat("0", 20)+strings.Repeat("1", 220), strings.Repeat("0", 60)+strings.Repeat("1", 240))
	d, i, err := eval.AccuracyDifference(a, b)
	if err != nil || math.Abs(d-40.0/300) > 1e-12 {
		t.Fatalf("%v, %v", d, err)
	}
	se := math.Sqrt(80-1600.0/300) / 300
	if math.Abs(i.Lo-(d-1.96*se)) > 0.006 || math.Abs(i.Hi-(d+1.96*se)) > 0.006 || i.Undefined != 0 {
		t.Errorf("interval %+v, want about %.4f to %.4f", i, d-1.96*se, d+1.96*se)
	}
	if _, again, _ := eval.AccuracyDifference(a, b); again != i {
		t.Errorf("not reproducible: %+v and %+v", i, again)
	}
	if back, mirrored, _ := eval.AccuracyDifference(b, a); back != -d || math.Abs(mirrored.Lo+i.Hi) > 0.01 {
		t.Errorf("turned round: %v, %+v", back, mirrored)
	}

	same, _ := results("0000", "0000")
	if d, i, err := eval.AccuracyDifference(same, same); err != nil || d != 0 || i.Lo != 0 || i.Hi != 0 {
		t.Errorf("nothing right: %v %+v %v", d, i, err)
	}
	if _, _, err := eval.AccuracyDifference(a, same); !errors.Is(err, eval.ErrUnpaired) {
		t.Errorf("other items: %v", err)
	}
}

// The 95 % interval must hold the true difference about 95 times in 100.
func TestAccuracyDifferenceCoverage(t *testing.T) {
	t.Parallel()
	state := uint64(7)
	random := func() float64 {
		state = state*6364136223846793005 + 1442695040888963407
		return float64(state>>11) / (1 << 53)
	}
	const rounds, items = 200, 150
	inside := 0
	for range rounds {
		var a, b strings.Builder
		for range items {
			hard := random() // what makes an item hard for one makes it hard for the other
			fmt.Fprint(&a, b2i(random() < 0.9-0.6*hard))
			fmt.Fprint(&b, b2i(random() < 0.8-0.6*hard))
		}
		x, y := results(a.String(), b.String())
		_, i, err := eval.AccuracyDifference(x, y)
		if err != nil {
			t.Fatal(err)
		}
		if i.Contains(0.1) {
			inside++
		}
	}
	if inside < 182 || inside > 198 {
		t.Errorf("%d of %d intervals hold the true difference", inside, rounds)
	}
}

func TestStandardError(t *testing.T) {
	t.Parallel()
	// GSM8K at the paper's dense level: 1.35 points.
	if got := eval.StandardError(788, 1319); math.Abs(got-0.0135) > 5e-5 {
		t.Error(got)
	}
	if eval.StandardError(0, 0) != 0 || eval.StandardError(4, 4) != 0 {
		t.Error("no items, or all right: not 0")
	}
}
