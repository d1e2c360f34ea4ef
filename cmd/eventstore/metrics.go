package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metricsPrefix begins the names of the server's metrics.
const metricsPrefix = "nats_streaming_"

// maxPage bounds what is read of a page of the monitoring port.
const maxPage = 64 << 20

// metrics are those of a server at one time, by their names without the prefix.
type metrics map[string]*dto.MetricFamily

// errNoMonitor means that the flags do not name a monitoring port.
var errNoMonitor = errors.New("no monitoring port is named")

// metrics asks the monitoring port. It may ask for the same token as the API.
func (f *connectionFlags) metrics(ctx context.Context, s *server) (metrics, error) {
	if f.Monitor == "" {
		return nil, errNoMonitor
	}
	body, err := getPage(ctx, s.pages, strings.TrimRight(f.Monitor, "/")+"/metrics")
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		return nil, fmt.Errorf("%s/metrics: %w: is it the monitoring port?", f.Monitor, err)
	}
	m := make(metrics)
	for name, family := range families {
		if own, found := strings.CutPrefix(name, metricsPrefix); found {
			m[own] = family
		}
	}
	if len(m) == 0 {
		return nil, fmt.Errorf("%s/metrics has no metrics of an event store: is it the monitoring port of nats-streaming-server?", f.Monitor)
	}
	return m, nil
}

// getPage returns a page.
func getPage(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: start the server with -m PORT, or give the port's URL with --monitor", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxPage))
	if err != nil {
		return nil, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return body, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, refused("%s: %s: the token needs the right monitor", url, response.Status)
	}
	return nil, fmt.Errorf("%s: %s", url, response.Status)
}

// sum returns the sum of the series of a gauge or a counter.
func (m metrics) sum(name string) float64 {
	total := 0.0
	for _, series := range m[name].GetMetric() {
		total += valueOf(series)
	}
	return total
}

// value returns that of the first series.
func (m metrics) value(name string) (float64, bool) {
	if series := m[name].GetMetric(); len(series) > 0 {
		return valueOf(series[0]), true
	}
	return 0, false
}

func valueOf(series *dto.Metric) float64 {
	switch {
	case series.GetGauge() != nil:
		return series.GetGauge().GetValue()
	case series.GetCounter() != nil:
		return series.GetCounter().GetValue()
	}
	return series.GetUntyped().GetValue()
}

// label returns the value of a label.
func label(series *dto.Metric, name string) string {
	for _, pair := range series.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// quantile returns the upper bound of the bucket that holds a quantile of what a histogram has counted since an earlier scrape, and
// how many that are.
func (m metrics) quantile(name string, earlier metrics, q float64) (upper float64, count uint64) {
	series := m[name].GetMetric()
	if len(series) == 0 {
		return 0, 0
	}
	before := make(map[float64]uint64)
	if was := earlier[name].GetMetric(); len(was) > 0 {
		for _, b := range was[0].GetHistogram().GetBucket() {
			before[b.GetUpperBound()] = b.GetCumulativeCount()
		}
		count = was[0].GetHistogram().GetSampleCount()
	}
	histogram := series[0].GetHistogram()
	count = histogram.GetSampleCount() - min(count, histogram.GetSampleCount())
	for _, b := range histogram.GetBucket() {
		if n := b.GetCumulativeCount() - min(before[b.GetUpperBound()], b.GetCumulativeCount()); count > 0 && float64(n) >= q*float64(count) {
			return b.GetUpperBound(), count
		}
	}
	return 0, count
}
