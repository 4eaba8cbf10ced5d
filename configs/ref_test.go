package configs

import (
	"strings"
	"testing"
)

func TestParseModelRef(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want ModelRef
	}{
		{"org/name", ModelRef{Repo: "org/name"}},
		{"gpt2", ModelRef{Repo: "gpt2"}},
		{"org/name@main", ModelRef{Repo: "org/name", Revision: "main"}},
		{"org/name@refs/pr/1", ModelRef{Repo: "org/name", Revision: "refs/pr/1"}},
		{"org/name@v1+org/lora@v2", ModelRef{Repo: "org/name", Revision: "v1", Lora: &ModelRef{Repo: "org/lora", Revision: "v2"}}},
		{"./x", ModelRef{Local: "./x"}},
		{"../x/y", ModelRef{Local: "../x/y"}},
		{"/x", ModelRef{Local: "/x"}},
		{"~/x", ModelRef{Local: "~/x"}},
		{".", ModelRef{Local: "."}},
		{"/home/me@corp/x", ModelRef{Local: "/home/me@corp/x"}},
		{"./x+./lora", ModelRef{Local: "./x", Lora: &ModelRef{Local: "./lora"}}},
		{"s3://bucket/a/b/", ModelRef{Bucket: "s3://bucket/a/b"}},
		{"s3://bucket", ModelRef{Bucket: "s3://bucket"}},
		{"gs://some_bucket/a", ModelRef{Bucket: "gs://some_bucket/a"}},
		{"az://models/a", ModelRef{Bucket: "az://models/a"}},
		{"azblob://models/a", ModelRef{Bucket: "az://models/a"}},
	} {
		got, err := ParseModelRef(c.text)
		if err != nil || !got.Same(c.want) || got.Repo != c.want.Repo || got.Local != c.want.Local || got.Bucket != c.want.Bucket || got.Revision != c.want.Revision {
			t.Errorf("%s: got %+v, %v", c.text, got, err)
		}
		if text := strings.Replace(strings.TrimSuffix(c.text, "/"), "azblob://", "az://", 1); got.String() != text {
			t.Errorf("%s: String gives %s", c.text, got)
		}
	}
}

func TestNotAModelRef(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", "empty model reference"},
		{"a/b/c", "more than one slash"},
		{"a b", "only letters, digits"},
		{"org/na--me", `"--" and ".."`},
		{"org/..", `"--" and ".."`},
		{"-org/name", "start or end with - or ."},
		{"org/name.", "start or end with - or ."},
		{"org/name.git", `must not end in ".git"`},
		{"org/" + strings.Repeat("x", 93), "more than 96 characters"},
		{"org/name@", "nothing after @"},
		{"org/name@a b", "is not a revision"},
		{"org/name@a..b", "is not a revision"},
		{"org/name@v1@v2", "is not a revision"},
		{"org/name+", "adapter after +: empty"},
		{"a/b+a/c+a/d", "more than one +adapter"},
		{"https://huggingface.co/org/name", "a URL is not a model reference"},
		{"s3://Bucket/x", "not a reference to a bucket"},
		{"s3://b/x", "not a reference to a bucket"},
		{"s3://bucket/x?region=eu", "not a reference to a bucket"},
		{"s3://key:hunter2@bucket/x", "not a reference to a bucket"},
		{"./a\x00b", "control character"},
	} {
		_, err := ParseModelRef(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a key is in the message: %v", err)
		}
	}
}

func TestLongModelRef(t *testing.T) {
	t.Parallel()
	head := "merge_method: passthrough\nmodels:\n  - model: "
	r := parse(t, head+"{model: org/name@v1, lora: org/lora, override_architecture: LlamaForCausalLM}\n")
	m := r.Models[0].Model
	if m.String() != "org/name@v1+org/lora" || m.Architecture != "LlamaForCausalLM" || m.Pos != (Position{3, 12}) {
		t.Errorf("got %+v", m)
	}
	for _, c := range []struct{ text, want string }{
		{"{lora: org/lora}", "r.yaml:3:12: the model is missing"},
		{"{model: a/b+c/d, lora: e/f}", "has an +adapter already"},
		{"{model: a/b, lara: e/f}", `unknown key "lara", did you mean "lora"?`},
		{"[a/b]", "want a model such as org/name, not a list"},
		{"7", "want text, not the number 7"},
	} {
		if _, err := Parse("r.yaml", []byte(head+c.text+"\n")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.text, err, c.want)
		}
	}
}

func FuzzParseModelRef(f *testing.F) {
	for _, s := range []string{"org/name@rev+org/lora", "./x", "~/x", "s3://bucket/prefix", "a/b/c", "@", "+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseModelRef(s)
		if err != nil {
			return
		}
		kinds := 0
		for _, part := range []string{ref.Repo, ref.Local, ref.Bucket} {
			if part != "" {
				kinds++
			}
		}
		again, err := ParseModelRef(ref.String())
		if kinds != 1 || err != nil || !again.Same(ref) {
			t.Errorf("%q: %+v, again %+v, %v", s, ref, again, err)
		}
	})
}
