package main

import "fmt"

// mixed is writers and readers of the same streams at the same time. Writers only write, readers only read.
func mixed(name string, writers, readers, size int, p prefilled) workload {
	return mixture("mixed-"+fmt.Sprintf("%d-%d", writers, readers), fmt.Sprintf("%s: %s and %s of %v, events of %d bytes.", name, plural(writers, "writer"), plural(readers, "reader"), p, size),
		size, p, byRate,
		func(t *trial, streams []stream) (*record, error) {
			return t.closed(writers, appendTo(streams, evenly(streams), size))
		},
		func(t *trial, streams []stream) (*record, error) {
			return t.closed(readers, readFrom(streams, evenly(streams), p.length))
		})
}

// mixedOpen is writes and reads that arrive at rates.
func mixedOpen(name string, writers, readers, size int, writes, reads float64, p prefilled) workload {
	return mixture("mixed-open", fmt.Sprintf("%s: %.0f writes and %.0f reads a second arrive, of %v, events of %d bytes.", name, writes, reads, p, size),
		size, p, byTail,
		func(t *trial, streams []stream) (*record, error) {
			return t.open(writers*4, writes, appendTo(streams, evenly(streams), size))
		},
		func(t *trial, streams []stream) (*record, error) {
			return t.open(readers*2, reads, readFrom(streams, evenly(streams), p.length))
		})
}

func mixture(name, about string, size int, p prefilled, by better, write, read func(*trial, []stream) (*record, error)) workload {
	return workload{
		name: name, part: mixing, needs: reads, about: about,
		take: func(t *trial) error {
			streams, err := t.fill("mixed", t.scaled(p), size, newStream)
			if err != nil {
				return err
			}
			var written, seen *record
			err = both(func() (err error) { written, err = write(t, streams); return err },
				func() (err error) { seen, err = read(t, streams); return err })
			if err == nil {
				t.report("writes", by, written)
				t.report("reads", by, seen)
			}
			return err
		},
	}
}
