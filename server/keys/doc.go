// Package keys keeps the keys that encrypt fields of events: one for each person, the subject, whose data the fields are. Without the
// key nobody can read them, wherever they were copied; so to forget a person is to delete a key.
//
// Three layers of keys, each 256 bits of AES-GCM:
//
//   - The master key is outside: in a file, in the environment, or behind a command that asks a key management service.
//   - The ring has one secret, which the master key wraps: a key that wraps the keys of subjects, and one that makes names of them. So
//     the master key is needed once at the start, and the table does not say who the subjects are.
//   - Each version of a subject's key encrypts fields. The name of the version is beside what it encrypted.
//
// The table is in a database of its own. A backup of events that contained the keys would bring back a forgotten person.
//
// Associated data binds a ciphertext to its channel, its path and its key. So a ciphertext that somebody moves elsewhere does not
// decrypt, and no wrong key ever returns anything but an error.
package keys
