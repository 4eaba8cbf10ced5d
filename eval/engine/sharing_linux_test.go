//go:build amd64 || arm64

package engine

import (
	"bytes"
	"regexp"
	"slices"
	"testing"
)

// TestSharedPrefixes generates for prompts that begin with the same examples, which a slot keeps from one prompt to the
// next: each must get what it gets alone, by a cache that holds nothing.
func TestSharedPrefixes(t *testing.T) {
	t.Parallel()
	rows, _ := readRows(t, "FPB")
	rows = rows[:24]
	examples := rows[0].Prompt + " positive\n\n" + rows[1].Prompt + " negative\n\n"
	var reqs []Request
	for i, r := range rows {
		prompt := examples + r.Prompt
		switch i % 8 {
		case 5: // a prompt twice: all but its last token is there already
			prompt = reqs[i-1].Prompt
		case 6: // the beginning of another
			prompt = examples
		case 7: // nothing in common
			prompt = r.Prompt
		}
		reqs = append(reqs, Request{Prompt: prompt, MaxTokens: 12})
	}
	s := openFamily(t, "finance", Options{Lanes: 1, Slots: 2})
	together, err := s.Generate(t.Context(), reqs, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range reqs {
		alone, err := s.Generate(t.Context(), reqs[i:i+1], nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := together[i], alone[0]; !slices.Equal(got.Tokens, want.Tokens) || got.Finish != want.Finish || got.PromptTokens != want.PromptTokens {
			t.Errorf("prompt %d: %v %q (%s), alone %v %q (%s)", i, got.Tokens, got.Text, got.Finish, want.Tokens, want.Text, want.Finish)
		}
	}
}

// TestCacheBound gives less memory than all slots want: there are fewer of them, and the same completions.
func TestCacheBound(t *testing.T) {
	t.Parallel()
	cases := readGolden(t)["math"]
	for bound, slots := range map[int64]string{1: "1", 5 << 20: "2", 1 << 30: "4"} { // a sequence of 256 positions takes 1.25 MiB
		var log bytes.Buffer
		s := openFamily(t, "math", Options{Lanes: 2, Slots: 4, CacheBytes: bound, Log: &log})
		checkGreedy(t, s, cases)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		made := regexp.MustCompile(`n_seq_max +=+ (\d+)`).FindAllSubmatch(log.Bytes(), -1)
		if len(made) == 0 {
			t.Fatalf("the log names no context:\n%s", log.Bytes())
		}
		for _, m := range made {
			if string(m[1]) != slots {
				t.Errorf("%d bytes: a context of %s sequences, want %s", bound, m[1], slots)
			}
		}
	}
}
