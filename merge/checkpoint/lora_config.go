package checkpoint

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// The files of an adapter in the layout of PEFT.
const (
	AdapterConfigName = "adapter_config.json"
	AdapterWeights    = "adapter_model.safetensors"
	AdapterTorch      = "adapter_model.bin"
)

const (
	// maxAdapterConfig is far above the largest: a pattern for every module of a large model takes 100 kB.
	maxAdapterConfig = 1 << 20
	// maxPatterns bounds the work of matching every pattern with every module.
	maxPatterns = 10_000
	// maxRank is far above any; it keeps products of a rank and a dimension small.
	maxRank = 1 << 20
)

// AdapterConfig is what adapter_config.json says of a LoRA adapter's arithmetic.
// [ParseAdapterConfig] has refused whatever else would change it.
type AdapterConfig struct {
	// Base and Revision name the model that the adapter was trained upon, as the
	// trainer wrote them: a repository, a folder of its machine, or "".
	Base, Revision string

	rank       float64
	alpha      float64
	ranks      []pattern // rank_pattern and alpha_pattern, in the file's order: the first that matches counts
	alphas     []pattern
	rankStable bool // scale α/√r instead of α/r
	transposed bool // fan_in_fan_out: the layers store their weights as (in, out)
	dora       bool
}

// adapterTraining are members that have a part in training alone, or that the adapter's tensors themselves show.
var adapterTraining = []string{
	"auto_mapping", "inference_mode", "task_type", "peft_version", "lora_dropout", "bias", "target_modules", "exclude_modules",
	"layers_to_transform", "layers_pattern", "megatron_core", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
	"qalora_group_size", "ensure_weight_tying", "runtime_config", "modules_to_save", "lora_bias",
}

// adapterRefused are members of LoRA's kin that are not built in, each with what it stands for.
var adapterRefused = map[string]string{
	"megatron_config":         "layers of Megatron",
	"trainable_token_indices": "single rows of the embeddings trained on their own",
	"layer_replication":       "layers stacked by the adapter; write slices instead",
	"alora_invocation_tokens": "aLoRA, which acts on some tokens only and cannot be merged",
	"use_qalora":              "QA-LoRA, which is for quantised models",
	"target_parameters":       "LoRA on bare parameters",
	"use_bdlora":              "block-diagonal LoRA",
	"arrow_config":            "Arrow, which chooses among adapters for every token and cannot be merged",
	"kasa_config":             "KaSA",
	"velora_config":           "VeLoRA",
	"monteclora_config":       "MonteCLoRA",
}

// adapterStarts are the ways to begin training that leave the base's weights as they are. With the others (PiSSA,
// OLoRA, CorDA, LoftQ, LoRA-GA) the adapter belongs to a base that was changed first.
var adapterStarts = []string{"", "true", "false", "gaussian", "eva", "orthogonal", "mica"}

