// Package consumers delivers messages to groups of subscriptions: queue groups, and subscriptions that are a group of one.
//
// A group has one position: the last sequence that it was sent, and the messages up to there that it has not acknowledged.
// Each is at any moment acknowledged, or stored as unacknowledged, or above the stored position; so a crash at any moment
// repeats messages and loses none. Three rules keep that true.
//
//  1. Everything that happens to a group (a join, a leave, an ack, a message sent or dealt to another member) changes one
//     state machine, in memory, under the lock of that group alone. It is pure: see state.
//  2. One goroutine writes what changed. What changed of a group at one moment is written in one transaction: its members,
//     its position and the parts of its unacknowledged messages. See positions.
//  3. What is written is absolute. After an error, whether or not it was stored, the group's state at that later moment is
//     written. Memory is never rolled back to what the database may hold.
package consumers
