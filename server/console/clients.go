package console

import (
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// clientsBody is a page of clients.
type clientsBody struct {
	Clients []*eventstorev1.Client
	First   string // addresses; "" if there is none
	Next    string
}

// clients shows who is connected.
func (c *Console) clients(v *visit) error {
	resp, err := c.api.Admin().ListClients(v.ctx, &eventstorev1.ListClientsRequest{PageSize: pageItems, PageToken: v.query.Get("after")})
	if err != nil {
		return err
	}
	body := clientsBody{Clients: resp.GetClients()}
	body.First, body.Next = v.paging("/console/clients", resp.GetNextPageToken())
	return v.show("clients", "Clients", "clients", body)
}

// auditBody is a page of acts.
type auditBody struct {
	Entries []*eventstorev1.AuditEntry
	First   string // addresses; "" if there is none
	Next    string
}

// audit shows what administrators did, the newest first.
func (c *Console) audit(v *visit) error {
	resp, err := c.api.Admin().ListAudit(v.ctx, &eventstorev1.ListAuditRequest{PageSize: pageItems, PageToken: v.query.Get("after")})
	if err != nil {
		return err
	}
	body := auditBody{Entries: resp.GetEntries()}
	body.First, body.Next = v.paging("/console/audit", resp.GetNextPageToken())
	return v.show("audit", "Audit", "audit", body)
}
