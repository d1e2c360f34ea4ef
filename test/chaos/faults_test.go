package chaos

import (
	"math/rand/v2"
	"slices"
)

// fault is one kind of fault. run injects it, at the leader if it concerns a server, and returns once publishers make
// progress or could.
type fault struct {
	name string
	// weight is how often the kind occurs in a round of the schedule. Kinds that take seconds weigh 1.
	weight int
	run    func(c *cluster, leader, progress int)
}

// The kinds of faults, by what they affect.
var (
	ofServers = []fault{
		{"server: kill -9", 1, (*cluster).kill},
		{"servers: kill -9 of both", 1, (*cluster).killBoth},
		{"server: SIGSTOP beyond its lease, resumed", 1, (*cluster).pause},
		{"server: SIGSTOP shorter than its lease", 2, (*cluster).pauseShortly},
		{"server: clean stop, standby takes over", 2, (*cluster).stop},
		{"servers: rolling restart", 1, (*cluster).roll},
		{"standby: kill -9", 1, (*cluster).killStandby},
		{"server: kill -9 as a member joins", 2, (*cluster).killAtJoin},
		{"server: kill -9 as a durable closes", 2, (*cluster).killAtClose},
		{"server: kill -9 as a member unsubscribes", 2, (*cluster).killAtUnsubscribe},
	}
	ofNetworks = []fault{
		{"network: all connections reset", 4, (*cluster).cut},
		{"network: answers stall, then reset", 2, (*cluster).stall},
		{"network: reset within the rows of a batch", 4, (*cluster).cutInBatch},
		{"network: reset after the rows of a batch", 4, (*cluster).cutAfterBatch},
		{"network: reset before COMMIT arrives", 4, (*cluster).cutBeforeCommit},
		{"network: reset after COMMIT arrived", 4, (*cluster).cutAfterCommit},
		{"network: lost after COMMIT arrived", 2, (*cluster).loseAfterCommit},
		{"network: reset before COMMIT of a channel arrives", 1, (*cluster).cutBeforeChannel},
		{"network: lost after COMMIT of a channel arrived", 1, (*cluster).loseAfterChannel},
		{"network: reset before COMMIT of a subscription arrives", 1, (*cluster).cutBeforeMember},
		{"network: lost after COMMIT of a subscription arrived", 1, (*cluster).loseAfterMember},
		{"network: reset before COMMIT of a client arrives", 1, (*cluster).cutBeforeClient},
		{"network: lost after COMMIT of a client arrived", 1, (*cluster).loseAfterClient},
	}
	ofDatabases = []fault{
		{"database: clean restart", 1, (*cluster).restartDatabase},
		{"database: kill -9", 1, (*cluster).killDatabase},
		{"database: SIGSTOP for seconds", 1, (*cluster).pauseDatabase},
		{"database: sessions ended by an administrator", 4, (*cluster).endSessions},
		{"database: read-only for a while", 1, (*cluster).readOnly},
		{"database: too many connections", 1, (*cluster).tooManyConnections},
		{"database: deadlock with another session", 2, (*cluster).deadlock},
		{"database: serialization failures", 1, (*cluster).serialization},
		{"database: lease row locked, statements time out", 1, (*cluster).lockLease},
		{"database: rows of channels locked, statements time out", 1, (*cluster).lockChannels},
		{"database: rows of channels locked, thousands of publishes wait", 1, (*cluster).lockWithBacklog},
	}
	ofFiles = []fault{
		{"file: write lock held by another program", 4, (*cluster).lockFile},
		{"file: write lock held for moments", 4, (*cluster).lockFileShortly},
		{"file: write lock held, thousands of publishes wait", 1, (*cluster).lockWithBacklog},
		{"file: no room to grow (limit of the process)", 4, (*cluster).fillDisk},
	}
)

func kindsOf(driver string) []fault {
	if driver == "sqlite" {
		return slices.Concat(ofServers, ofFiles)
	}
	return slices.Concat(ofServers, ofNetworks, ofDatabases)
}

// schedule draws n faults. In each round, every kind occurs as often as its weight.
func schedule(kinds []fault, random *rand.Rand, n int) []fault {
	var round, all []fault
	for _, kind := range kinds {
		for range kind.weight {
			round = append(round, kind)
		}
	}
	for len(all) < n {
		random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		all = append(all, round...)
	}
	return all[:n]
}
