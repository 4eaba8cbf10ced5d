package main

import (
	"errors"
	"fmt"
	"strings"

	"mergebot/configs"
	"mergebot/merge/kernel"
	"mergebot/merge/kernel/cuda"
)

// openDevice is what does the arithmetic by these settings, and what gives it back. auto is the CPU: as long as tensors
// cross the bus for every operation a GPU cannot win, and no figure says otherwise.
func openDevice(s *configs.Settings, note func(string)) (kernel.Device, func(), error) {
	if s.Device != "cuda" {
		return kernel.CPU(), func() {}, nil
	}
	dev, err := cuda.OpenAll(cuda.Options{Memory: s.DeviceMemory, Note: note})
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--device cuda: %w; or use --device cpu: the result is the same", err)}
	}
	return dev, dev.Close, nil
}

// autoNote says, for verbs that merge, what auto has chosen.
func autoNote(s *configs.Settings) string {
	if s.Device != "auto" {
		return ""
	}
	if names, err := cuda.Find(""); err == nil {
		return fmt.Sprintf("the CPU merges; --device cuda would use %s", strings.Join(names, ", "))
	}
	return "the CPU merges (mergebot doctor says why no GPU does)"
}

// examineGPU says whether the GPU is used, and why not. It is fine without one, unless the settings ask for it.
func examineGPU(s *configs.Settings, note func(string)) finding {
	f := finding{What: "gpu", OK: s.Device != "cuda"}
	if s.Device == "cuda" {
		dev, done, err := openDevice(s, note)
		if err != nil {
			f.Detail = strings.TrimPrefix(err.Error(), "--device cuda: ")
			return f
		}
		defer done()
		f.OK, f.Detail = true, dev.Name()+": every kernel gives the reference's bits"
		return f
	}
	cpu := "the CPU merges: " + kernel.CPU().Name()
	names, err := cuda.Find("")
	switch {
	case err == nil:
		f.Detail = fmt.Sprintf("%s; there is %s", cpu, strings.Join(names, ", "))
		f.Remedy = "--device cuda uses it; no figure says yet that it is faster"
	case errors.Is(err, cuda.ErrNone):
		f.Detail = cpu + "; " + err.Error()
	default:
		f.OK, f.Detail = false, cpu+"; "+err.Error()
	}
	return f
}
