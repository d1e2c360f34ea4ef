package proto

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// The limit on metadata entries applies to new events, counting repeated keys. Stored events can exceed it.
func TestMetadataEntriesAreLimited(t *testing.T) {
	t.Parallel()
	mapping := orders(t)
	event := append(bytesField(2, "T"), bytesField(3, "a")...)
	mapped := encode(t, mapping, `{"header": {"order_id": "order-17"}, "order_placed": {}}`)
	for name, it := range map[string]struct {
		m       *Mapping
		payload []byte
		field   protowire.Number
	}{
		"envelope": {nil, event, 8},
		"mapping":  {mapping.Mapping, mapped, 6},
	} {
		distinct := bytes.Clone(it.payload)
		for i := range MaxMetadata {
			distinct = append(distinct, bytesField(it.field, string(bytesField(1, fmt.Sprint(i))))...)
		}
		if ev, err := it.m.ExtractNew(distinct); err != nil || len(ev.Metadata) == 0 {
			t.Errorf("%s, as many as allowed: %v", name, err)
		}
		many := distinct
		for range 1 << 10 {
			many = append(many, bytesField(it.field, "")...)
		}
		if _, err := it.m.ExtractNew(many); !errors.Is(err, ErrMetadataEntries) || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s, too many: %v", name, err)
		}
		stored := append(bytes.Clone(distinct), bytesField(it.field, "")...)
		if _, err := it.m.Extract(stored); err != nil {
			t.Errorf("%s, stored with more than the limit: %v", name, err)
		}
	}
}
