package failover

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestSynchronousStandby kills the primary under load and promotes its standby.
func TestSynchronousStandby(t *testing.T) {
	t.Parallel()
	primary, standby := databases.Synchronous(t)
	s := harness.Start(t, "postgres", databases.Hosts(primary, standby, "postgres"), "-store_timeout", "2s")
	l := startLoad(t, s.URL(), "a")
	l.await(200)
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	l.await(200)

	// The former primary returns with a standby that confirms its commits. The server must send it no commits.
	if err := primary.Restart(); err != nil {
		t.Fatal(err)
	}
	l.await(200)
	l.check()
	s.Stop()
	harness.Verify(t, "postgres", standby.DSN("postgres"))
}
