package vllm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// errDied means that the server's process is gone; the text says how, and ends in its log.
var errDied = errors.New("the vLLM process ended")

const (
	// grace is how long a server may take to end by itself: it has GPU memory to free and workers to end.
	grace = 15 * time.Second
	// restTime is how long the rest of its processes may take after it.
	restTime = 5 * time.Second
	// goneTime is how long killed processes may take to be gone.
	goneTime = 10 * time.Second
)

// guardScript runs in the server's process group and waits for its input to end, which happens when mergebot ends, in
// whatever way: then it ends the group. Without it a killed mergebot would leave vLLM's workers behind with the GPU's
// memory. (A signal on the parent's death reaches the child alone, and vLLM's workers outlive a killed server.)
const guardScript = `trap "" TERM INT HUP; read -r _; kill -TERM 0; sleep %d; kill -KILL 0`

// process is a running server with all that it has started.
type process struct {
	cmd   *exec.Cmd
	guard *exec.Cmd
	life  io.Closer // the guard's input
	log   *tail
	file  *os.File // may be nil
	grace time.Duration

	dead  chan struct{} // closed when the server has ended and its log is complete
	state string        // how it ended, once dead
}

// startProcess starts the server for the checkpoint in f. It is not ready yet.
func startProcess(o Options, f *folder, key string) (_ *process, err error) {
	p := &process{log: newTail(), grace: grace, dead: make(chan struct{})}
	if p.cmd, err = o.command(o.arguments(f.model(), f.socket())...); err != nil {
		return nil, err
	}
	if err := os.Remove(f.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err // of the server before
	}
	if o.Log != "" {
		if p.file, err = os.OpenFile(o.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return nil, fmt.Errorf("open vLLM's log: %w", err)
		}
		p.log.To = p.file
	}
	defer func() {
		if err != nil {
			p.closeLog()
		}
	}()
	p.guard = exec.Command("/bin/sh", "-c", fmt.Sprintf(guardScript, int(p.grace.Seconds())))
	p.guard.Env = []string{"PATH=" + os.Getenv("PATH")}
	p.guard.SysProcAttr = inGroup(0)
	if p.life, err = p.guard.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.guard.Start(); err != nil {
		return nil, fmt.Errorf("start vLLM's guard: %w", err)
	}
	p.cmd.Dir = f.path
	p.cmd.Env = environ(os.Environ(), key)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = inGroup(p.guard.Process.Pid)
	if err := p.cmd.Start(); err != nil {
		p.end()
		return nil, fmt.Errorf("start vLLM: %w", err)
	}
	go func() {
		_ = p.cmd.Wait() // its result is in ProcessState
		p.state = p.cmd.ProcessState.String()
		close(p.dead)
	}()
	return p, nil
}

// ready waits until the server is healthy.
func (p *process) ready(ctx context.Context, c *control, limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for !c.healthy(ctx) {
		select {
		case <-p.dead:
			return p.death()
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return fmt.Errorf("vLLM is not ready after %v; give it more time to start if its log shows progress%s", limit, p.log)
		case <-again.C:
		}
	}
	return nil
}

// death is the error of a process that is dead.
func (p *process) death() error { return fmt.Errorf("%w (%s)%s", errDied, p.state, p.log) }

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// stop ends the server, kindly, and then whatever is left of what it has started.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it is gone
	select {
	case <-p.dead:
	case <-time.After(p.grace):
		killGroup(p.group())
	}
	p.end()
	<-p.dead
	p.closeLog()
}

// end ends the guard and waits until nothing of the group is left, so that its GPU memory is free. For a moment what is
// left may end by itself: Python's resource tracker removes shared memory of which nobody else would free the machine.
func (p *process) end() {
	group := p.group()
	_ = p.guard.Process.Kill()
	_ = p.guard.Wait() // until here the guard keeps the group's number from becoming another's
	_ = p.life.Close()
	if !waitGroup(group, restTime) {
		killGroup(group)
		waitGroup(group, goneTime)
	}
}

// group is the process group of the server, its guard and all that it has started.
func (p *process) group() int { return p.guard.Process.Pid }

func waitGroup(group int, limit time.Duration) (gone bool) {
	for until := time.Now().Add(limit); !groupGone(group); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			return false
		}
	}
	return true
}

func (p *process) closeLog() {
	if p.file != nil {
		_ = p.file.Close()
	}
}

// whileAlive is ctx until the server dies.
func (p *process) whileAlive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-p.dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
