package githubtest

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed emulate.mjs
var starter string

// The emulator lets a token make 5000 requests an hour, whatever the test says of quotas: everybody has several.
const tokensEach = 20

type object = map[string]any

// startEmulator runs the emulator and returns what ends it.
func (s *Server) startEmulator(dir, receiver string) (stop func()) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	module := "file://" + filepath.Join(dir, "node_modules", "emulate", "dist", "api.js")
	start, err := json.Marshal(object{"module": module, "baseUrl": s.URL, "seed": s.seed(receiver)})
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("node", "--input-type=module", "--eval", starter)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("the GitHub emulator: %v", err)
	}
	stop = func() {
		in.Close() // at which it ends
		_ = cmd.Wait()
	}
	fmt.Fprintf(in, "%s\n", start)
	lines := bufio.NewReader(out)
	first, err := lines.ReadBytes('\n')
	var listening struct{ Port int }
	if err == nil {
		err = json.Unmarshal(first, &listening)
	}
	if err != nil {
		stop()
		s.t.Fatalf("the GitHub emulator did not start: %v\n%s\n%s", err, first, said.Bytes())
	}
	go io.Copy(io.Discard, lines)
	s.emulator = fmt.Sprintf("http://127.0.0.1:%d", listening.Port)
	return stop
}

// seed is what is in the emulator when it starts.
func (s *Server) seed(receiver string) object {
	users, tokens := []object{}, object{}
	for _, login := range append(s.logins(), s.Bot()) {
		users = append(users, object{"login": login, "name": strings.ToUpper(login[:1]) + login[1:], "email": login + "@example.com"})
		for i := range tokensEach {
			tokens[emulatorToken(login, i)] = object{"login": login, "scopes": []string{"repo"}}
		}
	}
	return object{"tokens": tokens, "github": object{
		"users": users,
		"orgs":  []object{{"login": s.Owner, "name": "Acme"}},
		"repos": []object{{"owner": s.Owner, "name": s.Name, "auto_init": false}},
		"apps": []object{{
			"app_id": s.App.ID, "slug": s.App.Slug, "name": "mergebot", "private_key": string(s.App.Key),
			"permissions": permissions, "events": subscribed, "webhook_url": receiver,
			"installations": []object{{
				"installation_id": s.App.Installation, "account": s.Owner, "repository_selection": "all",
				"permissions": permissions, "events": subscribed,
			}},
		}},
	}}
}

func (s *Server) logins() (all []string) {
	for login := range s.o.People {
		all = append(all, login)
	}
	return all
}

func emulatorToken(login string, i int) string { return fmt.Sprintf("emulator-%x-%d", login, i) }

// forward asks the emulator in somebody's name; "" is nobody.
func (s *Server) forward(login, method, target string, body []byte) (int, http.Header, []byte, error) {
	ctx, cancel := background()
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.emulator+target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	r.Host = strings.TrimPrefix(s.URL, "http://") // links to other pages are made of it
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	if login != "" {
		s.mu.Lock()
		s.turn++
		turn := s.turn
		s.mu.Unlock()
		r.Header.Set("Authorization", "Bearer "+emulatorToken(login, turn%tokensEach))
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, answer, err
}

// ask is forward for JSON; the answer is put into out, which may be nil. What the emulator refuses is an error.
func (s *Server) ask(login, method, target string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	status, _, answer, err := s.forward(login, method, target, body)
	if err != nil {
		return fmt.Errorf("emulator: %s %s: %w", method, target, err)
	}
	if status >= 300 {
		return &refused{method, target, status, answer}
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// must is ask for what tests do, where a refusal is a fault of the test.
func (s *Server) must(login, method, target string, in, out any) {
	s.t.Helper()
	if err := s.ask(login, method, target, in, out); err != nil {
		s.t.Fatal(err)
	}
}

type refused struct {
	method, target string
	status         int
	answer         []byte
}

func (r *refused) Error() string {
	return fmt.Sprintf("emulator: %s %s: %d %s", r.method, r.target, r.status, r.answer)
}

// of is a path below the repository.
func (s *Server) of(format string, args ...any) string {
	return "/repos/" + s.Repo() + fmt.Sprintf(format, args...)
}
