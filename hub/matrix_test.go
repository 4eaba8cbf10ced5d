package hub_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mergebot/hub"
	"mergebot/hub/embedded"
)

// The matrix: each fault at the first, a middle and the last range of a file that comes in several, on its way down,
// and at the first, a middle and the last part on its way up. The outcome is the right bytes, or an error of a known
// kind with nothing of the file to be seen; never a token at the second origin (which behind checks at its end).

const (
	pieceBytes = 64 << 10
	matrixSize = 3*pieceBytes - 7
)

// ranged says whether a request's range begins in the n-th piece.
func ranged(n int) func(*http.Request) bool {
	return func(r *http.Request) bool {
		var from int64
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		return from/pieceBytes == int64(n)
	}
}

type downFault struct {
	fault embedded.Fault
	err   error // nil: the right bytes
}

func downFaults() map[string]downFault {
	k := func(kind embedded.FaultKind, count int, after int64) embedded.Fault {
		return embedded.Fault{Kind: kind, Count: count, After: after, Path: "/lfs/*"}
	}
	status := func(code, count int) embedded.Fault {
		f := k(embedded.FaultStatus, count, 0)
		f.Status = code
		return f
	}
	out := map[string]downFault{
		"500":                      {status(500, 1), nil},
		"503 four times":           {status(503, 4), nil},
		"500 for ever":             {status(500, -1), hub.ErrNetwork},
		"404 once":                 {status(404, 1), nil},
		"416 once":                 {status(416, 1), nil},
		"rate limited":             {k(embedded.FaultRateLimit, 2, 0), nil},
		"cut before the first":     {k(embedded.FaultTruncate, 1, 0), nil},
		"cut in the middle, twice": {k(embedded.FaultTruncate, 2, 1<<14+3), nil},
		"cut before the last":      {k(embedded.FaultTruncate, 1, pieceBytes-9), nil},
		"cut for ever":             {k(embedded.FaultTruncate, -1, 0), hub.ErrNetwork},
		"range ignored":            {k(embedded.FaultIgnoreRange, 1, 0), nil},
		"ranges ignored for ever":  {k(embedded.FaultIgnoreRange, -1, 0), nil},
		"expired":                  {k(embedded.FaultExpired, 1, 0), nil},
		"expired twice":            {k(embedded.FaultExpired, 2, 0), nil},
		"wrong first byte":         {k(embedded.FaultWrongBytes, 1, 0), nil},
		"wrong last byte":          {k(embedded.FaultWrongBytes, 1, pieceBytes-9), nil},
		"wrong bytes for ever":     {k(embedded.FaultWrongBytes, -1, 1<<14), hub.ErrIntegrity},
		"gzip":                     {k(embedded.FaultGzip, 1, 0), nil},
		"gzip for ever":            {k(embedded.FaultGzip, -1, 0), nil},
		"a stall":                  {embedded.Fault{Kind: embedded.FaultStall, Path: "/lfs/*", After: 1 << 14, Delay: time.Minute}, nil},
		"a stall before the last":  {embedded.Fault{Kind: embedded.FaultStall, Path: "/lfs/*", After: pieceBytes - 9, Delay: time.Minute}, nil},
		"no address":               {embedded.Fault{Kind: embedded.FaultStatus, Path: "*/resolve/*", Count: 2, Status: 502}, nil},
		"the hub limits":           {embedded.Fault{Kind: embedded.FaultRateLimit, Path: "*/resolve/*", Count: 2}, nil},
	}
	if !long() {
		return out
	}
	for _, kind := range []embedded.FaultKind{embedded.FaultTruncate, embedded.FaultWrongBytes, embedded.FaultStall} {
		for _, after := range []int64{0, 1, 1<<15 - 1, 1 << 15, 1<<15 + 1, pieceBytes / 2, pieceBytes - 9, pieceBytes - 8} {
			f := k(kind, 1, after)
			f.Delay = time.Minute
			out[fmt.Sprintf("%s after %d", kind, after)] = downFault{f, nil}
		}
	}
	for _, code := range []int{400, 401, 403, 404, 408, 410, 429, 500, 501, 502, 503, 504} {
		out[fmt.Sprintf("%d once", code)] = downFault{status(code, 1), nil}
		if code == 501 {
			out["501 once"] = downFault{status(code, 1), hub.ErrNetwork}
		}
	}
	return out
}

