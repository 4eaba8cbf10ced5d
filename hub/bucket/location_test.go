package bucket

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want, problem string }{
		{text: "s3://models/llama/7b/", want: "s3://models/llama/7b"},
		{text: "s3://models", want: "s3://models"},
		{text: "s3://models/a b%2F@é?region=eu-west-1&endpoint=http://127.0.0.1:9000&use_path_style=true", want: "s3://models/a b%2F@é"},
		{text: "gs://some_bucket/x", want: "gs://some_bucket/x"},
		{text: "az://models/x", want: "azblob://models/x"},
		{text: "azblob://models/x?localemu=true", want: "azblob://models/x"},
		{text: "ftp://models/x", problem: "not a bucket"},
		{text: "s3://key:hunter2@models/x", problem: "without keys"},
		{text: "s3://Models/x", problem: "bucket's name"},
		{text: "s3://models/a//b", problem: "is empty"},
		{text: "s3://models/../b", problem: "by dots"},
		{text: "s3://models/x?secret_key=hunter2", problem: "not an option"},
		{text: "s3://models/x?endpoint=http://key:hunter2@host", problem: "without a user"},
		{text: "s3://models/x?endpoint=http://host?sig=hunter2", problem: "without a user"},
		{text: "gs://models/x?region=eu", problem: "not an option"},
	} {
		l, err := Parse(c.text)
		switch {
		case c.problem == "" && (err != nil || l.String() != c.want):
			t.Errorf("%s: %v, %v", c.text, l, err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// FuzzParse: what is accepted can be written down and read again, and nothing that is accepted leaves its bucket.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"s3://models/a/b?region=x", "az://models/x", "gs://b_c/", "s3://k:p@models", "s3://models/..%2f", "s3://models/?%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(l.String())
		if err != nil || again.String() != l.String() {
			t.Errorf("%q became %q: %v", text, l, err)
		}
		for _, part := range strings.Split(l.Prefix, "/") {
			if part == ".." || part == "." {
				t.Errorf("%q leads to %q", text, l.Prefix)
			}
		}
		if strings.Contains(l.Bucket, "@") {
			t.Errorf("%q has a user", text)
		}
	})
}

// FuzzReadSums: a torn or foreign file of hashes gives numbers and hashes, or nothing.
func FuzzReadSums(f *testing.F) {
	f.Add("0 " + strings.Repeat("a", 64) + "\n\n1 " + strings.Repeat("b", 20))
	f.Add("-1 x\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		for i, sum := range readSums(strings.NewReader(text)) {
			if i < 0 || len(sum) != 64 {
				t.Errorf("%d %q", i, sum)
			}
		}
	})
}
