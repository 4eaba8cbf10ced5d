package vllm

import (
	"os"
	"testing"
)

// TestMain makes the test binary a vLLM when it is called as one: the first argument says so, the second in which
// ways it is broken, the third where it notes what it does.
func TestMain(m *testing.M) {
	if len(os.Args) > 4 && os.Args[1] == "fake-vllm" {
		os.Exit(fakeVLLM(os.Args[2], os.Args[3], os.Args[4:]))
	}
	os.Exit(m.Run())
}
