package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/hub"
	"mergebot/merge/kernel"
)

// finding is one line of the doctor's.
type finding struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "say what this machine has: engine, Hub, token, disk, GPU",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := configs.LoadSettings(a.settings, cmd.Flags())
			if err != nil {
				return usageError{err}
			}
			w := newWatcher(a.err, true)
			env, done, err := openEnvironment(s, kernel.CPU(), w) // whatever the GPU is like
			if err != nil {
				return err
			}
			defer done()
			findings := a.examine(cmd.Context(), env, s)
			if a.json {
				return a.printJSON(findings)
			}
			for _, f := range findings {
				mark := "ok  "
				if !f.OK {
					mark = "--  "
				}
				fmt.Fprintf(a.out, "%s%-9s %s\n", mark, f.What, f.Detail)
				if f.Remedy != "" {
					fmt.Fprintf(a.out, "              %s\n", f.Remedy)
				}
			}
			return nil
		},
	}
}

// examineHub says whether the Hub answers, and to whom. It is fine without a token: public models need none.
func examineHub(ctx context.Context, c *hub.Client) finding {
	f := finding{What: "hub", Detail: c.Endpoint()}
	name, err := c.WhoAmI(ctx)
	switch {
	case err == nil:
		f.OK, f.Detail = true, f.Detail+" as "+name
		return f
	case errors.Is(err, hub.ErrUnauthorized) && c.Anonymous():
		// Nobody was asked. Whether this repo is there does not matter: any answer will do.
		_, err = c.Info(ctx, hub.Repo{Type: hub.Dataset, ID: "openai/gsm8k"}, "")
		if err == nil || errors.Is(err, hub.ErrRepoNotFound) {
			f.OK, f.Detail, f.Remedy = true, f.Detail+" without a token", "public models need none; for gated and private ones, and to publish, set HF_TOKEN"
			return f
		}
	}
	f.Detail = err.Error()
	return f
}

// examineVLLM says whether vLLM can be started. It is fine without, unless the settings say that it is the engine.
func examineVLLM(e configs.EngineSettings) finding {
	f := finding{What: "vllm", OK: e.Use != "vllm"}
	path, err := exec.LookPath(e.VLLM.Command)
	switch {
	case err == nil:
		f.OK, f.Detail = true, path
	case f.OK:
		f.Detail = e.VLLM.Command + " is not installed; nothing needs it here (engine.use is " + e.Use + ")"
		return f
	default:
		f.Detail, f.Remedy = e.VLLM.Command+" is not in PATH, and engine.use is vllm", "install vLLM, or set engine.vllm.command to its path"
		return f
	}
	if e.Use == "vllm" {
		f.Detail += ", the engine of recipes that say auto"
	}
	return f
}

func (a *app) examine(ctx context.Context, env *run.Env, s *configs.Settings) []finding {
	out := []finding{{What: "mergebot", OK: true, Detail: fmt.Sprintf("%s, %s %s/%s, %d cores", run.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}}
	lib, err := engine.Installed(s.EngineDir)
	if err != nil {
		out = append(out, finding{What: "engine", Detail: err.Error(), Remedy: "mergebot engine install"})
	} else {
		out = append(out, finding{What: "engine", OK: true, Detail: "llama.cpp " + lib.Llama + " in " + lib.Dir})
	}
	out = append(out, examineVLLM(s.Engine))
	out = append(out, examineGPU(s, func(string) {}))
	who, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out = append(out, examineHub(who, env.Hub))
	for _, d := range []struct{ what, dir string }{{"cache", env.Hub.CacheDir()}, {"storage", env.Storage.URL()}} {
		free, err := run.FreeSpace(d.dir)
		if err != nil {
			out = append(out, finding{What: d.what, Detail: d.dir + ": " + err.Error()})
			continue
		}
		out = append(out, finding{What: d.what, OK: true, Detail: fmt.Sprintf("%s, %s free", d.dir, humanize.IBytes(free))})
	}
	return out
}
