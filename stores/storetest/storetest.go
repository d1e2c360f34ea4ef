// Package storetest tests the contract of an event store, on each database.
package storetest

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // drivers for raw
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/nats-io/stan.go/pb"
	googleproto "google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Run runs the contract. open returns the options of a store on a fresh, empty database, which must last until its test
// ends.
func Run(t *testing.T, open func(t *testing.T) stores.Options) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, o stores.Options)
	}{
		{"RoundTrip", testRoundTrip},
		{"RecoverEmpty", testRecoverEmpty},
		{"ReadBounds", testReadBounds},
		{"ManyChannelsInOneBatch", testManyChannels},
		{"ReadWhileAppending", testReadWhileAppending},
		{"RefusedRowsAreIsolated", testRefusedRows},
		{"Duplicates", testDuplicates},
		{"DuplicatesAreRetriedWithAnyVersion", testDuplicateVersions},
		{"Versions", testVersions},
		{"VersionsBeyondTheCache", testVersionsBeyondTheCache},
		{"VersionsUnique", testUniqueVersions},
		{"VersionsOff", testVersionsOff},
		{"VersionsInTheColumn", testVersionsInTheColumn},
		{"VersionsAndIdentifiersAsModelled", testVersionsModel},
		{"Copies", testCopies},
		{"CopiesToUnknownChannels", testCopiesToUnknownChannels},
		{"Groups", testGroups},
		{"Conditions", testConditions},
		{"GroupsRefused", testGroupsRefused},
		{"GroupCommitLost", testGroupCommitLost},
		{"Relays", testRelays},
		{"PlainSQL", testPlainSQL},
		{"EmptyChannels", testEmptyChannels},
		{"Identifiers", testIdentifiers},
		{"Documents", testDocuments},
		{"AggregatesInParts", testAggregatesInParts},
		{"Lease", testLease},
		{"LeaseIsTakenOnce", testLeaseIsTakenOnce},
		{"Fencing", testFencing},
		{"Follower", testFollower},
		{"FollowerRefuses", testFollowerRefuses},
		{"Timestamps", testTimestamps},
		{"ClockBehind", testClockBehind},
		{"SequenceAt", testSequenceAt},
		{"Queries", testQueries},
		{"QueriesOfManyEvents", testQueriesOfManyEvents},
		{"QueriesOfMetadata", testQueriesOfMetadata},
		{"QueriesOfDamagedRows", testQueriesOfDamagedRows},
		{"PositionAt", testPositionAt},
		{"Clients", testClients},
		{"Channels", testChannels},
		{"Subscriptions", testSubscriptions},
		{"Consumers", testConsumers},
		{"Wildcards", testWildcards},
		{"ConsumersOfMany", testConsumersOfMany},
		{"ConsumersCommitLost", testConsumersCommitLost},
		{"ConsumersOfEarlierReleases", testConsumersOfEarlierReleases},
		{"ConsumersDamaged", testConsumersDamaged},
		{"Parked", testParked},
		{"Audit", testAudit},
		{"Appenders", testAppenders},
		{"ParkedMany", testParkedMany},
		{"ParkedDamaged", testParkedDamaged},
		{"Views", testViews},
		{"ProgressOfNATSStreaming", testProgressOfNATSStreaming},
		{"DatabaseOfNATSStreaming", testDatabaseOfNATSStreaming},
		{"NoMigrate", testNoMigrate},
		{"MigrationsRunAgain", testMigrationsRunAgain},
		{"MigrationWaits", testMigrationWaits},
		{"MigrationOfStandby", testMigrationOfStandby},
		{"NewerSchema", testNewerSchema},
		{"Immutable", testImmutable},
		{"ChannelsKeepEvents", testChannelsKeepEvents},
		{"Indexes", testIndexes},
		{"IndexedFields", testIndexedFields},
		{"IndexesWhileAppending", testIndexesWhileAppending},
		{"IndexInterrupted", testIndexInterrupted},
		{"IndexFenced", testIndexFenced},
		{"DocumentIndex", testDocumentIndex},
		{"CommitLost", testCommitLost},
		{"LateBatch", testLateBatch},
		{"LateAfterReread", testLateAfterReread},
		{"LateOfDeleted", testLateOfDeleted},
		{"LateRefused", testLateRefused},
		{"RowsGone", testRowsGone},
		{"ChannelMoved", testChannelMoved},
		{"Interrupted", testInterrupted},
		{"OtherEpoch", testOtherEpoch},
		{"Rewound", testRewound},
		{"RewoundInDoubt", testRewoundInDoubt},
		{"OutcomeUnknown", testOutcomeUnknown},
		{"UnknownChannels", testUnknownChannels},
		{"CreateChannels", testCreateChannels},
		{"UnknownOutcomes", testUnknownOutcomes},
		{"DamagedInDoubt", testDamagedInDoubt},
		{"ConnectionLost", testConnectionLost},
		{"Locked", testLocked},
		{"ReadersBlock", testReadersBlock},
		{"Prune", testPrune},
		{"DeleteChannel", testDeleteChannel},
		{"Backfill", testBackfill},
		{"BackfillTooLate", testBackfillTooLate},
		{"BackfillInterrupted", testBackfillInterrupted},
		{"Restore", testRestore},
		{"Order", testOrder},
		{"OrderOfTimes", testOrderOfTimes},
		{"OrderInDoubt", testOrderInDoubt},
		{"OrderRewound", testOrderRewound},
		{"OrderErased", testOrderErased},
		{"OrderImmutable", testOrderImmutable},
		{"OrderOfBackfill", testOrderOfBackfill},
		{"ChainImmutable", testChainImmutable},
		{"ChainErasedTwice", testChainErasedTwice},
		{"ChainOfOlder", testChainOfOlder},
		{"Numbering", testNumbering},
		{"FirstNumbering", testFirstNumbering},
		{"NumberAll", testNumberAll},
		{"Inspect", testInspect},
		{"Closed", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

// testContext returns a context that ends before the test binary times out.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open opens a store.
func open(t *testing.T, o stores.Options) *stores.Store {
	t.Helper()
	s, err := stores.Open(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// lead opens a store, takes the lease and recovers.
func lead(t *testing.T, o stores.Options) (*stores.Store, *stores.State) {
	t.Helper()
	s := open(t, o)
	held, _, err := s.TryLease(testContext(t), "server", stores.Lease{})
	if err != nil || !held {
		t.Fatalf("TryLease: held %v, error %v", held, err)
	}
	state, err := s.Recover(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return s, state
}

// restart closes a store and opens it again.
func restart(t *testing.T, s *stores.Store, o stores.Options) (*stores.Store, *stores.State) {
	t.Helper()
	s.Close()
	return lead(t, o)
}

func channel(t *testing.T, s *stores.Store, name string) *stores.Channel {
	t.Helper()
	c, err := s.CreateChannel(testContext(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// raw opens the database beside the store.
func raw(t *testing.T, o stores.Options) *sql.DB {
	t.Helper()
	db, err := sql.Open(o.Driver, o.Source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if o.Driver == "sqlite" {
		db.SetMaxOpenConns(1)
		exec(t, db, "PRAGMA busy_timeout = 10000")
	}
	return db
}

func exec(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.ExecContext(testContext(t), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func queryText(t *testing.T, db *sql.DB, text string) string {
	t.Helper()
	var value sql.NullString
	if err := db.QueryRowContext(testContext(t), text).Scan(&value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if !value.Valid {
		return "NULL"
	}
	return value.String
}

// blob returns a literal of bytes.
func blob(o stores.Options, data []byte) string {
	if o.Driver == "postgres" {
		return `'\x` + hex.EncodeToString(data) + `'`
	}
	return "x'" + hex.EncodeToString(data) + "'"
}

// event is an event to publish.
type event struct {
	id, typ, aggregate, aggregateType string
	version                           uint64
	data                              string
	correlation                       string // correlation_id of the metadata
	tags                              []string
}

// on returns an event as a message to store.
func (e event) on(t *testing.T, c *stores.Channel) stores.Append {
	t.Helper()
	if e.typ == "" {
		e.typ = "OrderCreated"
	}
	if e.data == "" {
		e.data = `{"amount":1}`
	}
	message := &eventstorev1.Event{
		EventId: e.id, EventType: e.typ, AggregateId: e.aggregate, AggregateType: e.aggregateType,
		EventVersion: e.version, EventData: []byte(e.data), Tags: e.tags,
	}
	if e.correlation != "" {
		message.Metadata = map[string]string{"correlation_id": e.correlation}
	}
	payload, err := googleproto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	extracted, err := proto.Extract(payload)
	if err != nil {
		t.Fatal(err)
	}
	return stores.Append{Channel: c, Payload: payload, Event: &extracted}
}

func appendAll(t *testing.T, s *stores.Store, batch ...stores.Append) []stores.Result {
	t.Helper()
	results, err := s.Append(testContext(t), batch)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(batch) {
		t.Fatalf("%d results for %d messages", len(results), len(batch))
	}
	return results
}

// outcome shortens a result to "1", "dup 1", or the error.
func outcome(r stores.Result) string {
	switch {
	case r.Err != nil:
		return r.Err.Error()
	case r.Duplicate:
		return fmt.Sprintf("dup %d", r.Sequence)
	}
	return fmt.Sprint(r.Sequence)
}

func expect(t *testing.T, results []stores.Result, want ...string) {
	t.Helper()
	var got []string
	for _, r := range results {
		got = append(got, outcome(r))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("results:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func expectError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// readAll returns all messages of a channel, decoded. It checks that their sequences are contiguous from 1 on.
func readAll(t *testing.T, s *stores.Store, c *stores.Channel) []*pb.MsgProto {
	t.Helper()
	var all []*pb.MsgProto
	for next := uint64(1); ; {
		messages, err := s.Read(testContext(t), c, next, 1<<62, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(messages) == 0 {
			break
		}
		for _, m := range messages {
			if m.Sequence != next {
				t.Fatalf("sequence %d, want %d", m.Sequence, next)
			}
			var decoded pb.MsgProto
			if err := decoded.Unmarshal(m.Data); err != nil {
				t.Fatal(err)
			}
			if decoded.Sequence != m.Sequence || decoded.Timestamp != m.Timestamp || decoded.Subject != c.Name() {
				t.Fatalf("message %d: its columns and its data differ: %+v", m.Sequence, decoded)
			}
			all = append(all, &decoded)
			next++
		}
	}
	info := c.Info()
	if info.Msgs != uint64(len(all)) || info.Last != uint64(len(all)) {
		t.Fatalf("%d messages, but the channel has %+v", len(all), info)
	}
	return all
}
