//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mergebot/bot/change"
	"mergebot/bot/github/githubtest"
)

// TestServeBurst sends two hundred webhooks within two seconds, half of them a second time, one in ten with a signature
// that is wrong: all are answered at once, and every pull request is planned once for its last commit. The daemon works
// with a person's token.
func TestServeBurst(t *testing.T) {
	const (
		pulls  = 6
		pushes = 14
		sent   = 200
		within = 2 * time.Second
		answer = time.Second
		busy   = 3 * time.Second // what one in twenty may take where other tests have the machine
	)
	m := newTeam(t, teamOptions{token: "maria", poll: time.Hour}) // nothing but webhooks says anything
	m.gh.Deliver("", []byte(webhookSecret))
	m.up()
	m.ready()
	m.until("the first look around", func() string {
		if !slices.ContainsFunc(m.gh.Requests(), func(r githubtest.Request) bool { return strings.HasSuffix(r.Path, "/pulls") && r.Status != 0 }) {
			return "nobody has asked for pull requests"
		}
		return ""
	})
	heads := map[int]string{}
	for i := range pulls {
		branch := fmt.Sprintf("burst%d", i)
		m.gh.Push("ola", branch, map[string]string{fmt.Sprintf("recipes/b%d.yaml", i): goodRecipe("acme/burst", 5)})
		n := m.gh.Open("ola", branch, "One of many")
		for j := range pushes {
			heads[n] = m.gh.Push("ola", branch, map[string]string{fmt.Sprintf("recipes/b%d.yaml", i): goodRecipe("acme/burst", 6+j)})
		}
	}
	m.gh.Settle("pull_request", "synchronize", pulls*pushes)

	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("MERGEBOT_TEST_SEED"); v != "" {
		fmt.Sscan(v, &seed)
	}
	t.Logf("order: MERGEBOT_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	posts := burst(r, m.gh.Deliveries(), sent)
	m.gh.Deliver("", nil)
	results := make([]posted, len(posts))
	var all sync.WaitGroup
	for i := range posts {
		all.Go(func() {
			time.Sleep(within * time.Duration(i) / time.Duration(len(posts))) // they come by the clock
			results[i] = posts[i].send(m)
		})
	}
	all.Wait()
	var took []time.Duration
	for i, p := range posts {
		want := http.StatusAccepted
		if p.forged {
			want = http.StatusUnauthorized
		}
		if results[i].err != nil || results[i].status != want {
			t.Errorf("delivery %d, forged %t: %d, %v", i, p.forged, results[i].status, results[i].err)
		}
		took = append(took, results[i].took)
	}
	slices.Sort(took)
	most, slowest := took[len(took)*19/20], took[len(took)-1]
	t.Logf("19 of 20 answers came within %v, the slowest after %v", most, slowest)
	if most > answer || slowest > busy {
		t.Errorf("19 of 20 answers came within %v, want %v; the slowest after %v, want %v", most, answer, slowest, busy)
	}

	for n, head := range heads {
		m.until(fmt.Sprintf("the plan of #%d", n), func() string {
			var c change.State
			if _, err := os.Stat(m.path("storage", "bot", "changes", fmt.Sprint(n)+".json")); err != nil {
				return err.Error()
			}
			readJSON(t, m.path("storage", "bot", "changes", fmt.Sprint(n)+".json"), &c)
			if c.PlannedHead != head || c.Told.Comment == 0 {
				return fmt.Sprintf("planned for %s, told %+v", c.PlannedHead, c.Told)
			}
			return ""
		})
		m.until("the status of the last commit", func() string {
			if all := m.gh.Statuses(head); len(all) != 1 || all[0].State != "success" || !strings.HasPrefix(all[0].Context, "mergebot/plan: recipes/b") {
				return fmt.Sprintf("%+v", all)
			}
			return ""
		})
		m.planID(n)
	}
	pages := m.pages()
	m.down(os.Interrupt)
	planned := map[string]int{}
	for _, found := range regexp.MustCompile(`msg=planned change=(\d+) head=([0-9a-f]{12})`).FindAllStringSubmatch(m.said(), -1) {
		planned[found[1]+" "+found[2]]++
	}
	for n, head := range heads {
		if count := planned[fmt.Sprintf("%d %.12s", n, head)]; count != 1 {
			t.Errorf("#%d was planned %d times for its last commit", n, count)
		}
	}
	m.secrets(pages)
}

// post is a delivery on its way.
type post struct {
	githubtest.Delivery
	forged bool
}

type posted struct {
	status int
	err    error
	took   time.Duration
}

// burst takes deliveries, each twice, and forges one in ten of all.
func burst(r *rand.Rand, from []githubtest.Delivery, n int) (out []post) {
	from = slices.DeleteFunc(slices.Clone(from), func(d githubtest.Delivery) bool {
		return d.Event == "push" && strings.Contains(string(d.Body), "heads/main")
	})
	r.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	// Every pull request must be among them: a push to its branch names none.
	slices.SortStableFunc(from, func(a, b githubtest.Delivery) int { return strings.Compare(a.Event, b.Event) })
	for _, d := range from {
		if len(out) == n*9/10 {
			break
		}
		out = append(out, post{Delivery: d}, post{Delivery: d})
	}
	for i := 0; len(out) < n; i++ {
		out = append(out, post{Delivery: from[i%len(from)], forged: true})
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func (p post) send(m *team) (out posted) {
	h := p.Header.Clone()
	if p.forged {
		h = m.gh.Header(p.Event, "f"+p.GUID[1:], []byte("another secret"), p.Body)
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+m.addr+"/webhook", bytes.NewReader(p.Body))
	if err != nil {
		return posted{err: err}
	}
	r.Header = h
	begin := time.Now()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return posted{err: err}
	}
	resp.Body.Close()
	return posted{status: resp.StatusCode, took: time.Since(begin)}
}
