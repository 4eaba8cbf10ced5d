//go:build amd64 || arm64

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"mergebot/eval/engine/logtail"
	"mergebot/eval/engine/wire"
)

// errDied means that the engine's process is gone; the text says how, and ends in its log.
var errDied = errors.New("the engine's process ended")

// cancelGrace is how long a cancelled process may take to answer before it is killed.
const cancelGrace = time.Second

// process is a running engine process. It is used by one goroutine at a time.
type process struct {
	cmd     *exec.Cmd
	log     *tail
	replies chan wire.Reply
	dead    chan struct{} // closed when the process has ended and its log is complete
	state   string        // how it ended, once dead

	mu  sync.Mutex // one frame at a time: requests and cancellations
	out *os.File
}

// start runs this program again as an engine process that inherits the model's memory.
func start(model *os.File, log io.Writer) (*process, error) {
	requestsR, requestsW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	repliesR, repliesW, err := os.Pipe()
	if err != nil {
		_ = errors.Join(requestsR.Close(), requestsW.Close())
		return nil, err
	}
	p := &process{out: requestsW, log: &tail{logtail.Tail{Keep: tailBytes, To: log}}, replies: make(chan wire.Reply), dead: make(chan struct{})}
	p.cmd = exec.Command("/proc/self/exe", ChildVerb) // right even when the program's file has been replaced
	p.cmd.Args[0] = os.Args[0]
	p.cmd.Env = childEnviron()
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.ExtraFiles = []*os.File{wire.ModelFD - 3: model, wire.RequestsFD - 3: requestsR, wire.RepliesFD - 3: repliesW}
	p.cmd.WaitDelay = time.Second
	// A process group of its own: the terminal's ^C is for the program, which ends the engine itself.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the starting thread ends, so that thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = p.cmd.Wait() // its result is in ProcessState
		p.state = p.cmd.ProcessState.String()
		close(p.dead)
	}()
	err = <-started
	_ = errors.Join(requestsR.Close(), repliesW.Close())
	if err != nil {
		_ = errors.Join(requestsW.Close(), repliesR.Close())
		return nil, fmt.Errorf("start the engine's process: %w", err)
	}
	go p.receive(repliesR)
	return p, nil
}

// childEnviron is all that the engine may see: no tokens, and none of the variables that change what llama.cpp does.
func childEnviron() []string {
	env := []string{ChildEnv + "=1"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// receive passes replies on until the process ends.
func (p *process) receive(r *os.File) {
	defer r.Close()
	defer close(p.replies)
	for {
		var reply wire.Reply
		if err := wire.Read(r, &reply); err != nil {
			p.kill() // gone already, or no longer understood
			return
		}
		select {
		case p.replies <- reply:
		case <-p.dead:
			return
		}
	}
}

func (p *process) send(q wire.Request) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return wire.Write(p.out, q)
}

func (p *process) kill() { _ = p.cmd.Process.Kill() }

// close ends the process and waits for it.
func (p *process) close() {
	p.kill()
	<-p.dead
	p.mu.Lock()
	_ = p.out.Close()
	p.mu.Unlock()
}

// call sends requests, of which the last asks for an answer, and returns that answer; each gets the replies before it.
// When ctx ends, the process is asked to stop and, if it does not, killed: the error is ctx's and the process may be
// gone.
func (p *process) call(ctx context.Context, each func(wire.Reply), requests ...wire.Request) (wire.Reply, error) {
	if err := ctx.Err(); err != nil {
		return wire.Reply{}, err
	}
	answered, cancelled := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cancelled)
		time.AfterFunc(cancelGrace, func() {
			select {
			case <-answered:
			default:
				p.kill()
			}
		})
		_ = p.send(wire.Request{Kind: wire.Cancel}) // a process that is gone needs none
	})
	defer func() {
		close(answered)
		if !stop() {
			<-cancelled // a late one would cancel the next call
		}
	}()
	for _, q := range requests {
		if err := p.send(q); errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) {
			break // the loop below says why
		} else if err != nil {
			p.kill() // it may hold half of the requests
			return wire.Reply{}, err
		}
	}
	for r := range p.replies {
		if r.Kind == wire.Item {
			each(r)
			continue
		}
		if err := ctx.Err(); err != nil {
			return wire.Reply{}, err
		}
		if r.Kind == wire.Failed {
			return r, errors.New(r.Error)
		}
		return r, nil
	}
	<-p.dead
	if err := ctx.Err(); err != nil {
		return wire.Reply{}, err
	}
	return wire.Reply{}, fmt.Errorf("%w (%s)%s", errDied, p.state, p.log.String())
}

// tail is the end of the log.
type tail struct{ logtail.Tail }

const tailBytes = 4 << 10

// String is the last lines, for the end of an error.
func (t *tail) String() string {
	lines := strings.Split(t.Text(), "\n")
	if lines = lines[max(0, len(lines)-8):]; lines[len(lines)-1] == "" {
		return ""
	}
	return "; its log ends in:\n" + strings.Join(lines, "\n")
}
