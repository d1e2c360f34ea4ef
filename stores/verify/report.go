package verify

// Report is what Run found. Findings contradict what this server or NATS Streaming writes. Notes are worth knowing,
// such as sequences that were missing before a channel became an event channel.
type Report struct {
	Driver     string `json:"database"`
	Schema     int64  `json:"schema"`
	Channels   int    `json:"channels"`
	Messages   uint64 `json:"messages"`
	Bytes      uint64 `json:"bytes"` // of the encoded messages
	Events     uint64 `json:"events"`
	Aggregates uint64 `json:"aggregates"`
	Erased     uint64 `json:"erased"`  // missing messages that Options.Erased names
	Chained    uint64 `json:"chained"` // events whose hash was checked
	Heads      int    `json:"heads"`   // of the chain that were compared
	// ErasedContents are events whose content was erased: their digest stands for it.
	ErasedContents uint64 `json:"erased_contents"`
	Subscriptions  int    `json:"subscriptions"`
	Clients        int    `json:"clients"`

	Findings     []Finding      `json:"findings"`
	FindingCount map[string]int `json:"finding_counts"` // by kind, including those that Findings leaves out
	Notes        []Finding      `json:"notes"`
	NoteCount    map[string]int `json:"note_counts"`
}
