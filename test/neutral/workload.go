package main

import "fmt"

// A workload is what each peer is measured with.
type workload struct {
	name  string
	about string // a sentence of the report
	part  string // of the report
	needs ability
	take  func(*trial) error
}

// The parts of the report.
const (
	calling  = "Call"
	writing  = "Write"
	reading  = "Read"
	mixing   = "Mixed"
	ourOwn   = "Hot aggregate, catch-up, filter, delivery"
	crashing = "Recovery"
)

const (
	streamLength = 10   // events of a new stream
	mediumEvent  = 256  // bytes
	openWrites   = 300  // per second
	openReads    = 1000 // per second
	openWorkers  = 64
)

var (
	writerCounts = []int{1, 2, 4, 8, 16, 32, 64}
	readerCounts = []int{1, 4, 16, 32}
	fewStreams   = prefilled{500, streamLength}
)

// workloads are in the order in which they are measured: what kills is last.
var workloads = func() (list []workload) {
	list = append(list, call(1), call(16))
	for _, writers := range writerCounts {
		list = append(list, write(writers, mediumEvent, ""))
	}
	list = append(list,
		write(8, 512, "commands of services"),
		write(32, 128, "ingestion of small events"),
		writeZipf(4, 5000),
		writeOpen(openWrites),
	)
	for _, readers := range readerCounts {
		list = append(list, readStreams(readers, fewStreams, false))
	}
	list = append(list,
		readStreams(16, prefilled{1000, streamLength}, false),
		readStreams(16, prefilled{5000, streamLength}, false),
		readStreams(16, prefilled{5000, streamLength}, true),
		readOpen(openReads, prefilled{1000, streamLength}),
		mixed("8 + 8", 8, 8, mediumEvent, prefilled{5000, 2}),
		mixed("4 + 12", 4, 12, mediumEvent, prefilled{5000, 4}),
		mixed("12 + 4", 12, 4, mediumEvent, prefilled{2000, 3}),
		mixed("CQRS, 4 + 24", 4, 24, 384, prefilled{8000, 4}),
		mixedOpen("CQRS", 4, 24, 384, 150, 850, prefilled{8000, 4}),
		hotAggregate(16),
		catchUp(20_000, 200),
		filtered(20_000, 1000),
		delivery(200),
		recovery(8),
	)
	return list
}()

func workloadNames() (list []string) {
	for _, w := range workloads {
		list = append(list, w.name)
	}
	return list
}

// prefilled are streams that are written before a workload reads them.
type prefilled struct{ streams, length int }

func (p prefilled) String() string {
	return fmt.Sprintf("%d streams of %d events", p.streams, p.length)
}

// plural writes "1 writer", "8 writers".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
