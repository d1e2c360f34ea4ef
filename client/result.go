package eventstore

// Outcome tells what became of a command.
type Outcome struct {
	// Position is that of the last event that the command stored. If it stored none, it is the position up to which the command
	// has read: what it saw is there for a reader with Client.AtLeast or Projector.WaitFor.
	Position uint64
	// Stored is where the events are that this call stored, in the order in which decide returned them. It is nil if there are none.
	Stored []Position
	// Repeated means that an earlier call with this Command stored its events. Then this call stores none.
	Repeated bool
}

// Result is an Outcome with the state of an aggregate.
type Result[S any] struct {
	// State is the state after the command. Decider.Decide returns the state that it decided on.
	State S
	// Version is that of the last event in State, and 0 if there is none. Decider.Decide leaves it 0.
	Version uint64
	// Sequence is that of the last event in State, in the channel, and 0 if there is none. After Decider.Decide it is that of the
	// last event stored.
	Sequence uint64
	Outcome
}
