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

// ClaimPurchase notes of a purchase that is queued that it may have bought a number:
// it claims the number, and asks the account before it posts. False: it is not queued
// any more, has bought one already, or the number is another purchase's.
func (l *Ledger) ClaimPurchase(ctx context.Context, id ID, number flowroute.E164) (bool, error) {
	return l.queued(ctx, id, "p", number.Digits(), ReasonNone, "", nil)
}

// OrphanNumbers keeps numbers for the time of ttl that were bought by a purchase that
// Redis has lost: the same purchase, asked for again, takes one of them.
func (l *Ledger) OrphanNumbers(ctx context.Context, numbers []flowroute.E164, ttl time.Duration) error {
	if len(numbers) == 0 {
		return nil
	}
	members := make([]any, len(numbers))
	for i, n := range numbers {
		members[i] = n.Digits()
	}
	pipe := l.rdb.TxPipeline()
	pipe.SAdd(ctx, l.key("orphan-numbers"), members...)
	pipe.PExpire(ctx, l.key("orphan-numbers"), ttl)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("keep orphaned numbers: %w", err)
	}
	return nil
}

// Orphaned are the numbers of [Ledger.OrphanNumbers] that no purchase has taken yet.
func (l *Ledger) Orphaned(ctx context.Context) ([]flowroute.E164, error) {
	texts, err := l.rdb.SMembers(ctx, l.key("orphan-numbers")).Result()
	if err != nil {
		return nil, fmt.Errorf("read orphaned numbers: %w", err)
	}
	slices.Sort(texts)
	var numbers []flowroute.E164
	for _, text := range texts {
		if n, err := flowroute.E164FromUint64(uint64(number(text))); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

func (l *Ledger) queued(ctx context.Context, id ID, what, value string, reason Reason, detail string, evidence []byte) (bool, error) {
	r := l.run(ctx, scriptQueued, id.String(), id[:], what, value, int(reason.code()), clip(detail), evidence,
		l.eventsMax, l.retention.Milliseconds(), l.claimsFor())
	if r.err != nil {
		return false, fmt.Errorf("note what was lost: %w", r.err)
	}
	return r.text(0) == "ok", nil
}
