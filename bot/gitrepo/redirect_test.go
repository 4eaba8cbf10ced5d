package gitrepo

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// pkt is a line of git's protocol: its length in four digits of hex, themselves included, comes first.
func pkt(line string) string { return fmt.Sprintf("%04x%s", len(line)+4, line) }

// TestThePasswordStaysAtItsHost: a server that is asked for branches may send the asker elsewhere.
func TestThePasswordStaysAtItsHost(t *testing.T) {
	t.Parallel()
	const password = "s3cr3t-of-the-remote"
	for _, host := range []string{"127.0.0.1", "localhost"} { // another port, and another name
		var mu sync.Mutex
		var got []string
		elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
			if r.Method == http.MethodPost {
				http.Error(w, "no", http.StatusForbidden)
				return
			}
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			const sha = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			io.WriteString(w, "001e# service=git-upload-pack\n0000"+pkt(sha+" HEAD\x00symref=HEAD:refs/heads/main ofs-delta\n")+pkt(sha+" refs/heads/main\n")+"0000")
		}))
		t.Cleanup(elsewhere.Close)
		asked := ""
		home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, asked, _ = r.BasicAuth()
			http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", host, 1)+r.URL.RequestURI(), http.StatusFound)
		}))
		t.Cleanup(home.Close)
		r, err := Open(t.Context(), Options{URL: home.URL + "/recipes.git", Dir: t.TempDir(), Password: password})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = r.Head(t.Context())
		if err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("error %v", err)
		}
		mu.Lock()
		if asked != password || len(got) < 2 {
			t.Errorf("home was asked with %q, and %s then got %q", asked, host, got)
		}
		for _, request := range got {
			if !strings.HasSuffix(request, " ") {
				t.Errorf("%s got the password: %q", host, request)
			}
		}
		mu.Unlock()
	}
}
