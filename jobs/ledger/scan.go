package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// ScanStart is where a scan of all jobs begins.
const ScanStart = ""

const (
	scanKeys    = 1000 // keys that one step over the unfinished jobs looks at, about
	scanBuckets = 32   // buckets of some 64 final jobs that one step reads
)

// ErrBadCursor: a cursor that no call gave out.
var ErrBadCursor = errors.New("ledger: not a cursor of this list")

// Messages reads all messages that the ledger has, a slice at a time: up to some thousands
// of jobs, or none, in no order, and the cursor of the next slice; [ScanStart] when that was
// the last one.
//
// A message that changes meanwhile may come twice; all others come once, but one that is
// not final may come twice too. One that ends meanwhile is not missed. No call asks more
// of Redis than some milliseconds. Errors: [ErrBadCursor], [ErrNewerVersion], or Redis' own.
func (l *Ledger) Messages(ctx context.Context, cursor string) (jobs []Job, next string, err error) {
	return l.messages(ctx, cursor, time.Time{})
}

// PostedMessages is [Ledger.Messages] for those that were ever posted, or have a record. Of
// the final ones those are left out, as far as the layout tells, that ended before
// endedSince.
func (l *Ledger) PostedMessages(ctx context.Context, cursor string, endedSince time.Time) (jobs []Job, next string, err error) {
	jobs, next, err = l.messages(ctx, cursor, endedSince)
	return slices.DeleteFunc(jobs, func(j Job) bool { return !j.wasPosted() }), next, err
}

func (l *Ledger) messages(ctx context.Context, cursor string, endedSince time.Time) (jobs []Job, next string, err error) {
	// Unfinished ones first, since they move to the final ones and not back.
	at, final := strings.CutPrefix(cursor, "d")
	if final {
		jobs, next, err = l.finalMessages(ctx, at, endedSince)
	} else {
		jobs, next, err = l.openMessages(ctx, cmp.Or(at, "0"))
	}
	if err != nil {
		return nil, cursor, fmt.Errorf("read messages: %w", err)
	}
	return jobs, next, nil
}

func (l *Ledger) openMessages(ctx context.Context, cursor string) ([]Job, string, error) {
	if _, err := strconv.ParseUint(cursor, 10, 64); err != nil {
		return nil, "", ErrBadCursor
	}
	prefix := l.key("j:")
	keys, next, err := scan(ctx, l.rdb, cursor, globbed(prefix)+"*", scanKeys)
	if err != nil {
		return nil, "", err
	}
	if next == "0" {
		next = "d0:0"
	}
	var ids []ID
	for _, key := range keys {
		if id, err := ParseID(strings.TrimPrefix(key, prefix)); err == nil {
			ids = append(ids, id)
		}
	}
	read, errs := l.GetMany(ctx, ids)
	jobs := read[:0]
	for i, job := range read {
		switch {
		case errors.Is(errs[i], ErrNotFound):
		case errs[i] != nil:
			return nil, "", errs[i]
		case job.Type == SendMessage:
			jobs = append(jobs, job)
		}
	}
	return jobs, next, nil
}

// wasPosted: an intent to post it was written, or it has a record.
func (j Job) wasPosted() bool {
	return j.Type == SendMessage && (len(j.MDRs) > 0 || slices.ContainsFunc(j.History, func(c Change) bool { return c.State == Sending }))
}

// generation is a part of a packed map; see cold.lua.
type generation struct {
	number, buckets int64
	closed          time.Time // nothing new came to it from then on; zero: it is the newest
}

// generations are those of final jobs, the oldest first.
func (l *Ledger) generations(ctx context.Context) ([]generation, error) {
	live, err := l.rdb.HGet(ctx, l.key("d"), "live").Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []generation
	var closed time.Time
	for text := range strings.SplitSeq(live, ";") {
		parts := strings.Split(text, ":")
		if len(parts) != 3 {
			return nil, fmt.Errorf("generation %.40q cannot be read", text)
		}
		list = append(list, generation{number(parts[0]), number(parts[1]), closed})
		closed = time.UnixMilli(number(parts[2]))
	}
	slices.Reverse(list)
	return list, nil
}

// finalMessages reads buckets; the cursor is a generation and a bucket of it.
func (l *Ledger) finalMessages(ctx context.Context, cursor string, endedSince time.Time) ([]Job, string, error) {
	gen, bucket, _ := strings.Cut(cursor, ":")
	from, genErr := strconv.ParseInt(gen, 10, 64)
	first, bucketErr := strconv.ParseInt(bucket, 10, 64)
	if genErr != nil || bucketErr != nil || first < 0 {
		return nil, "", ErrBadCursor
	}
	list, err := l.generations(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, g := range list {
		if g.number < from || !g.closed.IsZero() && g.closed.Before(endedSince) {
			continue
		}
		if g.number > from {
			first = 0
		}
		if first >= g.buckets {
			continue
		}
		end := min(first+scanBuckets, g.buckets)
		jobs, err := l.buckets(ctx, g.number, first, end)
		return jobs, "d" + strconv.FormatInt(g.number, 10) + ":" + strconv.FormatInt(end, 10), err
	}
	return nil, ScanStart, nil
}

func (l *Ledger) buckets(ctx context.Context, gen, from, to int64) ([]Job, error) {
	pipe := l.rdb.Pipeline()
	var cmds []*redis.MapStringStringCmd
	for n := from; n < to; n++ {
		cmds = append(cmds, pipe.HGetAll(ctx, l.key(fmt.Sprintf("d:%d:%d", gen, n))))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	var jobs []Job
	for _, cmd := range cmds {
		for id, value := range cmd.Val() {
			if len(id) != len(ID{}) || len(value) > 1 && value[0] == 1 && value[1] != SendMessage.code() {
				continue
			}
			job, err := readCold(ID([]byte(id)), joined(cmd.Val(), id, value))
			if err != nil {
				return nil, err
			}
			if job.Type == SendMessage {
				jobs = append(jobs, job)
			}
		}
	}
	return jobs, nil
}

// joined is a value of the packed maps, whose pieces but the last have 60 bytes.
func joined(bucket map[string]string, id, value string) string {
	const piece = 60
	for i, last := 1, value; len(last) == piece && i < 256; i++ {
		last = bucket[id+string([]byte{byte(i)})]
		value += last
	}
	return value
}

// ClaimedByMany is [Ledger.ClaimedBy] for many records in one round trip, answers in
// order; the zero id for a record that is nobody's. Give it some hundreds at a time.
func (l *Ledger) ClaimedByMany(ctx context.Context, mdrs []string) ([]ID, error) {
	calls := make([][]any, len(mdrs))
	for i, mdr := range mdrs {
		calls[i] = []any{packMDR(mdr)}
	}
	ids := make([]ID, len(mdrs))
	for i, r := range l.runMany(ctx, scriptClaim, calls) {
		if r.err != nil {
			return nil, fmt.Errorf("read claims: %w", r.err)
		}
		if raw := r.text(0); len(raw) >= len(ID{}) {
			ids[i] = ID([]byte(raw[:len(ID{})]))
		}
	}
	return ids, nil
}

// ClaimsSince is the moment from which on claims of records are known for sure; those of
// messages that ended before may have lapsed.
func (l *Ledger) ClaimsSince(now time.Time) time.Time {
	return now.Add(-l.retention - l.claimsOver)
}

// JobsSince is the moment from which on jobs are known for sure; those that ended before
// may have lapsed.
func (l *Ledger) JobsSince(now time.Time) time.Time { return now.Add(-l.retention) }
