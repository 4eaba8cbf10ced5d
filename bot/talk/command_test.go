package talk_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"mergebot/bot/talk"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const full = "5b1f0c9e7d3a4f62b8c0d1e2f3a4b5c6d7e8f901"
	type want struct {
		mine      bool
		verb, arg string
		problem   string // part of it
	}
	tests := map[string]want{
		"/mergebot plan":                            {true, "plan", "", ""},
		"/mergebot  PLAN \t":                        {true, "plan", "", ""},
		"/mergebot plan " + full:                    {true, "plan", full, ""},
		"/mergebot plan " + strings.ToUpper(full):   {true, "plan", full, ""},
		"/mergebot plan 5b1f0c9e7d3a":               {true, "", "", "give all 40 digits"},
		"/mergebot plan main":                       {true, "", "", `"main" is no commit`},
		"/mergebot try " + id:                       {true, "try", id, ""},
		"/mergebot try `" + id + "`":                {true, "try", id, ""},
		"`/mergebot run " + id + "`":                {true, "run", id, ""},
		"```/mergebot run " + id + "```":            {true, "run", id, ""},
		"/mergebot run " + id + "\r\nplease":        {true, "run", id, ""},
		"/mergebot run " + id + "\nthanks @all":     {true, "run", id, ""},
		"/mergebot run":                             {true, "", "", "which plan? Say /mergebot run plan-id: a plan's id stands under"},
		"/mergebot run 41cf10ee8a2b":                {true, "", "", "names a plan but no pull request"},
		"/mergebot try 41cf10ee8a2b4b1c9a2f3e4d5c6": {true, "", "", "with a hyphen in the middle"},
		"/mergebot run latest":                      {true, "", "", `"latest" is no plan id`},
		"/mergebot run " + id + " now":              {true, "", "", "too much on the line; say /mergebot run plan-id and"},
		"/mergebot cancel":                          {true, "cancel", "", ""},
		"/mergebot cancel all":                      {true, "", "", "say /mergebot cancel and nothing else"},
		"/mergebot unlock":                          {true, "unlock", "", ""},
		"/mergebot help":                            {true, "help", "", ""},
		"/mergebot":                                 {true, "help", "", ""},
		"/MergeBot plan":                            {true, "plan", "", ""},
		"/mergebot pln":                             {true, "", "", `"pln"; did you mean /mergebot plan?`},
		"/mergebot ubnlock":                         {true, "", "", "did you mean /mergebot unlock?"},
		"/mergebot destroy":                         {true, "", "", "there are plan, try, run, cancel, unlock and help"},
		"/mergebot \x1b[31m\u202e":                  {true, "", "", "there is no command"},
		"/mergebotx plan":                           {}, "/merge plan": {}, "/mergebot-plan": {}, "/mergebot:plan": {},
		" /mergebot plan": {}, "\n/mergebot plan": {}, "> /mergebot plan": {}, "please /mergebot plan": {}, "": {}, "```\n/mergebot plan\n```": {},
		"mergebot plan": {}, "@mergebot plan": {}, "\ufeff/mergebot plan": {}, "/mergebot\u00a0plan": {},
	}
	for body, w := range tests {
		got, mine := talk.Parse(body)
		if mine != w.mine || got.Verb != w.verb || got.Arg != w.arg || !strings.Contains(got.Problem, w.problem) || (got.Problem == "") != (w.problem == "") {
			t.Errorf("%q: %+v, mine %v; want %+v", body, got, mine, w)
		}
	}
}

// The help is made of what is understood, and every command in it is.
func TestHelpNamesEveryCommand(t *testing.T) {
	t.Parallel()
	all := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(talk.Help(), -1)
	if len(all) != 6 {
		t.Fatalf("%d commands in\n%s", len(all), talk.Help())
	}
	for _, m := range all {
		said := strings.NewReplacer("[sha]", head, "plan-id", id).Replace(m[1])
		if c, mine := talk.Parse(said); !mine || c.Problem != "" {
			t.Errorf("%s: %+v", said, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"/mergebot try " + id, "`/mergebot plan " + head + "`", "/mergebot", "/mergebot\x00x", "/mergebot ``", "``/mergebot help`", "/MERGEBOT İ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, mine := talk.Parse(s)
		if !mine {
			if c != (talk.Command{}) {
				t.Errorf("not ours, but %+v", c)
			}
			return
		}
		first, _, _ := strings.Cut(s, "\n")
		if !strings.HasPrefix(strings.ToLower(strings.TrimLeft(first, "`")), "/mergebot") {
			t.Errorf("taken for ours: %q", first)
		}
		if (c.Problem == "") == (c.Verb == "") || c.Problem != "" && c.Arg != "" {
			t.Errorf("neither command nor problem, or both: %+v", c)
		}
		if !regexp.MustCompile(`^(|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{12}-[0-9a-f]{12})$`).MatchString(c.Arg) {
			t.Errorf("argument %q", c.Arg)
		}
		if len(c.Problem) > 400 || strings.ContainsAny(c.Problem, "\n\r\x1b") || !utf8.ValidString(c.Problem) {
			t.Errorf("problem %q", c.Problem)
		}
		if again, ok := talk.Parse(s + "\nmore"); !strings.Contains(s, "\n") && (!ok || again != c) {
			t.Errorf("a second line changes it: %+v, %+v", c, again)
		}
	})
}
