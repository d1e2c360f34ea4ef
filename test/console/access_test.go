package console_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// check finds what keeps people from using a page: controls and pictures without names, fields without labels, contrast below 4.5 (3 for
// large text, WCAG 2.2 AA), headings that skip a level or are missing, IDs that occur twice, tables without headers, and targets
// smaller than 24 pixels that are not in a text.
const check = `(() => {
  const wrong = [];
  const shown = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
  const at = (e) => e.outerHTML.slice(0, 120);
  const named = (e) => (e.getAttribute("aria-label") || (e.labels && [...e.labels].map((l) => l.innerText).join(" ")) || e.innerText || e.title || "").trim();
  for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, svg, [role=img], nav, [tabindex='0']")) {
    const name = e.matches("input, select, textarea") ? e.getAttribute("aria-label") || [...(e.labels || [])].map((l) => l.innerText).join("") : named(e);
    if (!name) wrong.push("no name: " + at(e));
  }
  if (document.querySelectorAll("h1").length !== 1) wrong.push("there is not one h1");
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4")) {
    const n = Number(h.tagName[1]);
    if (n > level + 1) wrong.push("a level of headings is missing before: " + at(h));
    level = n;
  }
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of ids) if (ids.filter((i) => i === id).length > 1) wrong.push("the ID occurs twice: " + id);
  for (const t of document.querySelectorAll("table")) if (!t.querySelector("th[scope]")) wrong.push("no headers: " + at(t));
  if (!document.documentElement.lang || !document.title || !document.querySelector("main")) wrong.push("no language, title or main");
  const parse = (c) => c.match(/[\d.]+/g).map(Number);
  const over = (a, b) => { const o = a[3] ?? 1; return [0, 1, 2].map((i) => a[i] * o + b[i] * (1 - o)); };
  const ground = (e) => { let c = [0, 0, 0, 0]; const all = []; for (; e; e = e.parentElement) all.push(parse(getComputedStyle(e).backgroundColor));
    c = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255]; for (const it of all.reverse()) c = over(it, c); return c; };
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  for (let n; (n = walk.nextNode());) {
    const e = n.parentElement;
    if (!n.data.trim() || !shown(e) || seen.has(e)) continue;
    seen.add(e);
    const style = getComputedStyle(e), b = ground(e), c = over(parse(style.color), b);
    const [hi, lo] = [light(c), light(b)].sort((x, y) => y - x);
    const ratio = (hi + 0.05) / (lo + 0.05), size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
    if (ratio < (large ? 3 : 4.5)) wrong.push("contrast " + ratio.toFixed(2) + ": " + at(e));
  }
  for (const e of document.querySelectorAll("button, .button, input:not([type=hidden]):not([type=radio]):not([type=checkbox]), select, header nav a")) {
    const r = e.getBoundingClientRect();
    if (shown(e) && r.width && r.height && (r.height < 24 || r.width < 24)) wrong.push("small: " + at(e));
  }
  return JSON.stringify(wrong);
})()`

// checks fails the test for what check finds.
func (p *tab) checks(page string) {
	p.t.Helper()
	for _, w := range p.wrong() {
		p.t.Errorf("%s: %s", page, w)
	}
}

func (p *tab) wrong() (all []string) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(value[string](p, check)), &all); err != nil {
		p.t.Fatal(err)
	}
	return all
}

// spoil makes a page hard to use, in ways that check must find.
const spoil = `(() => {
  const main = document.querySelector("main");
  main.insertAdjacentHTML("beforeend", "<h4>deep</h4><button></button><input><a href='/'></a><p id='a'>pale</p><p id='a'></p><table><tr><td>1</td></tr></table><button id='tiny'>x</button>");
  document.querySelector("#a").style.color = "rgba(120, 120, 120, 0.6)";
  Object.assign(document.querySelector("#tiny").style, { width: "9px", height: "9px", padding: 0 });
})()`

// TestCheck spoils a page.
func TestCheck(t *testing.T) {
	t.Parallel()
	p := browser(t, start(t, "sqlite", databases.SQLite(t)))
	p.open("/console/routes")
	p.checks("routes")
	p.do(chromedp.Evaluate[chromedp.Void](spoil))
	found := strings.Join(p.wrong(), "\n")
	for _, want := range []string{"no name: <button", "no name: <input", "no name: <a", "headings is missing", "occurs twice", "no headers", "contrast", "small"} {
		if !strings.Contains(found, want) {
			t.Errorf("not found: %s in\n%s", want, found)
		}
	}
}

// TestKeyboard uses the console without a mouse: the order of the focus is that of the page, it shows where it is, and keys open pages.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		s.store(t, "eventstore.orders", order("o1", "OrderPlaced", `{}`))
		p := browser(t, s)
		p.open("/console/events")
		p.sees("OrderPlaced")
		press := func(keys string) { t.Helper(); p.do(chromedp.KeyEvent(keys)) }
		focused := func() string {
			t.Helper()
			return value[string](p, `(() => { const e = document.activeElement; return e.id || e.innerText || e.tagName; })()`)
		}
		press(kb.Tab)
		if f := focused(); f != "Skip to the contents" {
			t.Errorf("the first focus is %q", f)
		}
		press(kb.Enter)
		press(kb.Tab)
		if f := focused(); f != "channel" {
			t.Errorf("after the menu was skipped the focus is %q", f)
		}
		var order []string
		for range 12 {
			order = append(order, focused())
			if outline := value[string](p, "getComputedStyle(document.activeElement).outlineStyle"); outline == "none" {
				t.Errorf("the focus on %q does not show", focused())
			}
			press(kb.Tab)
		}
		if got, want := strings.Join(order, " "), "channel type aggregate_type aggregate tag time order Show id Find Pause 1"; got != want {
			t.Errorf("the focus goes through\n%s\nwant\n%s", got, want)
		}
		p.open("/console/")
		press("g")
		press("a")
		p.sees("Name an aggregate")
		press("/")
		if f := focused(); f != "id" {
			t.Errorf("/ leads to %q", f)
		}
		p.fill("id", "o1")
		press(kb.Enter)
		p.sees("State at version 1")
	})
}
