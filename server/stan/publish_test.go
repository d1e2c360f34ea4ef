package stan

import (
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"
)

// TestSubmitter has somebody publish in a client's name without its connection ID: that takes no turns of the client.
func TestSubmitter(t *testing.T) {
	t.Parallel()
	modern, old := newClient(&spb.ClientInfo{ID: "a", ConnID: []byte("id")}), newClient(&spb.ClientInfo{ID: "a"})
	if own, other := submitter(modern, &pb.PubMsg{ClientID: "a", ConnID: []byte("id")}), submitter(modern, &pb.PubMsg{ClientID: "a"}); own != "a" || other == own {
		t.Errorf("the client itself is %q, somebody else %q", own, other)
	}
	if got := submitter(old, &pb.PubMsg{ClientID: "a"}); got != "a" {
		t.Errorf("a client without a connection ID is %q", got)
	}
}
