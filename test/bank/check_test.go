package bank

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	_ "github.com/lib/pq" // driver "postgres"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// check compares what the clients were told, the log and the views.
func (s *system) check(all []*client) {
	s.t.Helper()
	log := s.read()
	if total := log.total(); total != accounts*deposit {
		s.t.Errorf("the log has %d cents, %d were deposited", total, accounts*deposit)
	}
	stored, refused := 0, 0
	for _, c := range all {
		for _, key := range c.stored {
			if n := log.keys[key]; n != 2 {
				s.t.Errorf("transfer %s succeeded, the log has %d events of it", key, n)
			}
		}
		for _, key := range c.refused {
			if n := log.keys[key]; n != 0 {
				s.t.Errorf("transfer %s was refused, the log has %d events of it", key, n)
			}
		}
		stored, refused = stored+len(c.stored), refused+len(c.refused)
	}
	for account := range log.frozen {
		if log.large[account] < 3 {
			s.t.Errorf("account %s is frozen after %d large transfers", account, log.large[account])
		}
	}
	if log.transfers != 2*stored {
		s.t.Errorf("the log has %d events of transfers, of which %d succeeded", log.transfers, stored)
	}
	s.t.Logf("%d transfers succeeded, %d were refused; the log has %d events", stored, refused, log.events)

	views := s.readViews(s.url(), viewsDatabase, log)
	rebuilt := port(s.t)
	s.launch(rebuiltDatabase, rebuilt)
	if again := s.readViews("http://"+address(rebuilt), rebuiltDatabase, log); views != again {
		s.t.Errorf("the views differ from those that are built anew:\n%s\n%s", views, again)
	}
}

// log is what the log says.
type log struct {
	keys              map[string]int // events by the keys of their commands
	balances          map[string]int64
	events, transfers int
	large             map[string]int  // transfers that an account sent
	frozen            map[string]bool // accounts
	last              uint64          // position
}

func (l *log) total() (cents int64) {
	for _, c := range l.balances {
		cents += c
	}
	return cents
}

// read reads the log, and folds it by itself.
func (s *system) read() *log {
	s.t.Helper()
	client, err := eventstore.New(eventstore.Options{URLs: []string{"http://" + address(s.apiPort)}})
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	l := &log{keys: make(map[string]int), balances: make(map[string]int64), large: make(map[string]int), frozen: make(map[string]bool)}
	err = client.ReadAll(ctx, eventstore.Query{}, eventstore.ReadOptions{}, func(e *eventstore.Event) error {
		var data struct{ Cents int64 }
		if err := json.Unmarshal(e.Payload, &data); err != nil {
			return err
		}
		switch e.Type {
		case "Deposited", "TransferReceived":
			l.balances[e.AggregateID] += data.Cents
		case "TransferSent":
			l.balances[e.AggregateID] -= data.Cents
			if data.Cents >= 1_000_00 {
				l.large[e.AggregateID]++
			}
			if l.balances[e.AggregateID] < 0 {
				s.t.Errorf("account %s has %d cents after position %d", e.AggregateID, l.balances[e.AggregateID], e.Position)
			}
		case "AccountFrozen":
			if l.frozen[e.AggregateID] {
				s.t.Errorf("account %s is frozen twice", e.AggregateID)
			}
			l.frozen[e.AggregateID] = true
		}
		if strings.HasPrefix(e.Type, "Transfer") {
			l.transfers++
		}
		l.keys[e.ID[:strings.LastIndex(e.ID, "/")]]++
		l.events++
		l.last = e.Position
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

// readViews waits until a service's views are as far as the log, compares the balances, and returns the content of both views.
func (s *system) readViews(url, database string, log *log) string {
	s.t.Helper()
	for _, path := range []string{"", "/statement"} {
		s.await(fmt.Sprintf("%s/accounts/%s%s?after=%d", url, account(0), path, log.last))
	}
	db, err := sql.Open("postgres", s.views(database))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	balances := rows(s.t, db, "SELECT account, cents FROM balances ORDER BY account")
	var want []string
	for _, account := range slices.Sorted(maps.Keys(log.balances)) {
		want = append(want, fmt.Sprintf("%s %d", account, log.balances[account]))
	}
	if !slices.Equal(balances, want) {
		s.t.Errorf("the balances of %s are %v, the log says %v", database, balances, want)
	}
	statements := rows(s.t, db, "SELECT account, concat_ws(' ', position, at, text, cents, balance) FROM statements ORDER BY account, position")
	if len(statements) != log.transfers+accounts {
		s.t.Errorf("the statements of %s have %d lines, the log has %d events of transfers and deposits", database, len(statements), log.transfers+accounts)
	}
	return strings.Join(append(balances, statements...), "\n")
}

// await asks until there is an answer.
func (s *system) await(url string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		response, err := httpClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if ctx.Err() != nil {
			s.t.Fatalf("GET %s: no answer within %v: %v", url, patience, err)
		}
	}
}

func rows(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	found, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var key, value string
		if err := found.Scan(&key, &value); err != nil {
			t.Fatal(err)
		}
		all = append(all, key+" "+value)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
