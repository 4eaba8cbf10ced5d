package vllm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mergebot/eval/engine"
)

// versionTime is how long `vllm --version` may take: it imports most of vLLM first, 10 s on a slow machine.
const versionTime = 5 * time.Minute

// Identify tells what determines completions besides weights and prompts: vLLM's version, the number format, the
// context, all arguments, the variables that the server will see and that decide answers, and the kind of GPU. It starts no server; it
// asks `vllm --version`. LiveSwap is unknown, hence false.
func Identify(ctx context.Context, o Options) (engine.Info, error) {
	o, err := o.withDefaults()
	if err != nil {
		return engine.Info{}, err
	}
	version, err := o.version(ctx)
	if err != nil {
		return engine.Info{}, fmt.Errorf("identify vllm: %w", err)
	}
	flags := map[string]string{"generation_config": "vllm"}
	if o.Context > 0 {
		flags["max_model_len"] = strconv.Itoa(o.Context)
	}
	if len(o.Args) > 0 {
		flags["args"] = strings.Join(o.Args, " ")
	}
	if env := settings(os.Environ()); env != "" {
		flags["environment"] = env
	}
	if gpu := gpus("/proc/driver/nvidia/gpus"); gpu != "" {
		flags["gpu"] = gpu
	}
	return engine.Info{Engine: "vllm", Version: version, DType: o.DType, Flags: flags}, nil
}

var versionLine = regexp.MustCompile(`^v?\d+\.\d+\S*$`)

func (o Options) version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	cmd, err := o.command("--version")
	if err != nil {
		return "", err
	}
	var stdout bytes.Buffer
	stderr := newTail()
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	cmd.Env = environ(os.Environ(), "")
	if err := run(ctx, cmd); err != nil {
		return "", fmt.Errorf("%s --version: %w%s", strings.Join(o.Command, " "), err, stderr)
	}
	lines := strings.Fields(stdout.String()) // warnings may come first
	for _, l := range slices.Backward(lines) {
		if versionLine.MatchString(l) {
			return l, nil
		}
	}
	return "", fmt.Errorf("%s --version says no version: %.200q", strings.Join(o.Command, " "), stdout.String())
}

// run is cmd.Run that ends with ctx.
func run(ctx context.Context, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		return err
	}
	return nil
}

// command is a call of vLLM. The path is absolute, since the server runs in a folder of its own.
func (o Options) command(args ...string) (*exec.Cmd, error) {
	path, err := exec.LookPath(o.Command[0])
	if err != nil {
		return nil, fmt.Errorf("find vLLM: %w; install it (pip install vllm) or name its program (setting engine.vllm.command)", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, append(slices.Clone(o.Command[1:]), args...)...)
	cmd.WaitDelay = time.Second // a grandchild may hold the output open
	return cmd, nil
}

// gpus names the kinds of NVIDIA GPUs of this machine, "" without any: the last bits of a logit depend on them.
func gpus(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*", "information")) // the pattern is well-formed
	var kinds []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if model, ok := strings.CutPrefix(line, "Model:"); ok {
				kinds = append(kinds, strings.TrimSpace(model))
			}
		}
	}
	slices.Sort(kinds)
	return strings.Join(slices.Compact(kinds), ", ")
}
