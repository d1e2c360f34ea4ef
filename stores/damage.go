package stores

import (
	"database/sql"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// DamagedError says that a row can not be what this store or NATS Streaming wrote. What depends on the row is out of
// service, and nothing else.
type DamagedError struct {
	Table  string // "Channels"
	Key    string // of the row
	Reason string

	// Channel is out of service because of the row; "": none is.
	Channel string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the row of table %s with %s is damaged: %s", e.Table, e.Key, e.Reason)
}

// Is makes it one of this package's errors of content.
func (e *DamagedError) Is(target error) bool { return target == errCorrupt }

// checkData returns an error unless data is a pb.MsgProto of the sequence and the channel. A client that is sent anything
// else may not survive it. Its fields are in the order of their numbers, as NATS Streaming and this store write them.
func checkData(c *Channel, sequence uint64, data []byte) error {
	reason := ""
	switch at := headerLength(data, sequence, c.name); {
	case at < 0:
		reason = "data does not begin with its sequence and its channel"
	case !fieldsDecode(data[at:]):
		reason = "data is no MsgProto"
	default:
		return nil
	}
	return damagedMessage(c, sequence, reason)
}

func damagedMessage(c *Channel, sequence uint64, reason string) error {
	return &DamagedError{Table: "Messages", Key: fmt.Sprintf("id %d (channel %q), seq %d", c.id, c.name, sequence), Reason: reason}
}

// number is a column of numbers that are not negative. What else somebody wrote there does not end the query.
type number struct {
	n     uint64
	wrong bool
	value any // what the column holds if it is wrong
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

// problem says what is wrong with the column, "" if nothing is.
func (n number) problem(column string) string {
	if !n.wrong {
		return ""
	}
	return fmt.Sprintf("%s is %v, which is no sequence", column, n.value)
}

// headerLength returns the length of the fields sequence (1) and subject (2), -1 if data does not begin with these.
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

// fieldsDecode says whether the rest of a MsgProto, whose strings nobody interprets, has the wire format.
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
