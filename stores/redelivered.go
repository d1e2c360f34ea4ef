package stores

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// encodeRedelivered returns [[first,last,redeliveries,first delivery,next delivery],...], or "" for no runs.
func encodeRedelivered(runs []RedeliveredRun) string {
	if len(runs) == 0 {
		return ""
	}
	text := make([]byte, 0, 48*len(runs))
	for i, r := range runs {
		text = append(text, "[,"[min(i, 1)], '[')
		text = append(strconv.AppendUint(text, r.First, 10), ',')
		text = append(strconv.AppendUint(text, r.Last, 10), ',')
		text = append(strconv.AppendUint(text, uint64(r.Count), 10), ',')
		text = append(strconv.AppendInt(text, r.Since, 10), ',')
		text = append(strconv.AppendInt(text, r.NotBefore, 10), ']')
	}
	return string(append(text, ']'))
}

// DecodeRedelivered parses the redelivery counts of a part. It returns an error if they are out of order or belong to another
// part.
func DecodeRedelivered(part uint64, text []byte) ([]RedeliveredRun, error) {
	var all [][]int64
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	runs := make([]RedeliveredRun, 0, len(all))
	for i, r := range all {
		if len(r) != 5 || r[0] <= 0 || r[0] > r[1] || uint64(r[0])/PartSize != part || uint64(r[1])/PartSize != part || i > 0 && r[0] <= all[i-1][1] ||
			r[2] < 0 || r[2] > math.MaxUint32 {
			return nil, fmt.Errorf("%v at position %d is not a run of the part, or is out of order", r, i+1)
		}
		runs = append(runs, RedeliveredRun{uint64(r[0]), uint64(r[1]), uint32(r[2]), r[3], r[4]})
	}
	return runs, nil
}

// heldRuns returns what of runs is about messages that are held. Another program may have acknowledged the others.
func heldRuns(runs []RedeliveredRun, unacked map[uint64][]uint64) []RedeliveredRun {
	if len(runs) == 0 {
		return nil
	}
	held := map[uint64]bool{}
	for _, seqs := range unacked {
		for _, seq := range seqs {
			held[seq] = true
		}
	}
	var kept []RedeliveredRun
	for _, run := range runs {
		follows := false
		for seq := run.First; seq <= run.Last; seq++ {
			switch {
			case !held[seq]:
				follows = false
			case follows:
				kept[len(kept)-1].Last = seq
			default:
				kept, follows = append(kept, RedeliveredRun{seq, seq, run.Count, run.Since, run.NotBefore}), true
			}
		}
	}
	return kept
}
