package suppress

import (
	"context"
	_ "embed"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

//go:embed put.lua
var putLua string

var putScript = redis.NewScript(putLua)

// edit is a change of one recipient's record. do may be called more than once, each
// time with the record as it is by then.
type edit struct {
	recipient flowroute.E164
	do        func(*record)
}

const (
	// changeSlice is how many records one script writes: a millisecond of Redis' time.
	changeSlice = 500
	maxTries    = 50
)

// change makes the edits, those of one recipient in their order. After an error a
// part of them may be made.
func (s *Store) change(ctx context.Context, edits []edit) error {
	for slice := range slices.Chunk(edits, changeSlice) {
		if err := s.changeSlice(ctx, slice); err != nil {
			return err
		}
	}
	if s.durable && len(edits) > 0 {
		return ledger.WaitForDisk(ctx, s.rdb, s.prefix)
	}
	return nil
}

func (s *Store) changeSlice(ctx context.Context, edits []edit) error {
	byRecipient := map[flowroute.E164][]edit{}
	var open []flowroute.E164
	for _, e := range edits {
		if byRecipient[e.recipient] == nil {
			open = append(open, e.recipient)
		}
		byRecipient[e.recipient] = append(byRecipient[e.recipient], e)
	}
	// A record that somebody else has written meanwhile is read and edited anew.
	for range maxTries {
		values, err := s.values(ctx, len(open), func(i int) flowroute.E164 { return open[i] })
		if err != nil {
			return err
		}
		var b batch
		for i, recipient := range open {
			if err := b.edit(s, recipient, values[i], byRecipient[recipient]); err != nil {
				return err
			}
		}
		if open, err = s.put(ctx, &b); err != nil || len(open) == 0 {
			return err
		}
	}
	return fmt.Errorf("%d records were changed by others %d times", len(open), maxTries)
}

// batch is a call of put.lua.
type batch struct {
	recipients []flowroute.E164
	keys       []string       // of the buckets
	places     map[string]int // of the keys in KEYS
	args       []any
}

// edit edits a record and, if that changed anything, adds it to the batch.
func (b *batch) edit(s *Store, recipient flowroute.E164, value string, edits []edit) error {
	r, err := stored(recipient, value)
	if err != nil {
		return err
	}
	before := r.entries()
	for _, e := range edits {
		e.do(&r)
	}
	next := r.encode()
	if next == value {
		return nil
	}
	bucket := bucketOf(recipient.Uint64())
	key := s.bucketKey(bucket)
	if b.places == nil {
		b.places = map[string]int{}
	}
	if b.places[key] == 0 {
		b.keys = append(b.keys, key)
		b.places[key] = len(b.keys) + 2 // behind the counts and the bits
	}
	after := r.entries()
	b.recipients = append(b.recipients, recipient)
	b.args = append(b.args, b.places[key], bucket, recipient.Digits(), value, next, after-before, min(after, 1)-min(before, 1))
	return nil
}

// put writes the batch. It returns the recipients whose records others have changed
// meanwhile.
func (s *Store) put(ctx context.Context, b *batch) ([]flowroute.E164, error) {
	if len(b.recipients) == 0 {
		return nil, nil
	}
	keys := append([]string{s.key("n"), s.key("used")}, b.keys...)
	lost, err := putScript.Run(ctx, s.rdb, keys, b.args...).Int64Slice()
	if err != nil {
		return nil, err
	}
	again := make([]flowroute.E164, len(lost))
	for i, place := range lost {
		again[i] = b.recipients[place-1]
	}
	return again, nil
}
