// Command mergebot merges language models the way code is merged: a recipe, a plan, a run, a report.
//
// This package holds one file per verb: flags, exit codes and progress, no logic.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"mergebot/bot/run"
	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/eval/engine/server"
	"mergebot/eval/task"
	"mergebot/hub"
	"mergebot/merge/checkpoint"
)

// Exit codes, as `mergebot help exit-codes` documents them.
const (
	exitOK           = 0
	exitFailure      = 1
	exitUsage        = 2
	exitGate         = 3
	exitUnauthorized = 4
	exitNetwork      = 5
	exitInterrupted  = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second ^C ends it at once
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !a.began { // cobra found fault with the command line
		err = usageError{err}
	}
	code := exitCode(ctx, err)
	if code == exitInterrupted { // where it was just then helps nobody
		err = errors.New("interrupted: the same command goes on where it was")
	}
	if a.json || !a.began && slices.Contains(args, "--json") { // flags after a bad one are not read
		e := json.NewEncoder(errOut)
		e.SetEscapeHTML(false)
		e.Encode(map[string]any{"error": err.Error(), "exit_code": code})
	} else {
		fmt.Fprintln(errOut, "mergebot:", err)
	}
	return code
}

// usageError is a command line that cannot be meant.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(ctx context.Context, err error) int {
	var usage usageError
	switch {
	case ctx.Err() != nil, errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, run.ErrGate):
		return exitGate
	case errors.As(err, &usage), errors.Is(err, run.ErrRecipe):
		return exitUsage
	case errors.Is(err, hub.ErrRepoNotFound), errors.Is(err, hub.ErrRevisionNotFound), errors.Is(err, checkpoint.ErrUnsupported),
		errors.Is(err, task.ErrNoSplit), errors.Is(err, task.ErrOption):
		return exitUsage // the recipe names what is not there, or what cannot be read
	case errors.Is(err, server.ErrUnauthorized), errors.Is(err, hub.ErrUnauthorized), errors.Is(err, hub.ErrForbidden), errors.Is(err, hub.ErrGated):
		return exitUnauthorized
	case errors.Is(err, hub.ErrNoSpace), errors.Is(err, syscall.ENOSPC), errors.Is(err, engine.ErrNotInstalled):
		return exitFailure
	case isHub(err), errors.Is(err, server.ErrUnavailable), errors.Is(err, server.ErrChanged):
		return exitNetwork
	}
	return exitFailure
}

// isHub says whether the Hub, or the way to it, failed.
func isHub(err error) bool {
	var e *hub.Error
	if errors.As(err, &e) {
		return true
	}
	for _, target := range []error{hub.ErrNetwork, hub.ErrOffline, hub.ErrRateLimited, hub.ErrEntryNotFound,
		hub.ErrDisabled, hub.ErrConflict, hub.ErrParentMoved} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// app is what all verbs share.
type app struct {
	in       io.Reader
	out, err io.Writer
	json     bool
	quiet    bool
	began    bool   // a verb's own code has been reached: what cobra checks is right
	settings string // path of the settings file
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "mergebot",
		Short: "merge language models the way code is merged",
		Long: `mergebot turns a merge recipe into a published model with an honest report:
it plans from headers alone, fetches the checkpoints from the Hugging Face Hub, prunes and
amplifies the experts' deltas (DPPA), merges, evaluates, and writes a card and a report.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       run.Version(),
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	f := root.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "print results and errors as JSON, and no progress")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress")
	f.StringVar(&a.settings, "settings", "", "settings file (see configs/bot.example.yaml)")
	configs.AddFlags(f)
	root.AddCommand(a.runCommand(), a.planCommand(), a.validateCommand(), a.mergeCommand(), a.evalCommand(), a.scoreCommand(), a.compareCommand(),
		a.inspectCommand(), a.publishCommand(), a.serveCommand(), a.hubCommand(), a.engineCommand(), a.doctorCommand(), a.demoCommand(),
		a.schemaCommand(), engineChildCommand(), exitCodesTopic())
	group(root)
	a.mark(root)
	return root
}

// group makes a command that only holds others refuse names that it does not know; alone it prints its help.
func group(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, argv []string) error {
		if len(argv) == 0 {
			return nil
		}
		if s := cmd.SuggestionsFor(argv[0]); len(s) > 0 {
			return fmt.Errorf("unknown command %q, did you mean %q?", argv[0], s[0])
		}
		return fmt.Errorf("unknown command %q; %s --help lists them", argv[0], cmd.CommandPath())
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// mark notes when a verb's own code begins: an error before that is cobra's, about the command line.
func (a *app) mark(cmd *cobra.Command) {
	if verb := cmd.RunE; verb != nil {
		cmd.RunE = func(cmd *cobra.Command, argv []string) error {
			a.began = true
			return verb(cmd, argv)
		}
	}
	for _, sub := range cmd.Commands() {
		a.mark(sub)
	}
}

// args adds to a cobra check of arguments where to read on.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, a []string) error {
		if err := check(cmd, a); err != nil {
			return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
		}
		return nil
	}
}

// recipe reads a recipe; whatever is wrong with it, or with its path, the user can mend.
func recipe(path string) (*configs.Recipe, error) {
	r, err := configs.Load(path)
	if err != nil {
		return nil, usageError{err}
	}
	return r, nil
}

// printJSON writes v for machines.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "what the exit codes mean",
		Long: `Exit codes:
  0    ok
  1    failure
  2    bad usage, or a recipe that cannot be merged or names what is not there
  3    a gate was not met: merged, but not published
  4    not authorised: no token, no permission, a gated model
  5    the network or the Hub failed
  130  interrupted`,
	}
}

// engineChildCommand is what the embedded engine's child process runs.
func engineChildCommand() *cobra.Command {
	return &cobra.Command{Use: "__engine", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return engine.ServeChild() }}
}
