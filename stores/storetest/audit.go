package storetest

import (
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// testAudit: acts come back as they were saved, the newest first, a page at a time, also after a restart.
func testAudit(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	var acts []stores.AuditEntry // the newest first
	for i, action := range []string{"pause", "resume", "drop"} {
		e := stores.AuditEntry{ID: s.NewAuditID(), Time: 1_700_000_000_000_000_001 + int64(i), Principal: "jörg", Address: "::1", Action: action, Target: "q", Detail: "why"}
		saveConsumers(t, s, stores.ConsumerChanges{Audit: []stores.AuditEntry{e}})
		acts = slices.Insert(acts, 0, e)
	}
	s, _ = restart(t, s, o)
	for _, it := range []struct {
		before uint64
		limit  int
		want   []stores.AuditEntry
	}{
		{0, 10, acts}, {1 << 63, 10, acts}, {0, 2, acts[:2]}, {acts[1].ID, 10, acts[2:]}, {acts[2].ID, 10, nil},
	} {
		got, err := s.Audit(testContext(t), it.before, it.limit)
		if err != nil || !slices.Equal(got, it.want) {
			t.Errorf("before %d, at most %d: %+v, error %v\nwant %+v", it.before, it.limit, got, err, it.want)
		}
	}
}
