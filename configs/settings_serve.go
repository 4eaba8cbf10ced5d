package configs

import (
	"net"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// ServeSettings say what the daemon watches and how it works. None of them can be changed by a pull request.
type ServeSettings struct {
	// Where the recipes are: owner/name on GitHub, or the URL or folder of any git repository.
	Repo string `yaml:"repo"`
	// The default branch of a plain git remote; empty takes the remote's own.
	Branch string `yaml:"branch"`
	// The files that are recipes: patterns with * within a name and ** for any folders.
	Recipes []string `yaml:"recipes"`
	// The address that the page and webhooks are served at.
	Addr string `yaml:"addr"`
	// The address that people and GitHub reach them at, for links; empty leaves links out.
	URL string `yaml:"url"`
	// How often the repository is looked at, webhooks or not.
	Poll time.Duration `yaml:"poll"`
	// How many runs go on at once.
	Runs int `yaml:"runs"`
	// Rows a task that /mergebot try scores.
	TryLimit int `yaml:"try_limit"`
	// The organisations on the Hub that may be published to; none: nothing is published.
	PublishTo []string `yaml:"publish_to"`
	// The folder that models are merged in.
	Work string `yaml:"work"`
	// How many merged models are kept there.
	Keep int `yaml:"keep"`
	// How long the daemon's lease on the storage holds without being renewed.
	Lease time.Duration `yaml:"lease"`
}

// GitHubSettings say how GitHub is reached. The token of those without an app comes from MERGEBOT_GITHUB_TOKEN.
type GitHubSettings struct {
	// The API's address; another one than GitHub's for GitHub Enterprise.
	API string `yaml:"api"`
	// The app's number; 0 works with a token.
	AppID int64 `yaml:"app_id"`
	// The installation's number; 0 looks it up by the repository.
	Installation int64 `yaml:"installation"`
	// The file with the app's private key.
	PrivateKey string `yaml:"private_key"`
	// The team, org/slug, whose members may give commands; empty: who may write to the repository.
	Team string `yaml:"team"`
}

var serveUsage = map[string]string{
	"serve.repo":       "where the recipes are: owner/name on GitHub, or the URL or folder of a git repository",
	"serve.branch":     "default branch of a plain git remote (default: the remote's own)",
	"serve.recipes":    "a pattern of the files that are recipes; may be given several times (default recipes/**)",
	"serve.addr":       "address of the page and of webhooks (default 127.0.0.1:8390)",
	"serve.url":        "address that people reach the page at, for links",
	"serve.poll":       "how often the repository is looked at (default 1m)",
	"serve.runs":       "how many runs go on at once (default 1)",
	"serve.try_limit":  "rows a task that /mergebot try scores (default 20)",
	"serve.publish_to": "an organisation on the Hub that may be published to; may be given several times",
	"serve.work":       "folder that models are merged in",
	"serve.keep":       "how many merged models are kept there (default 3)",
	"serve.lease":      "how long the daemon's lease holds without being renewed (default 30s)",

	"github.api":          "address of GitHub's API (default https://api.github.com/)",
	"github.app_id":       "number of the GitHub App (default: a token from MERGEBOT_GITHUB_TOKEN)",
	"github.installation": "number of the app's installation (default: the repository's)",
	"github.private_key":  "file with the app's private key",
	"github.team":         "team, org/slug, whose members may give commands (default: who may write)",
}

// ofServe says that a setting concerns the daemon alone.
func ofServe(key string) bool {
	return strings.HasPrefix(key, "serve.") || strings.HasPrefix(key, "github.")
}

// AddServeFlags adds the flags of the settings that only the daemon has: serve.try_limit is --serve-try-limit.
func AddServeFlags(flags *pflag.FlagSet) { addFlags(flags, ofServe) }

var ownerName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}$`)

// OnGitHub splits Repo into owner and name; false when it is another git repository.
func (s ServeSettings) OnGitHub() (owner, name string, ok bool) {
	if !ownerName.MatchString(s.Repo) {
		return "", "", false
	}
	owner, name, _ = strings.Cut(s.Repo, "/")
	return owner, name, name != "." && name != ".."
}

// IsRecipe says whether a path in the repository is a recipe's.
func (s ServeSettings) IsRecipe(file string) bool {
	if ext := path.Ext(file); ext != ".yaml" && ext != ".yml" {
		return false
	}
	return slices.ContainsFunc(s.Recipes, func(pattern string) bool {
		return matches(strings.Split(pattern, "/"), strings.Split(file, "/"))
	})
}

func matches(pattern, file []string) bool {
	if len(pattern) == 0 {
		return len(file) == 0
	}
	if pattern[0] == "**" {
		return matches(pattern[1:], file) || len(file) > 0 && matches(pattern, file[1:])
	}
	if len(file) == 0 {
		return false
	}
	ok, err := path.Match(pattern[0], file[0])
	return err == nil && ok && matches(pattern[1:], file[1:])
}

func (s *ServeSettings) check(bad func(key, format string, args ...any)) {
	if _, _, github := s.OnGitHub(); !github && s.Repo != "" {
		if strings.Contains(s.Repo, "://") {
			u, err := url.Parse(s.Repo)
			if err != nil || !slices.Contains([]string{"https", "http", "ssh", "git", "file"}, u.Scheme) {
				bad("serve.repo", "want owner/name on GitHub, or the URL or folder of a git repository")
			} else if _, secret := u.User.Password(); secret {
				bad("serve.repo", "a password does not belong here; it comes from MERGEBOT_GIT_PASSWORD")
			}
		} else if !strings.Contains(s.Repo, "@") { // git@host:path
			s.Repo, _ = filepath.Abs(expandHome(s.Repo))
		}
	}
	if len(s.Recipes) == 0 {
		bad("serve.recipes", "empty; want a pattern such as recipes/**")
	}
	for _, p := range s.Recipes {
		if _, err := path.Match(p, ""); err != nil || p == "" || strings.HasPrefix(p, "/") || strings.Contains(p, "..") {
			bad("serve.recipes", "%q is not a pattern such as recipes/**", clip(p))
		}
	}
	if _, _, err := net.SplitHostPort(s.Addr); err != nil {
		bad("serve.addr", "want host:port, such as 127.0.0.1:8390")
	}
	if s.URL != "" {
		u, err := url.Parse(s.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			bad("serve.url", "want an address such as https://mergebot.example.com")
		}
		s.URL = strings.TrimRight(s.URL, "/")
	}
	if s.Poll < time.Second {
		bad("serve.poll", "%v; want 1s or more, such as 1m", s.Poll)
	}
	if s.Lease < time.Second {
		bad("serve.lease", "%v; want 1s or more, such as 30s", s.Lease)
	}
	for key, n := range map[string]int{"serve.runs": s.Runs, "serve.try_limit": s.TryLimit, "serve.keep": s.Keep} {
		if n < 1 || n > 100_000 {
			bad(key, "%d; want 1 or more", n)
		}
	}
	for _, org := range s.PublishTo {
		if err := checkRepo(org); err != nil || strings.Contains(org, "/") {
			bad("serve.publish_to", "%q is not an organisation or user on the Hub", clip(org))
		}
	}
	s.Work = expandHome(s.Work)
}

var teamPattern = regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$`)

func (s *GitHubSettings) check(bad func(key, format string, args ...any)) {
	u, err := url.Parse(s.API)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		bad("github.api", "want an address such as https://api.github.com/")
	}
	if s.AppID < 0 || s.Installation < 0 {
		bad("github.app_id", "want the number that the app's page shows")
	}
	if s.AppID > 0 && s.PrivateKey == "" {
		bad("github.private_key", "missing: an app needs the file with its private key")
	}
	if s.Team != "" && !teamPattern.MatchString(s.Team) {
		bad("github.team", "%q is not a team; want org/slug", clip(s.Team))
	}
	s.PrivateKey = expandHome(s.PrivateKey)
}
