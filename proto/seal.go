package proto

import (
	"fmt"
	"slices"
	"strings"
)

// SealConfig says which values of an event are encrypted, and whose they are. Paths are those of a MappingConfig of the format; in
// eventstore.v1.Event they begin in event_data, which is JSON.
type SealConfig struct {
	// Subject is the source of the person's identifier: a text or an integer. It stays readable.
	Subject string
	// Fields are the sources of what is encrypted. In JSON it may have any type; in protobuf it is a string or bytes. Lists stand for
	// each of their elements.
	Fields []string
}

// Seals finds values to encrypt, and encrypted ones, in payloads of one format. It knows no keys. It is safe for concurrent use.
type Seals struct{ format sealFormat }

// sealFormat finds values in payloads.
type sealFormat interface {
	// find returns the values to seal. Values that are sealed already are an error.
	find(payload []byte) (*Found, error)
	// sealed returns the values that are sealed.
	sealed(payload []byte) *Found
}

// NewSeals compiles what is to be encrypted in the payloads of a mapping. Its error names the invalid setting.
func NewSeals(of MappingConfig, configs []SealConfig) (*Seals, error) {
	for i, cfg := range configs {
		switch {
		case strings.TrimSpace(cfg.Subject) == "":
			return nil, fmt.Errorf("encrypt: entry %d has no subject: name what holds the person's identifier", i+1)
		case len(cfg.Fields) == 0:
			return nil, fmt.Errorf("encrypt: entry %d has no fields: name what to encrypt", i+1)
		}
	}
	var (
		f   sealFormat
		err error
	)
	switch {
	case of.IsZero():
		f, err = newSealedDocuments(of, configs, true)
	case of.Format == FormatJSON || of.Format == FormatCloudEvents:
		f, err = newSealedDocuments(of, configs, false)
	default:
		f, err = newSealedMessages(of, configs)
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return &Seals{f}, nil
}

// Find returns the values of a new payload that are to be encrypted, nil if it has none. The error, an *InvalidError, says that a
// value cannot be encrypted: the payload does not say whose it is, or the value is encrypted already.
func (s *Seals) Find(payload []byte) (*Found, error) {
	found, err := s.format.find(payload)
	if err != nil || len(found.values) == 0 {
		return nil, err
	}
	return found, nil
}

// Sealed returns the encrypted values of a payload, nil if it has none. In JSON it finds them wherever they are.
func (s *Seals) Sealed(payload []byte) *Found {
	if found := s.format.sealed(payload); found != nil && len(found.values) > 0 {
		return found
	}
	return nil
}

// Found are values of a payload.
type Found struct {
	values []foundValue
	// replace returns the payload with other values. An element that is nil leaves its value.
	replace func(values [][]byte) []byte
	// mark returns what an encrypted value looks like.
	mark  func(Sealed) []byte
	blank []byte // a value that stands for none
}

type foundValue struct {
	path    string
	subject string // of a value to seal
	clear   []byte // likewise
	sealed  Sealed
}

// Sealed is an encrypted value.
type Sealed struct {
	Key        string // names the key: letters, digits, - _ and .
	Ciphertext []byte
}

// Subjects returns whose values were found by Find, each once.
func (f *Found) Subjects() []string {
	var all []string
	for _, v := range f.values {
		if !slices.Contains(all, v.subject) {
			all = append(all, v.subject)
		}
	}
	return all
}

// Keys returns the names of the keys of what was found by Sealed, each once.
func (f *Found) Keys() []string {
	var all []string
	for _, v := range f.values {
		if !slices.Contains(all, v.sealed.Key) {
			all = append(all, v.sealed.Key)
		}
	}
	return all
}

// Seal returns the payload with each value encrypted by a function.
func (f *Found) Seal(with func(subject, path string, clear []byte) (Sealed, error)) ([]byte, error) {
	replaced := make([][]byte, len(f.values))
	for i, v := range f.values {
		sealed, err := with(v.subject, v.path, v.clear)
		if err != nil {
			return nil, err
		}
		replaced[i] = f.mark(sealed)
	}
	return f.replace(replaced), nil
}

// Open returns the payload with the values that a function decrypts. The others stay encrypted; opened is how many did not.
func (f *Found) Open(with func(path string, s Sealed) (clear []byte, ok bool)) (payload []byte, opened int) {
	replaced := make([][]byte, len(f.values))
	for i, v := range f.values {
		if clear, ok := with(v.path, v.sealed); ok {
			replaced[i] = clear
			opened++
		}
	}
	return f.replace(replaced), opened
}

// Blank returns the payload without the values, to compare what is left of it.
func (f *Found) Blank() []byte {
	replaced := make([][]byte, len(f.values))
	for i := range replaced {
		replaced[i] = f.blank
	}
	return f.replace(replaced)
}

// errSealedAlready refuses a payload whose publisher has read an encrypted value and sends it again. To store it would let the reader
// of one channel have another's values decrypted.
func errSealedAlready(path string) error {
	return &InvalidError{Field: path, Reason: "is encrypted already: publish what was read with the right personal"}
}

func errNoSubject(path, subject string) error {
	return &InvalidError{Field: path, Reason: "cannot be encrypted: " + subject + ", which says whose it is, is absent, null or empty"}
}

func errTwoSubjects(subject string) error {
	return &InvalidError{Field: subject, Reason: "has several values: it must say whose the encrypted fields are"}
}

// errColumn refuses to encrypt what a column shows.
func errColumn(field, column string) error {
	return fmt.Errorf("field %q is the %s, too, which everybody reads: encrypt another field, or take the %s from elsewhere", field, column, column)
}
