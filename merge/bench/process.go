package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// cost is what one process took.
type cost struct {
	Wall float64 `json:"wall_seconds"`
	CPU  float64 `json:"cpu_seconds"` // user and system
	// Sync is how long it then took to bring its output to the disk.
	Sync float64 `json:"sync_seconds"`
	// RSS is the peak of resident memory, mapped files among it, in bytes.
	RSS int64 `json:"peak_rss_bytes"`
	// Anonymous is the peak of memory that is not a file's, in bytes, by samples; 0 where the system does not tell.
	Anonymous int64 `json:"peak_anonymous_bytes"`
	// Phases are mergebot's own steps, in seconds.
	Phases map[string]float64 `json:"phases_seconds,omitempty"`
}

// durable is the time until the output is on the disk.
func (c cost) durable() float64 { return c.Wall + c.Sync }

// command is a process to be measured.
type command struct {
	args []string
	dir  string
	env  []string // beside the environment
}

func (c command) String() string { return strings.Join(c.args, " ") }

// samplePeriod is how often the anonymous memory is looked at.
const samplePeriod = 10 * time.Millisecond

// measure runs a command to its end and returns what it printed and what it
// took.
func measure(ctx context.Context, c command) (string, cost, error) {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	var out, log strings.Builder
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, append(os.Environ(), c.env...), &out, &log
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return "", cost{}, fmt.Errorf("start %s: %w", c, err)
	}
	ended, peak := make(chan struct{}), make(chan resident)
	go func() { peak <- watch(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	wall := time.Since(start)
	close(ended)
	seen := <-peak
	if err != nil {
		return "", cost{}, fmt.Errorf("%s: %w\n%s", c, errors.Join(ctx.Err(), err), tail(log.String()))
	}
	return out.String(), cost{
		Wall: wall.Seconds(), CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(),
		RSS: peakResident(cmd.ProcessState, seen.peak), Anonymous: seen.anonymous,
	}, nil
}

// resident is a process's memory, in bytes.
type resident struct {
	peak      int64 // since it began, mapped files among it
	anonymous int64 // now, without files
}

// watch looks at a process until it has ended, and returns the most that was
// seen.
func watch(pid int, ended <-chan struct{}) resident {
	tick := time.NewTicker(samplePeriod)
	defer tick.Stop()
	var most resident
	for {
		now := residentOf(pid)
		most = resident{max(most.peak, now.peak), max(most.anonymous, now.anonymous)}
		select {
		case <-ended:
			return most
		case <-tick.C:
		}
	}
}

// tail is the end of a log, which is where the reason is.
func tail(log string) string {
	const most = 2000
	if log = strings.TrimSpace(log); len(log) > most {
		log = "…" + log[len(log)-most:]
	}
	return log
}
