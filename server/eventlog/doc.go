// Package eventlog is the log that all doors share: NATS Streaming, the API and the relays append to it and read from it.
// It is built on a store, and lives for as long as the server holds the lease of the database.
//
// # Append
//
// A door acquires the bytes of a message from Admission and submits it. Admission is one bound for all doors; it is fair,
// and one large message always passes when nothing else is held. The log releases the bytes when it has answered.
//
// A submission waits in the line of its channel, first to be decoded, then to be committed. Decoders and the writer take
// from the lines in turn. So nothing that is slow for one channel delays another: neither a heavy payload, nor a burst,
// nor the creation of a channel, which a goroutine of its own does for many channels in one transaction.
//
// The writer commits in groups. It takes whatever was queued while the previous commit ran, stores it in one transaction,
// lets readers have it and then answers. There is no timer: an idle writer commits a lone message at once.
//
// # Deadlines
//
// A deadline belongs to a submission, not to a batch: it is answered within StoreTimeout of its receipt, however much
// waits before it. A transaction gets the earliest deadline of its batch, but at least a fifth of the timeout, so that a
// slow database is not taken for one that is away. Everything else that waits is refused by its own deadline, by a
// goroutine that waits for nothing but time.
//
// After a batch has failed, the writer commits nothing until a probe tells that the database works again. The probe also
// finds out what became of the batch: if its outcome was unknown, its messages may be stored after all, and all readers
// are woken.
//
// # Read
//
// A Cursor is the one way to read a channel onwards. What was committed lately comes from the tail in memory, the rest
// from the database: in turn, so that readers leave connections to the writer, within a bound of memory, and paced while
// commits are slow. A cursor knows holes. Messages that are gone are passed over by one read, and where nothing follows,
// the database is not asked again before something new is committed.
//
// # Retention
//
// What exceeds the limits of a channel is removed for all readers as soon as it is known, by the channel's window: Info,
// cursors, lookups and start positions respect it. The rows are removed later, many at a time, in short steps between two
// batches. A publish to a full channel therefore costs its own transaction and no other. A number of messages is known at
// once, bytes are known where the messages are in memory, and else when retention has read them.
package eventlog
