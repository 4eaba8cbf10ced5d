package run

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mergebot/testdata/familyhub"
)

// TestOracle scores the family as the independent restatement in numpy and torch did (testdata/family/make), on the
// 200 test rows of every task, through the real parts: hub, data sets, merger, engine, graders. One engine session
// serves all; every model's weights are swapped into it live.
//
// The verdicts on base and experts are always all compared. Of the oracle's 122 pruned, amplified and merged models,
// MERGEBOT_ORACLE=all scores every one, in some six minutes on two cores. Without it there are fewer: each
// method on one expert, each method on all experts together, and one merge of every pair; with -short, one merge of
// every set.
func TestOracle(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "family", "oracle.json"))
	if err != nil {
		t.Fatal(err)
	}
	o := oracleEntry[oracleFile](t, "oracle.json", data)
	singles, merges := o.singles(t), o.merges(t)
	if len(singles) != 66 || len(merges) != 56 {
		t.Fatalf("the oracle has %d experts to score and %d merges", len(singles), len(merges))
	}
	if os.Getenv("MERGEBOT_ORACLE") != "all" {
		singles = pick(singles, oracleModel.method)
		merges = pick(merges, func(m oracleModel) string {
			if pair := strings.Count(m.set, "+") == 1; pair || testing.Short() {
				return m.set
			}
			return m.set + " " + m.method()
		})
	}
	b := openOracleBench(t)
	t.Run("verdicts", func(t *testing.T) { b.verdicts(t, o.Verdicts) })
	t.Run("singles", func(t *testing.T) { b.scores(t, singles) })
	t.Run("merges", func(t *testing.T) { b.scores(t, merges) })
}

// verdicts compares base and experts row by row.
func (b *oracleBench) verdicts(t *testing.T, want map[string]map[string]string) {
	for _, model := range []string{"base", "math", "finance", "law"} {
		lock, dir := *b.plan.Lock.Base, b.baseDir
		for i, m := range b.plan.Lock.Models {
			if m.Repo == "tiny/"+model {
				lock, dir = m, b.modelDirs[i]
			}
		}
		if len(want[model]) != 6 {
			t.Fatalf("the oracle has %d tasks for %s", len(want[model]), model)
		}
		for _, name := range slices.Sorted(maps.Keys(want[model])) {
			w := want[model][name]
			dense, err := checkpointWeights(lock.String(), lock.Digest, dir)
			if err != nil {
				t.Fatal(err)
			}
			r := b.evaluate(t, dense, strings.ToLower(name))
			if r.N != len(w) {
				t.Fatalf("%s on %s: %d rows, the oracle has %d", model, name, r.N, len(w))
			}
			got := []byte(strings.Repeat("?", len(w)))
			for _, it := range r.Items {
				row := familyhub.RowOf(r.Task, it.ID)
				if row < 0 {
					t.Fatalf("%s: no row for item %s", name, it.ID)
				}
				got[row] = '0'
				if it.Correct {
					got[row] = '1'
				}
			}
			for row := range w {
				if got[row] != w[row] {
					t.Errorf("%s on %s, row %d: %c, the oracle says %c", model, name, row, got[row], w[row])
				}
			}
		}
	}
}

// scores compares the number of right rows of a task, which may differ by one: the last bits of a logit are the
// engine's own.
func (b *oracleBench) scores(t *testing.T, models []oracleModel) {
	const allowed = 1
	exact, off := 0, 0
	for _, m := range models {
		t.Run(m.name(), func(t *testing.T) {
			if want := 2 * (1 + strings.Count(m.set, "+")); len(m.want) != want {
				t.Fatalf("the oracle has %d scores, not %d", len(m.want), want)
			}
			w := b.candidate(m.name(), m.merger(t, b))
			for _, name := range slices.Sorted(maps.Keys(m.want)) {
				r := b.evaluate(t, w, strings.ToLower(name))
				if r.N != 200 {
					t.Fatalf("%s: %d rows", name, r.N)
				}
				got, want := b.oracleCount(t, r), int(math.Round(m.want[name]*float64(r.N)))
				switch d := got - want; {
				case d == 0:
					exact++
				case max(d, -d) <= allowed:
					off++
					t.Logf("%s: %d right, the oracle has %d", name, got, want)
				default:
					t.Errorf("%s: %d right, the oracle has %d", name, got, want)
				}
			}
		})
	}
	t.Logf("%d models: %d scores exact, %d off by one", len(models), exact, off)
}
