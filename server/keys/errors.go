package keys

import "errors"

var (
	// ErrLocked means that the master key is missing, or is another one than the key table was made with. Nothing can be encrypted
	// or decrypted until it is back.
	ErrLocked = errors.New("the master key of encrypted fields is not available")
	// ErrUnavailable means that the database of the keys did not answer.
	ErrUnavailable = errors.New("the database of the keys is unavailable")
	// ErrUnknownSubject means that the table has no key of a subject.
	ErrUnknownSubject = errors.New("no field of this subject was ever encrypted")

	// errUndecipherable means that the secret of the ring does not open a key.
	errUndecipherable = errors.New("does not decrypt: the key table is damaged, or was mixed with another one")
)
