package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Acceptance is a message that Flowroute has accepted.
type Acceptance struct {
	At  time.Time // on Redis' clock, when it was written down: with Direct, just after it was accepted
	Job ID
	MDR string
	// Direct: known from the answer to its post, not from a record or a receipt.
	Direct bool
}

// Acceptances are the messages written down as accepted between two moments of
// Redis' clock, with their records. reaches is false when the event stream does not
// go back to from any more: then some may be missing.
func (l *Ledger) Acceptances(ctx context.Context, from, to time.Time) (list []Acceptance, reaches bool, err error) {
	if reaches, err = l.eventsReach(ctx, from); err != nil {
		return nil, false, err
	}
	const slice = 5000
	start, stop := strconv.FormatInt(from.UnixMilli(), 10), strconv.FormatInt(to.UnixMilli(), 10)
	for {
		messages, err := l.rdb.XRangeN(ctx, l.key("events"), start, stop, slice).Result()
		if err != nil {
			return nil, false, fmt.Errorf("read acceptances: %w", err)
		}
		for _, m := range messages {
			e, ok := readEvent(m)
			if ok && e.Type == SendMessage && e.MDR != "" && e.State == Accepted {
				list = append(list, Acceptance{At: e.At, Job: e.Job, MDR: e.MDR, Direct: e.Reason == ReasonNone})
			}
		}
		if len(messages) < slice {
			return list, reaches, nil
		}
		start = "(" + messages[len(messages)-1].ID
	}
}

// eventsReach reports whether no event since then was trimmed away.
func (l *Ledger) eventsReach(ctx context.Context, since time.Time) (bool, error) {
	first, err := l.rdb.XRangeN(ctx, l.key("events"), "-", "+", 1).Result()
	if err != nil || len(first) == 0 {
		return err == nil, err
	}
	if event, ok := readEvent(first[0]); ok && !event.At.After(since) {
		return true, nil
	}
	// The oldest one is younger. Was there anything before it?
	info, err := l.rdb.XInfoStream(ctx, l.key("events")).Result()
	if err != nil {
		return false, fmt.Errorf("read acceptances: %w", err)
	}
	return info.EntriesAdded > 0 && info.EntriesAdded == info.Length, nil
}
