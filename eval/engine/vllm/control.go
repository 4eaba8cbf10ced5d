package vllm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// control speaks to one server through its socket, beside the completions: health, and the endpoints of vLLM's
// development mode.
//
// As of vLLM 0.32.0, by its source and by trying it on its CPU build:
//   - POST /collective_rpc {"method": "reload_weights"} reads the checkpoint in the model's folder again and answers
//     200 {"results": [null]}. It answers 500 when that fails, after which the engine is dead: /health still answers,
//     completions fail. It exists since 0.10.2; a server outside development mode answers 404.
//   - Loaders that do not read files (dummy, sharded states, bitsandbytes) refuse it. Quantized models and models with
//     LoRA are reloaded, but tensors that the checkpoint lacks silently stay as they were, and some architectures
//     (Mamba, mixtures of experts) were reloaded wrongly in one version or another: "200" is no proof.
//   - POST /reset_prefix_cache does nothing while a request still holds blocks. It then answers {"success": false};
//     older versions answer 200 without a body whatever happened.
type control struct {
	http      *http.Client
	key       string
	positions int // of the longest context; 0 until it is asked for
}

// baseURL stands for the server; the host's name goes nowhere.
const baseURL = "http://vllm.localhost"

// newControl prepares calls to the server behind a socket, connections of them kept at a time.
func newControl(socket, key string, connections int) *control {
	dialer := new(net.Dialer)
	return &control{key: key, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		MaxIdleConns: connections, MaxIdleConnsPerHost: connections, IdleConnTimeout: 4 * time.Second, // uvicorn's is 5 s
	}}}
}

func (c *control) close() { c.http.CloseIdleConnections() }

// healthTime is how long a healthy server may take to say so.
const healthTime = 10 * time.Second

func (c *control) healthy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	_, err := c.call(ctx, http.MethodGet, "/health", nil)
	return err == nil
}

// learn asks for the longest context.
func (c *control) learn(ctx context.Context) error {
	body, err := c.call(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return err
	}
	var list struct {
		Data []struct {
			Positions int `json:"max_model_len"`
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("list of models: %.100q: %w", body, err)
	}
	if len(list.Data) == 1 {
		c.positions = list.Data[0].Positions
	}
	return nil
}

// resetTime is how long requests may hold on to their blocks after they have been answered or given up.
const resetTime = 30 * time.Second

// reload has the running server read its checkpoint again and forget what it has computed with the old one.
func (c *control) reload(ctx context.Context) error {
	if _, err := c.call(ctx, http.MethodPost, "/collective_rpc", map[string]string{"method": "reload_weights"}); err != nil {
		return fmt.Errorf("reload weights: %w", err)
	}
	for until := time.Now().Add(resetTime); ; {
		body, err := c.call(ctx, http.MethodPost, "/reset_prefix_cache", nil)
		if err != nil {
			return fmt.Errorf("reset the prefix cache: %w", err)
		}
		answer := struct{ Success bool }{true} // what older versions do not say
		if len(body) > 0 {
			if err := json.Unmarshal(body, &answer); err != nil {
				return fmt.Errorf("reset the prefix cache: %.100q: %w", body, err)
			}
		}
		if answer.Success {
			return nil
		}
		if time.Now().After(until) {
			return errors.New("reset the prefix cache: requests still hold it")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(resetTime / 100):
		}
	}
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// call sends a request; an answer other than 200 is an error that quotes its beginning.
func (c *control) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, baseURL+path, send)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.key)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: status %d: %.300s", method, path, resp.StatusCode, strings.TrimSpace(string(answer)))
	}
	return answer, nil
}
