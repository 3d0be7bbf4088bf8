package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// After Redis has lost writes, a job may be queued although it was posted. These
// write down what Flowroute's own records say of it.

// ClaimQueued gives a record that is nobody's to a message that is queued: it is
// what is left of its post. The message becomes Accepted, by inference. False: it is
// not queued any more, or the record is another's.
func (l *Ledger) ClaimQueued(ctx context.Context, id ID, mdr string) (bool, error) {
	return l.queued(ctx, id, "a", packMDR(mdr), ReasonNone, "", nil)
}

// HoldQueued sends a job that is queued to a person. Evidence is JSON, at most 2 kB.
func (l *Ledger) HoldQueued(ctx context.Context, id ID, reason Reason, detail string, evidence []byte) (bool, error) {
	return l.queued(ctx, id, "r", "", reason, detail, evidence)
}

// HoldPurchase does so with a purchase that may have bought a number, which it claims:
// should the person say that it was bought, the purchase goes on with it. False as well
// when the number is another purchase's.
func (l *Ledger) HoldPurchase(ctx context.Context, id ID, number flowroute.E164, reason Reason, detail string, evidence []byte) (bool, error) {
	return l.queued(ctx, id, "r", number.Digits(), reason, detail, evidence)
}

// ClaimPurchase notes of a purchase that is queued that it may have bought a number:
// it claims the number, and asks the account before it posts. False: it is not queued
// any more, has bought one already, or the number is another purchase's.
func (l *Ledger) ClaimPurchase(ctx context.Context, id ID, number flowroute.E164) (bool, error) {
	return l.queued(ctx, id, "p", number.Digits(), ReasonNone, "", nil)
}

// OrphanNumbers keeps numbers for the time of ttl that were bought by a purchase that
// Redis has lost: the same purchase, asked for again, takes one of them. Doubtful ones
// may have been the account's before: the purchase then goes to a person.
func (l *Ledger) OrphanNumbers(ctx context.Context, numbers []flowroute.E164, doubtful bool, ttl time.Duration) error {
	if len(numbers) == 0 {
		return nil
	}
	members := make([]any, len(numbers))
	for i, n := range numbers {
		members[i] = n.Digits()
	}
	key := l.orphanNumbers(doubtful)
	pipe := l.rdb.TxPipeline()
	pipe.SAdd(ctx, key, members...)
	pipe.PExpire(ctx, key, ttl)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("keep orphaned numbers: %w", err)
	}
	return nil
}

func (l *Ledger) orphanNumbers(doubtful bool) string {
	if doubtful {
		return l.key("doubtful-numbers")
	}
	return l.key("orphan-numbers")
}

// Orphaned are the numbers of [Ledger.OrphanNumbers] that no purchase has taken yet.
func (l *Ledger) Orphaned(ctx context.Context) (certain, doubtful []flowroute.E164, err error) {
	for _, some := range []struct {
		doubtful bool
		numbers  *[]flowroute.E164
	}{{false, &certain}, {true, &doubtful}} {
		texts, err := l.rdb.SMembers(ctx, l.orphanNumbers(some.doubtful)).Result()
		if err != nil {
			return nil, nil, fmt.Errorf("read orphaned numbers: %w", err)
		}
		slices.Sort(texts)
		for _, text := range texts {
			if n, err := flowroute.E164FromUint64(uint64(number(text))); err == nil {
				*some.numbers = append(*some.numbers, n)
			}
		}
	}
	return certain, doubtful, nil
}

func (l *Ledger) queued(ctx context.Context, id ID, what, value string, reason Reason, detail string, evidence []byte) (bool, error) {
	r := l.run(ctx, scriptQueued, id.String(), id[:], what, value, int(reason.code()), clip(detail), evidence,
		l.eventsMax, l.retention.Milliseconds(), l.claimsFor())
	if r.err != nil {
		return false, fmt.Errorf("note what was lost: %w", r.err)
	}
	return r.text(0) == "ok", nil
}
