// Package servertest has an OpenAI-compatible server over any generator, and ways to break it, for tests.
package servertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"mergebot/eval/engine"
)

// completionRequest is the part of the protocol that Handler knows.
type completionRequest struct {
	Model       string   `json:"model"`
	Prompt      texts    `json:"prompt"`
	MaxTokens   *int     `json:"max_tokens"`
	Temperature *float64 `json:"temperature"`
	Stop        texts    `json:"stop"`
	N           *int     `json:"n"`
	Stream      bool     `json:"stream"`
	Echo        bool     `json:"echo"`
}

// texts is a string or a list of strings.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var one *string
	if err := json.Unmarshal(b, &one); err == nil {
		if one != nil {
			*t = texts{*one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// The protocol's answers.
type (
	completionResponse struct {
		ID      string   `json:"id"`
		Object  string   `json:"object"`
		Model   string   `json:"model"`
		Choices []choice `json:"choices"`
		Usage   usage    `json:"usage"`
	}
	choice struct {
		Index  int    `json:"index"`
		Text   string `json:"text"`
		Finish string `json:"finish_reason"`
	}
	usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
	}
)

// defaultMaxTokens is the protocol's.
const defaultMaxTokens = 16

const maxBody = 64 << 20

// Handler serves g under the name model: GET /v1/models, POST /v1/completions with a prompt or a list of them, max_tokens
// and stop, and GET /health. It decodes greedily and refuses what would need anything else. A prompt that g cannot
// answer is answered as one that exceeds the context.
func Handler(g engine.Generator, model string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, struct{}{}) })
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		entry := map[string]any{"id": model, "object": "model", "created": 0, "owned_by": "mergebot"}
		if n, err := strconv.Atoi(g.Info().Flags["context"]); err == nil {
			entry["max_model_len"] = n
		}
		writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []any{entry}})
	})
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) {
		var in completionRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil {
			writeError(w, http.StatusBadRequest, "invalid_request_error", err.Error())
			return
		}
		if status, err := in.check(model); err != nil {
			writeError(w, status, "invalid_request_error", err.Error())
			return
		}
		out, err := g.Generate(r.Context(), in.requests(), nil)
		if err != nil {
			writeError(w, http.StatusInternalServerError, "internal_error", err.Error())
			return
		}
		reply := completionResponse{ID: "cmpl", Object: "text_completion", Model: model}
		for i, c := range out {
			if c.Finish == engine.FinishError {
				writeError(w, http.StatusBadRequest, "context_length_exceeded", c.Error)
				return
			}
			reply.Choices = append(reply.Choices, choice{Index: i, Text: c.Text, Finish: c.Finish})
			reply.Usage.Prompt += c.PromptTokens
			reply.Usage.Completion += len(c.Tokens)
		}
		reply.Usage.Total = reply.Usage.Prompt + reply.Usage.Completion
		writeJSON(w, http.StatusOK, reply)
	})
	return mux
}

// check refuses what the handler does not do, with a status.
func (in completionRequest) check(model string) (int, error) {
	switch {
	case in.Model != model:
		return http.StatusNotFound, fmt.Errorf("the model %q does not exist", in.Model)
	case len(in.Prompt) == 0:
		return http.StatusBadRequest, errors.New("prompt: want a text or a list of texts")
	case in.Temperature == nil || *in.Temperature != 0:
		return http.StatusBadRequest, errors.New("temperature: only 0 is supported")
	case in.Stream || in.Echo || in.N != nil && *in.N != 1:
		return http.StatusBadRequest, errors.New("stream, echo and n are not supported")
	}
	return http.StatusOK, nil
}

func (in completionRequest) requests() []engine.Request {
	n := defaultMaxTokens
	if in.MaxTokens != nil {
		n = *in.MaxTokens
	}
	out := make([]engine.Request, len(in.Prompt))
	for i, p := range in.Prompt {
		out[i] = engine.Request{ID: strconv.Itoa(i), Prompt: p, MaxTokens: n, Stop: in.Stop}
	}
	return out
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error", "code": code}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only when the client is gone
}
