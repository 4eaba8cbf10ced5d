package configs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Settings is what belongs to a machine, not to a merge: no setting changes a
// merged byte but ShardSize, which decides the names of the files. Secrets are
// not settings; the Hub's token comes from the HF_* variables.
type Settings struct {
	// Where runs and the ledger are kept: a folder, or file:///path.
	Storage string `yaml:"storage"`
	// The folder that `mergebot engine install` fills.
	EngineDir string `yaml:"engine_dir"`
	// What does the arithmetic: auto, cpu or cuda.
	Device string `yaml:"device"`
	// Bytes of each GPU's memory that are used at most; 0 takes little of what is free.
	DeviceMemory int64 `yaml:"device_memory"`
	// The size in bytes at which a new shard begins.
	ShardSize int64 `yaml:"shard_size"`
	// The Hub.
	Hub HubSettings `yaml:"hub"`
	// What generates the text that is scored.
	Engine EngineSettings `yaml:"engine"`
	// The daemon.
	Serve ServeSettings `yaml:"serve"`
	// GitHub, for the daemon.
	GitHub GitHubSettings `yaml:"github"`
}

// HubSettings says how the Hub is reached.
type HubSettings struct {
	// The Hub's address; empty takes HF_ENDPOINT, or the public Hub.
	Endpoint string `yaml:"endpoint"`
	// The folder of downloaded files; empty takes HF_HUB_CACHE, or Python's default.
	Cache string `yaml:"cache"`
	// How many files or parts are moved at once; downloads use up to twice as
	// many where that is faster.
	Workers int `yaml:"workers"`
	// The most that all transfers together take, in bytes a second; 0 is no limit.
	Bandwidth int64 `yaml:"bandwidth"`
}

// EngineSettings says what a recipe's engine: auto is on this machine, and how
// much the engines do at once. 0 lanes, slots or threads leave the choice to
// the embedded engine.
type EngineSettings struct {
	// The engine of recipes that leave it to the machine: llama.cpp or vllm.
	Use string `yaml:"use"`
	// Contexts of the embedded engine that generate side by side.
	Lanes int `yaml:"lanes"`
	// Texts that one context generates at once.
	Slots int `yaml:"slots"`
	// Threads of one context.
	Threads int `yaml:"threads"`
	// Requests that are in flight at once to a server, at most.
	Concurrency int `yaml:"concurrency"`
	// How long a server may take for one answer.
	Timeout time.Duration `yaml:"timeout"`
	// How long an item is tried again while a server fails.
	Patience time.Duration `yaml:"patience"`
	// The vLLM that mergebot starts.
	VLLM VLLMSettings `yaml:"vllm"`
}

// VLLMSettings says how vLLM is started.
type VLLMSettings struct {
	// The program, by its name in PATH or by its path.
	Command string `yaml:"command"`
	// More arguments of vllm serve.
	Args []string `yaml:"args"`
	// The number format of weights: bfloat16, float16 or float32.
	DType string `yaml:"dtype"`
	// The positions of a sequence, prompt included; 0 leaves it to vLLM.
	Context int `yaml:"context"`
	// The folder for the candidates' weights; memory, best. Empty takes /dev/shm.
	Dir string `yaml:"dir"`
	// The file that keeps vLLM's output; empty keeps its end for errors.
	Log string `yaml:"log"`
	// How long it may take until it answers.
	Start time.Duration `yaml:"start"`
}

