package lease

import (
	"os/exec"
	"testing"
	"time"
)

func TestDead(t *testing.T) {
	t.Parallel()
	me := self()
	if me == nil || me.dead() {
		t.Fatalf("this process: %+v", me)
	}
	other := *me
	other.Start += "1"
	if !other.dead() {
		t.Error("a pid that is used again: not seen as dead")
	}
	for _, elsewhere := range []process{
		{Boot: "another", Space: me.Space, PID: 1 << 30, Start: "1"},
		{Boot: me.Boot, Space: "another", PID: 1 << 30, Start: "1"},
	} {
		if elsewhere.dead() {
			t.Errorf("%+v: nobody knows", elsewhere)
		}
	}

	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	start, over, err := stat(cmd.Process.Pid)
	child := &process{Boot: me.Boot, Space: me.Space, PID: cmd.Process.Pid, Start: start}
	if err != nil || over || child.dead() {
		t.Errorf("a child that lives: %v, %v", over, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for !child.dead() { // before anybody waits for it
		time.Sleep(time.Millisecond)
	}
	if cmd.Wait() == nil || !child.dead() {
		t.Error("a child that was waited for: not seen as dead")
	}
}

// TestDeadHolder: a lease that lives with its process is free when that is dead; one that outlives it is not.
func TestDeadHolder(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{true, false} {
		s := storage(t)
		r := record{Owner: "gone", TTL: 3600, Until: time.Now().Add(time.Hour)}
		if keep {
			r.Process = self()
			r.Process.Start += "1"
		}
		if err := s.Put(t.Context(), key("daemon", 4), r); err != nil {
			t.Fatal(err)
		}
		l, err := Acquire(t.Context(), s, "daemon", Options{Owner: "next"})
		if keep != (err == nil) {
			t.Errorf("kept %v: %v", keep, err)
		}
		if err == nil && l.Token() != 5 {
			t.Errorf("token %d, want 5", l.Token())
		}
	}
}
