package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/internal/record"
)

// Get reads a job. Errors: [ErrNotFound], [ErrNewerVersion], or Redis' own.
func (l *Ledger) Get(ctx context.Context, id ID) (Job, error) {
	jobs, errs := l.GetMany(ctx, []ID{id})
	return jobs[0], errs[0]
}

// GetMany is [Ledger.Get] for many jobs in one round trip, answers in order.
func (l *Ledger) GetMany(ctx context.Context, ids []ID) ([]Job, []error) {
	jobs, errs := make([]Job, len(ids)), make([]error, len(ids))
	calls := make([][]any, len(ids))
	for i, id := range ids {
		calls[i] = []any{id.String(), id[:]}
	}
	for i, r := range l.runMany(ctx, scriptGet, calls) {
		jobs[i], errs[i] = readJob(ids[i], r)
		if errs[i] != nil {
			errs[i] = fmt.Errorf("read job: %w", errs[i])
		}
	}
	return jobs, errs
}

// ClaimedBy is the job that an MDR belongs to; false when it is nobody's.
func (l *Ledger) ClaimedBy(ctx context.Context, mdr string) (ID, bool, error) {
	r := l.run(ctx, scriptClaim, packMDR(mdr))
	if r.err != nil {
		return ID{}, false, fmt.Errorf("read claim: %w", r.err)
	}
	if raw := r.text(0); len(raw) >= 16 {
		return ID([]byte(raw[:16])), true, nil
	}
	return ID{}, false, nil
}

func readJob(id ID, r reply) (Job, error) {
	if r.err != nil {
		return Job{}, r.err
	}
	switch r.text(0) {
	case "hot":
		return readHot(id, r.text(1))
	case "cold":
		return readCold(id, r.text(1))
	}
	return Job{}, ErrNotFound
}

// readHot reads the record of a job that is not final; common.lua has its fields.
func readHot(id ID, packed string) (Job, error) {
	f, err := record.Unpack(packed)
	if err != nil {
		return Job{}, err
	}
	if f["v"] != "1" || f["t"] == "" || f["s"] == "" || f["l"] == "" {
		return Job{}, ErrNewerVersion
	}
	created := time.UnixMilli(number(f["c"]))
	job := Job{
		ID: id, Type: typeOf(f["t"][0]), State: StateOf(f["s"][0]), Queue: queueOf(f["l"][0]),
		Generation: int(number(f["g"])), Nudges: int(number(f["ns"])), Created: created, Due: moment(f["d"]), Expires: moment(f["x"]),
		Attempts: int(number(f["n"])), Detail: f["e"], Warning: f["wn"], NoResend: f["nr"] != "", Uncertain: f["un"] != "", Seen: "v" + f["lt"],
		Worker: f["wk"], Parked: f["pk"], Fingerprint: readFingerprint(f["fp"]), AbsentAt: moment(f["ab"]),
		Account: f["ac"], ResolveAt: moment(f["ra"]), FirstTried: moment(f["fi"]),
		Order: strings.Fields(f["o"]), History: readHistory(created, f["h"]),
	}
	if f["p"] != "" {
		job.Payload = []byte(f["p"])
	}
	if f["pg"] != "" {
		job.Progress = []byte(f["pg"])
	}
	if f["ev"] != "" {
		job.Evidence = []byte(f["ev"])
	}
	job.readSubject(f["i"])
	job.readMDRs(f["m"])
	job.readReason()
	if claimed := number(f["nu"]); claimed > 0 {
		job.Number, _ = flowroute.E164FromUint64(uint64(claimed))
	}
	return job, nil
}

// readCold reads a final job's packed record; cold.lua has its layout.
func readCold(id ID, b string) (Job, error) {
	const fixed = 1 + 3 + 6 + 24 + 1 + 2
	if len(b) < 1 || b[0] != 1 {
		return Job{}, ErrNewerVersion
	}
	if len(b) < fixed {
		return Job{}, fmt.Errorf("packed record of %d bytes is cut", len(b))
	}
	created := time.UnixMilli(int64(binary.BigEndian.Uint64([]byte("\x00\x00" + b[4:10]))))
	job := Job{ID: id, Type: typeOf(b[1]), State: StateOf(b[2]), Queue: queueOf(b[3]), Created: created, Attempts: int(b[34])}
	job.readSubject(b[10:34])
	mdrs, history := int(b[35]), int(b[36])
	rest := b[fixed:]
	if len(rest) < mdrs+history {
		return Job{}, fmt.Errorf("packed record of %d bytes is cut", len(b))
	}
	job.readMDRs(rest[:mdrs])
	job.History = readHistory(created, rest[mdrs:mdrs+history])
	job.readTail(rest[mdrs+history:])
	job.readReason()
	return job, nil
}

func (j *Job) readSubject(b string) {
	if len(b) < 16 {
		return
	}
	j.From, _ = flowroute.E164FromUint64(binary.BigEndian.Uint64([]byte(b[:8])))
	j.To, _ = flowroute.E164FromUint64(binary.BigEndian.Uint64([]byte(b[8:16])))
	copy(j.Content[:], b[16:])
}

// readMDRs reads ids that are each headed by their length.
func (j *Job) readMDRs(b string) {
	for len(b) > 0 && len(b) >= 1+int(b[0]) {
		j.MDRs = append(j.MDRs, unpackMDR(b[1:1+int(b[0])]))
		b = b[1+int(b[0]):]
	}
}

// readTail reads the rare texts of a final job: detail, warning, progress, each
// headed by two bytes of length.
func (j *Job) readTail(b string) {
	var texts [3]string
	for i := range texts {
		if len(b) < 2 {
			break
		}
		n := int(b[0])<<8 | int(b[1])
		if len(b) < 2+n {
			break
		}
		texts[i], b = b[2:2+n], b[2+n:]
	}
	j.Detail, j.Warning = texts[0], texts[1]
	if texts[2] != "" {
		j.Progress = []byte(texts[2])
	}
}

func (j *Job) readReason() {
	if len(j.History) > 0 {
		j.Reason = j.History[len(j.History)-1].Reason
	}
}

// readHistory reads entries of six bytes: state, reason, and hundredths of a
// second since the job was created.
func readHistory(created time.Time, b string) []Change {
	history := []Change{{At: created, State: Queued}}
	for ; len(b) >= 6; b = b[6:] {
		since := time.Duration(binary.BigEndian.Uint32([]byte(b[2:6]))) * 10 * time.Millisecond
		history = append(history, Change{At: created.Add(since), State: StateOf(b[0]), Reason: ReasonOf(b[1])})
	}
	return history
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func moment(s string) time.Time {
	if n := number(s); n > 0 {
		return time.UnixMilli(n)
	}
	return time.Time{}
}
