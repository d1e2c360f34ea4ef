package stores

import (
	"database/sql"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// DamagedError says that neither this store nor NATS Streaming can have written a row. Only what depends on the row is
// out of service.
type DamagedError struct {
	Table  string // "Channels"
	Key    string // identifies the row
	Reason string

	// Channel is out of service because of the row; "" if none is.
	Channel string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the row of table %s with %s is damaged: %s", e.Table, e.Key, e.Reason)
}

// Is makes every DamagedError an errCorrupt.
func (e *DamagedError) Is(target error) bool { return target == errCorrupt }

// checkData returns an error unless data is a pb.MsgProto of the sequence and the channel. Anything else could crash a
// client. NATS Streaming and this store write its fields in the order of their numbers.
func checkData(c *Channel, sequence uint64, data []byte) error {
	reason := ""
	switch at := headerLength(data, sequence, c.name); {
	case at < 0:
		reason = "data does not begin with its sequence and its channel"
	case !fieldsDecode(data[at:]):
		reason = "data is not a MsgProto"
	default:
		return nil
	}
	return damagedMessage(c, sequence, reason)
}

func damagedMessage(c *Channel, sequence uint64, reason string) error {
	return &DamagedError{Table: "Messages", Key: fmt.Sprintf("id %d (channel %q), seq %d", c.id, c.name, sequence), Reason: reason}
}

// number scans a column of non-negative numbers. A foreign value does not end the query.
type number struct {
	n     uint64
	wrong bool
	value any // what the column holds if wrong is set
}

// Scan implements sql.Scanner.
func (n *number) Scan(value any) error {
	var v sql.Null[uint64]
	err := v.Scan(value)
	*n = number{n: v.V, wrong: err != nil || !v.Valid, value: value}
	if text, ok := value.([]byte); ok {
		n.value = string(text)
	}
	return nil
}

// problem says what is wrong with the column, or returns "".
func (n number) problem(column string) string {
	if !n.wrong {
		return ""
	}
	return fmt.Sprintf("%s is %v, which is not a sequence", column, n.value)
}

// headerLength returns the length of the fields sequence (1) and subject (2), or -1 if data does not begin with them.
func headerLength(data []byte, sequence uint64, name string) int {
	var header [2 + 2*10]byte
	b := protowire.AppendTag(header[:0], 1, protowire.VarintType)
	b = protowire.AppendVarint(b, sequence)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(name)))
	n := len(b) + len(name)
	if len(data) < n || string(data[:len(b)]) != string(b) || string(data[len(b):n]) != name {
		return -1
	}
	return n
}

// fieldsDecode reports whether the rest of a MsgProto has a valid wire format. Nothing interprets its strings.
func fieldsDecode(b []byte) bool {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		switch number {
		case 3, 4: // reply, data
			if wire != protowire.BytesType {
				return false
			}
		case 5, 6, 7, 10: // timestamp, redelivered, redeliveryCount, CRC32
			if wire != protowire.VarintType {
				return false
			}
		}
		m := protowire.ConsumeFieldValue(number, wire, b[n:])
		if m < 0 {
			return false
		}
		b = b[n+m:]
	}
	return true
}
