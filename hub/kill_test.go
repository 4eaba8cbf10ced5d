package hub_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mergebot/hub"
	"mergebot/hub/embedded"
)

// killing is a transfer that is killed again and again. What reaches the second origin, or leaves it, is held to a
// speed, as a network does; the kernel's buffers lie behind that, and what is in them when the process dies counts.
type killing struct {
	size  int64
	kills int
	speed int64 // bytes per second and connection
	part  int64 // of uploads
	most  float64
}

func killings() killing {
	if long() {
		return killing{size: 2 << 30, kills: 50, speed: 200e6 / 8, part: 1 << 20, most: 1.3}
	}
	// A kill every 6 MB, not every 40: what is lost at each weighs more.
	return killing{size: 64 << 20, kills: 10, speed: 8e6, part: 128 << 10, most: 1.6}
}

// TestKilledDownload kills -9 a download again and again; at the end all bytes are right, and few came twice.
func TestKilledDownload(t *testing.T) {
	if testing.Short() {
		t.Skip("moves many bytes")
	}
	k := killings()
	n := &network{speed: k.speed}
	b := newBehind(t, n, embedded.Limits{})
	want := fileSum(t, b.hold(t, k.size))
	cache := t.TempDir()
	dir := strings.TrimSpace(k.run(t, n, b.env(cache, "MERGEBOT_HUB_CHILD=download")))
	if got := fileSum(t, filepath.Join(dir, big)); got != want {
		t.Errorf("the file's hash is %s, want %s", got, want)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "models--*", "blobs", "*.part*"))
	if left != nil {
		t.Errorf("left behind: %q", left)
	}
	k.report(t, n.down.Load())
}

// TestKilledUpload kills -9 an upload again and again; at the end there is one commit with the right bytes, and few
// were sent twice.
func TestKilledUpload(t *testing.T) {
	if testing.Short() {
		t.Skip("moves many bytes")
	}
	k := killings()
	n := &network{speed: k.speed}
	b := newBehind(t, n, embedded.Limits{Part: k.part, Multipart: k.part})
	c, err := hub.New(hub.Options{Endpoint: b.url, Token: token, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateRepo(t.Context(), repo, true); err != nil {
		t.Fatal(err)
	}
	before, err := c.Info(t.Context(), repo, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), big)
	noiseFile(t, file, k.size)
	cache := t.TempDir()
	commit := strings.TrimSpace(k.run(t, n, b.env(cache, "MERGEBOT_HUB_CHILD=upload", "MERGEBOT_HUB_FILE="+file)))
	info, err := c.Info(t.Context(), repo, "")
	if err != nil || info.SHA != commit || info.SHA == before.SHA {
		t.Errorf("the head is %+v, %v; want %s", info, err, commit)
	}
	tree, err := c.Tree(t.Context(), repo, commit)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range tree {
		found = found || f.Path == big && f.SHA256 == fileSum(t, file) && f.Size == k.size
	}
	if !found {
		t.Errorf("the commit has not our file: %+v", tree)
	}
	left, _ := filepath.Glob(filepath.Join(cache, ".locks", "*", "*.upload"))
	if left != nil {
		t.Errorf("left behind: %q", left)
	}
	k.report(t, n.up.Load())
}

// run starts the client again and again, kills it each time that another share of the bytes has passed, and at last
// lets it end. It returns what the client printed.
func (k killing) run(t *testing.T, n *network, env []string) string {
	t.Helper()
	start := n.down.Load() + n.up.Load()
	killed := 0
	for i := 1; ; i++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = env
		var stderr, stdout strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i <= k.kills {
			// From the last kill on, so that each has its share even where bytes come twice.
			share := k.size / int64(k.kills+1)
			n.kill.Store(&trap{at: n.down.Load() + n.up.Load() + share, spring: func() { _ = cmd.Process.Kill() }})
		} else {
			n.kill.Store(nil)
		}
		err := cmd.Wait()
		n.kill.Store(nil)
		switch state := cmd.ProcessState.String(); {
		case err == nil:
			t.Logf("%d kills, %d bytes in all", killed, n.down.Load()+n.up.Load()-start)
			if killed < k.kills*9/10 {
				t.Errorf("it was killed %d times, want %d", killed, k.kills)
			}
			return stdout.String()
		case state != "signal: killed":
			t.Fatalf("run %d: %v\n%s", i, err, stderr.String())
		}
		killed++
	}
}

func (k killing) report(t *testing.T, moved int64) {
	t.Helper()
	times := float64(moved) / float64(k.size)
	t.Logf("%d bytes were moved for a file of %d: %.3f times", moved, k.size, times)
	if times > k.most {
		t.Errorf("%.2f times the file was moved, want at most %.1f", times, k.most)
	}
}

func fileSum(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
