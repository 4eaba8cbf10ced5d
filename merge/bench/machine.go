package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// machine is where a run took place.
type machine struct {
	Processor string  `json:"processor"`
	Cores     int     `json:"cores"`
	Memory    int64   `json:"memory_bytes"`
	System    string  `json:"system"`
	Go        string  `json:"go"`
	Load      float64 `json:"load"` // processes that wanted to run in the minute before
}

func thisMachine() machine {
	return machine{Processor: processor(), Cores: runtime.NumCPU(), Memory: memory(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Load: load()}
}

// speeds are the machine's own, in bytes per second. Copies count what is read
// and what is written.
type speeds struct {
	Copy     float64 `json:"copy"`      // Go's copy between arrays larger than the caches, one core
	CopyAll  float64 `json:"copy_all"`  // the same on all cores at once
	CopyC    float64 `json:"copy_c"`    // the C library's memcpy, by way of numpy, one core; 0 without numpy
	Read     float64 `json:"read"`      // read(2) from the page cache, 1 MiB a call, one core
	Write    float64 `json:"write"`     // write(2) and fsync
	ReadDisk float64 `json:"read_disk"` // read(2) past the page cache; 0 where the system cannot
}

// The arrays of the memory copies, in bytes, and how often they are copied.
const (
	copyBytes  = 128 << 20
	copyRounds = 12
)

// memoryCopy is the best rate of copying size bytes, shared by so many cores. It
// is run in a process of its own: this one stays small, see peakResident.
func memoryCopy(cores, size int) float64 {
	type pair struct{ to, from []byte }
	pairs := make([]pair, cores)
	for i := range pairs {
		pairs[i] = pair{make([]byte, size/cores), make([]byte, size/cores)}
		for j := 0; j < size/cores; j += 512 {
			pairs[i].from[j] = byte(j) // untouched pages would all be the one of zeros
		}
	}
	best := time.Duration(1 << 62)
	for range copyRounds {
		start := time.Now()
		var all sync.WaitGroup
		for _, p := range pairs {
			all.Go(func() { copy(p.to, p.from) })
		}
		all.Wait()
		best = min(best, time.Since(start))
	}
	return 2 * float64(size/cores*cores) / best.Seconds()
}

// memoryCopyC is the same by numpy, whose copy is the C library's.
const memoryCopyC = `import numpy, time
a = numpy.ones(%d, numpy.uint8); b = numpy.zeros_like(a); best = 9e9
for _ in range(%d):
    t = time.perf_counter(); numpy.copyto(b, a); best = min(best, time.perf_counter() - t)
print(2 * a.size / best)`

// machineSpeeds measures them, each in its own process where it needs memory.
// file is a large file that is in the page cache, dir where to write.
func (b *bench) machineSpeeds(ctx context.Context) (speeds, error) {
	var s speeds
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	if err := printed(ctx, &s.Copy, self, copyVerb, "1", fmt.Sprint(copyBytes)); err != nil {
		return s, err
	}
	if err := printed(ctx, &s.CopyAll, self, copyVerb, fmt.Sprint(b.tools.threads), fmt.Sprint(copyBytes)); err != nil {
		return s, err
	}
	if b.tools.mergekit != "" {
		if err := printed(ctx, &s.CopyC, filepath.Join(b.tools.mergekit, "python"), "-c", fmt.Sprintf(memoryCopyC, copyBytes, copyRounds)); err != nil {
			return s, err
		}
	}
	return s, b.files(ctx, &s)
}

// printed runs a program that prints a number.
func printed(ctx context.Context, to *float64, args ...string) error {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).Output()
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if _, err := fmt.Sscan(string(out), to); err != nil {
		return fmt.Errorf("%s printed %q: %w", args[0], strings.TrimSpace(string(out)), err)
	}
	return nil
}

// files measures reading and writing the base.
func (b *bench) files(ctx context.Context, s *speeds) error {
	base, out := filepath.Join(b.dir, "base"), filepath.Join(b.dir, "out-written")
	defer func() { _ = os.RemoveAll(out) }()
	rate := func(start time.Time) float64 { return float64(b.bytes) / time.Since(start).Seconds() }
	if err := read(ctx, base); err != nil {
		return err
	}
	start := time.Now()
	if err := read(ctx, base); err != nil {
		return err
	}
	s.Read = rate(start)
	start = time.Now()
	if err := fillFile(ctx, out, b.bytes); err != nil {
		return err
	}
	s.Write = rate(start)
	f, err := os.Open(out)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := forget(f); errors.Is(err, errors.ErrUnsupported) {
		return nil
	} else if err != nil {
		return err
	}
	start = time.Now()
	if err := readFile(ctx, out, make([]byte, 1<<20)); err != nil {
		return err
	}
	s.ReadDisk = rate(start)
	return nil
}

// fillFile writes n bytes to a file and syncs it.
func fillFile(ctx context.Context, name string, n int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	buf := make([]byte, 1<<20)
	for i := range buf {
		buf[i] = byte(i * 7)
	}
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		w, err := f.Write(buf[:min(n, int64(len(buf)))])
		if err != nil {
			return err
		}
		n -= int64(w)
	}
	return f.Sync()
}

// copying moves the bytes that a recipe moves, and does nothing with them: cp
// of one model that it reads to a file of the size that it writes, and read(2)
// of the others.
func (b *bench) copying(ctx context.Context, r recipe, out string) (cost, error) {
	dirs := r.reads(b.models)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return cost{}, err
	}
	files, err := weights(filepath.Join(b.dir, dirs[0]))
	if err != nil {
		return cost{}, err
	}
	args := []string{"cp"}
	if runtime.GOOS == "linux" {
		args = append(args, "--reflink=never") // a copy, not a second name for the same blocks
	}
	_, c, err := measure(ctx, command{args: append(append(args, files...), out)})
	if err != nil || !r.whole {
		return c, err
	}
	start := time.Now()
	for _, d := range dirs[1:] {
		if err := read(ctx, filepath.Join(b.dir, d)); err != nil {
			return c, err
		}
	}
	c.Wall += time.Since(start).Seconds()
	return c, nil
}