func TestDownloadMatrix(t *testing.T) {
	t.Parallel()
	b := newBehind(t, nil, embedded.Limits{})
	dir := t.TempDir()
	model := filepath.Join(dir, "models", repo.ID)
	noiseFile(t, filepath.Join(model, big), matrixSize)
	for name, text := range map[string]string{"config.json": "{}", "empty.txt": "", "README.md": "---\nlicense: mit\n---\n# m\n"} {
		if err := os.WriteFile(filepath.Join(model, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Seed(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for what, f := range downFaults() {
		for n, where := range []string{"first", "middle", "last"} {
			if testing.Short() && n != 1 {
				continue
			}
			t.Run(what+", "+where, func(t *testing.T) {
				b.faults.Clear()
				before := b.faults.Struck(f.fault.Kind)
				fault := f.fault
				if fault.Path == "/lfs/*" { // the hub itself may be asked once for all ranges
					fault.Where = ranged(n)
				}
				b.faults.Add(fault)
				cache := t.TempDir()
				c := b.client(t, cache)
				if fault.Kind == embedded.FaultStall {
					hub.Impatient(c, time.Second)
				}
				got, err := c.Snapshot(t.Context(), repo, "main", nil)
				if !errors.Is(err, f.err) || err == nil && f.err != nil {
					t.Fatalf("error %v, want %v", err, f.err)
				}
				if f.fault.Kind != embedded.FaultIgnoreRange && b.faults.Struck(f.fault.Kind) == before {
					t.Error("the fault did not strike")
				}
				if err == nil {
					sameFiles(t, model, got)
					tidyCache(t, cache)
					return
				}
				if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "signature") {
					t.Errorf("a secret in %q", err)
				}
				nothingPartial(t, cache, model)
				// What was there already is used as soon as the fault is gone.
				b.faults.Clear()
				if got, err = c.Snapshot(t.Context(), repo, "main", nil); err != nil {
					t.Fatal(err)
				}
				sameFiles(t, model, got)
			})
		}
	}
}

// client is one that wastes no time.
func (b *behind) client(t *testing.T, cache string) *hub.Client {
	t.Helper()
	c, err := hub.New(hub.Options{Endpoint: b.url, Cache: cache, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	hub.Hurry(c, 256)
	hub.Divide(c, pieceBytes)
	hub.Impatient(c, 30*time.Second)
	return c
}

func sameFiles(t *testing.T, want, got string) {
	t.Helper()
	err := filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		a, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(got, rel))
		if err == nil && !bytes.Equal(a, b) {
			err = fmt.Errorf("%s differs", rel)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// tidyCache holds nothing of a download that has ended.
func tidyCache(t *testing.T, cache string) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(cache, "models--*", "blobs", "*.part*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// nothingPartial: what a snapshot shows is whole, a blob that has its name has its size, and no ref leads to a
// snapshot that lacks a file.
func nothingPartial(t *testing.T, cache, model string) {
	t.Helper()
	shown, _ := filepath.Glob(filepath.Join(cache, "models--*", "snapshots", "*", "*"))
	for _, path := range shown {
		want, err := os.ReadFile(filepath.Join(model, filepath.Base(path)))
		got, err2 := os.ReadFile(path)
		if err != nil || err2 != nil || !bytes.Equal(want, got) {
			t.Errorf("%s is shown and is not whole: %v, %v", path, err, err2)
		}
	}
	if refs, _ := filepath.Glob(filepath.Join(cache, "models--*", "refs", "*")); refs != nil {
		t.Errorf("a ref to a snapshot that is not complete: %q", refs)
	}
}

func TestUploadMatrix(t *testing.T) {
	t.Parallel()
	const part, size = 64 << 10, 5*64<<10 - 5
	b := newBehind(t, nil, embedded.Limits{Multipart: part, Part: part})
	c := b.client(t, t.TempDir())
	if _, err := c.CreateRepo(t.Context(), repo, true); err != nil {
		t.Fatal(err)
	}
	type fault = embedded.Fault
	nth := func(n string) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.URL.Query().Get("part") == n }
	}
	cases := map[string]fault{}
	for where, n := range map[string]string{"first": "1", "middle": "3", "last": "5"} {
		for what, f := range map[string]fault{
			"500": {Kind: embedded.FaultStatus}, "503 four times": {Kind: embedded.FaultStatus, Status: 503, Count: 4},
			"429": {Kind: embedded.FaultRateLimit}, "expired": {Kind: embedded.FaultExpired}, "answer lost": {Kind: embedded.FaultLost},
			"404": {Kind: embedded.FaultStatus, Status: 404},
		} {
			f.Method, f.Where = http.MethodPut, nth(n)
			cases["part "+where+": "+what] = f
		}
	}
	for call, path := range map[string]string{
		"batch": "*/info/lfs/objects/batch", "join": "/lfs-complete/*", "verify": "*/objects/verify",
		"preupload": "*/preupload/*", "commit": "*/commit/*",
	} {
		cases[call+": 500"] = fault{Kind: embedded.FaultStatus, Method: http.MethodPost, Path: path}
		cases[call+": 429"] = fault{Kind: embedded.FaultRateLimit, Method: http.MethodPost, Path: path, Count: 2}
		cases[call+": answer lost"] = fault{Kind: embedded.FaultLost, Method: http.MethodPost, Path: path}
	}
	i := uint64(0)
	for what, f := range cases {
		t.Run(what, func(t *testing.T) {
			i++
			content := noise(size, 100+i)
			before := b.faults.Struck(f.Kind)
			b.faults.Clear()
			b.faults.Add(f)
			up := hub.Upload{Files: []hub.LocalFile{{Path: big, Data: content}}}
			done, err := c.Upload(t.Context(), repo, up)
			if err != nil {
				t.Fatal(err)
			}
			if b.faults.Struck(f.Kind) == before {
				t.Error("the fault did not strike")
			}
			b.faults.Clear()
			again, err := c.Upload(t.Context(), repo, up)
			if err != nil || !again.Unchanged || again.OID != done.OID {
				t.Errorf("the same again: %+v, %v; want %s unchanged", again, err, done.OID)
			}
			got, err := b.client(t, t.TempDir()).Read(t.Context(), repo, done.OID, big)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes came back, %v", len(got), err)
			}
		})
	}
}
