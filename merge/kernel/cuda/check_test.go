//go:build linux && (amd64 || arm64)

package cuda

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ebitengine/purego"

	"mergebot/merge/kernel/kerneltest"
)

var onGPU = flag.Bool("gpu", false, "run TestGPU, on a machine with one")

// TestGPU is `make gpu-check`: what only a GPU can show. It needs this program, and uses ptxas and compute-sanitizer of
// the CUDA toolkit where they are in PATH. Tables are what docs/gpu.md wants.
func TestGPU(t *testing.T) {
	if !*onGPU {
		t.Skip("for a machine with a GPU: make gpu-check")
	}
	names, err := Find("")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		t.Run(fmt.Sprint("conformance", i), func(t *testing.T) {
			begin := time.Now()
			d, err := Open(i, Options{Least: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			t.Logf("%s: opened and proven in %s", name, time.Since(begin).Round(time.Millisecond))
			kerneltest.Run(t, d)
			agree(t, d, name, 0)
			if gpu, cpu := d.Counts(); cpu != 0 || gpu == 0 || d.Err() != nil {
				t.Errorf("%d calls ran on the GPU and %d on the CPU: %v", gpu, cpu, d.Err())
			}
		})
		t.Run(fmt.Sprint("rates", i), func(t *testing.T) { rates(t, "", i, arenaMost, 50) })
	}
	t.Run("ptxas", assembled)
	for _, tool := range []string{"memcheck", "racecheck"} {
		t.Run(tool, func(t *testing.T) {
			path, err := exec.LookPath("compute-sanitizer")
			if err != nil {
				t.Skip("compute-sanitizer is not in PATH")
			}
			out, err := exec.Command(path, "--tool", tool, "--error-exitcode", "9", os.Args[0], "-gpu", "-test.run", "^TestGPU$/^conformance0$").CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// assembled has ptxas translate the PTX for every kind of GPU that it knows.
func assembled(t *testing.T) {
	path, err := exec.LookPath("ptxas")
	if err != nil {
		t.Skip("ptxas is not in PATH")
	}
	file := filepath.Join(t.TempDir(), "mergebot.ptx")
	if err := os.WriteFile(file, ptx, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"} {
		if out, err := exec.Command(path, "-arch="+arch, "-o", os.DevNull, file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", arch, err, out)
		}
	}
}

// TestRates: the measuring works, on something that is no GPU and says nothing about one.
func TestRates(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	rates(t, f.library, 0, arenaLeast, 1)
	f.clean(t)
}

// rates logs the GB/s of copies and kernels over a buffer of so many bytes, the best of several.
func rates(t *testing.T, library string, ordinal int, size int64, times int) {
	d, err := Open(ordinal, Options{Library: library, Lanes: 1, Memory: size, unproven: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	lib, err := purego.Dlopen(Options{Library: library}.library(), purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Fatal(err)
	}
	p, err := purego.Dlsym(lib, "cuMemcpyDtoDAsync_v2")
	if err != nil {
		t.Fatal(err)
	}
	var within func(to, from address, size uint64, stream handle) code
	purego.RegisterFunc(&within, p)
	row := func(what string, bytes int, work func(l *lane)) {
		best := time.Duration(1 << 62)
		d.slices(1, cost{each: 1}, func(l *lane, _, _ int) error {
			for range times {
				l.begin()
				l.out = 0 // inputs stay as they are
				begin := time.Now()
				work(l)
				if err := l.gpu.check("cuStreamSynchronize", l.gpu.streamWait(l.stream)); err != nil || l.err != nil {
					t.Error(what, err, l.err)
				}
				best = min(best, time.Since(begin))
			}
			return nil
		})
		t.Logf("| %-22s | %8.1f |", what, float64(bytes)/float64(best.Nanoseconds()))
	}
	third := int(size) / 3 &^ (64<<10 - 1) // three arrays and room for what is counted
	n := third/4 - 1<<16
	t.Logf("| %s, %d MiB | GB/s |", d.Name(), size>>20)
	row("host to GPU, pinned", third, func(l *lane) {
		l.err = l.gpu.check("upload", l.gpu.upload(l.device, ptrOf(l), uint64(third), l.stream))
	})
	row("GPU to host, pinned", third, func(l *lane) {
		l.err = l.gpu.check("download", l.gpu.download(ptrOf(l), l.device, uint64(third), l.stream))
	})
	row("copy within the GPU", 2*third, func(l *lane) {
		l.err = l.gpu.check("copy", within(l.device+address(third), l.device, uint64(third), l.stream))
	})
	three := func(l *lane) (a, b, c region) { return l.take(third), l.take(third), l.take(third) }
	row("delta", 12*n, func(l *lane) { a, b, c := three(l); l.launch("mb_delta", n, c, a, b, uint64(n)) })
	row("add scaled", 12*n, func(l *lane) { a, _, c := three(l); l.launch("mb_add_scaled", n, c, a, uint64(n), float32(0.3)) })
	row("round bf16", 8*n, func(l *lane) { a, _, c := three(l); l.launch("mb_round_bf16", n, c, a, uint64(n)) })
	row("stats", 4*n, func(l *lane) { a, _, c := three(l); l.launch("mb_stats", n, c, a, uint64(n)) })
	row("dot", 8*n, func(l *lane) { a, b, c := three(l); l.launch("mb_dot", n, c, a, b, uint64(n)) })
	row("amplify random", 8*n, func(l *lane) {
		a, b, c := three(l)
		l.launch("mb_amplify_random", n, c, a, uint64(n), uint64(0), uint64(7), b, uint32(1))
	})
	row("high counts", 4*n, func(l *lane) { a, _, c := three(l); l.launch("mb_high", n, c, a, uint64(n), uint32(highWindow)) })
	row("sift, counting", 4*n, func(l *lane) {
		a, _, c := three(l)
		l.launch("mb_sift_count", n, c, a, uint64(n), magnitude(0x1p-12), magnitude(0x1p-9))
	})
}
