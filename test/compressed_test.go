package test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A database may compress what it stores (docs/operate/sizing.md): everybody reads the same bytes, before and after.
func TestCompressedByTheDatabase(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		compress, compressed := "VACUUM", "SELECT 1"
		switch driver {
		case "postgres":
			compress = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_toast_compression = ''lz4''', current_database()); END $$"
			compressed = "SELECT COUNT(*) / 20 FROM Messages WHERE pg_column_compression(data) = 'lz4' AND seq > 20"
		case "mysql":
			compress = "ALTER TABLE Messages MODIFY data LONGBLOB COMPRESSED"
			compressed = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'Messages' AND column_name = 'data' AND column_type LIKE '%COMPRESSED%'"
			if !strings.Contains(query(t, driver, source, "SELECT VERSION()")[0], "MariaDB") { // MySQL compresses no column
				compress = "ALTER TABLE Messages ROW_FORMAT = COMPRESSED KEY_BLOCK_SIZE = 8"
				compressed = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'Messages' AND row_format = 'Compressed'"
			}
		}
		s := start(t, driver, source)
		sc := s.connect("client")
		published := 0
		var want [][]byte // as they were delivered first, with the versions that the server gave
		add := func() {
			for i := range 20 {
				lines := strings.Repeat(`{"product":"P-1","quantity":2},`, 150)
				publish(t, sc, "eventstore.orders", event(t, fmt.Sprint("order-", i), "OrderPlaced", withData(fmt.Sprintf(`{"n":%d,"lines":[%s{}]}`, published, lines))))
				published++
			}
		}
		check := func(sc stan.Conn) {
			t.Helper()
			sub, in := subscribe(t, sc, "eventstore.orders", stan.DeliverAllAvailable())
			for i := range published {
				m := in.next(t)
				if i == len(want) && bytes.Contains(m.Data, fmt.Appendf(nil, `{"n":%d,`, i)) {
					want = append(want, m.Data)
				}
				if m.Sequence != uint64(i+1) || i >= len(want) || !bytes.Equal(m.Data, want[i]) {
					t.Fatalf("event %d has sequence %d and %d bytes", i+1, m.Sequence, len(m.Data))
				}
			}
			if err := sub.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
		}
		add()
		check(sc)
		s.Stop()
		execute(t, driver, source, compress)
		s = start(t, driver, source)
		sc = s.connect("client")
		check(sc)
		add()
		check(sc)
		if got := query(t, driver, source, compressed); len(got) != 1 || got[0] != "1" {
			t.Errorf("the database compresses nothing: %v", got)
		}
		s.Stop()
		s = start(t, driver, source)
		check(s.connect("client"))
		if r, status := verify(t, driver, source); status != 0 || r.Events != uint64(published) {
			t.Errorf("verify: %d events, status %d, findings %v", r.Events, status, r.Findings)
		}
	})
}
