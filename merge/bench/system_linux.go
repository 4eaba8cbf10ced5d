package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// peakResident is the peak of an ended process's resident memory in bytes. The
// kernel's count starts at what the parent had held when it forked; a process
// that stayed below that is judged by what was seen of it, which may miss its
// last moments.
func peakResident(p *os.ProcessState, seen int64) int64 {
	u, ok := p.SysUsage().(*syscall.Rusage)
	if !ok || u.Maxrss<<10 <= residentOf(os.Getpid()).peak {
		return seen
	}
	return u.Maxrss << 10
}

// residentOf is a running process's memory; zeros after its end.
func residentOf(pid int) resident {
	status := fmt.Sprintf("/proc/%d/status", pid)
	return resident{peak: kilobytes(status, "VmHWM"), anonymous: kilobytes(status, "RssAnon")}
}

// memory is this machine's, in bytes.
func memory() int64 { return kilobytes("/proc/meminfo", "MemTotal") }

// kilobytes reads a line "name: 123 kB" of a file of the kernel's, as bytes.
func kilobytes(path, name string) int64 {
	fields := strings.Fields(lineOf(path, name))
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[0], 10, 64)
	return n << 10
}

// lineOf reads what follows "name:" in a file of the kernel's, "" without.
func lineOf(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if before, after, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(before) == name {
			return strings.TrimSpace(after)
		}
	}
	return ""
}

// processor is the name of this machine's processor.
func processor() string { return lineOf("/proc/cpuinfo", "model name") }

// load is how many processes wanted to run in the last minute.
func load() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var one float64
	_, _ = fmt.Sscan(string(b), &one)
	return one
}

// forget drops a file, all of it on the disk, from the page cache.
func forget(f *os.File) error { return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// quiet waits until all that dir's file system holds is on the disk.
func quiet(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return unix.Syncfs(int(f.Fd()))
}
