package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

const configName = "config.json"

// Config returns the decoded config.json. Numbers are float64, as
// encoding/json gives them.
func (c *Checkpoint) Config() (map[string]any, error) {
	path := filepath.Join(c.dir, configName)
	data, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, inFile(path, corrupt("it does not decode: %v", err))
	}
	return config, nil
}

// TiedEmbeddings reports whether the output layer is the token embedding.
// config.json decides (tie_word_embeddings); where it is silent, a checkpoint
// without lm_head.weight is tied.
func (c *Checkpoint) TiedEmbeddings() bool {
	config, err := c.Config()
	if err == nil {
		for _, m := range []any{config, config["text_config"]} {
			m, _ := m.(map[string]any)
			if tied, ok := m["tie_word_embeddings"].(bool); ok {
				return tied
			}
		}
	}
	_, head := c.tensors["lm_head.weight"]
	return !head
}

// refuseQuantised refuses a model whose config.json says it is quantised, or
// whose tensors do. A missing config.json is left to whoever needs it.
func (c *Checkpoint) refuseQuantised() error {
	if err := refusePacked(c.Tensors()); err != nil {
		return fmt.Errorf("%s: %w", c.dir, err)
	}
	config, err := c.Config()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := RefuseQuantised(config); err != nil {
		return fmt.Errorf("%s: %w", c.dir, err)
	}
	return nil
}

// RefuseQuantised returns ErrUnsupported for the config.json of a quantised model:
// quantization_config of transformers, compression_config of early
// compressed-tensors, quantization of MLX.
func RefuseQuantised(config map[string]any) error {
	for _, m := range []any{config, config["text_config"]} {
		m, _ := m.(map[string]any)
		for _, key := range []string{"quantization_config", "compression_config", "quantization"} {
			if q, ok := m[key].(map[string]any); ok {
				return unsupported("config.json says that it is quantised (%s); use the float16 or bfloat16 version of the model", quantisedBy(key, q))
			}
		}
	}
	return nil
}

// quantisedBy names the way in which a model is quantised.
func quantisedBy(key string, q map[string]any) string {
	method, named := q["quant_method"].(string)
	switch {
	case named:
		return method
	case q["load_in_8bit"] == true || q["load_in_4bit"] == true: // before it had a name
		return "bitsandbytes"
	case key == "quantization":
		return fmt.Sprintf("MLX, %v bits", q["bits"])
	}
	return key
}
