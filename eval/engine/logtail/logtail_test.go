package logtail

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

type full struct{ got strings.Builder }

func (f *full) Write(b []byte) (int, error) {
	f.got.Write(b)
	return 0, errors.New("disk full")
}

func TestTail(t *testing.T) {
	t.Parallel()
	to := new(full)
	tail := &Tail{Keep: 100, To: to}
	var all strings.Builder
	for i := range 1000 {
		line := fmt.Sprintf("line %d \xff\n", i)
		all.WriteString(line)
		if n, err := tail.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("wrote %d of %d, %v", n, len(line), err)
		}
		if kept := len(tail.last); kept > 200 || i > 20 && kept < 100 {
			t.Fatalf("after line %d %d bytes are kept", i, kept)
		}
	}
	if to.got.String() != all.String() {
		t.Error("not all was passed on")
	}
	if text := tail.Text(); !strings.HasSuffix(text, "\nline 999 ?") {
		t.Errorf("kept %q", text)
	}
}
