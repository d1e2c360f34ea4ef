package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// testReadersBlock: readers that use all their connections delay neither the lease nor a commit.
func testReadersBlock(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	expect(t, appendAll(t, s, event{aggregate: "a"}.on(t, c)), "1")

	const readers = 50
	waiting := make(chan struct{}, readers)
	release := faults.HoldQueries("Relays", func() { waiting <- struct{}{} })
	var reading sync.WaitGroup
	defer reading.Wait()
	defer release()
	for i := range readers {
		reading.Go(func() {
			if _, err := s.Relay(testContext(t), fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	<-waiting // one has its connection; the others take the rest before or during what follows
	for version := uint64(1); version <= 20; version++ {
		if err := s.RenewLease(testContext(t)); err != nil {
			t.Fatal(err)
		}
		// An aggregate that memory does not know is looked up.
		expect(t, appendAll(t, s, event{id: fmt.Sprint(version), aggregate: fmt.Sprint("b", version)}.on(t, c)), fmt.Sprint(version+1))
		expect(t, appendAll(t, s, event{id: fmt.Sprint(version), aggregate: fmt.Sprint("b", version)}.on(t, c)), fmt.Sprint("dup ", version+1))
	}
	if err := s.PutClient(testContext(t), &spb.ClientInfo{ID: "me"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(testContext(t), channel(t, s, "plain"), 0); err != nil {
		t.Fatal(err)
	}
}
