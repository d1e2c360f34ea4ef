package console_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/nats-io/stan.go"
)

var pictures = flag.String("pictures", "", "write pictures of the console to this directory")

// view is a size and a scheme of colours.
type view struct {
	name          string
	width, height int64
	scheme        string
}

var (
	desktop = view{"", 1200, 750, "light"}
	dark    = view{"-dark", 1200, 750, "dark"}
	phone   = view{"-phone", 360, 740, "light"}
)

// as shows pages as a view has them.
func (p *tab) as(v view) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(v.width, v.height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}}})
		return err
	}))
}

// picture writes a picture of the page, if there are to be pictures.
func (p *tab) picture(name string) {
	p.t.Helper()
	if *pictures == "" {
		return
	}
	quality := int64(80)
	var data []byte
	size := value[struct{ W, H float64 }](p, "({ W: innerWidth, H: Math.min(innerHeight, Math.ceil(document.body.getBoundingClientRect().height)) })")
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		shot, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: &quality, Clip: &page.Viewport{Width: size.W, Height: size.H, Scale: 1}})
		data = shot.Data
		return err
	}))
	if err := os.WriteFile(filepath.Join(*pictures, name+".webp"), data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// shop is a server with something on each page.
func shop(t *testing.T, driver, source string) *server {
	t.Helper()
	s := start(t, driver, source, "-c", configured(t, `consumers: [ { names: "*:workers", max_deliveries: 1, on_limit: park } ]`))
	for i := range 24 {
		id := fmt.Sprintf("o%d", i/3+1)
		switch i % 3 {
		case 0:
			s.store(t, "eventstore.orders", object{
				"eventId": id + "-placed", "eventType": "OrderPlaced", "aggregateType": "Order", "aggregateId": id, "contentType": "application/json",
				"eventData": fmt.Sprintf(`{"amount":%d.50,"customer":"c%d","items":[{"sku":"A-%d","quantity":2}],"address":{"city":"Bonn","street":"Markt 1"}}`, i*7+10, i%4+1, i),
				"metadata":  object{"user": "till 3", "correlation_id": fmt.Sprintf("7f3a%02d", i)}, "tags": []string{fmt.Sprintf("customer:c%d", i%4+1)},
			})
		case 1:
			s.store(t, "eventstore.orders", order(id, "OrderPaid", fmt.Sprintf(`{"paid":true,"method":"card","address":{"city":"%s"}}`, []string{"Rome", "Oslo", "Lima"}[i%9/3])))
		default:
			s.store(t, "eventstore.parcels", object{"eventType": "ParcelSent", "aggregateType": "Parcel", "aggregateId": "p-" + id, "eventData": fmt.Sprintf(`{"order":"%s","carrier":"post"}`, id)})
		}
	}
	s.worker(t, "warehouse-1", func(m *stan.Msg) {
		if m.Sequence != 3 {
			_ = m.Ack()
		}
	})
	return s
}

// load stores events for some time, more and fewer in turn.
func (s *server) load(t *testing.T, d time.Duration) {
	t.Helper()
	began := time.Now()
	for i := 0; time.Since(began) < d; i++ {
		s.store(t, "eventstore.visits", object{"eventType": "PageSeen", "aggregateType": "Visit", "aggregateId": fmt.Sprintf("v%d", i%50), "eventData": fmt.Sprintf(`{"page":%d}`, i)})
		time.Sleep(time.Duration(6+5*math.Sin(time.Since(began).Seconds()/4)) * time.Millisecond)
	}
}

// TestPages opens each page as on a desk and as on a phone, by day and by night. Nothing may be wider than the screen or hard to use.
func TestPages(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		s := shop(t, driver, source)
		p := browser(t, s)
		p.open("/console/")
		p.sees("has 1 parked message")
		if *pictures != "" && driver == "sqlite" {
			s.load(t, 40*time.Second)
		}
		p.until("document.querySelectorAll('.line').length === 3", "draws no charts")
		const group = "channel=eventstore.orders&name=d%3Aworkers"
		for _, it := range []struct{ name, path, sees string }{
			{"overview", "/console/", "Leader"},
			{"events", "/console/events?channel=eventstore.orders+eventstore.parcels", "ParcelSent"},
			{"event", "/console/find?id=o8-placed", "correlation_id"},
			{"aggregate", "/console/aggregate?channel=eventstore.orders&type=Order&id=o2", "Changed since"},
			{"channels", "/console/channels", "eventstore.parcels"},
			{"consumers", "/console/consumers", "d:workers"},
			{"consumer", "/console/consumer?" + group, "OrderPlaced of o2"},
			{"reset", "/console/act/reset?" + group, "This cannot be undone"},
			{"clients", "/console/clients", "warehouse-1"},
			{"audit", "/console/audit", "No administrator"},
			{"routes", "/console/routes", "Events are not forwarded"},
			{"sql", "/console/sql?question=0", "Latest events of a type"},
			{"damage", "/console/damage", "Verify now"},
			{"error", "/console/nothing", "there is no such page"},
			{"settings", "/console/settings", "store_timeout"},
		} {
			for _, v := range []view{desktop, dark, phone} {
				p.as(v)
				p.open(it.path)
				p.sees(it.sees)
				if wide := value[int](p, "document.documentElement.scrollWidth"); wide > int(v.width) {
					t.Errorf("%s%s is %d pixels wide on a screen of %d", it.name, v.name, wide, v.width)
				}
				p.checks(it.name + v.name)
				if driver == "sqlite" && slices.Contains([]string{"overview", "events-dark", "aggregate", "consumer", "consumers-phone", "sql"}, it.name+v.name) {
					p.picture(it.name + v.name)
				}
			}
		}
	})
}
