package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/hub/embedded"
	"mergebot/testdata/familyhub"
)

// TestScript runs the program as a user does: testdata/script/*.txtar. Besides testscript's own commands they have
//
//	family DIR              write the tiny family and its data sets as a hub's seed folder
//	hub [FLAGS] DIR         serve DIR as a hub on loopback, with faults if asked, and point HF_ENDPOINT to it
//	breakmodel KIND SRC DST copy a checkpoint with something wrong in it
//	exits CODE COMMAND…     run a command that must end with this exit code
//	plain FILE…             fail when a file holds a control character
//	json FILE|stdout|stderr EXPR  fail unless the JSON has a value at a dotted path (a.b=c, or a.b for anything)
//	nothing                 fail if anything is there under the name out, or was begun
//	waitfor FILE [TEXT]     wait until a file is there, and holds the text
//
// and the conditions [engine] and [mount]: the inference library is installed; a tmpfs may be mounted.
func TestScript(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the scripts need sh")
	}
	lib := engineDir(t)
	driver, err := filepath.Abs("../../merge/kernel/cuda/testdata/fakecuda.c")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			for name, dir := range map[string]string{"HOME": "home", "HF_HOME": "hf", "XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config"} {
				e.Setenv(name, filepath.Join(e.WorkDir, ".user", dir))
			}
			e.Setenv("MERGEBOT_ENGINE_DIR", lib)
			e.Setenv("FAKECUDA", driver)
			e.Setenv("HF_ENDPOINT", "http://127.0.0.1:1") // nobody: a script names its hub
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"family": cmdFamily, "hub": cmdHub, "breakmodel": cmdBreakModel, "exits": cmdExits,
			"plain": cmdPlain, "json": cmdJSON, "waitfor": cmdWaitFor, "nothing": cmdNothing,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "engine":
				_, err := engine.Installed(lib)
				if err != nil && os.Getenv("MERGEBOT_REQUIRE_ENGINE") == "1" {
					return false, err
				}
				return err == nil, nil
			case "mount":
				return exec.Command("unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "tmpfs", os.TempDir()).Run() == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// engineDir is where the inference library is, found before the scripts get homes of their own.
func engineDir(t *testing.T) string {
	s, err := configs.LoadSettings("", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.EngineDir
}

func cmdFamily(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: family DIR")
	}
	ts.Check(familyhub.WriteSeed(ts.MkAbs(args[0])))
}

// cmdHub serves a seed folder until the script ends, or until the next hub takes its place in HF_ENDPOINT.
func cmdHub(ts *testscript.TestScript, neg bool, args []string) {
	var fault embedded.Fault
	var tokens string
	f := flag.NewFlagSet("hub", flag.ContinueOnError)
	f.StringVar((*string)(&fault.Kind), "fault", "", "kind of fault")
	f.StringVar(&fault.Path, "path", "", "URL paths that meet it, * for anything")
	f.IntVar(&fault.Skip, "skip", 0, "requests let through first")
	f.Int64Var(&fault.After, "after", 0, "bytes before it strikes")
	f.DurationVar(&fault.Delay, "delay", 0, "its duration")
	f.StringVar(&tokens, "tokens", "", "token=user,…")
	ts.Check(f.Parse(args))
	if neg || f.NArg() != 1 {
		ts.Fatalf("usage: hub [flags] DIR")
	}
	o := embedded.Options{Root: filepath.Join(ts.Getenv("WORK"), ".hub", strconv.FormatInt(time.Now().UnixNano(), 36)), Faults: new(embedded.Faults)}
	if fault.Kind != "" {
		fault.Count = -1
		o.Faults.Add(fault)
	}
	for _, t := range strings.FieldsFunc(tokens, func(r rune) bool { return r == ',' }) {
		token, user, _ := strings.Cut(t, "=")
		if o.Tokens == nil {
			o.Tokens = map[string]embedded.User{}
		}
		o.Tokens[token] = embedded.User{Name: user}
	}
	server, err := embedded.Listen(context.Background(), o, "127.0.0.1:0", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { server.Close() })
	ts.Check(server.Server.Seed(context.Background(), ts.MkAbs(f.Arg(0))))
	ts.Setenv("HF_ENDPOINT", server.URL)
}

// cmdExits runs a command as exec does and looks at its exit code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case err == nil && want == 0:
	case err == nil:
		ts.Fatalf("it ended with exit code 0, not %d", want)
	case errors.As(err, &exit):
		if exit.ExitCode() != want {
			ts.Fatalf("it ended with exit code %d, not %d", exit.ExitCode(), want)
		}
	default:
		ts.Check(err)
	}
}

func cmdPlain(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		text := ts.ReadFile(name)
		i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f })
		if (i < 0) == neg {
			ts.Fatalf("%s: control character at byte %d: %q", name, i, text)
		}
	}
}

func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json FILE PATH[=VALUE]")
	}
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &v); err != nil {
		ts.Fatalf("%s is not JSON: %v", args[0], err)
	}
	path, want, compare := strings.Cut(args[1], "=")
	ok := true
	for _, key := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v, ok = at[key]
		case []any:
			i, err := strconv.Atoi(key)
			if ok = err == nil && i < len(at); ok {
				v = at[i]
			}
		default:
			ok = false
		}
		if !ok {
			break
		}
	}
	if ok && compare {
		ok = fmt.Sprint(v) == want
	}
	if ok == neg {
		ts.Fatalf("%s: %s: found %v", args[0], args[1], v)
	}
}

func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 && len(args) != 2 {
		ts.Fatalf("usage: waitfor FILE [TEXT]")
	}
	want := strings.Join(args[1:], "")
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if b, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.Contains(string(b), want) {
			return
		}
		if time.Now().After(until) {
			ts.Fatalf("%s did not appear", args[0])
		}
	}
}

// cmdNothing makes sure that a merge to out left nothing behind: an empty folder at most, no staging, no lock.
func cmdNothing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: nothing")
	}
	for _, pattern := range []string{"out/*", "out/.*", ".out*"} {
		found, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(found) > 0 {
			ts.Fatalf("left behind: %s", found)
		}
	}
}
