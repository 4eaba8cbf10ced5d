package vllm

import (
	"fmt"
	"mergebot/eval/engine/logtail"
	"regexp"
	"slices"
	"strings"
)

// tail is the end of the server's output.
type tail struct{ logtail.Tail }

// tailBytes is much, because vLLM says the cause of a failed start first and hundreds of lines of stack traces later.
const tailBytes = 256 << 10

func newTail() *tail { return &tail{logtail.Tail{Keep: tailBytes}} }

// exception is a line that says what went wrong, as Python's stack traces end.
var exception = regexp.MustCompile(`(\w+(Error|Exception|Exit)|\berror): \S`)

// hints are what to do about what the log says, the more telling first.
var hints = []struct {
	says *regexp.Regexp
	do   string
}{
	{regexp.MustCompile(`out of memory|OutOfMemoryError|is less than desired GPU memory`),
		"the GPU's memory does not suffice: lower --gpu-memory-utilization, end what else runs on the GPU, or spread the model by --tensor-parallel-size"},
	{regexp.MustCompile(`No available memory for the cache blocks|larger than the available KV cache memory`),
		"no memory is left for the context: lower the engine's context, or raise --gpu-memory-utilization"},
	{regexp.MustCompile(`unrecognized arguments|No such option`),
		"this vLLM does not know an argument: check the engine's arguments; mergebot needs vLLM 0.10.1 or newer"},
	{regexp.MustCompile(`Failed to infer device type`),
		"this vLLM found no GPU: check nvidia-smi, or install vLLM's build for the CPU"},
	{regexp.MustCompile(`are not supported for now`),
		"this vLLM does not know the model's architecture: a newer one may"},
	{regexp.MustCompile(`No space left on device`),
		"the folder for temporary files or caches is full: free some space"},
}

// String is for the end of an error: what to do, and the lines that say what happened.
func (t *tail) String() string {
	text := t.Text()
	if text == "" {
		return ""
	}
	var b strings.Builder
	for _, h := range hints {
		if h.says.MatchString(text) {
			fmt.Fprintf(&b, "; %s", h.do)
			break
		}
	}
	lines := strings.Split(text, "\n")
	end := lines[max(0, len(lines)-4):]
	shown := slices.DeleteFunc(slices.Clone(lines[:len(lines)-len(end)]), func(l string) bool { return !exception.MatchString(l) })
	shown = slices.Compact(shown) // each request that fails with the engine says the same
	shown = append(shown[max(0, len(shown)-4):], end...)
	for i, l := range shown {
		shown[i] = fmt.Sprintf("%.400s", l)
	}
	fmt.Fprintf(&b, "; its log ends in:\n%s", strings.Join(shown, "\n"))
	return b.String()
}
