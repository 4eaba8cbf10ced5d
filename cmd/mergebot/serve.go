package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mergebot/bot"
	"mergebot/bot/forge"
	"mergebot/bot/github"
	"mergebot/bot/gitrepo"
	"mergebot/bot/metrics"
	"mergebot/bot/run"
	"mergebot/bot/secret"
	"mergebot/configs"
	"mergebot/eval/engine"
	"mergebot/merge/kernel"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "the daemon: plans pull requests, runs and publishes what is merged, keeps schedules, shows a page",
		Long: `serve watches a repository of recipes: one on GitHub (serve.repo: owner/name), or any git remote or
folder. A change that touches recipes gets a plan; what comes to the default branch is run and
published; recipes with a schedule run again. A page shows it all.

Killed or stopped at any moment, it goes on where it was when started again. One daemon works on a
storage at a time; a second one waits. Secrets come from the environment: HF_TOKEN,
MERGEBOT_GITHUB_TOKEN or the app's key file, MERGEBOT_WEBHOOK_SECRET, MERGEBOT_GIT_PASSWORD.`,
		Example: `  mergebot serve --settings bot.yaml
  mergebot serve --serve-repo ./recipes.git --serve-publish-to acme`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := configs.LoadSettings(a.settings, cmd.Flags())
			if err != nil {
				return usageError{err}
			}
			if s.Serve.Repo == "" {
				return usageError{errors.New("serve.repo is missing: name the repository of the recipes in the settings file, or by --serve-repo")}
			}
			return a.serve(cmd.Context(), s)
		},
	}
	configs.AddServeFlags(cmd.Flags())
	return cmd
}

func (a *app) serve(ctx context.Context, s *configs.Settings) error {
	storage, err := run.OpenStorage(s.Storage)
	if err != nil {
		return err
	}
	defer storage.Close()
	if err := storage.Exclusive(ctx); err != nil {
		return err
	}
	keys := serveKeys{github: fromEnviron("MERGEBOT_GITHUB_TOKEN"), webhook: fromEnviron("MERGEBOT_WEBHOOK_SECRET"), git: fromEnviron("MERGEBOT_GIT_PASSWORD")}
	if n := len(keys.webhook); n > 0 && n < leastSecret {
		return usageError{fmt.Errorf("MERGEBOT_WEBHOOK_SECRET has %d characters, and %d are the least: whoever guesses it speaks for GitHub; take what openssl rand -hex 32 prints", n, leastSecret)}
	}
	if s.GitHub.PrivateKey != "" {
		if keys.app, err = os.ReadFile(s.GitHub.PrivateKey); err != nil {
			return usageError{fmt.Errorf("setting github.private_key: %w", err)}
		}
	}
	hidden := append(secret.FromEnviron(os.Environ()), keys.github, keys.webhook, keys.git, string(keys.app))
	probe, err := environmentOf(s, storage, kernel.CPU(), false, nil, func(string) {})
	if err != nil {
		return err
	}
	redact := secret.New(append(hidden, probe.Hub.Secret())...)
	log := slog.New(redact.Handler(a.logHandler(a.err)))
	dev, release, err := openDevice(s, func(text string) { log.Warn(text) }) // once, for all runs
	if err != nil {
		return err
	}
	defer release()
	if path, ok := strings.CutPrefix(s.Serve.Repo, "https://github.com/"); ok {
		log.Warn("serve.repo is a URL: it is watched as a plain git remote, without pull requests, comments and checks", "for those write", strings.TrimSuffix(path, ".git"))
	}
	if _, err := engine.Installed(s.EngineDir); err != nil && s.Engine.Use == "llama.cpp" {
		log.Warn("the embedded engine cannot be used: recipes with tasks will fail", "error", err)
	}
	m := metrics.New()
	place, err := openForge(ctx, s, keys, m)
	if err != nil {
		return redactedError{err, redact.String(err.Error())}
	}
	l, err := net.Listen("tcp", s.Serve.Addr)
	if err != nil {
		return fmt.Errorf("%w; choose another serve.addr", err)
	}
	d, err := bot.New(bot.Options{Settings: s.Serve, Forge: place, Storage: storage, WebhookSecret: []byte(keys.webhook), Listener: l, Log: log,
		Redact: redact.String, Metrics: m,
		Abort: func(err error) {
			log.Error("ended at once", "error", err.Error())
			os.Exit(exitFailure)
		},
		NewEnv: func(anonymous bool, observe func(run.Event)) (*run.Env, error) {
			env, err := environmentOf(s, storage, dev, anonymous, observe, func(text string) { log.Info(text) })
			if err == nil {
				env.Redact, env.Work = redact.String, s.Serve.Work
			}
			return env, err
		}})
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

// leastSecret is how many characters the secret of the webhook has at least.
const leastSecret = 16

// fromEnviron reads a secret. What comes from a file may end with a line's end.
func fromEnviron(name string) string { return strings.TrimRight(os.Getenv(name), "\r\n") }

// redactedError is an error whose text holds no secret.
type redactedError struct {
	error
	text string
}

func (e redactedError) Error() string { return e.text }
func (e redactedError) Unwrap() error { return e.error }

// serveKeys are the secrets of the daemon.
type serveKeys struct {
	github, webhook, git string
	app                  []byte
}

// openForge opens the place that holds the recipes.
func openForge(ctx context.Context, s *configs.Settings, keys serveKeys, m *metrics.Metrics) (forge.Forge, error) {
	owner, name, ok := s.Serve.OnGitHub()
	if !ok {
		return gitrepo.Open(ctx, gitrepo.Options{URL: s.Serve.Repo, Dir: filepath.Join(s.Serve.Work, "recipes.git"), Branch: s.Serve.Branch,
			Password: keys.git, Recipes: s.Serve.IsRecipe})
	}
	if keys.github == "" && s.GitHub.AppID == 0 {
		return nil, usageError{errors.New("GitHub needs an app (github.app_id and github.private_key) or a token (MERGEBOT_GITHUB_TOKEN)")}
	}
	return github.Open(ctx, github.Options{API: s.GitHub.API, Owner: owner, Name: name, Token: keys.github, AppID: s.GitHub.AppID,
		Installation: s.GitHub.Installation, PrivateKey: keys.app, Team: s.GitHub.Team, UserAgent: "mergebot/" + run.Version(), Quota: m.Quota})
}

// logHandler writes lines for people, or with --json for machines.
func (a *app) logHandler(w io.Writer) slog.Handler {
	if a.json {
		return slog.NewJSONHandler(w, nil)
	}
	return slog.NewTextHandler(w, nil)
}
