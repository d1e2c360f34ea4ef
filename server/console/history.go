package console

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/monitor"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// What the charts show: rates of the last five minutes, and lags of the last hour of as many consumers.
const (
	sampleEvery  = 2 * time.Second
	sampleKeep   = 150
	lagEvery     = 10 * time.Second
	lagKeep      = 360
	lagConsumers = 1000
)

// history remembers samples of the server. Its goroutine is that of Console.Run.
type history struct {
	mu      sync.Mutex // guards the fields below
	samples []monitor.Sample
	lagged  []time.Time // when the lags were taken
	lags    map[stores.ConsumerName][]uint64
	next    chan struct{} // closed after the next sample
}

func newHistory() *history {
	return &history{lags: make(map[stores.ConsumerName][]uint64), next: make(chan struct{})}
}

func (h *history) run(ctx context.Context, m *monitor.Monitor) {
	h.sample(m.Sample())
	h.lag(time.Now(), m.Lags())
	sample, lag := time.NewTicker(sampleEvery), time.NewTicker(lagEvery)
	defer sample.Stop()
	defer lag.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sample.C:
			h.sample(m.Sample())
		case now := <-lag.C:
			h.lag(now, m.Lags())
		}
	}
}

func (h *history) sample(s monitor.Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.samples = append(h.samples, s)
	h.samples = h.samples[max(0, len(h.samples)-sampleKeep):]
	close(h.next)
	h.next = make(chan struct{})
}

// lag remembers the lags at a time. Those of a consumer that is new begin with 0, and a consumer that is gone is forgotten.
func (h *history) lag(at time.Time, lags map[stores.ConsumerName]uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lagged = append(h.lagged, at)
	h.lagged = h.lagged[max(0, len(h.lagged)-lagKeep):]
	maps.DeleteFunc(h.lags, func(name stores.ConsumerName, _ []uint64) bool {
		_, exists := lags[name]
		return !exists
	})
	for name, lag := range lags {
		kept, known := h.lags[name]
		if !known {
			if len(h.lags) >= lagConsumers {
				continue
			}
			kept = make([]uint64, len(h.lagged)-1)
		}
		kept = append(kept, lag)
		h.lags[name] = kept[max(0, len(kept)-lagKeep):]
	}
}

// recent returns the samples, and a channel that is closed after the next one.
func (h *history) recent() ([]monitor.Sample, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.samples), h.next
}

// lagsOf returns the times and lags of a consumer.
func (h *history) lagsOf(name stores.ConsumerName) ([]time.Time, []uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	lags := h.lags[name]
	return slices.Clone(h.lagged[len(h.lagged)-min(len(lags), len(h.lagged)):]), slices.Clone(lags)
}
