package vllm

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mergebot/eval/engine"
)

func items(n int) (reqs []engine.Request) {
	for i := range n {
		reqs = append(reqs, engine.Request{Prompt: fmt.Sprintf("item %d", i), MaxTokens: 4})
	}
	return reqs
}

func TestDiesInTheMiddle(t *testing.T) {
	t.Parallel()
	s, dir, n := openFake(t, "dies-once")
	told := make([]int, 40)
	out, err := s.Generate(t.Context(), items(len(told)), func(i int, _ engine.Completion) { told[i]++ })
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range out {
		if want := newModel(1).text(fmt.Sprintf("item %d", i)); c.Text != want || told[i] != 1 {
			t.Errorf("item %d: %+v told %d times, want %q once", i, c, told[i], want)
		}
	}
	if len(starts(t, dir)) != 2 || !strings.Contains(n.String(), "started again") {
		t.Errorf("%d starts, notes %q", len(starts(t, dir)), n)
	}
}

func TestDiesAgain(t *testing.T) {
	t.Parallel()
	s, dir, _ := openFake(t, "dies-always")
	told := map[int]int{}
	_, err := s.Generate(t.Context(), items(40), func(i int, _ engine.Completion) { told[i]++ })
	if !errors.Is(err, engine.ErrCrashed) || !strings.Contains(err.Error(), "EngineDeadError: EngineCore encountered an issue.") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
	if len(starts(t, dir)) != 2 {
		t.Errorf("%d starts", len(starts(t, dir)))
	}
	for i, n := range told {
		if n != 1 {
			t.Errorf("item %d told %d times", i, n)
		}
	}
	ask(t, s, newModel(1)) // started a third time
}

// parentEnv makes the test binary a program that opens a session in that folder and waits to be killed.
const parentEnv = "MERGEBOT_TEST_VLLM_PARENT"

func TestEndsWithItsParent(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(parentEnv); dir != "" {
		o, _, _ := options(t, "grandchild")
		o.Command[3], o.Dir = dir, dir
		if _, err := Open(t.Context(), newModel(1), safetensors, o); err != nil {
			t.Fatal(err)
		}
		fmt.Println("open")
		time.Sleep(time.Minute)
		return
	}
	dir := shortDir(t)
	parent := exec.Command(os.Args[0], "-test.run=^TestEndsWithItsParent$")
	parent.Env = append(os.Environ(), parentEnv+"="+dir, "TMPDIR="+dir) // it is killed and removes nothing
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()         //nolint:errcheck // killed
	defer parent.Process.Kill() //nolint:errcheck // again
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatalf("%q %v", line, err)
	}
	server := starts(t, dir)[0].PID
	worker := workerPID(t, dir)
	if !alive(server) || !alive(worker) {
		t.Fatal("the server does not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	waitGone(t, server)
	waitGone(t, worker) // ignores SIGTERM: killed after the grace

	// What is left in the folder for checkpoints is taken away by the next session, and a living one's is not.
	if left, _ := filepath.Glob(filepath.Join(dir, folderPrefix+"*", "model", "model.safetensors")); len(left) != 1 {
		t.Fatalf("left behind: %v", left)
	}
	o, _, _ := options(t, "")
	o.Dir = dir
	first, err1 := Open(t.Context(), newModel(1), safetensors, o)
	second, err2 := Open(t.Context(), newModel(2), safetensors, o)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	ask(t, first, newModel(1))
	if left, _ := filepath.Glob(filepath.Join(dir, folderPrefix+"*")); len(left) != 2 {
		t.Errorf("folders of two sessions: %v", left)
	}
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, folderPrefix+"*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCloseLeavesNoProcess(t *testing.T) {
	t.Parallel()
	for _, faults := range []string{"grandchild", "grandchild,ignores-term"} {
		s, dir, _ := openFake(t, faults)
		s.proc.grace = 100 * time.Millisecond
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if pid := starts(t, dir)[0].PID; alive(pid) {
			t.Errorf("%s: process %d lives on", faults, pid)
		}
		if pid := workerPID(t, dir); alive(pid) {
			t.Errorf("%s: worker %d lives on", faults, pid)
		}
		if _, err := s.Generate(t.Context(), items(1), nil); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	}
}

func workerPID(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "worker"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	for range 1200 {
		if !alive(pid) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("process %d lives on", pid)
}

// alive tells whether a process runs; one that only waits to be reaped does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
