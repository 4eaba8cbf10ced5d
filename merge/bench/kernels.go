package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// kernelRate is one micro-benchmark of merge/kernel.
type kernelRate struct {
	Operation string  `json:"operation"`
	Device    string  `json:"device"` // avx512, avx2, neon, go
	Size      string  `json:"size"`   // cached: 1 MiB a slice, as merging works; memory: 64 MiB
	Rate      float64 `json:"bytes_per_second"`
	OfCopy    float64 `json:"share_of_memcpy"`
}

// kernels runs the micro-benchmarks, each for so long.
func kernels(ctx context.Context, each string) ([]kernelRate, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "Devices", "-benchtime", each, "mergebot/merge/kernel")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("benchmark the kernels: %w\n%s", err, tail(string(out)))
	}
	return parseKernels(string(out))
}

// parseKernels takes the lines of go test -bench apart:
//
//	BenchmarkDevices/delta/cpu_(avx512)/cached-2   2000   500 ns/op   61.2 %memcpy   40.1 GB/s
func parseKernels(out string) ([]kernelRate, error) {
	var all []kernelRate
	for _, line := range strings.Split(out, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "BenchmarkDevices/") {
			continue
		}
		name := strings.Split(fields[0], "/")
		if len(name) != 4 {
			return nil, fmt.Errorf("benchmark %q has no operation, device and size", fields[0])
		}
		r := kernelRate{Operation: strings.ReplaceAll(name[1], "_", " "), Device: strings.TrimSuffix(strings.TrimPrefix(name[2], "cpu_("), ")")}
		r.Size, _, _ = strings.Cut(name[3], "-")
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("benchmark line %q: %w", line, err)
			}
			switch fields[i+1] {
			case "GB/s":
				r.Rate = 1e9 * v
			case "%memcpy":
				r.OfCopy = v / 100
			}
		}
		all = append(all, r)
	}
	return all, nil
}