// ParseAdapterConfig reads adapter_config.json. ErrUnsupported says which member
// stands for something that is not built in: another kind of adapter, or a member
// that is not known and set, since it may change the arithmetic. ErrCorrupt means
// that the file is not what PEFT writes.
func ParseAdapterConfig(data []byte) (*AdapterConfig, error) {
	if len(data) > maxAdapterConfig {
		return nil, corrupt("it has %d bytes, too many for such a file", len(data))
	}
	if !utf8.Valid(data) {
		return nil, corrupt("it is not UTF-8")
	}
	c := &AdapterConfig{rank: 8, alpha: 8} // PEFT's defaults
	var kind, start string
	err := members(data, func(name string, raw json.RawMessage) (err error) {
		switch name {
		case "peft_type":
			kind, err = textOf(raw)
		case "base_model_name_or_path":
			c.Base, err = textOf(raw)
		case "revision":
			c.Revision, err = textOf(raw)
		case "r":
			c.rank, err = numberOf(raw)
		case "lora_alpha":
			c.alpha, err = numberOf(raw)
		case "rank_pattern":
			c.ranks, err = patternsOf(raw)
		case "alpha_pattern":
			c.alphas, err = patternsOf(raw)
		case "use_rslora":
			c.rankStable, err = switchOf(raw)
		case "fan_in_fan_out":
			c.transposed, err = switchOf(raw)
		case "use_dora":
			c.dora, err = switchOf(raw)
		case "init_lora_weights":
			if start, err = textOf(raw); err != nil { // a switch, mostly
				start, err = string(raw), nil
			}
		default:
			err = known(name, raw)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case kind == "":
		return nil, corrupt("it has no peft_type")
	case kind != "LORA":
		return nil, unsupported("peft_type %.40q: only LoRA adapters are built in; merge it into its base by PEFT and give the result", kind)
	case !slices.Contains(adapterStarts, start):
		return nil, unsupported("init_lora_weights %.40q: the adapter belongs to a base that this changed first; convert it (save_pretrained with path_initial_model_for_weight_conversion), or merge it by PEFT", start)
	case !rankLike(c.rank):
		return nil, corrupt("r is %v, not a rank", c.rank)
	}
	for _, p := range c.ranks {
		if !rankLike(p.value) {
			return nil, corrupt("rank_pattern: %v is not a rank", p.value)
		}
	}
	return c, nil
}

// known refuses a member that is set and not of training alone.
func known(name string, raw json.RawMessage) error {
	switch why, refused := adapterRefused[name]; {
	case slices.Contains(adapterTraining, name), unset(raw):
		return nil
	case refused:
		return unsupported("%s: not built in; merge it into its base by PEFT, if that can, and give the result", why)
	}
	return unsupported("this member is not known and may change the weights; merge the adapter into its base by PEFT and give the result")
}

// unset reports a value that leaves a member of the configuration off.
func unset(raw json.RawMessage) bool {
	switch strings.Join(strings.Fields(string(raw)), "") {
	case "null", "false", "0", "0.0", `""`, "[]", "{}":
		return true
	}
	return false
}

func rankLike(r float64) bool { return r >= 1 && r <= maxRank && r == math.Trunc(r) }

func textOf(raw json.RawMessage) (string, error) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", corrupt("not a text")
	}
	if s == nil {
		return "", nil
	}
	return *s, nil
}

func switchOf(raw json.RawMessage) (bool, error) {
	var b *bool
	if err := json.Unmarshal(raw, &b); err != nil {
		return false, corrupt("neither true nor false")
	}
	return b != nil && *b, nil
}

func numberOf(raw json.RawMessage) (float64, error) {
	var f *float64
	if err := json.Unmarshal(raw, &f); err != nil || f == nil {
		return 0, corrupt("not a number")
	}
	return *f, nil
}

// pattern gives the modules that it matches a value of their own.
type pattern struct {
	text  string
	plain bool // without regular expression's marks other than the dot
	exp   *regexp.Regexp
	value float64
}

var plainPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// patternsOf reads rank_pattern or alpha_pattern. Its keys are Python's regular expressions; what Go's lack is refused.
func patternsOf(raw json.RawMessage) ([]pattern, error) {
	if unset(raw) {
		return nil, nil
	}
	var out []pattern
	err := members(raw, func(text string, raw json.RawMessage) error {
		if len(out) == maxPatterns {
			return corrupt("more than %d patterns", maxPatterns)
		}
		value, err := numberOf(raw)
		if err != nil {
			return fmt.Errorf("%.80q: %w", text, err)
		}
		p := pattern{text: text, value: value, plain: plainPattern.MatchString(text)}
		if !p.plain {
			if p.exp, err = regexp.Compile(`^(?:.*\.)?(?:` + text + `)$`); err != nil {
				return unsupported("the regular expression %.80q is not read here", text)
			}
		}
		out = append(out, p)
		return nil
	})
	return out, err
}

// matches says what PEFT's re.match(rf"(.*\.)?({text})$", module) says.
func (p pattern) matches(module string) bool {
	if !p.plain {
		return p.exp.MatchString(module)
	}
	at := len(module) - len(p.text)
	if at < 0 || at > 0 && module[at-1] != '.' {
		return false
	}
	for i := range len(p.text) {
		if p.text[i] != '.' && p.text[i] != module[at+i] {
			return false
		}
	}
	return true
}

func valueFor(patterns []pattern, module string, otherwise float64) float64 {
	for _, p := range patterns {
		if p.matches(module) {
			return p.value
		}
	}
	return otherwise
}

// scale is what multiplies B·A in a module, and the rank that it must have.
func (c *AdapterConfig) scale(module string) (scale float64, rank int64) {
	r, alpha := valueFor(c.ranks, module, c.rank), valueFor(c.alphas, module, c.alpha)
	if c.rankStable {
		return alpha / math.Sqrt(r), int64(r)
	}
	return alpha / r, int64(r)
}
