// Package eventlog is the log that all doors share: NATS Streaming, the API and the relays append to it and read from
// it. It is built on a store and lives while the server holds the database lease.
//
// # Append
//
// A door acquires a message's bytes from Admission and submits the message. All doors share one Admission. It is fair,
// and a message of any size is admitted when nothing else is held. The log releases the bytes after its answer.
//
// A submission waits in its channel's line, first for decoding, then for the commit. Decoders and the writer serve the
// lines in turn. So nothing slow in one channel delays another, be it a heavy payload, a burst or a new channel. A
// goroutine of its own creates channels, many in one transaction.
//
// The writer commits in groups. It takes what was queued during the previous commit, stores it in one transaction,
// passes it to readers and then answers. There is no timer: an idle writer commits a lone message at once.
//
// # Deadlines
//
// Each submission has its own deadline: StoreTimeout after its receipt. A healthy database that is merely behind refuses
// nothing, and each batch may take the whole timeout. Once a batch has failed, and until one succeeds, deadlines count: a
// goroutine that waits only for time refuses what waits at its deadline, however much waits before it. A transaction then gets
// the earliest deadline of its batch, but at least a fifth of the timeout.
//
// After a failed batch, the writer commits nothing until a probe shows that the database works again. The probe also
// resolves the batch. If its outcome was unknown, its messages may be stored after all, so all readers are woken.
//
// # Read
//
// A Cursor is the only way to read a channel forward. Recent messages come from the tail in memory, others from the
// database. Database reads take turns, so that the writer gets its connections; they are bounded in memory, and paced
// while commits are slow. A cursor passes missing messages with one read. At the end it queries nothing until the next
// commit.
//
// An EventCursor reads the events of all channels that match a query, by position, in the same way. While somebody does,
// the last events by position are in memory, too, and readers who follow the log ask the database nothing.
//
// # Retention
//
// A channel's window hides messages over its limits from all readers as soon as they are known: Info, cursors, lookups
// and start positions respect it. Their rows are removed later, many at a time, in short steps between two batches. A
// publish to a full channel therefore costs only its own transaction. Message counts are known at once. Bytes are known
// for messages in memory; otherwise retention reads the messages first.
package eventlog
