// Package eventstoretest runs an event store in the process of a test: the same server that runs in production, on SQLite in memory, ready
// in milliseconds, with ports of its own. It makes the faults that an application must survive, when the test wants them.
//
//	func TestTransfer(t *testing.T) {
//		t.Parallel()
//		server := eventstoretest.Start(t)
//		bank := New(server.Client())
//		…
//	}
//
// Decisions need no server: see Given. Nor do projections: see Project.
package eventstoretest
