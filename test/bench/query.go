package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go/pb"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

const (
	oftenEvery, rarelyEvery = 1000, 1_000_000
	readEverything          = 1_000_000 // events, at most
	conditionWriters        = 64
)

// queryCounts are of events in 1,000 channels.
func (s *setup) queryCounts() []int {
	if s.full {
		return []int{1_000_000, 10_000_000}
	}
	return []int{500_000}
}

// A kind of event stands at every so many positions, at different ones.
var queryKinds = []struct {
	every, at               int64
	typ, aggregateType, tag string
}{
	{rarelyEvery, 400_000, "OrderSeized", "Order", ""},
	{rarelyEvery, 400_001, "OrderCreated", "Order", "court"},
	{oftenEvery, 500, "OrderEscalated", "Order", ""},
	{oftenEvery, 501, "OrderCreated", "Order", "audit"},
	{oftenEvery, 502, "OrderCreated", "Refund", ""},
	{1, 0, "OrderCreated", "Order", ""},
}

func kindAt(position int64) int {
	return slices.IndexFunc(queryKinds, func(k struct {
		every, at               int64
		typ, aggregateType, tag string
	}) bool {
		return position%k.every == k.at
	})
}

// queryRow appends the values of rawColumns.
func queryRow(args []any, channel int, sequence, position int64) ([]any, error) {
	k := queryKinds[kindAt(position)]
	e := &eventstorev1.Event{
		EventId: "event-" + strconv.FormatInt(position, 10), EventType: k.typ, AggregateType: k.aggregateType,
		AggregateId: "order-" + strconv.FormatInt(position, 10), EventVersion: 1, EventData: []byte(`{"customer":"C-1001","total":129.90,"currency":"EUR"}`),
	}
	if k.tag != "" {
		e.Tags = []string{k.tag}
	}
	payload, err := proto.Marshal(e)
	if err != nil {
		return nil, err
	}
	m := pb.MsgProto{Sequence: uint64(sequence), Subject: scaleChannel(channel), Data: payload, Timestamp: time.Now().UnixNano()}
	data, err := m.Marshal()
	if err != nil {
		return nil, err
	}
	return append(args, channel, sequence, m.Timestamp, len(data), data, e.EventId, e.AggregateType, e.AggregateId, e.EventType, 1, string(e.EventData), nil), nil
}

// queryTrials read from databases that hold many events, and append to them.
func queryTrials(s *setup, ctx context.Context) ([]trial, error) {
	var all []trial
	for _, database := range allDatabases {
		if !s.databases.Has(database) || !s.peers.Has(ours) {
			continue
		}
		for _, count := range s.queryCounts() {
			id := peerID{ours, database}
			args, err := s.fill(ctx, id, "queries", filling{count: count, row: queryRow, tag: func(p int64) string { return queryKinds[kindAt(p)].tag }})
			if err != nil {
				return nil, fmt.Errorf("fill %s with %d events: %w", database, count, err)
			}
			all = append(all, trial{scaleName(count), id, scaleBytes, func(ctx context.Context) ([]figure, error) { return s.queryAll(ctx, args) }})
		}
	}
	return all, nil
}

// queryNames are the queries in the order of the report.
var queryNames = []string{
	"1 in 1,000,000 by type", "1 in 1,000,000 by tag", "1 in 1,000 by type", "1 in 1,000 by tag", "1 in 1,000 by a scan", "everything",
}

// queryAll starts the server, reads and appends, and stops it.
func (s *setup) queryAll(ctx context.Context, args []string) (figures []figure, err error) {
	binary, err := s.binaryOf(ctx, ours)
	if err != nil {
		return nil, err
	}
	port, err := databases.FreePort()
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	p, err := s.begin(ctx, ours, readyLine, streamingCommand(binary, append(slices.Clip(args), "-grpc_host", "127.0.0.1", "-grpc_port", fmt.Sprint(port))))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	api := eventstorev1connect.NewEventStoreClient(&http.Client{Transport: &http.Transport{Protocols: protocols}}, "http://"+address, connect.WithGRPC())
	for i, item := range []*eventstorev1.QueryItem{
		{EventTypes: []string{"OrderSeized"}}, {Tags: []string{"court"}},
		{EventTypes: []string{"OrderEscalated"}}, {Tags: []string{"audit"}},
		{AggregateTypes: []string{"Refund"}}, nil,
	} {
		query, limit := &eventstorev1.Query{}, uint64(readEverything)
		if item != nil {
			query.Items, limit = append(query.Items, item), 0
		}
		found, err := readQuery(ctx, api, query, limit)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", queryNames[i], err)
		}
		for _, f := range found {
			figures = append(figures, figure{queryNames[i] + ", " + f.what, f.value, f.unit})
		}
	}
	appends, err := s.conditional(ctx, api)
	return append(figures, appends...), err
}

