package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mergebot/eval/engine"
)

// TestMain makes this test binary stand for other programs: the engine's child process; mergebot itself, when
// it is started under that name, as the scripts do (testscript.Main puts it into their PATH); vllm; else the tests.
func TestMain(m *testing.M) {
	if os.Getenv(engine.ChildEnv) == "1" {
		if err := engine.ServeChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testscript.Main(m, map[string]func(){"mergebot": main, "vllm": standInVLLM})
}
