package lease

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// self is this process; nil where /proc does not tell.
func self() *process {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil
	}
	host, err := os.Hostname() // copies of a virtual machine may share the rest
	if err != nil {
		return nil
	}
	// A namespace's number is its own as long as anything lives in it.
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return nil
	}
	pid := os.Getpid()
	start, _, err := stat(pid)
	if err != nil {
		return nil
	}
	return &process{Boot: strings.TrimSpace(string(boot)), Space: host + " " + space, PID: pid, Start: start}
}

// lives says whether a process of this host and namespace is still there. What cannot be told counts as alive.
func lives(p *process) bool {
	start, over, err := stat(p.PID)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return err != nil || start == p.Start && !over
}

// stat reads when a process began, in ticks since the host did, and whether it is over: a zombie that waits for its
// parent, all of its threads gone. See proc_pid_stat(5).
func stat(pid int) (start string, over bool, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false, err
	}
	// The second field is the program's name in brackets, which may hold anything.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	const state, threads, began = 0, 17, 19 // the third, the twentieth, the twenty-second
	if len(fields) <= began {
		return "", false, errors.New("/proc/<pid>/stat has too few fields")
	}
	over = (fields[state] == "Z" || fields[state] == "X") && (fields[threads] == "0" || fields[threads] == "1")
	return fields[began], over, nil
}
