//go:build amd64 || arm64

package engine

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// parentEnv makes the test binary a program that opens a session and waits to be killed.
const parentEnv = "MERGEBOT_TEST_PARENT"

func TestDiesWithItsParent(t *testing.T) {
	if os.Getenv(parentEnv) != "" {
		s := openFamily(t, "base", Options{})
		fmt.Printf("child %d\n", s.proc.cmd.Process.Pid)
		time.Sleep(time.Minute)
		return
	}
	library(t)
	parent := exec.Command(os.Args[0], "-test.run=^TestDiesWithItsParent$")
	parent.Env = append(os.Environ(), parentEnv+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()         //nolint:errcheck // killed
	defer parent.Process.Kill() //nolint:errcheck // again
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "child ")))
	if err != nil || !alive(pid) {
		t.Fatalf("%q: %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if !alive(pid) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("process %d lives on after its parent", pid)
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

func TestCloseLeavesNoProcess(t *testing.T) {
	t.Parallel()
	s := openFamily(t, "base", Options{})
	pid := s.proc.cmd.Process.Pid
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); !os.IsNotExist(err) {
		t.Errorf("process %d is there: %v", pid, err)
	}
}

func TestCloseEndsARunningCall(t *testing.T) {
	t.Parallel()
	s := openFamily(t, "base", Options{})
	var reqs []Request
	for range 400 {
		reqs = append(reqs, requests(readGolden(t)["base"][:1])...)
	}
	began, ended := make(chan struct{}), make(chan error)
	go func() {
		first := true
		_, err := s.Generate(t.Context(), reqs, func(int, Completion) {
			if first {
				first = false
				close(began)
			}
		})
		ended <- err
	}()
	<-began
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), ErrClosed.Error()) {
		t.Errorf("generate while closing: %v", err)
	}
}
