package campaign

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/bits"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// FailedRow is a row whose job failed, expired, was blocked, or was not delivered.
type FailedRow struct {
	Row    int // of the campaign, from 1
	To     string
	Fields map[string]string // what the row brought for the template
	Job    ledger.Job
}

// failuresSlice is how many jobs are read in one round trip.
const failuresSlice = 500

// Failures yields the rows that failed, in order, those after the given one. An error is
// the last pair: [ErrNotFound], [ErrNewerVersion], or Redis' own.
func (s *Store) Failures(ctx context.Context, id ledger.ID, after int) iter.Seq2[FailedRow, error] {
	return func(yield func(FailedRow, error) bool) {
		if err := s.failures(ctx, id, after, yield); err != nil {
			yield(FailedRow{}, fmt.Errorf("read failures: %w", err))
		}
	}
}

func (s *Store) failures(ctx context.Context, id ledger.ID, after int, yield func(FailedRow, error) bool) error {
	c, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	p, err := c.plan()
	if err != nil {
		return err
	}
	led, err := ledger.New(s.rdb, ledger.Options{Prefix: s.keys.prefix})
	if err != nil {
		return err
	}
	failed, err := s.rdb.Get(ctx, s.keys.failed(id)).Bytes()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	chunks := chunkReader{store: s, id: id}
	rows := make([]int, 0, failuresSlice)
	for row := range setBits(failed, after+1) {
		if row > c.Rows {
			break
		}
		if rows = append(rows, row); len(rows) < failuresSlice {
			continue
		}
		if more, err := s.yieldFailures(ctx, p, led, &chunks, rows, yield); err != nil || !more {
			return err
		}
		rows = rows[:0]
	}
	_, err = s.yieldFailures(ctx, p, led, &chunks, rows, yield)
	return err
}

func (s *Store) yieldFailures(ctx context.Context, p *plan, led *ledger.Ledger, chunks *chunkReader, rows []int, yield func(FailedRow, error) bool) (more bool, err error) {
	ids := make([]ledger.ID, len(rows))
	for i, row := range rows {
		ids[i] = chunks.id.OfRow(uint32(row))
	}
	found, errs := led.GetMany(ctx, ids)
	for i, number := range rows {
		if errors.Is(errs[i], ledger.ErrNotFound) {
			continue // its retention is over
		}
		if errs[i] != nil {
			return false, errs[i]
		}
		r, err := chunks.row(ctx, number)
		if err != nil {
			return false, err
		}
		failure := FailedRow{Row: number, To: r.to.String(), Job: found[i], Fields: map[string]string{}}
		for at, field := range p.fields {
			if len(r.values[at]) > 0 {
				failure.Fields[field.Name] = string(r.values[at])
			}
		}
		if !yield(failure, nil) {
			return false, nil
		}
	}
	return true, nil
}

// chunkReader reads rows by their number, for which it keeps the last chunk.
type chunkReader struct {
	store  *Store
	id     ledger.ID
	number int
	rows   []row
}

func (c *chunkReader) row(ctx context.Context, number int) (row, error) {
	if at := (number - 1) / chunkRows; c.rows == nil || at != c.number {
		rows, err := c.store.chunk(ctx, c.id, at)
		if err != nil {
			return row{}, err
		}
		c.number, c.rows = at, rows
	}
	at := (number - 1) % chunkRows
	if at >= len(c.rows) {
		return row{}, fmt.Errorf("%w: it has no row %d", errChunk, number)
	}
	return c.rows[at], nil
}

// setBits yields the places of the bits that are set, from a place on.
func setBits(bitmap []byte, from int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for at := from / 8; at < len(bitmap); at++ {
			b := bitmap[at]
			if at == from/8 {
				b &= 0xff >> (from % 8)
			}
			for b != 0 {
				bit := bits.LeadingZeros8(b)
				if !yield(at*8 + bit) {
					return
				}
				b &^= 0x80 >> bit
			}
		}
	}
}
