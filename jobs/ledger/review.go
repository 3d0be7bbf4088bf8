package ledger

import (
	"context"
	"fmt"
	"strconv"
)

// Ruling is a person's decision on a job in review.
type Ruling string

const (
	// RuledAccepted: it was accepted (or bought, or set). Nothing is posted.
	RuledAccepted Ruling = "accepted"
	// RuledNotSent: it was not. It is posted again, unless it was cancelled or its
	// time is over.
	RuledNotSent Ruling = "not-sent"
)

// Reviews are jobs that wait for a person, those that wait longest first: at most
// limit, and the cursor of the next call, empty at the end. The first call's
// cursor is empty.
func (l *Ledger) Reviews(ctx context.Context, cursor string, limit int) ([]Job, string, error) {
	from := int64(0)
	if cursor != "" {
		var err error
		if from, err = strconv.ParseInt(cursor, 10, 64); err != nil || from < 0 {
			return nil, "", fmt.Errorf("cursor %.20q: not one of this list", cursor)
		}
	}
	texts, err := l.rdb.ZRange(ctx, l.key("review"), from, from+int64(limit)-1).Result()
	if err != nil {
		return nil, "", fmt.Errorf("read reviews: %w", err)
	}
	jobs, err := l.all(ctx, texts)
	if err != nil || len(texts) < limit {
		return jobs, "", err
	}
	return jobs, strconv.FormatInt(from+int64(len(texts)), 10), nil
}

// Rule carries out a person's decision on a job in review and returns the job
// afterwards; one that is queued again needs a nudge. A purchase ruled accepted
// goes on with what follows the buying. A route update ruled not sent fails: those
// behind it went on meanwhile. done is false when the job is not in review (any
// more), or a purchase has no number that it could have bought.
func (l *Ledger) Rule(ctx context.Context, id ID, r Ruling) (job Job, done bool, err error) {
	if r != RuledAccepted && r != RuledNotSent {
		return Job{}, false, fmt.Errorf("rule job: there is no ruling %.20q", r)
	}
	reply := l.run(ctx, scriptRule, id.String(), id[:], flag(r == RuledAccepted), l.maxPosts, l.eventsMax, l.retention.Milliseconds())
	if reply.err != nil {
		return Job{}, false, fmt.Errorf("rule job: %w", reply.err)
	}
	job, err = l.Get(ctx, id)
	return job, reply.text(0) == "ok", err
}
