package proto

import "bytes"

// explainJSON replaces the reason to refuse a payload of protobuf if the payload is JSON: what a decoder finds in JSON says
// nothing to its publisher.
func explainJSON(err error, payload []byte, message string) error {
	if err == nil {
		return nil
	}
	payload = bytes.TrimPrefix(payload, byteOrderMark)
	start := skipSpace(payload, 0)
	if start == len(payload) || payload[start] != '{' && payload[start] != '[' || !storable(payload, maxDepth) {
		return err
	}
	return &InvalidError{Reason: "this looks like JSON: messages of this channel are " + message +
		", encoded as protobuf; a block events with format: json or cloudevents accepts JSON"}
}
