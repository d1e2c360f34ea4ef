package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"connectrpc.com/connect"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

// service is the bank with an event store of its own.
type service struct {
	t      *testing.T
	events *eventstoretest.Server
	http   *httptest.Server
}

func start(t *testing.T) *service {
	t.Helper()
	events := eventstoretest.Start(t)
	client, bank := events.Client(), NewBank(events.Client())
	views, err := NewViews(t.Context(), client, eventstoretest.Database(t), eventstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(running.Wait) // the test's context has ended then
	for _, run := range workers(client, bank, views) {
		running.Go(func() {
			if err := run(t.Context()); t.Context().Err() == nil {
				t.Error(err)
			}
		})
	}
	s := &service{t, events, httptest.NewServer(Handler(bank, views))}
	t.Cleanup(s.http.Close)
	return s
}

// call sends a request, decodes its answer, and returns its status.
func (s *service) call(method, path, key, body string, answer any) int {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.http.URL+path, bytes.NewBufferString(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Idempotency-Key", key)
	response, err := s.http.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil {
		s.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return response.StatusCode
}

// post sends a command, checks the status, and returns the position.
func (s *service) post(path, key, body string, want int) uint64 {
	s.t.Helper()
	var answer struct {
		Position uint64
		Error    string
	}
	if got := s.call(http.MethodPost, path, key, body, &answer); got != want {
		s.t.Errorf("POST %s %s: %d %s, want %d", path, body, got, answer.Error, want)
	}
	return answer.Position
}

func (s *service) wantBalance(account string, after uint64, want Balance) {
	s.t.Helper()
	var got Balance
	status := s.call(http.MethodGet, fmt.Sprintf("/accounts/%s?after=%d", account, after), "", "", &got)
	if status != http.StatusOK || got != want {
		s.t.Errorf("account %s: %d %+v, want %+v", account, status, got, want)
	}
}

func (s *service) open(cents int64, accounts ...string) {
	s.t.Helper()
	for _, id := range accounts {
		s.post("/accounts/"+id, "open-"+id, `{"owner": "Ada"}`, http.StatusOK)
		s.post("/accounts/"+id+"/deposits", "deposit-"+id, fmt.Sprintf(`{"cents": %d}`, cents), http.StatusOK)
	}
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.open(500, "a", "b")
	after := s.post("/accounts/a/transfers", "t-1", `{"to": "b", "cents": 200, "text": "rent"}`, http.StatusOK)
	s.wantBalance("a", after, Balance{"a", "Ada", 300, ""})
	s.wantBalance("b", after, Balance{"b", "Ada", 700, ""})

	s.post("/accounts/a/transfers", "t-2", `{"to": "b", "cents": 301}`, http.StatusConflict)
	s.post("/accounts/a/transfers", "t-3", `{"to": "c", "cents": 1}`, http.StatusNotFound)
	s.post("/accounts/a/transfers", "t-4", `{"to": "a", "cents": 1}`, http.StatusConflict)
	s.post("/accounts/a/transfers", "t-5", `{"to": "b", "sents": 1}`, http.StatusBadRequest)
	s.post("/accounts/a/transfers", "", `{"to": "b", "cents": 1}`, http.StatusBadRequest)

	var entries []Entry
	s.call(http.MethodGet, fmt.Sprintf("/accounts/b/statement?after=%d", after), "", "", &entries)
	if len(entries) != 2 || entries[1].Text != "from a: rent" || entries[1].Balance != 700 {
		t.Errorf("the statement: %+v", entries)
	}
}

// A client that got no answer repeats its request: the money moves once.
func TestRepeatedRequest(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.open(500, "a", "b")
	const body = `{"to": "b", "cents": 200}`
	s.events.Inject(eventstoretest.Append, 1, eventstoretest.LoseAnswer())
	first := s.post("/accounts/a/transfers", "t-1", body, http.StatusOK)
	s.events.Restart()
	again := s.post("/accounts/a/transfers", "t-1", body, http.StatusOK)
	s.wantBalance("a", max(first, again), Balance{"a", "Ada", 300, ""})
	// Another command with the key of this one is a mistake of the client.
	s.post("/accounts/a/transfers", "t-1", `{"to": "b", "cents": 201}`, http.StatusUnprocessableEntity)
	s.post("/accounts/b/deposits", "t-1", `{"cents": 200}`, http.StatusUnprocessableEntity)
}

// Transfers that cross each other conflict, and all of them happen.
func TestCrossingTransfers(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.open(500, "a", "b")
	var after uint64
	var mu sync.Mutex
	var clients sync.WaitGroup
	for i := range 10 {
		clients.Go(func() {
			from, to := "a", "b"
			if i%2 == 0 {
				from, to = to, from
			}
			at := s.post("/accounts/"+from+"/transfers", fmt.Sprint("t-", i), fmt.Sprintf(`{"to": %q, "cents": 50}`, to), http.StatusOK)
			mu.Lock()
			defer mu.Unlock()
			after = max(after, at)
		})
	}
	clients.Wait()
	s.wantBalance("a", after, Balance{"a", "Ada", 500, ""})
	s.wantBalance("b", after, Balance{"b", "Ada", 500, ""})
}

func TestFraud(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.open(9_000_00, "a", "b")
	var frozen *eventstore.Event
	for i := range manyLarge {
		s.post("/accounts/a/transfers", fmt.Sprint("t-", i), `{"to": "b", "cents": 100000}`, http.StatusOK)
	}
	found := eventstore.AllOf(eventstore.QueryItem{Channels: []string{channel}, EventTypes: []string{"AccountFrozen"}})
	err := s.events.Client().ReplayAll(t.Context(), found, eventstore.FromBeginning(), func(e *eventstore.Event) error {
		frozen = e
		return eventstore.ErrStop
	})
	if err != nil || frozen.AggregateID != "a" {
		t.Fatalf("frozen: %+v, %v", frozen, err)
	}
	s.wantBalance("a", frozen.Position, Balance{"a", "Ada", 6_000_00, "many large transfers"})
	s.post("/accounts/a/transfers", "t-4", `{"to": "b", "cents": 1}`, http.StatusConflict)
}

// When the event store does not take events, the client is told to come again.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.events.Inject(eventstoretest.Append, 1, eventstoretest.Refuse(connect.CodePermissionDenied))
	s.post("/accounts/a", "open", `{"owner": "Ada"}`, http.StatusServiceUnavailable)
	s.events.Inject(eventstoretest.Append, 1, eventstoretest.Refuse(connect.CodeUnavailable))
	s.post("/accounts/a", "open", `{"owner": "Ada"}`, http.StatusOK)
}
