package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"mergebot/configs"
	"mergebot/eval/grade"
)

// repo is a data set in memory.
type repo map[string][]byte

func (r repo) List(context.Context) ([]string, error) { return slices.Sorted(maps.Keys(r)), nil }

func (r repo) Open(_ context.Context, path string) (io.ReaderAt, int64, error) {
	b, ok := r[path]
	if !ok {
		return nil, 0, errors.New("no such file")
	}
	return bytes.NewReader(b), int64(len(b)), nil
}

func table[T any](t testing.TB, rows ...T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type qa struct {
	Question string `parquet:"question"`
	Answer   string `parquet:"answer"`
}

type choice struct {
	ID        int64    `parquet:"id" json:"id"`
	Input     string   `parquet:"input" json:"input"`
	Options   []string `parquet:"options,list" json:"options"`
	GoldIndex []int64  `parquet:"gold_index,list" json:"gold_index"`
}

func get(t *testing.T, name string, o configs.TaskOptions) Task {
	t.Helper()
	k, err := Get(name)
	if err == nil {
		k, err = k.With(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTasks(t *testing.T) {
	t.Parallel()
	want := []string{"gsm8k", "math", "fiqa_sa", "fpb", "scotus", "unfair_tos"}
	if got := Names(); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	for _, n := range Names() {
		k := get(t, n, configs.TaskOptions{})
		g, err := grade.Default(n)
		if err != nil || g != k.Grader || !slices.Contains(grade.For(k.Choice()), g) {
			t.Errorf("%s: grader %s, package grade says %s, %v", n, k.Grader, g, err)
		}
		if len(k.Revision) != 40 || k.MaxTokens != 2048 {
			t.Errorf("%+v", k)
		}
	}
	if len(get(t, "math", configs.TaskOptions{}).Configs()) != 7 {
		t.Error("math has seven configs")
	}
	if _, err := Get("mmlu"); !errors.Is(err, ErrUnknownTask) || !strings.Contains(err.Error(), "gsm8k") {
		t.Error(err)
	}
}

func TestWith(t *testing.T) {
	t.Parallel()
	k := get(t, "unfair_tos", configs.TaskOptions{
		Dataset: "a/b", Prompt: "adaptllm-chat", Grader: "only_gold", MaxTokens: 16, Subset: "labelled", Split: "dev", Select: "train",
	})
	if k.Dataset != "a/b" || k.Revision != "main" || k.Prompt != "adaptllm-chat" || k.Grader != "only_gold" || k.MaxTokens != 16 ||
		k.Subset != "labelled" || k.Split != "dev" || k.Select != "train" {
		t.Errorf("%+v", k)
	}
	k, err := Get("math")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []configs.TaskOptions{
		{Prompt: "x"}, {Grader: "contains"}, {Grader: "x"}, {MaxTokens: -1}, {Subset: "labelled"}, {Split: "../x"}, {Select: "a*"}, {Select: "test"}, {Select: SelectReported},
	} {
		if _, err := k.With(o); !errors.Is(err, ErrOption) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestLoadGSM8k(t *testing.T) {
	t.Parallel()
	r := repo{
		"README.md":                            nil,
		"main/test-00001-of-00002.parquet":     table(t, qa{"Q2 {input}", "so\n#### 1,234"}),
		"main/test-00000-of-00002.parquet":     table(t, qa{"Q0", "a\n#### 1"}, qa{"Q1", "#### -2 "}),
		"main/train-00000-of-00001.parquet":    table(t, qa{"T", "#### 5"}),
		"socratic/test-00000-of-00001.parquet": table(t, qa{"no", "#### 0"}),
	}
	k := get(t, "gsm8k", configs.TaskOptions{})
	s, err := Load(t.Context(), k, r, Test, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []Item{
		{ID: "main/test/0", Prompt: "Question:\nQ0\nAnswer:\nLet's think step by step.\n", Gold: "1"},
		{ID: "main/test/1", Prompt: "Question:\nQ1\nAnswer:\nLet's think step by step.\n", Gold: "-2"},
		{ID: "main/test/2", Prompt: "Question:\nQ2 {input}\nAnswer:\nLet's think step by step.\n", Gold: "1234"},
	}
	if fmt.Sprint(s.Items) != fmt.Sprint(want) || s.Total != 3 || s.Split != "test" || s.Source != "test split" {
		t.Errorf("%+v", s)
	}
	sel, err := Load(t.Context(), k, r, Select, 0, 0)
	if err != nil || sel.Split != "train" || len(sel.Items) != 1 || sel.Items[0].Gold != "5" {
		t.Errorf("%+v, %v", sel, err)
	}
	if sel.PromptHash != s.PromptHash || sel.ItemsHash == s.ItemsHash || len(s.ItemsHash) != 64 {
		t.Errorf("hashes %s %s, %s %s", s.PromptHash, sel.PromptHash, s.ItemsHash, sel.ItemsHash)
	}
	raw, err := Load(t.Context(), get(t, "gsm8k", configs.TaskOptions{Prompt: "raw"}), r, Test, 0, 0)
	if err != nil || raw.Items[0].Prompt != "Q0" || raw.PromptHash == s.PromptHash || raw.ItemsHash == s.ItemsHash {
		t.Errorf("%+v, %v", raw, err)
	}
	paths, err := k.Paths(slices.Sorted(maps.Keys(r)), Test)
	if err != nil || !slices.Equal(paths, []string{"main/test-00000-of-00002.parquet", "main/test-00001-of-00002.parquet"}) {
		t.Errorf("%v, %v", paths, err)
	}
}

// choices makes n rows, of which every third has no label.
func choices(n int) []choice {
	var out []choice
	for i := range n {
		gold := []int64{int64(i % 2)}
		if i%3 == 0 {
			gold = []int64{2}
		}
		out = append(out, choice{int64(i), fmt.Sprintf("input %d\nAnswer:", i), []string{" a", " b", " None"}, gold})
	}
	return out
}

func ids(s *Set) map[string]bool {
	out := map[string]bool{}
	for _, it := range s.Items {
		out[it.ID] = true
	}
	return out
}

func TestHeldOut(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(choices(100))
	if err != nil {
		t.Fatal(err)
	}
	r := repo{"unfair_tos/test.json": data}
	k := get(t, "unfair_tos", configs.TaskOptions{})
	test, err := Load(t.Context(), k, r, Test, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	// Another seed, another limit: still disjoint.
	sel, err := Load(t.Context(), k, r, Select, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(test.Items) != 80 || len(sel.Items) != 20 || test.Total != 80 || sel.Total != 20 {
		t.Errorf("%d and %d items", len(test.Items), len(sel.Items))
	}
	for id := range ids(sel) {
		if ids(test)[id] {
			t.Errorf("%s is in both", id)
		}
	}
	if !strings.Contains(test.Source, "less the 20 of 100 rows held out") || !strings.Contains(sel.Source, "20 of 100 rows held out") {
		t.Errorf("%q, %q", test.Source, sel.Source)
	}

	whole := get(t, "unfair_tos", configs.TaskOptions{Select: SelectNone})
	if s, err := Load(t.Context(), whole, r, Test, 0, 0); err != nil || s.Total != 100 {
		t.Errorf("select none: %+v, %v", s, err)
	}
	if _, err := Load(t.Context(), whole, r, Select, 0, 0); !errors.Is(err, ErrOption) {
		t.Errorf("select none: %v", err)
	}
	labelled := get(t, "unfair_tos", configs.TaskOptions{Select: SelectNone, Subset: SubsetLabelled})
	if s, err := Load(t.Context(), labelled, r, Test, 0, 0); err != nil || s.Total != 66 || !strings.Contains(s.Source, "with a label") {
		t.Errorf("labelled: %+v, %v", s, err)
	}
	// A validation split is preferred to holding out.
	r["unfair_tos/validation.json"] = data
	if s, err := Load(t.Context(), k, r, Test, 0, 0); err != nil || s.Total != 100 {
		t.Errorf("with a validation split: %v, %v", s.Total, err)
	}
	if s, err := Load(t.Context(), k, r, Select, 0, 0); err != nil || s.Split != "validation" {
		t.Errorf("with a validation split: %v, %v", s.Split, err)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	r := repo{"fpb/test.parquet": nil, "FPB/test-00000-of-00001.parquet": table(t, choices(50)...)}
	k := get(t, "fpb", configs.TaskOptions{Select: SelectNone})
	load := func(limit int, seed uint64) *Set {
		s, err := Load(t.Context(), k, r, Test, limit, seed)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	small, large, other := load(10, 7), load(30, 7), load(10, 8)
	if len(small.Items) != 10 || small.Total != 50 || !strings.Contains(small.Source, "a sample of 10 of 50 (seed 7)") {
		t.Errorf("%+v", small)
	}
	for id := range ids(small) {
		if !ids(large)[id] {
			t.Errorf("%s is in the smaller sample only", id)
		}
	}
	if maps.Equal(ids(small), ids(other)) {
		t.Error("the seed does nothing")
	}
	if !slices.IsSortedFunc(small.Items, func(a, b Item) int { return len(a.ID) - len(b.ID) }) {
		t.Error("the sample is out of order")
	}
	if all := load(500, 7); len(all.Items) != 50 || all.Source != "test split" {
		t.Errorf("a limit above n: %d items of %q", len(all.Items), all.Source)
	}
	if got := small.Items[0].Question(); len(got.Options) != 3 || got.Options[0] != " a" || len(got.GoldIndex) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestJSONForms(t *testing.T) {
	t.Parallel()
	const a, b = `{"input":"x","options":["p","q"],"gold_index":1}`, `{"input":"y","options":["p","q"],"gold_index":[1,0,1],"more":{}}`
	for name, text := range map[string]string{
		"array": "[" + a + ",\n" + b + "]", "lines": a + "\n" + b + "\n", "mark": "\xef\xbb\xbf \n[" + a + "," + b + "]",
	} {
		s, err := Load(t.Context(), get(t, "fiqa_sa", configs.TaskOptions{Select: "none"}), repo{"FiQA_SA/test.json": []byte(text)}, Test, 0, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(s.Items) != 2 || !slices.Equal(s.Items[1].GoldIndex, []int{0, 1}) || s.Items[0].Prompt != "x" {
			t.Errorf("%s: %+v", name, s.Items)
		}
	}
}

type problem struct {
	Problem  string `parquet:"problem"`
	Level    string `parquet:"level"`
	Type     string `parquet:"type"`
	Solution string `parquet:"solution"`
}

// mathRepo is MATH in its real layout: seven configs, of which the first has a second row with this solution.
func mathRepo(t testing.TB, solution string) repo {
	r := repo{"README.md": nil}
	for i, c := range strings.Split(mathConfigs, ",") {
		rows := []problem{{"Find $x$.", "Level 5", c, fmt.Sprintf(`It is $x = \boxed{%d}$.`, i)}}
		if i == 0 && solution != "" {
			rows = append(rows, problem{"Find $y$.", "Level 1", c, solution})
		}
		r[c+"/test-00000-of-00001.parquet"] = table(t, rows...)
		r[c+"/train-00000-of-00001.parquet"] = table(t, rows[0])
	}
	return r
}

func TestBadData(t *testing.T) {
	t.Parallel()
	const row = `{"input":"x","options":["a"],"gold_index":0}`
	object := func(s string) repo { return repo{"FPB/test.json": []byte("[" + s + "]")} }
	type other struct {
		Question int64  `parquet:"question"`
		Answer   string `parquet:"answer"`
	}
	good := table(t, qa{"a", "#### 1"})
	for _, c := range []struct {
		task string
		r    repo
		err  error
		want string
	}{
		{"fpb", repo{}, ErrNoSplit, "holds no data that the task reads, such as FPB/test-*.parquet or FPB/test.json"},
		{"fpb", repo{"FPB/test.json": nil}, ErrMalformed, "empty file"},
		{"fpb", object(""), ErrNoItems, "no items"},
		{"fpb", object("{"), ErrMalformed, "after 0 rows"},
		{"fpb", object("5"), ErrMalformed, "after 0 rows"},
		{"fpb", repo{"FPB/test.json": []byte(`[{"input":"x","options":["a"],"gold_index":0}`)}, ErrMalformed, "after 1 rows"},
		{"fpb", repo{"FPB/test.json": []byte(row + "\n}\n" + row)}, ErrMalformed, "after 1 rows"},
		{"fpb", repo{"FPB/test.json": []byte(row + "]")}, ErrMalformed, "after 1 rows"},
		{"fpb", repo{"FPB/test.json": []byte("[" + row + "]\n[" + row + "]")}, ErrMalformed, "after 1 rows: more behind the end of the array"},
		{"fpb", repo{"FPB/test.json": []byte("[" + row + "] oops")}, ErrMalformed, "after 1 rows"},
		{"fpb", object(`{"options":["a"],"gold_index":0}`), ErrMalformed, `no column "input": the row has gold_index, options`},
		{"fpb", object(`{"input":5,"options":["a"],"gold_index":0}`), ErrMalformed, "row 0: column \"input\": want text, got the number 5"},
		{"fpb", object(`{"input":null,"options":["a"],"gold_index":0}`), ErrMalformed, "got nothing"},
		{"fpb", object(`{"input":"x","options":"a","gold_index":0}`), ErrMalformed, "want a list of texts, got text"},
		{"fpb", object(`{"input":"x","options":[],"gold_index":0}`), ErrMalformed, "0 options"},
		{"fpb", object(`{"input":"x","options":["a","b"," a"],"gold_index":0}`), ErrMalformed, "options 0 and 2 are both \"a\""},
		{"fpb", object(`{"input":"x","options":["a",null],"gold_index":0}`), ErrMalformed, "got nothing"},
		{"fpb", object(`null`), ErrMalformed, `no column "input"`},
		{"fpb", repo{"FPB/train.json": nil, "FPB/dev-1.parquet": nil, "NER/test.json": nil}, ErrNoSplit, `has no split "test" of FPB: there are dev, train`},
		{"fpb", repo{"fpb/test.json": nil, "NER/test.json": nil, "README.md": nil}, ErrNoSplit, "has no config FPB (no file such as FPB/test-*.parquet): there are NER, fpb; set the task's"},
		{"math", repo{"algebra/test.parquet": nil}, ErrNoSplit, "has no config counting_and_probability"},
		{"math", mathRepo(t, `so $\boxed{}$`), ErrMalformed, `algebra/test-00000-of-00001.parquet row 1: column "solution": no \boxed answer in it; the task reads the columns problem, solution`},
		{"math", mathRepo(t, `so $\boxed{ }$`), ErrMalformed, `no \boxed answer in it`},
		{"math", mathRepo(t, `so 5`), ErrMalformed, `no \boxed answer in it`},
		{"fpb", object(`{"input":"x","options":["a"," "],"gold_index":0}`), ErrMalformed, "option 1 is blank"},
		{"fpb", object(`{"input":"x","options":["a",{}],"gold_index":0}`), ErrMalformed, "got an object"},
		{"fpb", object(`{"input":"x","options":["a"],"gold_index":1}`), ErrMalformed, "1 is not the index"},
		{"fpb", object(`{"input":"x","options":["a"],"gold_index":-1}`), ErrMalformed, "-1 is not the index"},
		{"fpb", object(`{"input":"x","options":["a"],"gold_index":0.5}`), ErrMalformed, "want a whole number"},
		{"fpb", object(`{"input":"x","options":["a"],"gold_index":true}`), ErrMalformed, "got true or false"},
		{"fpb", object(`{"input":"x","options":["a"],"gold_index":[]}`), ErrMalformed, "0 indices"},
		{"fpb", object(`{"input":"` + strings.Repeat("x", maxText+1) + `","options":["a"],"gold_index":0}`), ErrMalformed, "bytes of text, more than"},
		{"gsm8k", repo{"main/test-0.parquet": []byte("PAR1 not parquet PAR1")}, ErrMalformed, "main/test-0.parquet"},
		{"gsm8k", repo{"main/test-0.parquet": good[:len(good)-9]}, ErrMalformed, "main/test-0.parquet"},
		{"gsm8k", repo{"main/test-0.parquet": table(t, other{1, "#### 1"})}, ErrMalformed, "got the number 1"},
		{"gsm8k", repo{"main/test-0.parquet": table(t, qa{"q", "five"})}, ErrMalformed, `no "#### "`},
		{"gsm8k", repo{"main/test-0.parquet": table(t, struct{ X string }{"x"})}, ErrMalformed, `no column "question": the row has X`},
	} {
		_, err := Load(t.Context(), get(t, c.task, configs.TaskOptions{Select: "none"}), c.r, Test, 0, 0)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q: %.300v", c.want, err)
		}
	}
}

// TestParquetDamage changes every byte of a file: an error or rows, but no panic, and no memory beyond reason.
func TestParquetDamage(t *testing.T) {
	t.Parallel()
	good := table(t, qa{"a", "#### 1"}, qa{"b", "#### 2"})
	refused := 0
	for i := range good {
		for _, v := range []byte{0, 0x7f, 0xff, good[i] ^ 0x10} {
			data := bytes.Clone(good)
			data[i] = v
			err := readFile(t.Context(), repo{"x.parquet": data}, "x.parquet", []string{"question", "answer"}, func(row) error { return nil })
			if err != nil {
				refused++
			}
			if err != nil && !errors.Is(err, ErrMalformed) {
				t.Fatalf("byte %d = %d: %v", i, v, err)
			}
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := repo{"FPB/test-0.parquet": table(t, choices(5)...)}
	if _, err := Load(ctx, get(t, "fpb", configs.TaskOptions{}), r, Test, 0, 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add([]byte(`[{"input":"x","options":["a"],"gold_index":0}]`), false)
	f.Add([]byte("{}\n{}"), false)
	f.Add(table(f, choices(3)...), true)
	f.Add(table(f, qa{"a", "#### 1"}), true)
	f.Fuzz(func(t *testing.T, data []byte, isParquet bool) {
		name := "x.json"
		if isParquet {
			name = "x.parquet"
		}
		columns := []string{"question", "answer", "problem", "solution", "input", "options", "gold_index"}
		err := readFile(t.Context(), repo{name: data}, name, columns, func(r row) error {
			for _, s := range []schema{gsm8kSchema, mathSchema, choiceSchema} {
				// A row may well be refused; it must not be accepted with an index out of range.
				if it, _, err := s.item(r); err == nil && s == choiceSchema {
					_ = it.Options[it.GoldIndex[0]]
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
	})
}
