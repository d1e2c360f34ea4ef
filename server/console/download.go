package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Bounds of downloads: how many there are at a time, and how long a browser may take for a batch of events.
const (
	maxDownloads   = 2
	downloadPeriod = 30 * time.Second
)

// download sends all events that match a filter and are stored now, the oldest first, an object of JSON on each line. What fails in the middle
// breaks the connection, so that a browser does not take a part for the whole.
func (c *Console) download(v *visit) error {
	f, err := filterOf(v.query)
	if err != nil {
		return err
	}
	select {
	case c.downloading <- struct{}{}:
		defer func() { <-c.downloading }()
	default:
		return &pageError{http.StatusServiceUnavailable, "two downloads are running: try again when one has ended, or use eventstore read -o json"}
	}
	f.Oldest = true
	ctx, stop := v.inSession(v.ctx)
	defer stop()
	control := http.NewResponseController(v.w)
	defer context.AfterFunc(ctx, func() { _ = control.SetWriteDeadline(time.Now()) })()
	h := v.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Content-Disposition", `attachment; filename="events.ndjson"`)
	begun := false
	encoder := json.NewEncoder(v.w)
	encoder.SetEscapeHTML(false)
	err = c.api.Read(ctx, f.request(0, 0), func(resp *eventstorev1.ReadResponse) error {
		if ctx.Err() == nil {
			_ = control.SetWriteDeadline(time.Now().Add(downloadPeriod))
		}
		for _, e := range resp.GetEvents() {
			begun = true
			if err := encoder.Encode(eventjson.Of(e)); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err == nil && ctx.Err() == nil:
		return nil
	case begun || errors.Is(ctx.Err(), context.Canceled):
		panic(http.ErrAbortHandler)
	}
	h.Del("Content-Disposition")
	return err
}
