package vllm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"

	"mergebot/eval/engine"
)

// folder holds what a session shares with its server: the checkpoint and the socket. Nobody else can enter it.
//
// It holds a lock that ends with its process, however that ends. Whoever opens the next session in the same place
// takes away the folders whose lock is free: a checkpoint in memory that nobody reads would stay there until the
// machine is restarted. A lock is also right between containers that share the place but do not see each other's
// processes, where a process id is not.
type folder struct {
	path string
	lock *os.File
}

const (
	folderPrefix = "mergebot-vllm-"
	lockName     = "lock"
	// maxSocketPath is what macOS can bind; Linux takes four bytes more.
	maxSocketPath = 103
)

// newFolder makes a folder in dir, after removing those that dead processes have left there.
func newFolder(dir string) (*folder, error) {
	sweep(dir)
	for range 10 {
		path := filepath.Join(dir, fmt.Sprintf("%s%d-%08x", folderPrefix, os.Getpid(), rand.Uint32()))
		if n := len(path) + len("/socket"); n > maxSocketPath {
			return nil, fmt.Errorf("%s: the path of a socket there has %d bytes, possible are %d; name a place with a shorter path in the engine's settings", dir, n, maxSocketPath)
		}
		if err := os.Mkdir(path, 0o700); errors.Is(err, os.ErrExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("%w; name another place in the engine's settings", err)
		}
		lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
		if err == nil && tryLock(lock) && stillThere(lock) {
			return &folder{path: path, lock: lock}, nil
		}
		if err == nil {
			_ = lock.Close() // somebody's sweep came in between
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("make a folder in %s: somebody removes it again and again", dir)
}

func stillThere(lock *os.File) bool {
	a, err1 := lock.Stat()
	b, err2 := os.Stat(lock.Name())
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// sweep removes the folders of dead processes of this user. What cannot be removed stays: it is not ours.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // newFolder says why
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), folderPrefix) || !owned(path) {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR, 0)
		if err != nil {
			continue // it is just being made
		}
		if tryLock(lock) {
			_ = os.RemoveAll(path)
		}
		_ = lock.Close()
	}
}

func (f *folder) model() string  { return filepath.Join(f.path, "model") }
func (f *folder) socket() string { return filepath.Join(f.path, "socket") }

// clear makes the model's folder, empty, and sees to it that a checkpoint of need bytes fits: what was there goes
// first, so that one copy is held, not two.
func (f *folder) clear(need int64) error {
	if err := os.RemoveAll(f.model()); err != nil {
		return err
	}
	if err := os.Mkdir(f.model(), 0o700); err != nil {
		return err
	}
	if free, ok := freeBytes(f.path); ok && free < uint64(need) {
		return fmt.Errorf("no room for the checkpoint in %s: it needs about %s, %s are free; free some, or name another place in the engine's settings",
			filepath.Dir(f.path), humanize.IBytes(uint64(need)), humanize.IBytes(free))
	}
	return nil
}

// remove takes everything away.
func (f *folder) remove() error {
	return errors.Join(os.RemoveAll(f.path), f.lock.Close())
}

// size is about how many bytes a checkpoint of w takes in a number format of vLLM's.
func size(w engine.Weights, dtype string) int64 {
	var n int64
	for _, name := range w.Names() {
		elements := int64(1)
		for _, d := range w.Shape(name) {
			elements *= d
		}
		n += elements
	}
	if dtype == "float32" || dtype == "float" {
		return 4*n + extraBytes
	}
	return 2*n + extraBytes
}

// extraBytes are for tokenizer, configuration and headers.
const extraBytes = 16 << 20
