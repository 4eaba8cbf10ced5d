package lease

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mergebot/bot/run"
)

const fighter = "MERGEBOT_TEST_FIGHTER" // storage and log of a child

func TestMain(m *testing.M) {
	if at := os.Getenv(fighter); at != "" {
		if err := fight(context.Background(), at); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const handovers = 200

// fight takes the lease again and again, and writes what it does while it holds it to the log, a line a write.
func fight(ctx context.Context, dir string) error {
	s, err := run.OpenStorage(dir)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	me := fmt.Sprintf("pid %d", os.Getpid())
	for {
		// An hour: only a release, or the death of its holder, may free it.
		l, err := Acquire(ctx, s, "daemon", Options{Owner: me, TTL: time.Hour, Keep: true})
		var held *Held
		if errors.As(err, &held) {
			time.Sleep(time.Duration(1+rand.IntN(5)) * time.Millisecond) // as any other program that waits for a lease
			continue
		}
		if err != nil {
			return err
		}
		for n := range 3 {
			if err := l.Check(ctx); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(log, "%d %d %d\n", l.Token(), n, os.Getpid()); err != nil {
				return err
			}
		}
		if l.Token() >= handovers {
			return l.Release(ctx)
		}
		if err := l.Release(ctx); err != nil {
			return err
		}
	}
}

// TestFight: eight processes, one lease, its holder killed at random moments.
func TestFight(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	type end struct {
		cmd *exec.Cmd
		err error
		out string
	}
	ended := make(chan end)
	running := map[int]*exec.Cmd{}
	start := func() {
		var out strings.Builder
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env, cmd.Stderr = append(os.Environ(), fighter+"="+dir), &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running[cmd.Process.Pid] = cmd
		go func() {
			err := cmd.Wait()
			ended <- end{cmd, err, out.String()}
		}()
	}
	for range 8 {
		start()
	}
	kills, killed := 0, map[int]bool{}
	for kill := time.After(0); len(running) > 0; {
		select {
		case e := <-ended:
			pid := e.cmd.Process.Pid
			delete(running, pid)
			if killed[pid] {
				start()
			} else if e.err != nil {
				t.Errorf("a child: %v: %s", e.err, e.out)
			}
		case <-kill:
			kill = time.After(time.Duration(5+rand.IntN(60)) * time.Millisecond)
			lines, err := read(log)
			if err != nil {
				t.Fatal(err)
			}
			if len(lines) == 0 || lines[len(lines)-1].token > handovers*9/10 {
				continue
			}
			// The one that wrote last: it holds the lease, or gave it back just now.
			if pid := lines[len(lines)-1].pid; running[pid] != nil && !killed[pid] {
				killed[pid] = true
				kills++
				if err := running[pid].Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	lines, err := read(log)
	if err != nil {
		t.Fatal(err)
	}
	holders, died := map[int64]int{}, 0
	for i, l := range lines {
		if p, seen := holders[l.token]; seen && p != l.pid {
			t.Fatalf("token %d of pids %d and %d", l.token, p, l.pid)
		}
		holders[l.token] = l.pid
		switch before := lines[max(i-1, 0)]; {
		case i == 0 || l.token == before.token && l.n == before.n+1:
		case l.token > before.token && l.n == 0:
			if before.n != 2 {
				died++
			}
		default:
			t.Fatalf("two holders at once: line %d is %+v after %+v", i+1, l, before)
		}
	}
	if last := lines[len(lines)-1].token; last < handovers {
		t.Errorf("the last token is %d", last)
	}
	t.Logf("%d holders, %d killed, %d of them while they wrote", len(holders), kills, died)
}

type line struct {
	token  int64
	n, pid int
}

func read(log string) ([]line, error) {
	f, err := os.Open(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []line
	for s := bufio.NewScanner(f); s.Scan(); {
		var l line
		if _, err := fmt.Sscan(s.Text(), &l.token, &l.n, &l.pid); err != nil {
			return nil, fmt.Errorf("%q: %w", s.Text(), err)
		}
		out = append(out, l)
	}
	return out, nil
}
