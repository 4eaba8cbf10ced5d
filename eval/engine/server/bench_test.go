package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mergebot/eval/engine"
)

const (
	benchEnv     = "MERGEBOT_TEST_SLOW_SERVER" // "5ms 16": the test binary is a server that takes as long for a request, for so many at once
	benchClients = 128                         // requests in flight
	benchTurns   = 5
	benchPrompt  = "Question:\nNatalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did Natalia sell altogether in April and May?\nAnswer:\nLet's think step by step.\n"
	benchAnswer  = `{"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"In May she sold 48/2 = 24 clips.\nAltogether 48 + 24 = 72 clips.\n#### 72","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":51,"completion_tokens":33,"total_tokens":84}}`
	benchModels  = `{"object":"list","data":[{"id":"m","object":"model","owned_by":"me"}]}`
)

func TestMain(m *testing.M) {
	var slow slowness
	if _, err := fmt.Sscan(os.Getenv(benchEnv), &slow.delayText, &slow.slots); err == nil {
		if err := serveSlowly(slow); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// slowness is how long a request takes a server, and how many it works on at once (0: all).
type slowness struct {
	delayText string
	slots     int
}

func (s slowness) delay() time.Duration { d, _ := time.ParseDuration(s.delayText); return d }

// serveSlowly answers every completion after a while, until standard input ends. It prints its address.
func serveSlowly(s slowness) error {
	delay, slots := s.delay(), make(chan struct{}, s.slots)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	write := func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) { write(w, benchModels) })
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if s.slots > 0 {
			slots <- struct{}{}
			defer func() { <-slots }()
		}
		time.Sleep(delay)
		write(w, benchAnswer)
	})
	fmt.Println(l.Addr())
	go func() { _ = http.Serve(l, mux) }()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// slowServer starts serveSlowly in a process of its own, so that it does not share the client's scheduler.
func slowServer(b *testing.B, s slowness) (url string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", benchEnv, s.delayText, s.slots))
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(addr)
}

// BenchmarkThroughput has a server asked by Generate, by a bare net/http loop and, where it is installed, by wrk, in
// turns, and reports the medians in requests a second. With 16 slots, as real servers have, the shares say whether the
// client keeps the server busy (3,200 requests a second at most); with all at once the server could answer 25,600 a
// second, more than a few cores can ask and answer, and the shares say what a client costs.
func BenchmarkThroughput(b *testing.B) {
	for _, s := range []slowness{{"5ms", 16}, {"5ms", 0}, {"50ms", 0}} {
		name := s.delayText
		if s.slots > 0 {
			name += fmt.Sprintf("x%d", s.slots)
		}
		b.Run(name, func(b *testing.B) { benchThroughput(b, s) })
	}
}

func benchThroughput(b *testing.B, slow slowness) {
	url := slowServer(b, slow)
	s, err := Open(b.Context(), Options{URL: url, Concurrency: benchClients})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	loops := map[string]func() (float64, int){
		"generate": func() (float64, int) { return generateLoop(b, s, slow.requests()) },
		"net_http": func() (float64, int) { return bareLoop(b, url) },
	}
	if wrk, err := exec.LookPath("wrk"); err == nil {
		loops["wrk"] = func() (float64, int) { return wrkLoop(b, wrk, url) }
	}
	rates, costs := map[string][]float64{}, map[string][]float64{}
	for b.Loop() {
		for range benchTurns {
			for _, name := range []string{"generate", "net_http", "wrk"} {
				if f := loops[name]; f != nil {
					before := cpuTime()
					rate, n := f()
					rates[name] = append(rates[name], rate)
					if n > 0 {
						costs[name] = append(costs[name], float64((cpuTime()-before).Microseconds())/float64(n))
					}
				}
			}
		}
	}
	median := func(v []float64) float64 {
		slices.Sort(v)
		return v[len(v)/2]
	}
	b.ReportMetric(0, "ns/op")
	for name := range rates {
		b.ReportMetric(median(rates[name]), name+"_req/s")
		if name != "generate" {
			b.ReportMetric(median(rates["generate"])/median(rates[name]), "of_"+name)
		}
		if c := costs[name]; len(c) > 0 {
			b.ReportMetric(median(c), name+"_cpu-µs/req") // the client's alone
		}
	}
}

// benchTime is how long one turn lasts, about.
const benchTime = 2 * time.Second

// requests are about what the server can answer in benchTime.
func (s slowness) requests() int {
	n := benchClients
	if s.slots > 0 {
		n = s.slots
	} else if s.delay() < 10*time.Millisecond {
		n /= 2 // of what the machine can
	}
	return n * int(benchTime/s.delay())
}

func generateLoop(b *testing.B, s *Session, n int) (float64, int) {
	reqs := make([]engine.Request, n)
	for i := range reqs {
		reqs[i] = engine.Request{Prompt: benchPrompt, MaxTokens: 256}
	}
	start := time.Now()
	if _, err := s.Generate(b.Context(), reqs, nil); err != nil {
		b.Fatal(err)
	}
	return float64(len(reqs)) / time.Since(start).Seconds(), len(reqs)
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchBody() string {
	return fmt.Sprintf(`{"prompt":%q,"model":"m","max_tokens":256,"temperature":0}`, benchPrompt)
}

func bareLoop(b *testing.B, url string) (float64, int) {
	client := &http.Client{Transport: newTransport(benchClients)}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(b.Context(), benchTime)
	defer cancel()
	var n atomic.Int64
	var wg sync.WaitGroup
	body := benchBody()
	start := time.Now()
	for range benchClients {
		wg.Go(func() {
			for ctx.Err() == nil {
				res, err := client.Post(url+"/v1/completions", "application/json", strings.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds(), int(n.Load())
}

var wrkRate = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

func wrkLoop(b *testing.B, wrk, url string) (float64, int) {
	script := filepath.Join(b.TempDir(), "post.lua")
	lua := fmt.Sprintf("wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\nwrk.body = [==[%s]==]\n", benchBody())
	if err := os.WriteFile(script, []byte(lua), 0o600); err != nil {
		b.Fatal(err)
	}
	out, err := exec.CommandContext(b.Context(), wrk, "-t1", "-c"+strconv.Itoa(benchClients), "-d"+benchTime.String(), "-s", script, url+"/v1/completions").CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	m := wrkRate.FindSubmatch(out)
	if m == nil {
		b.Fatalf("wrk: %s", out)
	}
	rate, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate, 0
}
