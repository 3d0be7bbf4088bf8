package mdr

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// walk goes through the stored records of a window, newest first. Which minutes hold any
// the counters of the days tell; with a number, the index tells which minutes may hold it.
type walk struct {
	store  *Store
	query  Query
	filter filter
	oldest int64  // minute
	before *place // only what comes before it, in time

	minute  int64 // the newest that is not read yet
	day     int64
	counts  string // of the day; "" when not read
	pending []place
	group   int // how many records to read at once
	cost    int // what was looked at

	indexed   int64 // from this minute on the index of numbers is complete
	sightings []int64
	week      int64 // the newest whose sightings are not read yet
	weeks     int64 // how many to read at once
}

func (s *Store) newWalk(ctx context.Context, q Query) (*walk, error) {
	now := s.now()
	since, until := now.Add(-s.retention), now.Add(day)
	if q.Since.After(since) {
		since = q.Since
	}
	if !q.Until.IsZero() && q.Until.Before(until) {
		until = q.Until
	}
	q.Since, q.Until = since, until
	w := &walk{
		store: s, query: q, filter: newFilter(q), oldest: minuteOf(since), minute: minuteOf(until), day: -1,
		group: groupRecords, indexed: math.MaxInt64, weeks: 1,
	}
	if q.Cursor != "" {
		at, id, err := readCursor(q.Cursor)
		if err != nil {
			return nil, err
		}
		w.before = &place{at: at, id: id}
		w.minute = min(w.minute, minuteOf(at))
	}
	w.week = w.minute / minutesPerWeek
	if w.filter.number == "" {
		return w, nil
	}
	var err error
	w.indexed, err = s.numbersFrom(ctx)
	return w, err
}

// next is the next record of the window; false at its end. With a number it may leave out
// those that do not have it.
func (w *walk) next(ctx context.Context) (place, bool, error) {
	for len(w.pending) == 0 {
		if w.minute < w.oldest {
			return place{}, false, nil
		}
		fill := w.fill
		if w.minute >= w.indexed {
			fill = w.fillFromIndex
		}
		if err := fill(ctx); err != nil {
			return place{}, false, err
		}
	}
	first := w.pending[0]
	w.pending = w.pending[1:]
	return first, true, nil
}

// fill reads the next group of blocks, or finds that a day has none left.
func (w *walk) fill(ctx context.Context) error {
	var minutes []int64
	for records := 0; w.minute >= w.oldest && records < w.group && len(minutes) < groupMinutes; w.minute-- {
		if w.minute/minutesPerDay != w.day {
			if len(minutes) > 0 {
				break
			}
			if err := w.open(ctx, w.minute/minutesPerDay); err != nil {
				return err
			}
			if w.counts == "" { // the whole day is empty
				w.minute -= w.minute % minutesPerDay
				continue
			}
		}
		if n := countAt(w.counts, w.minute); n > 0 {
			minutes, records = append(minutes, w.minute), records+n
		}
	}
	w.group = min(2*w.group, groupRecords)
	return w.read(ctx, minutes, false)
}

// countAt is how many records a minute has, by the counters of its day.
func countAt(counts string, m int64) int {
	place := 4 * (m % minutesPerDay)
	if place+4 > int64(len(counts)) {
		return 0
	}
	return int(binary.BigEndian.Uint32([]byte(counts[place : place+4])))
}

func (w *walk) open(ctx context.Context, d int64) (err error) {
	w.day = d
	w.counts, err = w.store.counts(ctx, d)
	return err
}

// counts are the counters of a day; "" when it has none.
func (s *Store) counts(ctx context.Context, d int64) (string, error) {
	key, _ := s.dayKey(d * minutesPerDay)
	counts, err := s.rdb.Get(ctx, key).Result()
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return counts, err
}

// Of the blocks to which the index of numbers leads few are read at once at first: a busy
// number fills the page with one.
const (
	firstSightings = 8
	mostSightings  = 32
	mostWeeks      = 64
)

