// Package consumers delivers messages to groups of subscriptions. A queue group is one; any other subscription is a
// group of one.
//
// A group reads a line: a channel by sequence, or the events of all channels that match a pattern by position, which then takes the
// place of a sequence everywhere. See Line.
//
// A group's position is the last sequence sent, and the unacknowledged messages up to there. At any moment, each
// message is acknowledged, parked, stored as unacknowledged, or above the stored position. So a crash repeats messages but
// loses none. An unacknowledged message is with a member, or waits to be: behind another of its key, until its time, or to be
// sent again (waiting.go). Three rules keep that true.
//
// 1. Every change of a group (a join, a leave, an ack, a message sent or dealt to another member) changes one state
// machine in memory, under that group's lock alone. The state machine is pure: see state.
//
// 2. One goroutine writes the changes. It writes all changes of a group up to one moment in one transaction: members,
// position and parts of the unacknowledged messages. See positions.
//
// 3. Writes are absolute. After an error, whether or not the write took effect, the next write stores the group's state
// at that later moment. Memory is never rolled back to what the database may hold.
package consumers
