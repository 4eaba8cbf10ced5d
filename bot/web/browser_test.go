package web_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"mergebot/bot/run"
)

// browser starts a headless Chromium. Where the machine has none the test is skipped, unless
// MERGEBOT_REQUIRE_CHROMIUM is 1.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "google-chrome", "chromium-browser"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("MERGEBOT_REQUIRE_CHROMIUM") == "1" {
			t.Fatal("no chromium in PATH, but MERGEBOT_REQUIRE_CHROMIUM is 1")
		}
		t.Skip("no chromium in PATH")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WSURLReadTimeout(time.Minute))
	if os.Getuid() == 0 { // in a container: Chromium's own sandbox refuses root
		flags = append(flags, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, flags...)
	t.Cleanup(stop)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil { // ends the browser and waits for it
			t.Log(err)
		}
	})
	return ctx
}

// tab drives a browser's page; whatever fails ends the test.
type tab struct {
	*testing.T
	ctx context.Context
	// at is the site's address; whatever else is asked for is a complaint.
	at string

	mu         sync.Mutex
	complaints []string
}

func newTab(t *testing.T, at string) *tab {
	t.Helper()
	b := &tab{T: t, ctx: browser(t), at: at}
	complain := func(what string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, what)
	}
	err := chromedp.Listen(b.ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			complain(e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			complain("the console was written to")
		case *cdplog.EventEntryAdded:
			complain(e.Entry.Text + " " + e.Entry.URL)
		case *network.EventRequestWillBeSent:
			if u, err := url.Parse(e.Request.URL); err != nil || u.Scheme == "http" && "http://"+u.Host != at || u.Scheme == "https" {
				complain("it asks " + e.Request.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	tell(b, network.Enable, network.EnableParams{})
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

func ask[R any](b *tab, question chromedp.Action[R]) R {
	b.Helper()
	r, err := chromedp.Run(b.ctx, question)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func tell[P, R any](b *tab, command cdp.Command[P, R], p P) {
	b.Helper()
	if _, err := chromedp.Call(b.ctx, command, p); err != nil {
		b.Fatal(err)
	}
}

// see waits until an element says something. The page may be loaded again meanwhile: an answer that fails then counts
// as none.
func (b *tab) see(selector, want string) {
	b.Helper()
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](fmt.Sprintf(`document.querySelector(%q)?.textContent ?? ''`, selector)))
		if err == nil && strings.Contains(got, want) {
			return
		}
		if time.Now().After(until) || b.ctx.Err() != nil {
			b.Fatalf("%s says %q, want %q in it (%v)", selector, got, want, err)
		}
	}
}

// fits holds that the page is no wider than its screen.
func (b *tab) fits(what string, width int64) {
	b.Helper()
	if wide := ask(b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > width {
		b.Errorf("%s is %d wide on a screen of %d", what, wide, width)
	}
}

// draw keeps a picture of the page in $MERGEBOT_SCREENSHOTS.
func (b *tab) draw(name string) {
	b.Helper()
	dir := os.Getenv("MERGEBOT_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), ask(b, chromedp.CaptureScreenshot()), 0o644); err != nil {
		b.Fatal(err)
	}
}

// TestStory goes from the list to a run that goes on, sees it move and end, opens its report, and a recipe's history.
func TestStory(t *testing.T) {
	w := newWorld(t).fill().open()
	b := newTab(t, w.server.URL)
	open := func(path string) { b.Helper(); b.do(chromedp.Navigate(w.server.URL + path)) }
	click := func(selector string) { b.Helper(); b.do(chromedp.Click(chromedp.CSS(selector))) }

	open("/")
	click(`a[href="/runs/` + running + `"]`)
	b.see("h1", "dppa-80-math-finance-law")
	b.see("#now", "ratios of tiny/finance")
	b.do(chromedp.Evaluate[chromedp.Void](`window.same = true; document.querySelector('#stage-fetch').open = true`))
	for until := time.Now().Add(30 * time.Second); w.live.watchers(running) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the page does not watch the run")
		}
	}
	w.live.show(running, run.Event{Phase: run.Progress, Step: "search", Subject: "ratios of tiny/finance", Done: 12, Total: 40, Unit: "candidates"})
	b.see("#now", "12 of 40 candidates")
	e := run.Event{Time: today, Phase: run.Finished, Step: "search", Subject: "ratios of tiny/finance", Seconds: 700}
	w.live.show(running, e)
	w.keep(running, e)
	b.see("#steps", "2 of 2")
	b.see("#log", "ratios of tiny/finance  11 min 40 s")
	if !ask(b, chromedp.Evaluate[bool](`window.same === true && document.querySelector('#stage-fetch').open`)) {
		t.Error("the page was loaded again, or what was unfolded is folded")
	}

	rec, _, err := run.ReadRecord(context.Background(), w.storage, running)
	w.must(err)
	w.report(running, scores(t, 3))
	rec.State, rec.Ended = run.Gated, today
	w.record(rec)
	w.live.end(running)
	b.see("h1", "gated")
	b.see("#scores", "Scores")
	click(`a[href$="/report/report.html"]`)
	b.see(".eyebrow", "mergebot report")
	click(`p.more a`)
	b.see("#shown", "items")
	click(`#filters a[data-show="lost"]`)
	b.see(`#filters a[data-show="lost"][aria-current]`, "lost")
	click(`table.items tbody tr:not([hidden]) a`)
	b.see("article h2", "/")

	open("/recipes")
	click(`a[href="/recipes/recipes/mfl.yaml"]`)
	b.see("h1", "dppa-80-math-finance-law")
	if n := ask(b, chromedp.Evaluate[int](`document.querySelectorAll('svg.history').length`)); n != 9 {
		t.Errorf("%d charts, want one for each of 3 domains and 6 tasks", n)
	}
	// The list goes on by itself, too.
	open("/")
	b.do(chromedp.Evaluate[chromedp.Void](`window.same = true`))
	w.record(run.Record{ID: "20261123-180000.000-41cf10ee", Recipe: "one-more", State: run.Queued, Created: today})
	b.see("main", "one-more")
	if !ask(b, chromedp.Evaluate[bool](`window.same === true`)) {
		t.Error("the list was loaded again as a whole")
	}
	// Without scripts it is all there.
	tell(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	open("/runs/" + running)
	b.see("#scores", "Scores")

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.complaints != nil {
		t.Errorf("the browser complains: %s", strings.Join(b.complaints, "\n"))
	}
}

// TestScreens draws the pages as people see them and holds that none is wider than its screen.
func TestScreens(t *testing.T) {
	w := newWorld(t).fill().open()
	empty := newWorld(t).open()
	b := newTab(t, w.server.URL)
	// The list has seen the run's progress before, as it does when it has been open for a while.
	w.get("/", 200)
	w.live.show(running, run.Event{Phase: run.Progress, Step: "search", Subject: "ratios of tiny/finance", Done: 26, Total: 40, Unit: "candidates"})
	pages := map[string]string{"list": "/", "running": "/runs/" + running, "finished": "/runs/" + ended, "failed": "/runs/20261123-150000.000-41cf10ee", "recipe": "/recipes/recipes/mfl.yaml",
		"recipes": "/recipes", "changes": "/changes", "change": "/changes/17", "missing": "/nothing"}
	for _, scheme := range []string{"light", "dark"} {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}
		tell(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		for _, width := range []int64{1280, 390} {
			for name, path := range pages {
				b.do(chromedp.EmulateViewport(width, 900), chromedp.Navigate(w.server.URL+path))
				b.fits(path, width)
				b.draw(fmt.Sprintf("%s-%s-%d", name, scheme, width))
				if bad := ask(b, chromedp.Evaluate[string](faint)); bad != "" {
					t.Errorf("%s, %s: too little contrast: %s", path, scheme, bad)
				}
			}
			b.do(chromedp.Navigate(empty.server.URL + "/"))
			b.fits("the empty list", width)
			b.draw(fmt.Sprintf("empty-%s-%d", scheme, width))
		}
	}
}

// faint finds texts whose contrast to what lies behind them is under 4.5 to 1 (WCAG AA).
const faint = `(() => {
  const parse = (c) => c.match(/[\d.]+/g).map(Number);
  const light = (c) => { const f = (v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }; return .2126 * f(c[0]) + .7152 * f(c[1]) + .0722 * f(c[2]); };
  const behind = (el) => { for (; el; el = el.parentElement) { const c = parse(getComputedStyle(el).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const out = new Set();
  for (const el of document.querySelectorAll('body *')) {
    if (![...el.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || el.getClientRects().length === 0 || el.closest('svg')) continue;
    const a = light(parse(getComputedStyle(el).color)), b = light(behind(el));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) out.add(el.tagName + '.' + el.className + ' ' + ratio.toFixed(1));
  }
  return [...out].join('; ');
})()`