// fillFromIndex reads the next blocks to which the index leads.
func (w *walk) fillFromIndex(ctx context.Context) error {
	end := max(w.oldest, w.indexed)
	for len(w.sightings) == 0 {
		if w.week < end/minutesPerWeek {
			w.minute = end - 1 // and on without the index
			return nil
		}
		var weeks []int64
		for ; w.week >= end/minutesPerWeek && int64(len(weeks)) < w.weeks; w.week-- {
			weeks = append(weeks, w.week)
		}
		w.weeks = min(4*w.weeks, mostWeeks)
		found, err := w.store.sightings(ctx, w.filter.number, weeks)
		if err != nil {
			return err
		}
		for _, m := range found {
			if m <= w.minute && m >= end {
				w.sightings = append(w.sightings, m)
			}
		}
	}
	if w.group > mostSightings {
		w.group = firstSightings
	}
	minutes := w.sightings[:min(w.group, len(w.sightings))]
	w.sightings, w.group = w.sightings[len(minutes):], mostSightings
	w.minute = minutes[len(minutes)-1] - 1
	return w.read(ctx, minutes, true)
}

// read takes the records of minutes that are in the window, newest first. Named are those
// of which only records with the number count.
func (w *walk) read(ctx context.Context, minutes []int64, named bool) error {
	wanted := everyRow
	if named {
		wanted = w.filter.tagged
	}
	blocks, err := w.store.loadSome(ctx, minutes, wanted)
	if err != nil {
		return err
	}
	for i, k := range blocks {
		if named {
			w.cost += 1 + len(k.rows)/skipped
		}
		if err := w.add(k, minutes[i], named); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) add(k block, m int64, named bool) error {
	for i := len(k.rows) - 1; i >= 0; i-- {
		r := k.rows[i]
		if named && !w.filter.names(r.packed) {
			continue
		}
		at, err := stampOf(r.packed, m)
		if err != nil {
			return fmt.Errorf("minute %d: %w", m, err)
		}
		if at.Before(w.query.Since) || !at.Before(w.query.Until) {
			continue
		}
		if w.before != nil && !sortsBefore(at, r.id, w.before.at, w.before.id) {
			continue
		}
		w.pending = append(w.pending, place{at, r.id, r.packed, m})
	}
	return nil
}

// numbersFrom is the minute from which on the index of numbers is complete.
func (s *Store) numbersFrom(ctx context.Context) (int64, error) {
	from, err := s.rdb.HGet(ctx, s.key("sync"), "numbers").Result()
	if errors.Is(err, redis.Nil) {
		return math.MaxInt64, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(from, 10, 64)
}

// prepare notes from which minute on this version's index of numbers is complete, if
// nobody did: a copy that was begun without one gets it later (see indexOlder), when no
// older version is likely to write to it any more.
func (s *Store) prepare(ctx context.Context) error {
	if s.prepared.Load() {
		return nil
	}
	key, from := s.key("sync"), int64(0)
	begun, err := s.rdb.HExists(ctx, key, "first").Result()
	if err == nil {
		if begun {
			from = minuteOf(s.now().Add(time.Hour)) + 1
		}
		err = s.rdb.HSetNX(ctx, key, "numbers", from).Err()
	}
	s.prepared.Store(err == nil)
	return err
}

// indexedBefore is how many records one sync brings into the index of numbers.
const indexedBefore = 100_000

// indexOlder brings records that were stored without it into the index of numbers, the
// newest first, a bounded number of them.
func (s *Store) indexOlder(ctx context.Context) error {
	from, err := s.numbersFrom(ctx)
	now := s.now()
	if err != nil || from == 0 || from > minuteOf(now) {
		return err
	}
	w := &walk{store: s, oldest: minuteOf(now.Add(-s.retention)), minute: from - 1, day: -1, group: groupRecords}
	w.query.Since, w.query.Until = now.Add(-s.retention), now.Add(week)
	for done := 0; done < indexedBefore && w.minute >= w.oldest; {
		if err := w.fill(ctx); err != nil {
			return err
		}
		done += len(w.pending)
		weeks, seen, at := jottings{}, map[string]bool{}, int64(-1)
		for _, p := range w.pending {
			r, err := unpack(p.packed, p.id, p.minute)
			if err != nil {
				return fmt.Errorf("minute %d: %w", p.minute, err)
			}
			if p.minute != at {
				at, seen = p.minute, map[string]bool{}
			}
			weeks.of(at).record(seen, r, at)
		}
		if _, err := s.jot(ctx, weeks); err != nil {
			return err
		}
		w.pending, from = nil, w.minute+1
		if w.minute < w.oldest {
			from = 0
		}
		if err := s.rdb.HSet(ctx, s.key("sync"), "numbers", from).Err(); err != nil {
			return err
		}
	}
	return nil
}
