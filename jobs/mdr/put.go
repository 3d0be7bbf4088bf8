package mdr

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

//go:embed put.lua
var putLua string

var putScript = redis.NewScript(putLua)

// PutResult counts what became of a batch.
type PutResult struct {
	New     int // not held before
	Changed int // held otherwise before
	Stale   int // what is held is newer
	Expired int // older than the retention, or without a time: not stored
}

func (r *PutResult) add(o PutResult) {
	r.New, r.Changed, r.Stale, r.Expired = r.New+o.New, r.Changed+o.Changed, r.Stale+o.Stale, r.Expired+o.Expired
}

// Put stores records. It may be repeated, and run at once with others: what is
// held and newer stays. After an error a part of the batch may be stored.
func (s *Store) Put(ctx context.Context, batch []flowroute.MDR) (PutResult, error) {
	return s.put(ctx, batch, func(context.Context, []*Record) error { return nil })
}

// settler gets the records of a batch that ended, and are either new or ended
// otherwise before, or no job could make use of them yet. It sets Matched where
// one did. It is called before the records are stored, so that no end is lost when
// the process dies in between; it may see a record more than once.
type settler func(ctx context.Context, ended []*Record) error

const maxTries = 20

func (s *Store) put(ctx context.Context, batch []flowroute.MDR, settle settler) (PutResult, error) {
	var total PutResult
	if err := s.prepare(ctx); err != nil {
		return total, fmt.Errorf("store records: %w", err)
	}
	oldest := s.now().Add(-s.retention)
	groups := map[int64][]Record{}
	for _, m := range batch {
		if m.Timestamp.Before(oldest) {
			total.Expired++
			continue
		}
		at := minuteOf(m.Timestamp)
		groups[at] = append(groups[at], Record{MDR: m})
	}
	// A minute that somebody else changed meanwhile is read and merged anew.
	for range maxTries {
		if len(groups) == 0 {
			return total, nil
		}
		lost, result, err := s.merge(ctx, groups, settle)
		total.add(result)
		if err != nil {
			return total, fmt.Errorf("store records: %w", err)
		}
		maps.DeleteFunc(groups, func(m int64, _ []Record) bool { return !slices.Contains(lost, m) })
	}
	return total, fmt.Errorf("store records: %d minutes were changed by others %d times", len(groups), maxTries)
}

// draft is the next version of a minute's block.
type draft struct {
	minute int64
	block  block
	rows   map[rawID]*draftRow
	result PutResult
}

type draftRow struct {
	record  Record
	old     []byte // as it is stored; nil: it is not
	changed bool
	// renumbered: what is stored has other numbers
	renumbered bool
}

// merge brings records into the blocks of their minutes. It returns the minutes
// that others changed in between; the result does not count them.
func (s *Store) merge(ctx context.Context, groups map[int64][]Record, settle settler) (lost []int64, result PutResult, err error) {
	minutes := slices.Sorted(maps.Keys(groups))
	blocks, err := s.load(ctx, minutes)
	if err != nil {
		return nil, result, err
	}
	drafts := make([]*draft, len(minutes))
	var ended []*Record
	for i, m := range minutes {
		drafts[i] = &draft{minute: m, block: blocks[i], rows: map[rawID]*draftRow{}}
		if err := drafts[i].take(groups[m]); err != nil {
			return nil, result, err
		}
		ended = append(ended, drafts[i].ended()...)
	}
	if len(ended) > 0 {
		if err := settle(ctx, ended); err != nil {
			return nil, result, err
		}
	}
	moved, err := s.index(ctx, drafts)
	if err == nil {
		err = s.move(ctx, drafts, moved)
	}
	if err != nil {
		return nil, result, err
	}
	if lost, err = s.write(ctx, drafts); err != nil {
		return nil, result, err
	}
	for _, d := range drafts {
		if !slices.Contains(lost, d.minute) {
			result.add(d.result)
		}
	}
	return lost, result, nil
}

