package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// made is a BPE tokenizer of these tokens, and added ones behind them.
func made(t testing.TB, tokens []string, added ...string) Files {
	t.Helper()
	vocab := map[string]int{}
	for i, s := range tokens {
		vocab[s] = i
	}
	list := []Added{}
	for i, s := range added {
		list = append(list, Added{ID: int32(len(tokens) + i), Content: s, Special: true})
	}
	b, err := json.Marshal(map[string]any{"added_tokens": list, "model": map[string]any{"type": "BPE", "vocab": vocab, "merges": []any{}}, "kept": 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	return Files{fileTokenizer: b}
}

// pieces is a tokenizer.model of them, with scores and a field that is skipped.
func pieces(texts ...string) []byte {
	var b []byte
	for _, s := range texts {
		one := append([]byte{1<<3 | 2, byte(len(s))}, s...)
		one = append(one, 2<<3|5, 0, 0, 0, 0, 3<<3, 1)
		b = append(append(b, 1<<3|2, byte(len(one))), one...)
	}
	return append(b, 2<<3|2, 2, 8, 1)
}

func parsed(t testing.TB, f Files) *Tokenizer {
	t.Helper()
	tok, err := Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func model(t testing.TB, name string, f Files) Model {
	t.Helper()
	tok := parsed(t, f)
	return Model{Name: name, Tokenizer: tok, Rows: tok.Len()}
}

func TestParse(t *testing.T) {
	t.Parallel()
	abc := []string{"a", "b", "c"}
	for name, c := range map[string]struct {
		files Files
		want  map[string]int32
		err   error
		says  string
	}{
		"BPE":       {made(t, abc, "<x>"), map[string]int32{"a": 0, "b": 1, "c": 2, "<x>": 3}, nil, ""},
		"Unigram":   {Files{fileTokenizer: []byte(`{"model":{"type":"Unigram","vocab":[["a",-1],["b",-2]]}}`)}, map[string]int32{"a": 0, "b": 1}, nil, ""},
		"WordPiece": {Files{fileTokenizer: []byte(`{"model":{"type":"WordPiece","vocab":{"a":0,"##b":1}}}`)}, map[string]int32{"a": 0, "##b": 1}, nil, ""},
		"an added one of the model": {Files{fileTokenizer: []byte(`{"added_tokens":[{"id":1,"content":"b"}],"model":{"type":"BPE","vocab":{"a":0,"b":1}}}`)},
			map[string]int32{"a": 0, "b": 1}, nil, ""},
		"specials of the config": {Files{fileTokenizer: made(t, abc)[fileTokenizer], fileConfig: []byte(`{"bos_token":"b","pad_token":{"content":"<pad>"},"additional_special_tokens":["<y>"],"eos_token":null}`)},
			map[string]int32{"a": 0, "b": 1, "c": 2, "<pad>": 3, "<y>": 4}, nil, ""},
		"decoder of the config": {Files{fileTokenizer: made(t, abc)[fileTokenizer], fileConfig: []byte(`{"added_tokens_decoder":{"10":{"content":"k"},"3":{"content":"<z>"}}}`)},
			map[string]int32{"a": 0, "b": 1, "c": 2, "<z>": 3, "k": 4}, nil, ""},
		"vocab.json": {Files{fileVocab: []byte(`{"a":0,"b":1}`), fileAdded: []byte(`{"<y>":3,"<x>":2}`)}, map[string]int32{"a": 0, "b": 1, "<x>": 2, "<y>": 3}, nil, ""},
		"nothing":    {Files{}, nil, ErrNone, "neither tokenizer.json"},
		"sentencepiece": {Files{fileSentencepiece: pieces("<unk>", "▁a", "b"), fileAdded: []byte(`{"<x>":3}`), fileConfig: []byte(`{"tokenizer_class":"LlamaTokenizer","pad_token":"<pad>"}`)},
			map[string]int32{"<unk>": 0, "▁a": 1, "b": 2, "<x>": 3, "<pad>": 4}, nil, ""},
		"another sentencepiece": {Files{fileSentencepiece: pieces("a"), fileConfig: []byte(`{"tokenizer_class":"T5Tokenizer"}`)}, nil, ErrUnsupported, "AutoTokenizer"},
		"half a sentencepiece":  {Files{fileSentencepiece: pieces("abcdef")[:5]}, nil, ErrCorrupt, "no sentencepiece model"},
		"a hole":                {Files{fileTokenizer: []byte(`{"added_tokens":[{"id":9,"content":"b"}],"model":{"type":"BPE","vocab":{"a":0}}}`)}, nil, ErrCorrupt, `"b" has id 9, and would be loaded as 1`},
		"two of one id":         {Files{fileTokenizer: []byte(`{"model":{"type":"BPE","vocab":{"a":0,"b":0}}}`)}, nil, ErrCorrupt, `"a" and "b" both have id 0`},
		"an id below 0":         {Files{fileTokenizer: []byte(`{"model":{"type":"BPE","vocab":{"a":-1}}}`)}, nil, ErrCorrupt, "id -1"},
		"a huge id":             {Files{fileTokenizer: []byte(`{"model":{"type":"BPE","vocab":{"a":2000000000}}}`)}, nil, ErrCorrupt, "id 2000000000"},
		"another kind":          {Files{fileTokenizer: []byte(`{"model":{"type":"Magic","vocab":{}}}`)}, nil, ErrUnsupported, "Magic"},
		"no JSON":               {Files{fileTokenizer: []byte(`{`)}, nil, ErrCorrupt, "tokenizer.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tok, err := Parse(c.files)
			if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want %v with %q", err, c.err, c.says)
			}
			if err == nil && !maps.Equal(tok.Vocabulary(), c.want) {
				t.Errorf("%v, want %v", tok.Vocabulary(), c.want)
			}
		})
	}
}

// TestGather: each token's row comes from where it should.
func TestGather(t *testing.T) {
	t.Parallel()
	models := []Model{
		model(t, "base", made(t, []string{"a", "b", "c"})),
		model(t, "x", made(t, []string{"c", "b", "a"}, "<x>", "<both>")),
		model(t, "y", made(t, []string{"a", "b", "c"}, "<both>")),
	}
	all := []int{0, 1, 2}
	show := func(g *Gather) string {
		var out []string
		for id := range int32(g.Size) {
			s := fmt.Sprint(g.Own[0][id], g.Own[1][id], g.Own[2][id])
			if slices.ContainsFunc(g.Own, func(own []int32) bool { return own[id] == Elsewhere }) {
				s += fmt.Sprint(g.Others[id])
			}
			out = append(out, s)
		}
		return strings.Join(out, "; ")
	}
	for name, c := range map[string]struct {
		spec Spec
		base int
		want string
	}{
		"base":             {Spec{}, 0, "0 2 0; 1 1 1; 2 0 2"},
		"union":            {Spec{Union: true}, 0, "0 2 0; 1 1 1; 2 0 2; -1 3 -1[{1 3}]; -1 4 3[{1 4} {2 3}]"},
		"of y":             {Spec{Source: 2}, 0, "0 2 0; 1 1 1; 2 0 2; -1 4 3[{1 4} {2 3}]"},
		"the base decides": {Spec{Source: 2}, 2, "0 2 0; 1 1 1; 2 0 2; -1 4 3[{2 3}]"},
		"padded":           {Spec{Multiple: 4}, 0, "0 2 0; 1 1 1; 2 0 2; -2 -2 -2"},
		"new, zero":        {Spec{Tokens: []Rule{{Text: "n", Kind: Zero}}}, 0, "0 2 0; 1 1 1; 2 0 2; -1 -1 -1[]"},
		"new, nobody's":    {Spec{Tokens: []Rule{{Text: "n"}}}, 0, "0 2 0; 1 1 1; 2 0 2; -1 -1 -1[]"},
		"of a model":       {Spec{Tokens: []Rule{{Text: "<both>", Kind: FromModel, Model: 1}}}, 0, "0 2 0; 1 1 1; 2 0 2; -1 4 3[{1 4}]"},
		"forced":           {Spec{Tokens: []Rule{{Text: "b", Kind: FromToken, Model: 1, Token: "<x>", Force: true}}}, 0, "0 2 0; -1 -1 -1[{1 3}]; 2 0 2"},
		"by id":            {Spec{Tokens: []Rule{{Text: "n", Kind: FromID, Model: 1, ID: 4}}}, 0, "0 2 0; 1 1 1; 2 0 2; -1 -1 -1[{1 4}]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := Make(models, c.spec)
			if err != nil {
				t.Fatal(err)
			}
			g, err := p.Gather(all, c.base)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(g); got != c.want || g.Size != p.Size || len(g.Mean) != p.Tokens {
				t.Errorf("%s (%d tokens), want %s", got, len(g.Mean), c.want)
			}
		})
	}
	for name, c := range map[string]struct {
		rule Rule
		says string
	}{
		"no such token":  {Rule{Text: "<x>", Kind: FromModel, Model: 2}, `y has no token "<x>"`},
		"no other token": {Rule{Text: "n", Kind: FromToken, Model: 2, Token: "q"}, `y has no token "q"`},
		"no such id":     {Rule{Text: "n", Kind: FromID, Model: 2, ID: 4}, "token_id 4 is not one of the 4 rows of y"},
		"not merged":     {Rule{Text: "n", Kind: FromID, Model: 0}, "base, whose embeddings are not merged here"},
	} {
		p, err := Make(models, Spec{Tokens: []Rule{c.rule}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Gather([]int{1, 2}, -1)
		var rule *RuleError
		if !errors.As(err, &rule) || rule.Text != c.rule.Text || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBeyondTheRows: tokens that have no embedding are nobody's, and are taken out of the files.
func TestBeyondTheRows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ model, want string }{
		"BPE":     {`{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"],"x":1.50}`, `{"type":"BPE","vocab":{"a":0,"b":1},"merges":[],"x":1.50}`},
		"pairs":   {`{"type":"BPE","vocab":{"b":1,"a":0,"ab":2},"merges":[["a","b"]]}`, `{"type":"BPE","vocab":{"a":0,"b":1},"merges":[]}`},
		"Unigram": {`{"type":"Unigram","unk_id":0,"vocab":[["a",-1.0],["b",-2],["c",0]]}`, `{"type":"Unigram","unk_id":0,"vocab":[["a",-1.0],["b",-2]]}`},
	} {
		files := Files{
			fileTokenizer: []byte(`{"version":"1.0","added_tokens":[{"id":3,"content":"<pad>","special":true}],"model":` + c.model + `}`),
			fileConfig:    []byte(`{"pad_token":"<pad>","eos_token":"a","added_tokens_decoder":{"3":{"content":"<pad>"}},"additional_special_tokens":["b","<pad>"]}`),
			fileVocab:     []byte(`{}`),
		}
		p, err := Make([]Model{{Name: "m", Tokenizer: parsed(t, files), Rows: 2}}, Spec{})
		if err != nil {
			t.Fatal(err)
		}
		edits, drop, err := p.Edits("")
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Added []Added         `json:"added_tokens"`
			Model json.RawMessage `json:"model"`
		}
		if err := json.Unmarshal(edits[fileTokenizer], &got); err != nil {
			t.Fatal(err)
		}
		if s := strings.Join(strings.Fields(string(got.Model)), ""); s != c.want || p.Size != 2 || !slices.Contains(drop, fileVocab) {
			t.Errorf("%s: %s, %d rows, drop %v; want %s", name, s, p.Size, drop, c.want)
		}
		maps.Copy(files, edits)
		delete(files, fileVocab)
		if again := parsed(t, files); again.Len() != 2 {
			t.Errorf("%s: read again it has %v", name, again.Vocabulary())
		}
		if s := string(edits[fileConfig]); strings.Contains(s, "<pad>") || !strings.Contains(s, "eos_token") {
			t.Errorf("%s: %s", name, s)
		}
	}
}

// TestEdits: what is written is read again as what was planned; the same bytes every time; nothing where nothing changes.
func TestEdits(t *testing.T) {
	t.Parallel()
	base := made(t, []string{"a", "b", "c"}, "<s>")
	base[fileConfig] = []byte(`{"bos_token":"<s>","added_tokens_decoder":{"3":{"content":"<s>","special":true}}}`)
	base[fileAdded] = []byte(`{"<s>":3}`)
	models := []Model{model(t, "base", base), model(t, "x", made(t, []string{"b", "q", "p"}, "<|end|>", "c"))}
	var first Files
	for range 8 {
		p, err := Make(models, Spec{Union: true, Tokens: []Rule{{Text: "<new>"}}})
		if err != nil {
			t.Fatal(err)
		}
		edits, _, err := p.Edits("{{ x }}")
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = edits
		}
		for name, b := range edits {
			if string(b) != string(first[name]) {
				t.Fatalf("%s: other bytes", name)
			}
		}
		files := maps.Clone(base)
		maps.Copy(files, edits)
		want := map[string]int32{"a": 0, "b": 1, "c": 2, "<s>": 3, "q": 4, "p": 5, "<|end|>": 6, "<new>": 7}
		if got := parsed(t, files).Vocabulary(); !maps.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if !strings.Contains(string(edits[fileTokenizer]), `"kept": 1e-9`) || !strings.Contains(string(edits[fileConfig]), `"chat_template": "{{ x }}"`) ||
			!strings.Contains(string(edits[fileAdded]), `"<|end|>": 6`) {
			t.Errorf("%s\n%s\n%s", edits[fileTokenizer], edits[fileConfig], edits[fileAdded])
		}
	}
	p, err := Make(models[:1], Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if edits, drop, err := p.Edits(""); len(edits)+len(drop) > 0 || err != nil {
		t.Errorf("%v %v %v", edits, drop, err)
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	in := func(s string) Files { return Files{fileConfig: encode(map[string]string{"chat_template": s})} }
	several := Files{fileConfig: []byte(`{"chat_template":[{"name":"tools","template":"t"},{"name":"default","template":"one"}]}`)}
	for want, models := range map[string][]Files{
		"two": {in("one"), in("two\n"), {fileTemplate: []byte(" two")}, {}},
		"one": {in("one"), in("two"), in(" two"), several},
		"":    {{}, in(""), {fileConfig: []byte(`{"chat_template":7}`)}},
	} {
		if got, err := Template("auto", models); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	for _, name := range []string{"alpaca", "chatml", "llama3", "mistral", "exaone"} {
		if text, err := Template(name, nil); text == "" || err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Template("../tokenizer", nil); err == nil {
		t.Error("a template that is none")
	}
}

// FuzzSentencepiece: no panic on any bytes, and no more pieces than bytes.
func FuzzSentencepiece(f *testing.F) {
	f.Add(pieces("<unk>", "▁a"))
	f.Add([]byte{8, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		if all, err := sentencepieces(data); err == nil && len(all) > len(data) {
			t.Fatalf("%d pieces of %d bytes", len(all), len(data))
		}
	})
}

// FuzzParse: no panic on any bytes, and what is read and written is read again alike.
func FuzzParse(f *testing.F) {
	f.Add(made(f, []string{"a", "b"}, "<x>")[fileTokenizer], []byte(`{"pad_token":"<pad>"}`), []byte(nil))
	f.Add([]byte(`{"model":{"type":"Unigram","vocab":[["a",-1],["b",-2]]}}`), []byte(`{"added_tokens_decoder":{"2":{"content":"x"}}}`), []byte(`{"eos_token":["a",{"content":"b"}]}`))
	f.Add([]byte(`{"added_tokens":[{"id":0,"content":"a"}],"model":{"vocab":{"a":0,"b":1,"ab":2},"merges":["a b",["a","b"]]}}`), []byte(`{}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, data, config, special []byte) {
		files := Files{fileTokenizer: data}
		if len(config) > 0 {
			files[fileConfig] = config
		}
		if len(special) > 0 {
			files[fileSpecial] = special
		}
		tok, err := Parse(files)
		if err != nil {
			return
		}
		rows := max(1, tok.Len()-1)
		p, err := Make([]Model{{Name: "m", Tokenizer: tok, Rows: rows}}, Spec{Tokens: []Rule{{Text: "new"}}})
		if err != nil {
			return
		}
		if _, err := p.Gather([]int{0}, 0); err != nil {
			t.Fatal(err)
		}
		edits, _, err := p.Edits("")
		if err != nil {
			return
		}
		maps.Copy(files, edits)
		again, err := Parse(files)
		if err != nil {
			t.Fatalf("%v in %s", err, edits[fileTokenizer])
		}
		if !maps.Equal(again.ids, p.out.ids) {
			t.Fatalf("%v, want %v", again.ids, p.out.ids)
		}
	})
}
