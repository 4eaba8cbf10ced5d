package vllm

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"

	"mergebot/eval/engine"
)

// probeText is long enough to fill blocks of the prefix cache (16 positions on a GPU, 128 on a CPU), so that a probe
// also notices when old blocks answer for new weights.
var probeText = strings.Repeat("Question: Tom has 12 apples and buys 7 more. How many apples does he have now? Answer: 19. ", 7)

// probe asks for the probabilities after two fixed prompts: the fingerprint of the weights that the server computes
// with, as logarithms. The error is engine.ErrUnusable when they are not numbers.
func (c *control) probe(ctx context.Context) ([]float64, error) {
	long := probeText
	if c.positions > 0 {
		long = long[:min(len(long), max(1, c.positions-4))] // a token is a byte at least
	}
	body, err := c.call(ctx, http.MethodPost, "/v1/completions", map[string]any{
		"model": servedName, "prompt": []string{long, long[:min(len(long), 9)]}, "max_tokens": 1, "temperature": 0, "logprobs": 5,
	})
	if err != nil {
		// vLLM's JSON encoder refuses NaN and infinities, and the server answers 500 or, in older versions, 400.
		if strings.Contains(err.Error(), "not JSON compliant") {
			return nil, engine.ErrUnusable
		}
		return nil, fmt.Errorf("probe: %w", err)
	}
	var answer struct {
		Choices []struct {
			Logprobs struct {
				Top []map[string]*float64 `json:"top_logprobs"`
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("probe: %.100q: %w", body, err)
	}
	var print []float64
	for _, choice := range answer.Choices {
		if len(choice.Logprobs.Top) != 1 {
			return nil, fmt.Errorf("probe: %d tokens have probabilities, 1 was asked for", len(choice.Logprobs.Top))
		}
		// In the order of their values: which of two equal ones has which token's name says nothing.
		values := slices.Collect(maps.Values(choice.Logprobs.Top[0]))
		var numbers []float64
		for _, v := range values {
			if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
				return nil, engine.ErrUnusable
			}
			numbers = append(numbers, *v)
		}
		slices.Sort(numbers)
		print = append(print, numbers...)
	}
	if len(print) < 2 {
		return nil, fmt.Errorf("probe: no probabilities in %.100q", body)
	}
	return print, nil
}

// sameTolerance is how far probabilities of the same weights may be apart, as logarithms. vLLM computes logits in the
// model's format: in bfloat16 a logit between 1 and 2 that differs at all differs by 0.008.
const sameTolerance = 1e-3

func samePrint(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Abs(a[i]-b[i]) > sameTolerance {
			return false
		}
	}
	return true
}

// disturbed are weights of which every tensor is changed, about half of its elements, little enough for every number
// format to stay finite.
type disturbed struct{ engine.Weights }

func (d disturbed) Read(name string, dst []float32) error {
	if err := d.Weights.Read(name, dst); err != nil {
		return err
	}
	for i := range dst {
		if uint32(i)*0x9E3779B1>>31 == 0 { // scattered: a norm would take out what a whole row has in common
			dst[i] += dst[i]/16 + 1.0/1024
		}
	}
	return nil
}
