package consumers

import (
	"cmp"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Stored describes the consumers of a database that no server of this process leads, sorted by name, with the settings that rules and the
// database have. Their backlog is not known. The error names one whose progress is damaged.
func Stored(state *stores.State, rules []Rule) ([]Description, error) {
	c := &Consumers{rules: rules}
	var all []Description
	at := make(map[stores.ConsumerName]int)
	add := func(line string, from *stores.Consumer) error {
		first := from.Members[0] // a group has at least one
		d := Description{
			Name: stores.ConsumerName{Line: line, Name: first.QGroup}, Queue: first.QGroup != "", Exists: true, LastSent: from.LastSent,
		}
		if !d.Queue {
			d.Name.Client, d.Name.Name = first.ClientID, first.DurableName
		}
		if d.Name.Name == "" {
			return nil // a subscription, which is not a consumer
		}
		if from.Damaged != nil {
			return from.Damaged
		}
		for _, m := range from.Members {
			d.Durable = d.Durable || m.IsDurable || !d.Queue
			d.Members = append(d.Members, Status{
				ClientID: m.ClientID, Inbox: m.Inbox, DurableName: m.DurableName, QueueName: m.QGroup, IsDurable: m.IsDurable, IsOffline: m.IsClosed,
				MaxInflight: m.MaxInFlight, AckWait: m.AckWaitInSecs, LastSent: from.LastSent, PendingCount: len(from.Unacked[m.ID]),
			})
		}
		for _, seqs := range from.Unacked {
			d.Unacked += len(seqs)
			for _, seq := range seqs {
				if d.FirstUnacked == 0 || seq < d.FirstUnacked {
					d.FirstUnacked = seq
				}
			}
		}
		d.Effective = c.effective(d.Name, Settings{})
		at[d.Name] = len(all)
		all = append(all, d)
		return nil
	}
	for _, ch := range state.Channels {
		for _, from := range ch.Consumers {
			if err := add(ch.Channel.Name(), from); err != nil {
				return nil, err
			}
		}
	}
	for _, w := range state.Wildcards {
		if err := add(w.Pattern, w.Consumer); err != nil {
			return nil, err
		}
	}
	for _, n := range state.Named {
		i, ok := at[n.ConsumerName]
		if !ok {
			i = len(all)
			all = append(all, Description{Name: n.ConsumerName, Queue: n.Client == ""})
		}
		settings, err := parseSettings(n.Settings)
		if err != nil {
			return nil, err
		}
		all[i].Parked, all[i].Stored, all[i].Effective = n.Parked, settings, c.effective(n.ConsumerName, settings)
	}
	slices.SortFunc(all, func(a, b Description) int {
		return cmp.Or(cmp.Compare(a.Name.Line, b.Name.Line), cmp.Compare(a.Name.Client, b.Name.Client), cmp.Compare(a.Name.Name, b.Name.Name))
	})
	return all, nil
}
