package report_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"mergebot/eval/report"
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
}

func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

func ask[R any](b tab, question chromedp.Action[R]) R {
	b.Helper()
	r, err := chromedp.Run(b.ctx, question)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func tell[P, R any](b tab, command cdp.Command[P, R], p P) {
	b.Helper()
	if _, err := chromedp.Call(b.ctx, command, p); err != nil {
		b.Fatal(err)
	}
}

// count is how many items have a verdict, counted from the answers themselves.
func count(tasks []report.TaskItems, task, show string) int {
	n := 0
	for _, t := range tasks {
		for _, it := range t.Items {
			expert, _ := it.Answer(report.Expert)
			merged, _ := it.Answer(report.Merged)
			is := map[string]bool{"": true, "right": merged.Correct, "wrong": !merged.Correct, "gained": merged.Correct && !expert.Correct, "lost": !merged.Correct && expert.Correct,
				"no-answer": merged.NoAnswer, "truncated": merged.Truncated, "several": merged.Several}
			if (task == "" || t.Task == task) && is[show] {
				n++
			}
		}
	}
	return n
}

// rowsShown counts the rows that a reader sees, by what is drawn rather than by what the filter set.
const rowsShown = `[...document.querySelectorAll('table.items tbody tr')].filter((r) => r.getClientRects().length > 0).length`

func TestFilterInBrowser(t *testing.T) {
	dir := t.TempDir()
	tasks := []report.TaskItems{items("math", "gsm8k", 120, ""), items("finance", "fpb", 90, hostile), items("law", "scotus", 60, "")}
	tasks[1].Items[7].Gold = "<script>document.title='owned'</script>"
	writeItems(t, dir, tasks...)
	b := tab{t, browser(t)}
	var mu sync.Mutex
	var complaints []string // of the page's own script, or of its content policy
	if err := chromedp.Listen(b.ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			complaints = append(complaints, e.Entry.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	index := "file://" + filepath.ToSlash(filepath.Join(dir, "items.html"))
	open := func(hash string) { // from anew, not by changing the hash
		t.Helper()
		b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(index+hash))
	}
	click := func(selector string) { t.Helper(); b.do(chromedp.Click(chromedp.CSS(selector))) }
	// see waits until that many rows are drawn, and the page says so.
	see := func(what string, n int) {
		t.Helper()
		for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			got, said := ask(b, chromedp.Evaluate[int](rowsShown)), ask(b, chromedp.TextContent(chromedp.CSS("#shown")))
			if got == n && said == fmt.Sprintf("%d of 270 items", n) {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("%s: %d rows are shown and the page says %q, want %d", what, got, said, n)
			}
		}
	}

	open("")
	see("at first", 270)
	click(`#filters a[data-task="gsm8k"]`)
	see("gsm8k", 120)
	for _, show := range []string{"right", "wrong", "gained", "lost", "no-answer", "truncated", "several"} {
		click(`#filters a[data-show="` + show + `"]`)
		want := count(tasks, "gsm8k", show)
		see("gsm8k "+show, want)
		if chip := ask(b, chromedp.TextContent(chromedp.CSS(`#filters a[data-show="`+show+`"] span`))); chip != fmt.Sprint(want) {
			t.Errorf("the choice %s says %s, want %d", show, chip, want)
		}
	}
	click(`#filters a[data-task=""]`)
	see("several", count(tasks, "", "several")) // before the next click: a link leads on from the filter that is seen
	click(`#filters a[data-show="lost"]`)
	see("lost", count(tasks, "", "lost"))
	click(`#filters a[data-show=""]`)
	see("all again", 270)
	b.do(chromedp.SendKeys(chromedp.CSS("#q"), "GSM8K/test/11"))
	see("search", 11) // 11 and 110 to 119
	b.do(chromedp.SendKeys(chromedp.CSS("#q"), "zzz"))
	see("nothing", 0)

	// A link that somebody else sent; a link to nothing.
	open("#task=fpb&show=gained")
	see("a linked choice", count(tasks, "fpb", "gained"))
	chosen := ask(b, chromedp.Evaluate[string](`[...document.querySelectorAll('#filters [aria-current]')].map((a) => a.textContent.split(' ')[0]).join(' ')`))
	if chosen != "fpb gained" {
		t.Errorf("the page marks %q as chosen", chosen)
	}
	open("#task=%3Cimg%3E&show=zzz")
	see("a link to nothing", 270)

	// A leaf page by its row's link, the next one, and back to the task in the list.
	open("#task=fpb")
	click(`a[href="items/fpb-1.html#i8"]`)
	b.do(chromedp.WaitVisible(chromedp.CSS("article:target")))
	title, heading := ask(b, chromedp.Title()), ask(b, chromedp.TextContent(chromedp.CSS("article:target h2")))
	if !strings.HasPrefix(heading, "8 fpb/test/7") || !strings.HasPrefix(title, "fpb 1–50") {
		t.Errorf("the row leads to %q on %q", heading, title)
	}
	click(`a[rel="next"]`)
	b.do(chromedp.WaitVisible(chromedp.CSS("#i51")))
	click(`.eyebrow a:last-child`)
	b.do(chromedp.WaitVisible(chromedp.CSS("#filters")))
	see("back", 90)

	// Without scripts the list is whole and offers nothing that would not work.
	tell(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	open("#task=fpb&show=gained")
	if rows := ask(b, chromedp.Evaluate[int](rowsShown)); rows != 270 {
		t.Errorf("without scripts %d rows are shown", rows)
	}
	if !ask(b, chromedp.Evaluate[bool](`document.getElementById('filters').hidden`)) {
		t.Error("without scripts there are filters")
	}
	mu.Lock()
	defer mu.Unlock()
	if complaints != nil {
		t.Errorf("the browser complains: %s", complaints)
	}
}

// TestScreenshots draws the pages as people see them, into $MERGEBOT_SCREENSHOTS, and holds that none
// is wider than its screen.
func TestScreenshots(t *testing.T) {
	dir, out := t.TempDir(), os.Getenv("MERGEBOT_SCREENSHOTS")
	r := fixture(t)
	r.Selection = report.SelectionTest
	tasks := []report.TaskItems{items("math", "gsm8k", 120, ""), items("finance", "fpb", 90, hostile), items("law", "unfair_tos", 60, strings.Repeat(" Either party may terminate.", 60))}
	if err := report.WriteItems(dir, r, tasks); err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{"report": "report.html", "items": "items.html#show=lost", "leaf": "items/fpb-1.html#i3", "compare": "compare.html"}
	if err := os.WriteFile(filepath.Join(dir, "report.html"), []byte(render(t, report.HTML, r)), 0o644); err != nil {
		t.Fatal(err)
	}
	var compared strings.Builder
	if err := report.PairedHTML(&compared, paired()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "compare.html"), []byte(compared.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	b := tab{t, browser(t)}
	for _, scheme := range []string{"light", "dark"} {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
		tell(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		for _, width := range []int64{1280, 390} {
			for name, page := range pages {
				b.do(chromedp.EmulateViewport(width, 900), chromedp.Navigate("about:blank"), chromedp.Navigate("file://"+filepath.ToSlash(dir)+"/"+page))
				if wide := ask(b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > width {
					t.Errorf("%s is %d wide on a screen of %d", page, wide, width)
				}
				if out == "" {
					continue
				}
				file := filepath.Join(out, fmt.Sprintf("%s-%s-%d.png", name, scheme, width))
				if err := os.WriteFile(file, ask(b, chromedp.CaptureScreenshot()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
