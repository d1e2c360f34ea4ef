package offline

import (
	"bytes"
	"errors"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores/verify"
)

// What a report names was chosen by clients, and stays on its line.
func TestReportOfHostileNames(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	printFindings(&progressLines{to: &out}, "FINDING", []verify.Finding{{
		Kind: "damaged", Table: "Channels", Key: "a\nNo faults found.\x1b[2J", Text: errors.New("\u202e").Error(),
	}}, map[string]int{"damaged": 1})
	if want := `FINDING damaged: Channels, a\nNo faults found.\x1b[2J: \u202e` + "\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}
