package hub_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mergebot/hub"
	"mergebot/hub/embedded"
)

// TestUploadResumed: parts that were accepted are not sent again by the next client, unless the hub has forgotten
// them or the note of them was spoilt.
func TestUploadResumed(t *testing.T) {
	t.Parallel()
	for what, tc := range map[string]struct {
		between func(t *testing.T, s *stage, note string)
		puts    int // by the second client, of eight parts
	}{
		"as it was left": {func(*testing.T, *stage, string) {}, 1},
		"the upload is unknown by now": {func(_ *testing.T, s *stage, _ string) {
			s.faults.Add(embedded.Fault{Kind: embedded.FaultStatus, Method: http.MethodPut, Status: 404})
		}, 9},
		"addresses of another place": {func(t *testing.T, s *stage, note string) {
			rewrite(t, note, func(text string) string {
				endpoint, upload, _ := strings.Cut(text, `"upload"`)
				return endpoint + `"upload"` + strings.ReplaceAll(upload, "127.0.0.1", "127.0.0.9")
			})
		}, 8},
		"cut": {func(t *testing.T, s *stage, note string) {
			rewrite(t, note, func(text string) string { return text[:strings.LastIndex(strings.TrimSpace(text), "\n")+4] })
		}, 2},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			content := noise(310_001, 5) // eight parts
			up := hub.Upload{Files: []hub.LocalFile{{Path: "model.safetensors", Data: content}}}
			client := func() *hub.Client { // one part after the other
				c, err := hub.New(hub.Options{Endpoint: s.Endpoint(), Token: token, Cache: s.CacheDir(), Workers: 1})
				if err != nil {
					t.Fatal(err)
				}
				hub.Hurry(c, 256)
				return c
			}
			s.faults.Add(embedded.Fault{Kind: embedded.FaultStatus, Method: http.MethodPut, Count: -1, Status: 500,
				Where: func(r *http.Request) bool { return r.URL.Query().Get("part") == "8" }})
			if _, err := client().Upload(t.Context(), repo, up); err == nil {
				t.Fatal("the upload came through")
			}
			notes, _ := filepath.Glob(filepath.Join(s.CacheDir(), ".locks", "*", "*.upload"))
			if len(notes) != 1 {
				t.Fatalf("notes %q, want one", notes)
			}
			s.faults.Clear()
			tc.between(t, s, notes[0])
			before := s.count("PUT", "/lfs/")
			if _, err := client().Upload(t.Context(), repo, up); err != nil {
				t.Fatal(err)
			}
			if n := s.count("PUT", "/lfs/") - before; n != tc.puts {
				t.Errorf("%d parts were sent, want %d", n, tc.puts)
			}
			if notes, _ = filepath.Glob(filepath.Join(s.CacheDir(), ".locks", "*", "*.upload")); notes != nil {
				t.Errorf("left behind: %q", notes)
			}
			s.expect(t, "", map[string][]byte{"model.safetensors": content})
		})
	}
}

func rewrite(t *testing.T, name string, change func(string) string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, []byte(change(string(b))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestBranch(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for range 2 { // the second time it exists, which is no error
		if err := s.Branch(t.Context(), repo, "dev", ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Upload(t.Context(), repo, hub.Upload{Revision: "dev", Files: []hub.LocalFile{{Path: "x", Data: []byte("x")}}}); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "dev", map[string][]byte{"x": []byte("x")})
	if err := s.Branch(t.Context(), repo, "a b", ""); err == nil {
		t.Error("a name with a blank was taken")
	}
}
