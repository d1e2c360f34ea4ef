package eventlog

import (
	"context"
	"slices"
)

// lookup returns the stored messages of a line at places. It reads close places together.
func lookup[M any, K kind[M]](ctx context.Context, line readable[M], at []uint64) (map[uint64]M, error) {
	const gap = 16 // read up to 15 other messages rather than query twice
	var of K
	at = slices.Clone(at)
	slices.Sort(at)
	first, last := line.first(), line.last()
	at = slices.DeleteFunc(at, func(place uint64) bool { return place < first || place > last })
	found := make(map[uint64]M, len(at))
	for i := 0; i < len(at); {
		j := i
		for j+1 < len(at) && at[j+1]-at[j] <= gap {
			j++
		}
		for from, to := at[i], at[j]; from <= to; {
			part, ok := line.recent(from, to, batchMsgs)
			if !ok {
				var err error
				if part, err = line.load(ctx, from, to, batchMsgs, batchBytes); err != nil {
					return nil, err
				}
			}
			from = max(from, part.through) + 1
			for _, m := range line.remaining(part.msgs) {
				if _, wanted := slices.BinarySearch(at, of.place(&m)); wanted {
					found[of.place(&m)] = m
				}
			}
		}
		i = j + 1
	}
	return found, nil
}
