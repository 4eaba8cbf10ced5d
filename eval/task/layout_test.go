package task

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mergebot/configs"
)

func load(t *testing.T, k Task, r repo, p Purpose) *Set {
	t.Helper()
	s, err := Load(t.Context(), k, r, p, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Made-up rows in the layouts of the real data sets: the paths, columns and types of the pinned commits.
func TestRealLayouts(t *testing.T) {
	t.Parallel()
	lines := func(rows ...string) []byte { return []byte(strings.Join(rows, "\n") + "\n") }
	finance := func(id, gold int) string {
		return fmt.Sprintf(`{"id":%d,"input":"Sentence %d\nQuestion: what is the sentiment?\nOptions:\n- Positive\n- Negative\n- Neutral\nAnswer:","options":["Positive","Negative","Neutral"],"gold_index":%d}`, id, id, gold)
	}
	const areas = `["Criminal Procedure","Civil Rights","First Amendment","Due Process","Privacy","Attorneys","Unions","Economic Activity","Judicial Power","Federalism","Interstate Relations","Federal Taxation","Miscellaneous"]`
	const unfair = `["Limitation of liability","Unilateral termination","Unilateral change","Content removal","Contract by using","Choice of law","Jurisdiction","Arbitration","None"]`
	data := map[string]repo{
		"gsm8k": {"README.md": nil, "main/test-00000-of-00001.parquet": table(t, qa{"How many?", "2+2=<<2+2=4>>4\n#### 4"}),
			"main/train-00000-of-00001.parquet": table(t, qa{"T", "#### 5"}), "socratic/test-00000-of-00001.parquet": table(t, qa{"no", "#### 0"})},
		"math":    mathRepo(t, ""),
		"fiqa_sa": {"FiQA_SA/test.json": []byte("[" + finance(0, 1) + ",\n" + finance(1, 0) + "]")},
		"fpb":     {"FPB/test.json": lines(finance(0, 1), finance(1, 0)), "NER/test.json": nil},
		"scotus":  {"scotus/test.json": lines(`{"id":0,"input":"Analyze the following opinion …","options":` + areas + `,"gold_index":8}`), "case_hold/test.json": nil},
		"unfair_tos": {"unfair_tos/test.json": lines(
			`{"id":0,"input":"Clause a\nLabel: None\n\nClause b\nLabel:","options":`+unfair+`,"gold_index":[8]}`,
			`{"id":1,"input":"Clause a\nLabel: None\n\nClause c\nLabel:","options":`+unfair+`,"gold_index":[0,6]}`)},
	}
	golds := map[string]string{"gsm8k": "[4 []]", "math": "[0 []] [1 []] [2 []] [3 []] [4 []] [5 []] [6 []]", "fiqa_sa": "[ [1]] [ [0]]", "fpb": "[ [1]] [ [0]]",
		"scotus": "[ [8]]", "unfair_tos": "[ [8]] [ [0 6]]"}
	for _, name := range Names() {
		k := get(t, name, configs.TaskOptions{})
		if k.Choice() {
			k.Select = SelectNone
		}
		s := load(t, k, data[name], Test)
		var got []string
		for _, it := range s.Items {
			got = append(got, fmt.Sprintf("[%s %v]", it.Gold, it.GoldIndex))
		}
		if g := strings.Join(got, " "); g != golds[name] {
			t.Errorf("%s: %s, want %s", name, g, golds[name])
		}
		if want := map[string]int{"unfair_tos": 2}[name]; s.Solved != want {
			t.Errorf("%s: %d inputs show solved examples, want %d", name, s.Solved, want)
		}
	}
	if n := get(t, "math", configs.TaskOptions{}).Rows(); n != 5000 {
		t.Errorf("math has %d rows", n)
	}
	for _, o := range []configs.TaskOptions{{Dataset: "acme/math"}, {Revision: "main"}, {Split: "train"}, {Dataset: "acme/math", Revision: mathRevision}} {
		if n := get(t, "math", o).Rows(); n != 0 {
			t.Errorf("%+v: %d rows are claimed to be known", o, n)
		}
	}
}

// The later revision of the finance data has solved examples in front of each question.
func TestFewShotTrap(t *testing.T) {
	t.Parallel()
	const block = "%s\nQuestion: what is the sentiment?\nOptions: Positive, Negative, Neutral\nAnswer:"
	var zero, few []choice
	for i := range 5 {
		c := choice{Options: []string{"Positive", "Negative", "Neutral"}, GoldIndex: []int64{int64(i % 3)}}
		c.Input = fmt.Sprintf(block, fmt.Sprint("Sales rose. Negative news: none. ", i))
		zero = append(zero, c)
		c.Input = fmt.Sprintf(block+" Positive\n\n"+block+"  neutral\n\n", "Profit up.", "They met.") + c.Input
		few = append(few, c)
	}
	files := func(rows []choice) repo {
		b, err := json.Marshal(rows)
		if err != nil {
			t.Fatal(err)
		}
		return repo{"FPB/test.json": b}
	}
	for _, prompt := range Prompts() {
		k := get(t, "fpb", configs.TaskOptions{Revision: "main", Select: SelectNone, Prompt: prompt})
		if w := load(t, k, files(zero), Test).Warnings(); len(w) != 0 {
			t.Errorf("%s: zero-shot: %q", prompt, w)
		}
		w := load(t, k, files(few), Test).Warnings()
		if len(w) != 1 || w[0] != "fpb: 5 of 5 inputs show solved examples: a few-shot score; the paper's is zero-shot, which is revision 51466157bea8" {
			t.Errorf("%s: few-shot: %q", prompt, w)
		}
	}
	// At the pinned commit the number of rows is known.
	k := get(t, "fpb", configs.TaskOptions{Select: SelectNone})
	if w := load(t, k, files(zero), Test).Warnings(); len(w) != 1 || w[0] != "fpb: AdaptLLM/finance-tasks at 51466157bea8 is known with 970 rows and has 5 here" {
		t.Errorf("%q", w)
	}
	// An option that the question itself names is no example, nor is a cue without words.
	for _, input := range []string{"Positive or Negative?", "", "...\nPositive\n...", "Answer: maybe\nAnswer:"} {
		if showsExample(input, []string{"Positive", "Negative"}) {
			t.Errorf("%q", input)
		}
	}
	// A hostile input that repeats its cue, with many options, takes no time worth speaking of.
	var options []string
	for i := range maxOptions {
		options = append(options, fmt.Sprint("option ", i))
	}
	began := time.Now()
	if showsExample(strings.Repeat("a ", 1<<20)+"\na", options) || time.Since(began) > 2*time.Second {
		t.Errorf("it took %v", time.Since(began))
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	r := repo{"main/test-00000-of-00001.parquet": table(t, func() (rows []qa) {
		for i := range 1319 {
			rows = append(rows, qa{fmt.Sprint("Q", i), fmt.Sprint("#### ", i)})
		}
		return rows
	}()...), "main/train-00000-of-00001.parquet": table(t, qa{"T", "#### 5"})}
	k := get(t, "gsm8k", configs.TaskOptions{})
	s := load(t, k, r, Test)
	text, err := PromptText("abel")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	hash := hex.EncodeToString(sum[:])
	want := "gsm8k: 1,319 rows of openai/gsm8k (main) at 740312add88f, test split; prompt abel (" + hash[:12] + "), grader abel, at most 2,048 tokens an answer"
	if got := s.Describe(); got != want || s.PromptHash != hash || len(s.Warnings()) != 0 {
		t.Errorf("%s\nwant\n%s\n%q", got, want, s.Warnings())
	}
	if s, err = Load(t.Context(), k, r, Test, 100, 3); err != nil {
		t.Fatal(err)
	}
	if got := s.Describe(); !strings.Contains(got, "gsm8k: 100 of 1,319 rows of") || !strings.Contains(got, "a sample of 100 of 1319 (seed 3)") || len(s.Warnings()) != 0 {
		t.Errorf("%s, %q", got, s.Warnings())
	}
	m := load(t, get(t, "math", configs.TaskOptions{}), mathRepo(t, ""), Test)
	if got := m.Describe(); !strings.Contains(got, "math: 7 rows of EleutherAI/hendrycks_math (7 configs)") {
		t.Error(got)
	}
	if _, err := PromptText("x"); err == nil {
		t.Error("an unknown preset has a text")
	}
}

// The chat preset is the text of the AdaptLLM cards to the letter, without the begin-of-text token.
func TestChatPrompt(t *testing.T) {
	t.Parallel()
	text, err := PromptText(PromptAdaptLLMChat)
	if err != nil {
		t.Fatal(err)
	}
	const want = "[INST] <<SYS>>\nYou are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. Please ensure that your responses are socially unbiased and positive in nature.\n\nIf a question does not make any sense, or is not factually coherent, explain why instead of answering something not correct. If you don't know the answer to a question, please don't share false information.\n<</SYS>>\n\n{input} [/INST]"
	if text != want {
		t.Errorf("%q\nwant\n%q", text, want)
	}
}

// A caller may have the search judged on the reported rows; then both sets are the same, and say so.
func TestSelectReported(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(choices(100))
	if err != nil {
		t.Fatal(err)
	}
	r := repo{"unfair_tos/test.json": data, "unfair_tos/validation.json": data}
	k := get(t, "unfair_tos", configs.TaskOptions{})
	k.Select = SelectReported
	test, sel := load(t, k, r, Test), load(t, k, r, Select)
	if len(test.Items) != 100 || !maps.Equal(ids(test), ids(sel)) || test.ItemsHash != sel.ItemsHash {
		t.Errorf("%d and %d items", len(test.Items), len(sel.Items))
	}
	if test.Source != "test split, the very rows that judged the search" || sel.Source != "test split, the very rows that are reported" {
		t.Errorf("%q, %q", test.Source, sel.Source)
	}
	some, err := Load(t.Context(), k, r, Select, 10, 4)
	if err != nil || len(some.Items) != 10 || !slices.ContainsFunc(test.Items, func(i Item) bool { return i.ID == some.Items[0].ID }) {
		t.Errorf("%+v, %v", some, err)
	}
	k.Split = "dev"
	if _, err := Load(t.Context(), k, r, Select, 0, 0); err == nil || !strings.Contains(err.Error(), `no split "dev"`) {
		t.Error(err)
	}
}

// One text that a few bytes name many times is refused before it fills the memory, in one file or in several.
func TestTextsAreBounded(t *testing.T) {
	t.Parallel()
	type dictionary struct {
		Question string `parquet:"question,dict"`
		Answer   string `parquet:"answer,dict"`
	}
	rows := make([]dictionary, 300)
	for i := range rows {
		rows[i] = dictionary{strings.Repeat("x", 1<<20), "#### 1"}
	}
	for want, shards := range map[string][][]dictionary{
		"more than 256 MiB of values": {rows}, "more than 256 MiB of prompts": {rows[:150], rows[150:]},
	} {
		r := repo{}
		for i, s := range shards {
			data := table(t, s...)
			if len(data) > 16<<20 {
				t.Fatalf("the file has %d bytes: the dictionary is not used", len(data))
			}
			r[fmt.Sprintf("main/test-%d.parquet", i)] = data
		}
		_, err := Load(t.Context(), get(t, "gsm8k", configs.TaskOptions{Select: SelectNone}), r, Test, 0, 0)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
