package eventstore_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// A server that redirects to another host does not get the events sent there.
func TestRedirect(t *testing.T) {
	t.Parallel()
	serve := func(handler http.HandlerFunc) string {
		s := httptest.NewUnstartedServer(handler)
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
		t.Cleanup(s.Close)
		return s.URL
	}
	var stolen atomic.Int64
	thief := serve(func(http.ResponseWriter, *http.Request) { stolen.Add(1) })
	moved := serve(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief+r.URL.Path, http.StatusTemporaryRedirect)
	})
	client, err := eventstore.New(eventstore.Options{URLs: []string{moved}, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.Append(t.Context(), "eventstore.orders", []eventstore.NewEvent{{Type: "OrderPlaced", AggregateID: "o"}})
	if err == nil || stolen.Load() != 0 {
		t.Errorf("%d requests followed the redirect, error %v", stolen.Load(), err)
	}
}