// LoadSettings reads the settings. A flag goes before a MERGEBOT_* variable,
// that before the file, that before the default. path is the file; "" looks
// for bot.yaml in $XDG_CONFIG_HOME/mergebot and does without when there is
// none. flags may be nil; those that [AddFlags] made are read. Problems of the
// file are an [Errors].
func LoadSettings(path string, flags *pflag.FlagSet) (*Settings, error) {
	defaults, err := settingsDefaults()
	if err != nil {
		return nil, err
	}
	v := viper.New()
	v.SetEnvPrefix("MERGEBOT")
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()
	walkSettings(reflect.ValueOf(defaults).Elem(), "", func(key string, value reflect.Value) {
		v.SetDefault(key, value.Interface())
		if flags == nil {
			return
		}
		if f := flags.Lookup(flagName(key)); f != nil {
			err = errors.Join(err, v.BindPFlag(key, f))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	if err := readSettingsFile(v, path); err != nil {
		return nil, err
	}
	s := &Settings{}
	if err := v.Unmarshal(s, func(c *mapstructure.DecoderConfig) { c.TagName = "yaml" }); err != nil {
		return nil, fmt.Errorf("settings from flags and MERGEBOT_* variables: %w", err)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, nil
}

// readSettingsFile holds the file to the keys and types of Settings, then gives
// it to viper.
func readSettingsFile(v *viper.Viper, path string) error {
	given := path != ""
	if !given {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil // no home: no file
		}
		path = filepath.Join(dir, "mergebot", "bot.yaml")
	}
	src, err := readBounded(path)
	if errors.Is(err, os.ErrNotExist) && !given {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	root, err := document(path, src)
	var problems Errors
	if errors.As(err, &problems) && problems[0].Message == emptyFile {
		return nil // all settings commented out
	}
	if err != nil {
		return err
	}
	d := newDecoder(path)
	d.decode(root, "", new(Settings))
	if len(d.errs) > 0 {
		return d.errs.sorted()
	}
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(src)); err != nil {
		return fmt.Errorf("read settings %s: %w", path, err)
	}
	return nil
}

// AddFlags adds a flag for every setting but the daemon's own: hub.endpoint is --hub-endpoint.
func AddFlags(flags *pflag.FlagSet) {
	addFlags(flags, func(key string) bool { return !ofServe(key) })
}

func addFlags(flags *pflag.FlagSet, wanted func(key string) bool) {
	walkSettings(reflect.ValueOf(new(Settings)).Elem(), "", func(key string, value reflect.Value) {
		if !wanted(key) {
			return
		}
		usage := cmp.Or(settingUsage[key], serveUsage[key])
		switch value.Kind() {
		case reflect.String:
			flags.String(flagName(key), "", usage)
		case reflect.Int64:
			if value.Type() == reflect.TypeFor[time.Duration]() {
				flags.Duration(flagName(key), 0, usage)
				return
			}
			flags.Int64(flagName(key), 0, usage)
		case reflect.Slice:
			flags.StringArray(flagName(key), nil, usage)
		default:
			flags.Int(flagName(key), 0, usage)
		}
	})
}

// settingUsage is the help of the flags.
var settingUsage = map[string]string{
	"storage":        "folder of runs and the ledger",
	"engine_dir":     "folder of the embedded engine's library",
	"device":         "what does the arithmetic: auto, cpu or cuda",
	"device_memory":  "bytes of each GPU's memory used at most (default: little of what is free)",
	"shard_size":     "bytes at which a new shard begins (default 5000000000)",
	"hub.endpoint":   "address of the Hub (default: HF_ENDPOINT)",
	"hub.cache":      "folder of downloaded files (default: HF_HUB_CACHE)",
	"hub.workers":    "files or parts moved at once (default 8)",
	"hub.bandwidth":  "bytes a second that all transfers together take at most (default: no limit)",
	"engine.use":     "what engine: auto is here: llama.cpp or vllm (default llama.cpp)",
	"engine.lanes":   "contexts that generate side by side (default: the engine's choice)",
	"engine.slots":   "texts that one context generates at once (default: the engine's choice)",
	"engine.threads": "threads of one context (default: the engine's choice)",

	"engine.concurrency": "requests in flight to a server, at most (default 128)",
	"engine.timeout":     "how long a server may take for one answer (default 10m)",
	"engine.patience":    "how long an item is tried again while a server fails (default 10m)",

	"engine.vllm.command": "the program vllm (default: vllm in PATH)",
	"engine.vllm.args":    "one more argument of vllm serve; may be given several times",
	"engine.vllm.dtype":   "number format of vLLM's weights: bfloat16, float16 or float32 (default bfloat16)",
	"engine.vllm.context": "positions of a sequence in vLLM (default: vLLM's choice)",
	"engine.vllm.dir":     "folder for the candidates' weights (default /dev/shm)",
	"engine.vllm.log":     "file that keeps vLLM's output",
	"engine.vllm.start":   "how long vLLM may take until it answers (default 20m)",
}

func flagName(key string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(key) }

// walkSettings visits every setting with its key, such as hub.endpoint.
func walkSettings(v reflect.Value, prefix string, visit func(key string, value reflect.Value)) {
	names, fields := fieldsOf(v.Type())
	for _, name := range names {
		f, key := v.Field(fields[name]), join(prefix, name)
		if f.Kind() == reflect.Struct {
			walkSettings(f, key, visit)
			continue
		}
		visit(key, f)
	}
}

func settingsDefaults() (*Settings, error) {
	data, err := xdg("XDG_DATA_HOME", ".local/share")
	if err != nil {
		return nil, err
	}
	cache, err := xdg("XDG_CACHE_HOME", ".cache")
	if err != nil {
		return nil, err
	}
	storage := url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(data, "mergebot"))}
	return &Settings{
		Storage:   storage.String(),
		EngineDir: filepath.Join(cache, "mergebot", "engine"),
		Device:    "auto",
		ShardSize: 5_000_000_000,
		Hub:       HubSettings{Workers: 8},
		Engine: EngineSettings{Use: "llama.cpp", Concurrency: 128, Timeout: 10 * time.Minute, Patience: 10 * time.Minute,
			VLLM: VLLMSettings{Command: "vllm", DType: "bfloat16", Start: 20 * time.Minute}},
		Serve: ServeSettings{Recipes: []string{"recipes/**"}, Addr: "127.0.0.1:8390", Poll: time.Minute, Runs: 1, TryLimit: 20,
			Work: filepath.Join(cache, "mergebot", "work"), Keep: 3, Lease: 30 * time.Second},
		GitHub: GitHubSettings{API: "https://api.github.com/"},
	}, nil
}

// xdg gives a base folder of the XDG specification, which wants relative ones
// ignored.
func xdg(variable, below string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for mergebot's files: set HOME or %s: %w", variable, err)
	}
	return filepath.Join(home, below), nil
}

