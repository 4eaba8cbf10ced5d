package task

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// The prompt presets.
const (
	// PromptAbel is the template that the Abel models were trained with; no system prompt, no chat format.
	PromptAbel = "abel"
	// PromptRaw is the row's input as it is.
	PromptRaw = "raw"
	// PromptAdaptLLMChat wraps the input as the AdaptLLM chat models expect. The begin-of-text token of their card is
	// left out: every engine puts it in front of a prompt itself.
	PromptAdaptLLMChat = "adaptllm-chat"
)

const placeholder = "{input}"

// adaptLLMSystem is the default system prompt of LLaMA-2-Chat, which the cards of AdaptLLM/finance-chat and law-chat
// quote: with two spaces before "Your". An earlier revision of the cards has one.
const adaptLLMSystem = "\nYou are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  " +
	"Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. " +
	"Please ensure that your responses are socially unbiased and positive in nature.\n\n" +
	"If a question does not make any sense, or is not factually coherent, explain why instead of answering something not correct. " +
	"If you don't know the answer to a question, please don't share false information.\n"

// Prompts lists the presets.
func Prompts() []string { return []string{PromptAbel, PromptRaw, PromptAdaptLLMChat} }

// PromptText is a preset's exact text, with {input} where a row's input goes; its SHA-256 is Set.PromptHash.
func PromptText(preset string) (string, error) {
	switch preset {
	case PromptAbel:
		return "Question:\n" + placeholder + "\nAnswer:\nLet's think step by step.\n", nil
	case PromptRaw:
		return placeholder, nil
	case PromptAdaptLLMChat:
		return "[INST] <<SYS>>" + adaptLLMSystem + "<</SYS>>\n\n" + placeholder + " [/INST]", nil
	}
	return "", fmt.Errorf("%w: prompt %q: use one of %s", ErrOption, preset, strings.Join(Prompts(), ", "))
}

// fill puts the input into a template; braces in the input mean nothing.
func fill(template, input string) string { return strings.Replace(template, placeholder, input, 1) }

func templateHash(template string) string {
	sum := sha256.Sum256([]byte(template))
	return hex.EncodeToString(sum[:])
}