// take compares records with the block and keeps those that it must hold anew.
func (d *draft) take(records []Record) error {
	stored := make(map[rawID][]byte, len(d.block.rows))
	for _, r := range d.block.rows {
		stored[r.id] = r.packed
	}
	for _, r := range records {
		id, _ := packID(r.ID)
		if known := d.rows[id]; known != nil { // twice in one batch
			if !r.older(known.record) {
				known.renumbered = known.renumbered || r.From != known.record.From || r.To != known.record.To
				known.record.MDR = r.MDR
				known.changed = known.old == nil || !sameContent(pack(known.record, d.minute), known.old)
			}
			continue
		}
		row := &draftRow{record: r, old: stored[id], changed: true}
		if row.old != nil {
			held, err := unpack(row.old, id, d.minute)
			if err != nil {
				return err
			}
			row.record.Matched = held.Matched
			row.changed = !sameContent(pack(r, d.minute), row.old)
			if row.changed && r.older(held) {
				d.result.Stale++
				row.record, row.changed = held, false
			}
			row.renumbered = r.From != held.From || r.To != held.To
		}
		d.rows[id] = row
	}
	return nil
}

// sameContent compares packed records but for their marks.
func sameContent(a, b []byte) bool { return bytes.Equal(a[1:], b[1:]) }

// ended lists the records whose job has yet to learn how they ended.
func (d *draft) ended() []*Record {
	var ended []*Record
	for _, r := range d.rows {
		if r.record.ended() && (r.changed || !r.record.Matched) {
			ended = append(ended, &r.record)
		}
	}
	return ended
}

// finish makes the block's rows; false: nothing of it changed.
func (d *draft) finish() (bool, error) {
	dirty := false
	place := make(map[rawID]int, len(d.block.rows))
	for i, r := range d.block.rows {
		place[r.id] = i
	}
	for _, id := range slices.SortedFunc(maps.Keys(d.rows), func(a, b rawID) int { return bytes.Compare(a[:], b[:]) }) {
		r := d.rows[id]
		packed := pack(r.record, d.minute)
		switch {
		case r.old == nil:
			d.result.New++
			d.block.rows = append(d.block.rows, row{id, packed})
		case !bytes.Equal(packed, r.old):
			if r.changed {
				d.result.Changed++
			}
			d.block.rows[place[id]].packed = packed
		default:
			continue
		}
		dirty = true
	}
	if !dirty {
		return false, nil
	}
	return true, d.block.sort(d.minute)
}

// write stores the drafts that changed, and returns the minutes that others
// changed since they were read.
func (s *Store) write(ctx context.Context, drafts []*draft) (lost []int64, err error) {
	var calls []call
	var written []*draft
	for _, d := range drafts {
		dirty, err := d.finish()
		if err != nil {
			return nil, err
		}
		if dirty {
			calls, written = append(calls, s.putCall(d.minute, d.block)), append(written, d)
		}
	}
	answers, err := s.runAll(ctx, putScript, calls)
	if err != nil {
		return nil, err
	}
	for i, answer := range answers {
		done, err := answer.Int()
		if err != nil {
			return nil, err
		}
		if done == 0 {
			lost = append(lost, written[i].minute)
		}
	}
	return lost, nil
}

func (s *Store) putCall(m int64, k block) call {
	dayKey, place := s.dayKey(m)
	stored := ""
	if len(k.rows) > 0 {
		stored = string(k.encode(s.squeezer))
	}
	lapse := minuteStart(m + 1).Add(s.retention)
	dayLapse := minuteStart(m - place + minutesPerDay).Add(s.retention + day)
	counter := binary.BigEndian.AppendUint32(nil, uint32(len(k.rows)))
	return call{[]string{s.blockKey(m), dayKey}, []any{k.head, stored, lapse.UnixMilli(), 4 * place, counter, dayLapse.UnixMilli()}}
}

// remove takes a record out of a minute to which it does not belong any more.
func (s *Store) remove(ctx context.Context, id rawID, m int64) error {
	for range maxTries {
		blocks, err := s.load(ctx, []int64{m})
		if err != nil {
			return err
		}
		at := blocks[0].find(id)
		if at < 0 {
			return nil
		}
		blocks[0].rows = slices.Delete(blocks[0].rows, at, at+1)
		c := s.putCall(m, blocks[0])
		done, err := putScript.Run(ctx, s.rdb, c.keys, c.args...).Int()
		if err != nil {
			return err
		}
		if done == 1 {
			return nil
		}
	}
	return fmt.Errorf("minute %d was changed by others %d times", m, maxTries)
}

// execute runs a pipeline; that some value is not there is no error.
func execute(ctx context.Context, pipe redis.Pipeliner) error {
	cmds, err := pipe.Exec(ctx)
	if err == nil {
		return nil
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}
