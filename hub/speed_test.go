package hub_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mergebot/hub/embedded"
)

// TestSpeed holds downloads to those of others, in turns and in processes of their own: where each connection is held to
// 200 Mbit/s, to aria2c with 16 of them; where none is, to one connection of curl whose bytes are stored and hashed as
// ours are. What curl reaches when it throws them away is told beside it: hashing alone is slower than that on most
// machines, so it is no bound.
func TestSpeed(t *testing.T) {
	if !long() {
		t.Skip("MERGEBOT_HUB_LONG is not set")
	}
	for what, tc := range map[string]struct {
		network *network
		size    int64
		rival   string // a shell command; $URL, $DIR
		ratio   float64
	}{
		"200 Mbit/s a connection": {&network{speed: 200e6 / 8}, 2 << 30,
			`aria2c -q -x 16 -s 16 -k 1M --file-allocation=none -d "$DIR" -o x "$URL"`, 0.9},
		"as fast as it goes": {nil, 1 << 30, `curl -s -f "$URL" | tee "$DIR/x" | sha256sum && sync "$DIR/x"`, 0.7},
		"thrown away":        {nil, 1 << 30, `curl -s -f -o /dev/null "$URL"`, 0},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBehind(t, tc.network, embedded.Limits{})
			b.hold(t, tc.size)
			signed := b.signed(t)
			var ours, theirs []float64
			for range 5 {
				dir := t.TempDir()
				cmd := exec.CommandContext(t.Context(), "sh", "-c", tc.rival)
				cmd.Env = append(os.Environ(), "URL="+signed, "DIR="+dir)
				start := time.Now()
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", tc.rival, err, out)
				}
				theirs = append(theirs, float64(tc.size)/time.Since(start).Seconds())
				os.RemoveAll(dir)

				cache := t.TempDir()
				cmd = exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = b.env(cache, "MERGEBOT_HUB_CHILD=download")
				start = time.Now()
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				ours = append(ours, float64(tc.size)/time.Since(start).Seconds())
				t.Logf("theirs %.0f MB/s, ours %.0f MB/s", theirs[len(theirs)-1]/1e6, ours[len(ours)-1]/1e6)
				os.RemoveAll(cache)
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			ratio := ours[2] / theirs[2]
			t.Logf("median: ours %.0f MB/s, theirs %.0f MB/s, ratio %.2f", ours[2]/1e6, theirs[2]/1e6, ratio)
			if ratio < tc.ratio {
				t.Errorf("%.2f of the rival's speed, want %.2f", ratio, tc.ratio)
			}
		})
	}
}

// signed is the storage's address of the big file.
func (b *behind) signed(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/%s/resolve/main/%s", b.url, repo.ID, filepath.Base(big)), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header.Get("Location")
}