// check refuses values that no machine can use, and completes paths. Addresses are not quoted: a password may be in them.
func (s *Settings) check() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("setting %s: "+format, append([]any{key}, args...)...))
	}
	s.Storage = storageURL(s.Storage)
	if u, err := url.Parse(s.Storage); !bucketScheme.MatchString(s.Storage) && (err != nil || u.Scheme != "file") {
		bad("storage", "want a folder, or a URL such as file:///var/lib/mergebot or s3://bucket/prefix")
	}
	if !slices.Contains([]string{"auto", "cpu", "cuda"}, s.Device) {
		bad("device", "%q is not known; want auto, cpu or cuda", clip(s.Device))
	}
	if s.DeviceMemory != 0 && s.DeviceMemory < 1<<20 {
		bad("device_memory", "%d bytes; want 1048576 or more, or 0", s.DeviceMemory)
	}
	if s.ShardSize < 1 {
		bad("shard_size", "%d bytes; want 1 or more", s.ShardSize)
	}
	if s.Hub.Endpoint != "" {
		u, err := url.Parse(s.Hub.Endpoint)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			bad("hub.endpoint", "want an address such as https://huggingface.co")
		case u.User != nil:
			bad("hub.endpoint", "a password does not belong here; the token comes from HF_TOKEN")
		}
	}
	if s.Hub.Workers < 1 || s.Hub.Workers > 256 {
		bad("hub.workers", "%d; want 1 to 256", s.Hub.Workers)
	}
	if s.Hub.Bandwidth < 0 {
		bad("hub.bandwidth", "%d; want bytes a second, or 0 for no limit", s.Hub.Bandwidth)
	}
	s.Engine.check(bad)
	s.Serve.check(bad)
	s.GitHub.check(bad)
	for _, path := range []*string{&s.EngineDir, &s.Hub.Cache, &s.Engine.VLLM.Command, &s.Engine.VLLM.Dir, &s.Engine.VLLM.Log} {
		*path = expandHome(*path)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (e EngineSettings) check(bad func(key, format string, args ...any)) {
	if !slices.Contains(Engines[1:], e.Use) {
		bad("engine.use", "%q is not known; want %s", clip(e.Use), strings.Join(Engines[1:], " or "))
	}
	for key, n := range map[string]int{"engine.lanes": e.Lanes, "engine.slots": e.Slots, "engine.threads": e.Threads} {
		if n < 0 || n > 4096 {
			bad(key, "%d; want 0 to 4096, 0 for the engine's choice", n)
		}
	}
	if e.Concurrency < 1 || e.Concurrency > 4096 {
		bad("engine.concurrency", "%d; want 1 to 4096", e.Concurrency)
	}
	for key, d := range map[string]time.Duration{"engine.timeout": e.Timeout, "engine.patience": e.Patience, "engine.vllm.start": e.VLLM.Start} {
		if d < time.Second {
			bad(key, "%v; want 1s or more, such as 10m", d)
		}
	}
	if e.VLLM.Command == "" {
		bad("engine.vllm.command", "empty; want a program such as vllm")
	}
	if formats := []string{"bfloat16", "float16", "float32"}; !slices.Contains(formats, e.VLLM.DType) {
		bad("engine.vllm.dtype", "%q is not known; want %s", clip(e.VLLM.DType), strings.Join(formats, ", "))
	}
	if e.VLLM.Context < 0 {
		bad("engine.vllm.context", "%d; want a number of positions, or 0 for vLLM's choice", e.VLLM.Context)
	}
}

// storageURL takes a folder, too.
func storageURL(storage string) string {
	if storage == "" || strings.Contains(storage, ":") {
		return storage
	}
	dir, err := filepath.Abs(expandHome(storage))
	if err != nil {
		return storage
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}
	return u.String()
}

// expandHome puts the home folder in for ~/; without a home it stays.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	home, err := os.UserHomeDir()
	if !ok || err != nil {
		return path
	}
	return filepath.Join(home, rest)
}
