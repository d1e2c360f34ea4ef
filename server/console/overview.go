package console

import (
	"math"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/monitor"
)

// overviewBody is the overview at one moment.
type overviewBody struct {
	About    About
	Now      monitor.Sample
	Role     string
	Health   string // "" if the server serves
	Uptime   string
	Commit   chart
	Charts   []chart
	Figures  []figure
	Concerns []concern
	Lagging  []*eventstorev1.Consumer
	Admin    bool
	Leads    bool
	Head     *eventstorev1.GetHeadResponse // of the chain of hashes; nil if there is none, or it is not for the visitor
	Counts   bool                          // the visitor may see rates and sizes
}

// figure is a number with its name and unit.
type figure struct{ Name, Value string }

// concern is something that an operator should look at, and where.
type concern struct{ Text, Path string }

// overview shows how the server is.
func (c *Console) overview(v *visit) error {
	body := c.overviewBody(v)
	return v.show("overview", "Overview", "overview", body)
}

// overviewLive sends the overview whenever there is a new sample.
func (c *Console) overviewLive(v *visit) error {
	return v.stream(func(send func(message) error) error {
		for {
			_, next := c.history.recent()
			select {
			case <-v.ctx.Done():
				return nil
			case <-c.stopped:
				return nil
			case <-next:
			}
			if !v.renew() {
				return nil
			}
			if err := v.tellStandby(send); err != nil {
				return err
			}
			part, err := v.render("overview", "live", c.overviewBody(v))
			if err != nil {
				return err
			}
			if err := send(message{event: "replace", data: part}); err != nil {
				return err
			}
		}
	})
}

func (c *Console) overviewBody(v *visit) overviewBody {
	samples, _ := c.history.recent()
	now := c.opts.Monitor.Sample()
	body := overviewBody{About: c.opts.About, Now: now, Role: roleOf(now.State), Uptime: ago(now.Since), Admin: v.visitor.Admin(everywhere), Counts: v.visitor.Counts}
	if now.Unready != nil {
		body.Health = now.Unready.Error()
	}
	if head, err := c.api.GetHead(v.ctx, &eventstorev1.GetHeadRequest{}); err == nil {
		body.Head = head
	}
	body.Leads = c.opts.Monitor.Term() != nil
	c.worry(v, &body)
	if !v.visitor.Counts || !body.Leads { // all rates and sizes are the leader's
		return body
	}
	times, stored := perSecond(samples, func(s *monitor.Sample) uint64 { return s.Stored })
	_, delivered := perSecond(samples, func(s *monitor.Sample) uint64 { return s.Delivered })
	_, again := perSecond(samples, func(s *monitor.Sample) uint64 { return s.Redelivered })
	body.Charts = []chart{newChart("Stored", sampleKeep*sampleEvery, times, stored, rate), newChart("Delivered", sampleKeep*sampleEvery, times, delivered, rate)}
	latencyTimes, latency := commitTimes(samples)
	body.Charts = append(body.Charts, newChart("Commit, 99 of 100 within", sampleKeep*sampleEvery, latencyTimes, latency, seconds))
	half, most := quantiles(samples)
	body.Figures = []figure{
		{"Messages stored", number(now.Messages)},
		{"Their size", byteSize(now.Bytes)},
		{"Channels", number(now.Channels)},
		{"Clients", number(now.Clients)},
		{"Waiting for a commit", number(now.Queued)},
		{"Commit, median", half},
		{"Commit, 99 of 100 within", most},
		{"Delivered again", rate(last(again))},
		{"Lease confirmed", seconds(now.LeaseAge.Seconds()) + " ago"},
	}
	return body
}

// worry adds what is wrong and who lags, as far as the visitor may see it.
func (c *Console) worry(v *visit, body *overviewBody) {
	if _, n := c.opts.Monitor.Damaged(); n > 0 && body.Admin {
		body.Concerns = append(body.Concerns, concern{plural(n, "row of the database is damaged", "rows of the database are damaged"), "/console/damage"})
	}
	if body.Admin {
		for _, r := range c.opts.Monitor.Relays() {
			if r.Failing {
				body.Concerns = append(body.Concerns, concern{"the relay to stream " + r.Stream + " fails and tries again", "/console/routes"})
			}
		}
	}
	resp, err := c.api.Admin().ListConsumers(v.ctx, &eventstorev1.ListConsumersRequest{PageSize: 1000})
	if err != nil {
		return // who may not administer sees no consumers
	}
	for _, it := range resp.GetConsumers() {
		to := consumerPath(it)
		switch {
		case it.GetStalledAt() > 0:
			body.Concerns = append(body.Concerns, concern{it.GetName() + " on " + it.GetChannel() + " is stalled at message " + number(it.GetStalledAt()), to})
		case it.GetParked() > 0:
			body.Concerns = append(body.Concerns, concern{it.GetName() + " on " + it.GetChannel() + " has " + plural(it.GetParked(), "parked message", "parked messages"), to})
		}
		if it.GetLagMessages() > 0 {
			body.Lagging = append(body.Lagging, it)
		}
	}
	sortByLag(body.Lagging)
	body.Lagging = body.Lagging[:min(len(body.Lagging), 5)]
	body.Concerns = body.Concerns[:min(len(body.Concerns), 20)]
}

// roleOf says in words what a server's state is.
func roleOf(state string) string {
	switch state {
	case "STANDALONE", "FT_ACTIVE":
		return "Leader"
	case "FT_STANDBY":
		return "Standby"
	case "FAILED":
		return "Failed"
	}
	return "Stopping"
}

// perSecond returns how fast a counter rose between samples, and when.
func perSecond(samples []monitor.Sample, counter func(*monitor.Sample) uint64) (times []time.Time, rates []float64) {
	for i := 1; i < len(samples); i++ {
		a, b := &samples[i-1], &samples[i]
		rose := float64(counter(b) - counter(a))
		times = append(times, b.At)
		rates = append(rates, rose/max(b.At.Sub(a.At).Seconds(), 0.001))
	}
	return times, rates
}

func last(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return values[len(values)-1]
}

// commitTimes returns the time within which 99 of 100 commits between two samples ended, 0 without a commit.
func commitTimes(samples []monitor.Sample) (times []time.Time, values []float64) {
	for i := 1; i < len(samples); i++ {
		times = append(times, samples[i].At)
		values = append(values, quantile(samples[i-1].Commits, samples[i].Commits, 0.99))
	}
	return times, values
}

// quantiles returns the median and the 99th percentile of the commits in all samples.
func quantiles(samples []monitor.Sample) (half, most string) {
	if len(samples) < 2 {
		return "none yet", "none yet"
	}
	a, b := samples[0].Commits, samples[len(samples)-1].Commits
	if a.Count == b.Count {
		return "none lately", "none lately"
	}
	return seconds(quantile(a, b, 0.5)), seconds(quantile(a, b, 0.99))
}

// quantile returns a quantile of the commits after a and until b, as exact as the buckets are.
func quantile(a, b monitor.Commits, q float64) float64 {
	total := b.Count - a.Count
	if total == 0 || len(a.Buckets) != len(b.Buckets) {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(total)))
	below, lower := uint64(0), 0.0
	for i := range b.Buckets {
		n := b.Buckets[i].Count - a.Buckets[i].Count
		if n >= rank {
			return lower + (b.Buckets[i].Bound-lower)*float64(rank-below)/float64(n-below)
		}
		below, lower = n, b.Buckets[i].Bound
	}
	return lower
}
