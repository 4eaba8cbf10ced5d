package configs

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// bareHome gives the test a home without settings.
func bareHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, v := range []string{"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"} {
		t.Setenv(v, "")
	}
	return home
}

func settingKeys() []string {
	var keys []string
	walkSettings(reflect.ValueOf(new(Settings)).Elem(), "", func(key string, _ reflect.Value) { keys = append(keys, key) })
	return keys
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsDefaults(t *testing.T) {
	home := bareHome(t)
	s, err := LoadSettings("", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Settings{
		Storage:   "file://" + home + "/.local/share/mergebot",
		EngineDir: home + "/.cache/mergebot/engine",
		Device:    "auto",
		ShardSize: 5_000_000_000,
		Hub:       HubSettings{Workers: 8},
		Engine: EngineSettings{Use: "llama.cpp", Concurrency: 128, Timeout: 10 * time.Minute, Patience: 10 * time.Minute,
			VLLM: VLLMSettings{Command: "vllm", DType: "bfloat16", Start: 20 * time.Minute}},
		Serve: ServeSettings{Recipes: []string{"recipes/**"}, Addr: "127.0.0.1:8390", Poll: time.Minute, Runs: 1, TryLimit: 20,
			Work: home + "/.cache/mergebot/work", Keep: 3, Lease: 30 * time.Second},
		GitHub: GitHubSettings{API: "https://api.github.com/"},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v\nwant %+v", s, want)
	}
}

func TestSettingsPrecedence(t *testing.T) {
	home := bareHome(t)
	path := writeFile(t, filepath.Join(home, ".config/mergebot/bot.yaml"), "shard_size: 1\nhub: {workers: 2, endpoint: 'http://file'}\nengine: {threads: 3}\nstorage: ~/runs\n")
	t.Setenv("MERGEBOT_HUB_WORKERS", "20")
	t.Setenv("MERGEBOT_ENGINE_THREADS", "30")
	t.Setenv("MERGEBOT_ENGINE_LANES", "") // empty is unset
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(flags)
	if err := flags.Parse([]string{"--hub-workers=200", "--device", "cpu"}); err != nil {
		t.Fatal(err)
	}
	for _, named := range []string{"", path} {
		s, err := LoadSettings(named, flags)
		if err != nil {
			t.Fatal(err)
		}
		if s.ShardSize != 1 || s.Hub.Endpoint != "http://file" || s.Engine.Threads != 30 || s.Hub.Workers != 200 || s.Device != "cpu" || s.Storage != "file://"+home+"/runs" {
			t.Errorf("settings %q: got %+v", named, s)
		}
	}
}

func TestSettingsMistakes(t *testing.T) {
	dir := bareHome(t)
	for _, c := range []struct{ text, want string }{
		{"storge: x\n", `:1:1: unknown key "storge", did you mean "storage"?`},
		{"hub:\n  worker: 8\n", `:2:3: unknown key "worker", did you mean "workers"?`},
		{"hub:\n  workers: many\n", `:2:12: want a whole number, not the text "many"`},
		{"device: gpu\n", `setting device: "gpu" is not known; want auto, cpu or cuda`},
		{"device_memory: 4096\n", "setting device_memory: 4096 bytes; want 1048576 or more, or 0"},
		{"shard_size: 5GB\n", `:1:13: want a whole number of bytes, not the text "5GB"`},
		{"shard_size: 0\n", "setting shard_size: 0 bytes; want 1 or more"},
		{"hub: {endpoint: ftp://x}\n", "setting hub.endpoint: want an address"},
		{"engine: {use: http://x}\n", `setting engine.use: "http://x" is not known; want llama.cpp or vllm`},
		{"engine: {timeout: 3}\n", `:1:19: want a duration such as 10m, not the number 3`},
		{"engine: {patience: 10ms}\n", "setting engine.patience: 10ms; want 1s or more"},
		{"engine: {concurrency: 0}\n", "setting engine.concurrency: 0; want 1 to 4096"},
		{"engine: {vllm: {dtype: int8}}\n", `setting engine.vllm.dtype: "int8" is not known`},
		{"serve: {repo: 'https://u:hunter2@host/x.git'}\n", "setting serve.repo: a password does not belong here"},
		{"serve: {recipes: ['../**']}\n", `setting serve.recipes: "../**" is not a pattern`},
		{"serve: {publish_to: [acme/model]}\n", `setting serve.publish_to: "acme/model" is not an organisation`},
		{"serve: {runs: 0}\n", "setting serve.runs: 0; want 1 or more"},
		{"github: {app_id: 7}\n", "setting github.private_key: missing"},
		{"github: {team: merging}\n", `setting github.team: "merging" is not a team; want org/slug`},
		{"hub: {workers: 0}\n", "setting hub.workers: 0; want 1 to 256"},
		{"storage: http://x\n", "setting storage: want a folder"},
		{"- storage\n", ":1:1: want a mapping"},
		{"a: b: c\n", ":1:1: not YAML: mapping values are not allowed in this context"},
	} {
		_, err := LoadSettings(writeFile(t, filepath.Join(dir, "bot.yaml"), c.text), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
	}
	if s, err := LoadSettings(writeFile(t, filepath.Join(dir, "bot.yaml"), "# hub:\n#   workers: 4\n"), nil); err != nil || s.Hub.Workers != 8 {
		t.Errorf("all commented out: got %+v, %v", s, err)
	}
	if _, err := LoadSettings(filepath.Join(dir, "none.yaml"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named file that is missing: got %v", err)
	}
	t.Setenv("MERGEBOT_HUB_WORKERS", "many")
	if _, err := LoadSettings("", nil); err == nil || !strings.Contains(err.Error(), "hub.workers") {
		t.Errorf("a mistyped variable: got %v", err)
	}
}

func TestSettingsKeepPasswords(t *testing.T) {
	bareHome(t)
	for _, key := range []string{"MERGEBOT_STORAGE", "MERGEBOT_HUB_ENDPOINT"} {
		t.Setenv(key, "https://user:hunter2@host")
		if _, err := LoadSettings("", nil); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", key, err)
		}
		t.Setenv(key, "")
	}
}

// TestSettingsExample holds the example, the flags and the page to the struct.
func TestSettingsExample(t *testing.T) {
	bareHome(t)
	s, err := LoadSettings("bot.example.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Hub.Cache != "/var/cache/huggingface/hub" {
		t.Errorf("read as %+v", s)
	}
	src, err := os.ReadFile("bot.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(src, &root); err != nil {
		t.Fatal(err)
	}
	var got []string
	var visit func(n *yaml.Node, path string)
	visit = func(n *yaml.Node, path string) {
		for i := 0; i < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			key := join(path, k.Value)
			if v.Kind == yaml.MappingNode {
				visit(v, key)
				continue
			}
			got = append(got, key)
			if k.HeadComment == "" {
				t.Errorf("bot.example.yaml: no comment above %s", key)
			}
		}
	}
	visit(root.Content[0], "")
	want := settingKeys()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("bot.example.yaml has %v, Settings has %v", got, want)
	}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(flags)
	AddServeFlags(flags)
	for _, key := range want {
		if settingUsage[key]+serveUsage[key] == "" || flags.Lookup(flagName(key)) == nil {
			t.Errorf("%s: no flag or no help for it", key)
		}
		for _, word := range []string{"`" + key + "`", "`MERGEBOT_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")) + "`", "`--" + flagName(key) + "`"} {
			if !strings.Contains(string(page), word) {
				t.Errorf("docs/settings.md: no %s", word)
			}
		}
	}
}

func TestIsRecipe(t *testing.T) {
	s := ServeSettings{Recipes: []string{"recipes/**", "models/*/merge.yaml"}}
	for path, want := range map[string]bool{
		"recipes/a.yaml": true, "recipes/deep/er/a.yml": true, "models/x/merge.yaml": true,
		"recipes/README.md": false, "recipes.yaml": false, "x/recipes/a.yaml": false, "models/merge.yaml": false, "models/x/y/merge.yaml": false,
	} {
		if got := s.IsRecipe(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestOnGitHub(t *testing.T) {
	for repo, want := range map[string]bool{"acme/recipes": true, "./acme/recipes": false, "https://github.com/acme/recipes": false, "git@host:acme/recipes": false, "acme": false, "acme/..": false} {
		if _, _, got := (ServeSettings{Repo: repo}).OnGitHub(); got != want {
			t.Errorf("%s: got %v", repo, got)
		}
	}
}
