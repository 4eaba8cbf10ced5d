package hub_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mergebot/hub"
	"mergebot/hub/embedded"
)

// long says whether the tests that take minutes and gigabytes are wanted.
func long() bool { return os.Getenv("MERGEBOT_HUB_LONG") != "" }

// TestMain lets the test's program be a client in a process of its own, to be killed or timed.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv("MERGEBOT_HUB_CHILD") {
	case "":
		os.Exit(m.Run())
	case "download":
		err = childDownload()
	case "upload":
		err = childUpload()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child() (*hub.Client, error) {
	return hub.New(hub.Options{Endpoint: os.Getenv("HF_ENDPOINT"), Cache: os.Getenv("HF_HUB_CACHE"), Token: token})
}

func childDownload() error {
	c, err := child()
	if err != nil {
		return err
	}
	dir, err := c.Snapshot(context.Background(), repo, "main", nil)
	if err == nil {
		fmt.Println(dir)
	}
	return err
}

func childUpload() error {
	c, err := child()
	if err != nil {
		return err
	}
	done, err := c.Upload(context.Background(), repo, hub.Upload{Files: []hub.LocalFile{{Path: big, Local: os.Getenv("MERGEBOT_HUB_FILE")}}})
	if err == nil {
		fmt.Println(done.OID)
	}
	return err
}

const big = "model.safetensors"

// network is what lies between the client and the hub's second origin: it counts bytes and holds every connection to
// a speed.
type network struct {
	speed    int64 // bytes per second on each connection, each way; 0 = as fast as it goes
	down, up atomic.Int64
	kill     atomic.Pointer[trap]
}

// trap is sprung once so many bytes have been moved in all.
type trap struct {
	at     int64
	spring func()
	sprung atomic.Bool
}

func (n *network) passed() {
	if t := n.kill.Load(); t != nil && n.down.Load()+n.up.Load() >= t.at && t.sprung.CompareAndSwap(false, true) {
		t.spring()
	}
}

type wiredListener struct {
	net.Listener
	net *network
}

func (l wiredListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wiredConn{Conn: c, net: l.net}, nil
}

type wiredConn struct {
	net.Conn
	net     *network
	out, in time.Time // when what has passed is through
}

// pace waits until n more bytes would be through.
func (c *wiredConn) pace(free *time.Time, n int) {
	if c.net.speed == 0 {
		return
	}
	now := time.Now()
	if free.Before(now) {
		*free = now
	}
	*free = free.Add(time.Duration(float64(n) / float64(c.net.speed) * float64(time.Second)))
	if ahead := free.Sub(now); ahead > 5*time.Millisecond {
		time.Sleep(ahead)
	}
}

func (c *wiredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.net.down.Add(int64(n))
	c.pace(&c.out, n)
	c.net.passed()
	return n, err
}

func (c *wiredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.net.up.Add(int64(n))
	c.pace(&c.in, n)
	c.net.passed()
	return n, err
}

// behind is a hub whose second origin lies behind a network.
type behind struct {
	*embedded.Server
	url    string
	faults *embedded.Faults
}

func newBehind(t testing.TB, n *network, limits embedded.Limits) *behind {
	t.Helper()
	b := &behind{faults: new(embedded.Faults)}
	main, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.url = "http://" + main.Addr().String()
	b.Server, err = embedded.New(embedded.Options{
		Root: t.TempDir(), BlobOrigin: "http://" + far.Addr().String(), Faults: b.faults, Limits: limits,
		Tokens: map[string]embedded.User{token: {Name: "ann"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n != nil {
		far = wiredListener{far, n}
	}
	servers := []*http.Server{{Handler: b.Handler()}, {Handler: b.Blobs()}}
	done := make(chan error, 2)
	for i, l := range []net.Listener{main, far} {
		go func() { done <- servers[i].Serve(l) }()
	}
	t.Cleanup(func() {
		for _, s := range servers {
			s.Close()
			<-done
		}
		if n := b.LeakedTokens(); n != 0 {
			t.Errorf("the token was shown to the second origin %d times", n)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// hold puts a model of one file of noise on the hub.
func (b *behind) hold(t testing.TB, size int64) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "models", repo.ID, big)
	noiseFile(t, file, size)
	if err := b.Seed(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return file
}

func noiseFile(t testing.TB, name string, size int64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{1}), size); err != nil {
		t.Fatal(err)
	}
}

func (b *behind) env(cache string, more ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "HF_") {
			env = append(env, e)
		}
	}
	return append(append(env, "HF_ENDPOINT="+b.url, "HF_HUB_CACHE="+cache), more...)
}
