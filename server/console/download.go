package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Bounds of downloads: how many there are at a time, and how long a browser may take for a batch of events.
const (
	maxDownloads   = 2
	downloadPeriod = 30 * time.Second
)

// exported is an event as the tool eventstore prints and reads it: docs/reference/tool.md lists the fields.
type exported struct {
	Position      uint64            `json:"position,omitempty"`
	Channel       string            `json:"channel,omitempty"`
	Sequence      uint64            `json:"sequence,omitempty"`
	ID            string            `json:"id,omitempty"`
	Type          string            `json:"type,omitempty"`
	AggregateType string            `json:"aggregate_type,omitempty"`
	AggregateID   string            `json:"aggregate_id,omitempty"`
	Version       uint64            `json:"version,omitempty"`
	RecordedAt    *time.Time        `json:"recorded_at,omitempty"`
	OccurredAt    *time.Time        `json:"occurred_at,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	Tags          []string          `json:"tags,omitempty"`
	ContentType   string            `json:"content_type,omitempty"`
	Stream        string            `json:"stream,omitempty"`
	Data          json.RawMessage   `json:"data,omitempty"`
	DataBase64    []byte            `json:"data_base64,omitempty"`
	PayloadBase64 []byte            `json:"payload_base64,omitempty"`
}

func exportedOf(r *eventstorev1.RecordedEvent) exported {
	e := r.GetEvent()
	it := exported{
		Position: r.GetPosition(), Channel: r.GetChannel(), Sequence: r.GetSequence(), RecordedAt: timeOf(r.GetRecordedAt()),
		ID: e.GetEventId(), Type: e.GetEventType(), AggregateType: e.GetAggregateType(), AggregateID: e.GetAggregateId(),
		Version: e.GetEventVersion(), OccurredAt: timeOf(e.GetOccurredAt()), Metadata: e.GetMetadata(), Tags: e.GetTags(),
		ContentType: e.GetContentType(), Stream: e.GetStream(), PayloadBase64: r.GetPayload(),
	}
	data := e.GetEventData()
	var compact bytes.Buffer
	if utf8.Valid(data) && json.Compact(&compact, data) == nil {
		it.Data = compact.Bytes()
	}
	if !bytes.Equal(it.Data, data) { // the encoder drops white space
		it.DataBase64 = data
	}
	return it
}

func timeOf(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}

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
			if err := encoder.Encode(exportedOf(e)); err != nil {
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