// readQuery reads all events that match.
func readQuery(ctx context.Context, api eventstorev1connect.EventStoreClient, query *eventstorev1.Query, limit uint64) ([]figure, error) {
	start := time.Now()
	var first time.Duration
	stream, err := api.Read(ctx, &eventstorev1.ReadRequest{Query: query, Limit: limit})
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }() // its error is that of Err
	n := 0
	for stream.Receive() {
		if n += len(stream.Msg().GetEvents()); n > 0 && first == 0 {
			first = time.Since(start)
		}
	}
	took := time.Since(start)
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("no event matches")
	}
	return []figure{
		{"to the first", float64(first.Microseconds()) / 1e3, milliseconds},
		{"all " + measure.Count(n), float64(took.Microseconds()) / 1e3, milliseconds},
		{"rate", float64(n) / took.Seconds(), perSecond},
	}, nil
}

// conditional appends single events with and without a condition, in turns, by one writer and by many.
func (s *setup) conditional(ctx context.Context, api eventstorev1connect.EventStoreClient) ([]figure, error) {
	var number atomic.Int64
	var last atomic.Uint64
	one := func(tagged bool, after func() uint64) error {
		n := number.Add(1)
		tag := "seat:" + strconv.FormatInt(n, 10)
		request := &eventstorev1.AppendRequest{Channel: scaleChannel(1), Events: []*eventstorev1.Event{{
			EventType: "SeatTaken", AggregateType: "Seat", AggregateId: tag, EventData: []byte(`{"customer":"C-1001","currency":"EUR","note":"` + strings.Repeat("x", 300) + `"}`),
		}}}
		if tagged {
			request.Events[0].Tags = []string{tag}
		}
		if after != nil {
			request.Conditions = []*eventstorev1.Condition{{
				Query: &eventstorev1.Query{Items: []*eventstorev1.QueryItem{{Tags: []string{tag}}}}, AfterPosition: after(),
			}}
		}
		answer, err := api.Append(ctx, request)
		if err == nil {
			last.Store(answer.GetEvents()[0].GetPosition())
		}
		return err
	}
	ways := []struct {
		name string
		do   func() error
	}{
		{"append", func() error { return one(false, nil) }},
		{"append with a tag", func() error { return one(true, nil) }},
		{"append with a tag, if nobody took it lately", func() error { return one(true, last.Load) }},
		{"append with a tag, if nobody ever took it", func() error { return one(true, func() uint64 { return 0 }) }},
	}
	if err := one(true, nil); err != nil {
		return nil, err
	}
	var figures []figure
	for _, writers := range []int{1, conditionWriters} {
		took, rounds := make([]time.Duration, len(ways)), 5
		const each = 200
		for range rounds {
			for i, way := range ways {
				start := time.Now()
				if err := repeated(writers, each*min(writers, 8), way.do); err != nil {
					return figures, fmt.Errorf("%s: %w", way.name, err)
				}
				took[i] += time.Since(start)
			}
		}
		for i, way := range ways {
			figures = append(figures, figure{fmt.Sprintf("%d writers, %s", writers, way.name), float64(rounds*each*min(writers, 8)) / took[i].Seconds(), perSecond})
		}
	}
	return figures, nil
}

// repeated does something n times, by a number of goroutines.
func repeated(goroutines, n int, do func() error) error {
	var wait sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	failed := make(chan error, goroutines)
	for range goroutines {
		wait.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wait.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
