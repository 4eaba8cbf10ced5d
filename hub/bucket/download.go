package bucket

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"gocloud.dev/blob"
	"golang.org/x/sync/errgroup"

	"mergebot/hub"
)

// piece is how many bytes one request of a download asks for.
const piece = 8 << 20

// fetch brings an object's bytes into the cache, several pieces at once, and gives their SHA-256. What an earlier
// attempt left is used as far as its pieces still have the hashes that they came with.
func (c *Client) fetch(ctx context.Context, b *blob.Bucket, k cached, came func(int64)) (string, error) {
	held, err := takeLock(ctx, k.part(".lock"))
	if err != nil {
		return "", err
	}
	defer held.release()
	if sum, ok := k.sum(); ok { // another process was faster
		came(k.file.Size)
		return sum, nil
	}
	part, sums := k.part(".part"), k.part(".sums")
	if !held.sound { // nobody else may write into the same file
		dir, err := os.MkdirTemp(filepath.Join(k.dir, "parts"), ".alone*")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(dir)
		part, sums = filepath.Join(dir, "part"), filepath.Join(dir, "sums")
	}
	for again := false; ; again = true {
		sum, err := c.attempt(ctx, b, k, part, sums, came)
		if errors.Is(err, hub.ErrIntegrity) {
			if rerr := errors.Join(os.Remove(part), os.Remove(sums)); rerr != nil || again {
				return "", errors.Join(err, rerr)
			}
			continue
		}
		if err == nil {
			_ = os.Remove(sums)
		}
		return sum, err
	}
}

// download is one object on its way.
type download struct {
	client *Client
	bucket *blob.Bucket
	file   File
	part   *os.File
	came   func(int64)

	mu   sync.Mutex
	sums *os.File
	have map[int]string // the hashes of the pieces that are on disk
	md5  atomic.Bool    // the store's MD5 is that of the bytes
}

func (c *Client) attempt(ctx context.Context, b *blob.Bucket, k cached, part, sums string, came func(int64)) (sum string, err error) {
	d := &download{client: c, bucket: b, file: k.file, came: came, have: map[int]string{}}
	d.md5.Store(k.file.MD5 != "")
	if d.part, err = os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return "", err
	}
	defer d.part.Close()
	if d.sums, err = os.OpenFile(sums, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666); err != nil {
		return "", err
	}
	defer d.sums.Close()
	d.have = readSums(d.sums)
	if _, err := d.sums.WriteString("\n"); err != nil { // ends a line that a kill tore
		return "", err
	}
	if sum, err = d.run(ctx); err != nil {
		return "", err
	}
	if err := errors.Join(d.part.Truncate(k.file.Size), d.part.Sync(), d.part.Close()); err != nil {
		return "", err
	}
	if err := os.Rename(part, k.blob(sum)); err != nil {
		return "", err
	}
	if dir, err := os.Open(filepath.Join(k.dir, "blobs")); err == nil {
		_ = dir.Sync() // best effort: some file systems do not sync folders
		dir.Close()
	}
	return sum, replace(k.known(), []byte(sum))
}

// readSums reads lines of a piece's number and hash. Others are passed over: a kill tears lines.
func readSums(r io.Reader) map[int]string {
	have := map[int]string{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		number, sum, _ := strings.Cut(lines.Text(), " ")
		if i, err := strconv.Atoi(number); err == nil && i >= 0 && len(sum) == 64 {
			have[i] = sum
		}
	}
	return have
}

// run fetches what is not there, and hashes all of it in order as it is on disk.
func (d *download) run(ctx context.Context) (string, error) {
	n := int((d.file.Size + piece - 1) / piece)
	there := make([]chan struct{}, n)
	for i := range there {
		there[i] = make(chan struct{})
	}
	whole, theirs := sha256.New(), md5.New()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		fetches, ctx := errgroup.WithContext(ctx)
		for i := range n {
			if d.has(i) {
				_, length := d.span(i)
				d.came(length)
				close(there[i])
				continue
			}
			done, err := d.client.turn(ctx)
			if err != nil {
				break // a fetch failed, or all is over
			}
			fetches.Go(func() error {
				defer done()
				err := d.fetch(ctx, i)
				if err == nil {
					close(there[i])
				}
				return err
			})
		}
		return fetches.Wait()
	})
	g.Go(func() error {
		buf := make([]byte, piece)
		for i := range n {
			select {
			case <-there[i]:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err := d.hash(ctx, i, buf, whole, theirs); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(theirs.Sum(nil)); d.md5.Load() && got != d.file.MD5 {
		return "", fmt.Errorf("%w: its MD5 is %s, and the store says %s", hub.ErrIntegrity, got, d.file.MD5)
	}
	return hex.EncodeToString(whole.Sum(nil)), nil
}

func (d *download) has(i int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.have[i] != ""
}

// span is where a piece lies.
func (d *download) span(i int) (from, length int64) {
	from = int64(i) * piece
	return from, min(piece, d.file.Size-from)
}

// fetch brings one piece to the disk.
func (d *download) fetch(ctx context.Context, i int) error {
	from, length := d.span(i)
	buf := make([]byte, length)
	md5, err := get(ctx, d.bucket, d.file, from, buf, func(n int) { d.came(int64(n)) })
	if err != nil {
		return err
	}
	if !md5 {
		d.md5.Store(false)
	}
	if _, err := d.part.WriteAt(buf, from); err != nil {
		return err
	}
	sum := sha256.Sum256(buf)
	text := hex.EncodeToString(sum[:])
	d.mu.Lock()
	defer d.mu.Unlock()
	d.have[i] = text
	_, err = d.sums.WriteString(strconv.Itoa(i) + " " + text + "\n")
	return err
}

// hash adds a piece, as it is on disk, to the hashes of the whole. One that is not what came is fetched again, once.
func (d *download) hash(ctx context.Context, i int, buf []byte, whole, theirs hash.Hash) error {
	from, length := d.span(i)
	buf = buf[:length]
	for again := false; ; again = true {
		_, err := d.part.ReadAt(buf, from)
		sum := sha256.Sum256(buf)
		d.mu.Lock()
		want := d.have[i]
		d.mu.Unlock()
		if err == nil && hex.EncodeToString(sum[:]) == want {
			whole.Write(buf)
			if d.md5.Load() {
				theirs.Write(buf)
			}
			return nil
		}
		if again {
			return fmt.Errorf("%w: what was written to %s is not what is read back", hub.ErrIntegrity, d.part.Name())
		}
		if err := d.fetch(ctx, i); err != nil {
			return err
		}
	}
}
