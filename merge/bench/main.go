// Command bench times mergebot against mergekit and against plain copies, on
// made-up models, and writes docs/performance.md:
//
//	go run ./merge/bench -mergebot bin/mergebot -mergekit .venv-peers/venv/bin -doc docs/performance.md
//	go run ./merge/bench -memory -mergebot bin/mergebot -doc docs/performance.md
//
// The models are made once and kept in -dir. Without -mergekit, mergebot is
// timed alone. Where results are not mergekit's, the command fails, after it
// has printed everything.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// copyVerb makes this program measure a memory copy and end.
const copyVerb = "memory-copy"

type options struct {
	dir, shape, recipes, doc, kernels string
	mergebot, mergekit, flags         string
	experts, rounds, threads          int
	memory, json                      bool
	rest                              time.Duration // of the disk before a turn
	counts                            []int         // of experts, for memory
}

func parse(args []string, log io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(log)
	fs.StringVar(&o.dir, "dir", "out/bench", "folder for models and results")
	fs.StringVar(&o.shape, "shape", "", `flags of merge/checkpoint/synth that say what models to make (default "-preset 1.1b", with -memory "-preset 7b -sparse 8")`)
	fs.IntVar(&o.experts, "experts", 3, "how many experts are merged")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds of each recipe")
	fs.DurationVar(&o.rest, "rest", rest, "how long the disk rests before each turn")
	fs.IntVar(&o.threads, "threads", runtime.NumCPU(), "threads of either program")
	fs.StringVar(&o.recipes, "recipes", "", "recipes to time, with commas between (default: all)")
	fs.StringVar(&o.mergebot, "mergebot", "bin/mergebot", "the program")
	fs.StringVar(&o.mergekit, "mergekit", "", "folder that holds mergekit-yaml and its python (default: mergebot alone)")
	fs.StringVar(&o.flags, "mergekit-flags", mergekitFlags, "flags of mergekit-yaml beside --num-threads")
	fs.StringVar(&o.kernels, "kernels", "", "also run each of the kernels' micro-benchmarks for so long, e.g. 300ms")
	fs.StringVar(&o.doc, "doc", "", "document to write; the figures go beside it, as .json, and those of the other command are kept")
	fs.BoolVar(&o.memory, "memory", false, "measure memory instead, on models larger than it")
	counts := fs.String("memory-experts", "3,8", "with -memory: the numbers of experts")
	fs.BoolVar(&o.json, "json", false, "print the figures as JSON instead of tables")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("%q is not expected", fs.Args())
	}
	if o.shape == "" {
		o.shape = "-preset 1.1b"
		if o.memory {
			o.shape = "-preset 7b -sparse 8"
		}
	}
	if o.rounds < 1 || o.threads < 1 || o.experts < 2 {
		return o, errors.New("rounds and threads must be 1 at least, experts 2")
	}
	for _, s := range strings.Split(*counts, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-memory-experts %q: give numbers with commas between", *counts)
		}
		o.counts = append(o.counts, n)
	}
	if o.memory {
		o.experts = 0
		for _, n := range o.counts {
			o.experts = max(o.experts, n)
		}
	}
	for _, path := range []*string{&o.dir, &o.mergebot, &o.mergekit} { // programs run in other folders
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return o, err
		}
		*path = abs
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	if len(args) == 3 && args[0] == copyVerb {
		cores, err := strconv.Atoi(args[1])
		size, err2 := strconv.Atoi(args[2])
		if err = errors.Join(err, err2); err != nil || cores < 1 || size < cores {
			return fmt.Errorf("%s %q: give numbers of cores and bytes", copyVerb, args[1:])
		}
		fmt.Fprintln(out, memoryCopy(cores, size))
		return nil
	}
	o, err := parse(args, log)
	if err != nil {
		return err
	}
	chosen, err := choose(strings.FieldsFunc(o.recipes, func(r rune) bool { return r == ',' }))
	if err != nil {
		return err
	}
	var all report
	if o.doc != "" {
		if all, err = loadReport(figuresOf(o.doc)); err != nil {
			return err
		}
	}
	s := setting{Date: time.Now().UTC(), Command: described(args), Machine: thisMachine(), Threads: o.threads, Shape: o.shape}
	b := &bench{
		rounds: o.rounds,
		rest:   o.rest,
		tools:  tools{mergebot: o.mergebot, mergekit: o.mergekit, flags: strings.Fields(o.flags), threads: o.threads},
		note:   func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) },
	}
	if b.models, err = makeModels(ctx, o.dir, strings.Fields(o.shape), o.experts); err != nil {
		return err
	}
	s.Model, s.Largest = b.bytes, b.largest
	if o.memory {
		all.Memory = &memoryReport{setting: s}
		if all.Memory.Footprints, err = b.footprints(ctx, o.counts); err != nil {
			return err
		}
	} else {
		if all.Speed, err = b.speed(ctx, s, o, chosen); err != nil {
			return err
		}
	}
	return all.deliver(o, out)
}

// speed times the recipes.
func (b *bench) speed(ctx context.Context, at setting, o options, chosen []recipe) (*speedReport, error) {
	s := &speedReport{setting: at, Experts: o.experts, Rounds: o.rounds, Flags: o.flags}
	var err error
	if s.Versions, err = b.tools.versions(ctx); err != nil {
		return nil, err
	}
	if s.Before, err = b.machineSpeeds(ctx); err != nil {
		return nil, err
	}
	for _, r := range chosen {
		t, err := b.turns(ctx, r)
		if err != nil {
			return nil, err
		}
		s.Timings = append(s.Timings, t)
	}
	if s.After, err = b.machineSpeeds(ctx); err != nil {
		return nil, err
	}
	if o.kernels != "" {
		s.Kernels, err = kernels(ctx, o.kernels)
	}
	return s, err
}

// deliver prints this command's part, and writes the document.
func (r report) deliver(o options, out io.Writer) error {
	if o.doc != "" {
		if err := r.save(o.doc); err != nil {
			return err
		}
	}
	switch {
	case o.json:
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	case o.memory:
		table(out, false, r.Memory.table())
	default:
		for _, t := range [][][]string{r.Speed.comparison(), r.Speed.throughput(), r.Speed.machineTable(), r.Speed.kernelTable(), verdicts(targets(r.Speed, r.Speed.Kernels))} {
			if len(t) > 1 {
				table(out, false, t)
				fmt.Fprintln(out)
			}
		}
	}
	if o.memory {
		return nil
	}
	if wrong := r.Speed.wrong(); len(wrong) > 0 {
		return fmt.Errorf("results are not mergekit's: %s", strings.Join(wrong, ", "))
	}
	return nil
}

// described is this command as a reader would type it, without the folders of
// this machine.
func described(args []string) string {
	all := []string{"go run ./merge/bench"}
	for i := 0; i < len(args); i++ {
		a := args[i]
		if wd, err := os.Getwd(); err == nil {
			a = strings.ReplaceAll(a, wd+string(filepath.Separator), "")
		}
		if filepath.IsAbs(a) {
			a = "…/" + filepath.Base(a)
		}
		if strings.ContainsAny(a, " \t") {
			a = strconv.Quote(a)
		}
		all = append(all, a)
	}
	return strings.Join(all, " ")
}
