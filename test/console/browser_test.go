package console_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// chromium is the browser of all tests. Each test has cookies of its own.
var chromium struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

var errNoBrowser = errors.New("chromium is missing: make test installs it as root on Debian")

func startChromium() {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		chromium.err = errNoBrowser
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocated, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocated)
	chromium.ctx, chromium.stop = ctx, func() {
		stop()
		stopAllocator()
	}
	chromium.err = chromedp.Do(ctx)
}

func stopChromium() {
	if chromium.stop != nil {
		chromium.stop()
	}
}

// tab is a page of the browser. What the page complains of, such as a violation of its policy, fails the test.
type tab struct {
	t   *testing.T
	ctx context.Context
	s   *server

	mu         sync.Mutex // guards the field below
	complaints []string
}

// browser opens a tab.
func browser(t *testing.T, s *server) *tab {
	t.Helper()
	chromium.once.Do(startChromium)
	switch {
	case errors.Is(chromium.err, errNoBrowser) && !inCI():
		t.Skip(chromium.err)
	case chromium.err != nil:
		t.Fatal(chromium.err)
	}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, s: s}
	p.do()
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cdplog.Enable, cdp.Empty{})
		return err
	}))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, text := range p.complaints {
			t.Errorf("the browser complains: %s", text)
		}
	})
	return p
}

// listen notes what the page complains of. That the server is away is no complaint.
func (p *tab) listen(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		p.complaints = append(p.complaints, fmt.Sprint(ev.ExceptionDetails))
	case *cdplog.EventEntryAdded:
		if ev.Entry.Level == cdplog.EntryLevelError && ev.Entry.Source != cdplog.EntrySourceNetwork {
			p.complaints = append(p.complaints, ev.Entry.Text)
		}
	}
}

// replaced is the browser's answer when a live page has put another node in the place of the one that was found.
const replaced = "Could not find node with given id"

// do runs actions, or fails the test with what the page shows.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, harness.Patience)
	defer cancel()
	if p.ctx.Err() == nil && len(actions) == 0 {
		ctx = p.ctx // the first call makes the tab, which lives as long as the context
	}
	err := chromedp.Do(ctx, actions...)
	for err != nil && strings.Contains(err.Error(), replaced) {
		err = chromedp.Do(ctx, actions...)
	}
	if err != nil {
		p.t.Fatalf("%v; the page shows:\n%s", err, p.text())
	}
}

// open opens a page of the console.
func (p *tab) open(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.s.url + path))
}

// text returns what the page shows.
func (p *tab) text() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
	if err != nil {
		return err.Error()
	}
	return text
}

// sees waits until the page shows all texts.
func (p *tab) sees(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.until(fmt.Sprintf("document.readyState === 'complete' && document.body.innerText.includes(%q)", text), "does not show "+text)
	}
}

// lacks fails the test if the page shows a text.
func (p *tab) lacks(text string) {
	p.t.Helper()
	if shown := p.text(); strings.Contains(shown, text) {
		p.t.Errorf("the page shows %q:\n%s", text, shown)
	}
}

// until waits until an expression of JavaScript is true, whatever page is open.
func (p *tab) until(expression, complaint string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, harness.Patience/3)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if is, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression)); err == nil && is {
			return
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("the page %s; it shows:\n%s", complaint, p.text())
		case <-again.C:
		}
	}
}

// value returns the value of an expression of JavaScript.
func value[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// click clicks on the link or button with a text.
func (p *tab) click(text string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.Search(fmt.Sprintf(`//main//*[(self::a or self::button) and normalize-space()=%q]`, text)), chromedp.NodeVisible))
}

// fill replaces the text of the field with an ID.
func (p *tab) fill(id, text string) {
	p.t.Helper()
	p.do(setText("#"+id, text))
}

// clickOn clicks on what a selector of CSS finds.
func clickOn(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible)
}

// setText replaces the text of the field that a selector of CSS finds.
func setText(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.SetValue(chromedp.CSS(selector), text, chromedp.NodeVisible)
}
