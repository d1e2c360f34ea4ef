package verify

// texts are the statements that differ between databases.
type texts struct {
	messages     string // (id, from sequence, limit) → the columns of row, by seq
	firstChannel string // (id) → the lowest id of Messages above it, or NULL
	countMessage string // (id) → number of messages, lowest and highest sequence
	hasEvents    string // (id) → a row if the channel holds an event
	objects      string // () → kind and name of indexes, triggers and views, in lower case
	integrity    string // () → the result of the database checking its own file, "ok" if it is sound; "" where it cannot

	lowest int64    // no seq is below it
	wanted []string // required parts of the schema
}
