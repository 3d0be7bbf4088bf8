package mdr

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// A record says nothing of a campaign. But a campaign's rows are jobs whose ids follow
// from its own, and a job knows its records: so they are found from there, in the order of
// the rows, and it costs no memory.

// rowsAtOnce is how many jobs are read in one round trip, rowBound how many for a page.
const rowsAtOnce, rowBound = 100, 500

func (s *Store) listCampaign(ctx context.Context, q Query) (page Page, err error) {
	next := q.CampaignRows
	if q.Cursor != "" {
		if next, err = readRowCursor(q.Cursor); err != nil {
			return page, err
		}
		next = min(next, q.CampaignRows)
	}
	f := newFilter(q)
	for bound := next - rowBound; next > 0; {
		if len(page.Records) >= q.Limit || next <= bound {
			page.Next = rowCursor(next)
			return page, nil
		}
		ids := make([]ledger.ID, 0, rowsAtOnce)
		for row := next; row > 0 && len(ids) < min(rowsAtOnce, q.Limit-len(page.Records)); row-- {
			ids = append(ids, q.Campaign.OfRow(uint32(row)))
		}
		rows, err := s.recordsOf(ctx, ids)
		if err != nil {
			return page, err
		}
		for _, places := range rows {
			records, err := f.within(places, q)
			if err != nil {
				return page, err
			}
			if len(page.Records) > 0 && len(page.Records)+len(records) > q.Limit {
				page.Next = rowCursor(next)
				return page, nil
			}
			page.Records = append(page.Records, records...)
			next--
		}
	}
	return page, nil
}

// within takes the records that are wanted, of the query's time.
func (f filter) within(places []place, q Query) (records []Record, err error) {
	for _, p := range places {
		if p.at.Before(q.Since) || !q.Until.IsZero() && !p.at.Before(q.Until) {
			continue
		}
		r, wanted, err := f.take(p)
		if err != nil {
			return nil, err
		}
		if wanted {
			records = append(records, r)
		}
	}
	return records, nil
}

// sought is a record that a job has.
type sought struct {
	id     rawID
	job    int // its place among those asked for
	answer []*redis.StringCmd
}

// recordsOf are the stored records of each of some jobs. A message that was posted several
// times may have several.
func (s *Store) recordsOf(ctx context.Context, ids []ledger.ID) ([][]place, error) {
	jobs, errs := s.jobs.GetMany(ctx, ids)
	pipe := s.rdb.Pipeline()
	var list []sought
	last := minuteOf(s.now().Add(day)) / minutesPerWeek
	for i, job := range jobs {
		if errors.Is(errs[i], ledger.ErrNotFound) {
			continue
		}
		if errs[i] != nil {
			return nil, errs[i]
		}
		// It was posted between the job's making and its last change, give or take clocks.
		from, to := minuteOf(job.Created.Add(-day))/minutesPerWeek, min(last, minuteOf(job.Updated().Add(day))/minutesPerWeek)
		for _, mdr := range job.MDRs {
			raw, _ := packID(mdr)
			one := sought{id: raw, job: i}
			for w := from; w <= to; w++ {
				for level := range indexLevels {
					one.answer = append(one.answer, pipe.HGet(ctx, s.indexKey(w, raw, level), string(raw[:])))
				}
			}
			list = append(list, one)
		}
	}
	rows := make([][]place, len(ids))
	if pipe.Len() == 0 {
		return rows, nil
	}
	if err := execute(ctx, pipe); err != nil {
		return nil, err
	}
	return rows, s.places(ctx, list, rows)
}

// places reads records by what the index answered.
func (s *Store) places(ctx context.Context, list []sought, rows [][]place) error {
	blocks := map[int64]block{}
	at := func(one sought) int64 {
		for _, cmd := range one.answer {
			if m, err := cmd.Int64(); err == nil {
				return m
			}
		}
		return -1
	}
	for _, one := range list {
		blocks[at(one)] = block{}
	}
	delete(blocks, -1)
	minutes := slices.Sorted(maps.Keys(blocks))
	read, err := s.load(ctx, minutes)
	if err != nil {
		return err
	}
	for i, m := range minutes {
		blocks[m] = read[i]
	}
	for _, one := range list {
		p := place{id: one.id, minute: at(one)}
		i := blocks[p.minute].find(one.id)
		if i < 0 {
			continue
		}
		p.packed = blocks[p.minute].rows[i].packed
		if p.at, err = stampOf(p.packed, p.minute); err != nil {
			return err
		}
		rows[one.job] = append(rows[one.job], p)
	}
	return nil
}

// A campaign's cursor is the next row.
func rowCursor(row int) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32([]byte{'c'}, uint32(row)))
}

func readRowCursor(s string) (int, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 5 || b[0] != 'c' {
		return 0, ErrBadCursor
	}
	return int(binary.BigEndian.Uint32(b[1:])), nil
}
