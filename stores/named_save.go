package stores

import (
	"cmp"
	"context"
)

// NewAuditID returns an ID for a new AuditEntry.
func (s *Store) NewAuditID() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auditID++
	return s.auditID
}

// maxAuditText bounds the texts of an AuditEntry, in bytes.
const maxAuditText = 16 << 10

// saveNamed saves what changes say about named consumers and their messages, and who did it.
func (s *Store) saveNamed(ctx context.Context, t *transaction, changes *ConsumerChanges, park []ParkedMessage, unpark []ParkedKey) error {
	for _, c := range changes.Named {
		if _, err := t.exec(ctx, s.text.putNamed, c.ID, c.Line, encodeName(c.Client), encodeName(c.Name), cmp.Or(string(c.Settings), "{}")); err != nil {
			return err
		}
	}
	if err := s.dialect.unpark(ctx, t, unpark); err != nil {
		return err
	}
	if err := s.dialect.park(ctx, t, park); err != nil {
		return err
	}
	for _, consumer := range changes.DropNamed {
		for _, text := range []string{s.text.deleteParked, s.text.deleteNamed} {
			if _, err := t.exec(ctx, text, consumer); err != nil {
				return err
			}
		}
	}
	for _, c := range changes.Cancel {
		if !s.isKnown(c.Channel) {
			continue
		}
		if _, err := t.exec(ctx, s.text.putCancelled, c.Channel.id, c.Seq); err != nil {
			return err
		}
	}
	return s.saveAudit(ctx, t, changes.Audit)
}

// saveAudit records what administrators did.
func (s *Store) saveAudit(ctx context.Context, t *transaction, acts []AuditEntry) error {
	for _, a := range acts {
		_, err := t.exec(ctx, s.text.putAudit, a.ID, a.Time, storableText(a.Principal, maxAuditText), storableText(a.Address, maxAuditText),
			storableText(a.Action, maxAuditText), storableText(a.Target, maxAuditText), storableText(a.Detail, maxAuditText))
		if err != nil {
			return err
		}
	}
	return nil
}
