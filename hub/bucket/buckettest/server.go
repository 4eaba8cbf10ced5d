// Package buckettest stands up a real S3 server for tests: versitygw, which keeps buckets as folders.
package buckettest

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Server is an S3 server with a bucket named models and one named storage.
type Server struct {
	Endpoint string // http://127.0.0.1:…
	dir      string
}

// The key that the server knows.
const (
	AccessKey = "tester"
	SecretKey = "tester-secret-0f5b"
)

// Start runs versitygw (MERGEBOT_VERSITYGW, or in the PATH) until the test ends. Where it is not installed the test is
// skipped, or fails with MERGEBOT_REQUIRE_S3=1.
func Start(t testing.TB) *Server {
	t.Helper()
	program := os.Getenv("MERGEBOT_VERSITYGW")
	if program == "" {
		program = "versitygw"
	}
	program, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("MERGEBOT_REQUIRE_S3") == "1" {
			t.Fatalf("%v: run hub/bucket/buckettest/setup.sh DIR and set MERGEBOT_VERSITYGW=DIR/versitygw", err)
		}
		t.Skip("needs the S3 server versitygw (hub/bucket/buckettest/setup.sh): ", err)
	}
	dir := t.TempDir()
	s := &Server{dir: filepath.Join(dir, "root")}
	for _, bucket := range []string{"models", "storage"} {
		if err := os.MkdirAll(filepath.Join(s.dir, bucket), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	meta := filepath.Join(dir, "meta") // beside the files: not every file system keeps attributes
	if err := os.Mkdir(meta, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	var out bytes.Buffer
	c := exec.Command(program, "--access", AccessKey, "--secret", SecretKey, "--port", addr, "--health", "/health", "--quiet", "posix", "--sidecar", meta, s.dir)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	t.Cleanup(func() { _ = c.Process.Kill(); <-ended })
	s.Endpoint = "http://" + addr
	for {
		resp, err := http.Get(s.Endpoint + "/health")
		if err == nil {
			resp.Body.Close()
			return s
		}
		select {
		case <-ended:
			t.Fatalf("versitygw: %v\n%s", c.ProcessState, &out)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Env are the variables by which S3 is found at an endpoint, this server's or a proxy's before it.
func Env(endpoint string) []string {
	return []string{"AWS_ENDPOINT_URL=" + endpoint, "AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey,
		"AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true"}
}

// Folder is where a bucket's objects lie as files.
func (s *Server) Folder(bucket string) string { return filepath.Join(s.dir, bucket) }
