package mdr

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// Every key of the package is made here; the scripts get them as KEYS.
//
//	{flowroute}:mdr:b:<minute>      string, TTL retention: the records of a minute since 1970 (block.go)
//	{flowroute}:mdr:d:<day>         string, TTL retention + 1 day: 1,440 counters of 4 bytes, records in each minute
//	{flowroute}:mdr:i:<week>:<hex>  hash, TTL retention + 1 day: packed id → its minute, in 8,192 parts
//	{flowroute}:mdr:i1:…, i2:…      the same in 32,768 and 131,072 parts, for what the former have no room for
//	{flowroute}:mdr:n:<week>:<hex>  string, TTL retention + 1 day: which numbers are in which minutes, in 1,024 parts; see index.go
//	{flowroute}:mdr:sync            hash, no TTL: how far the copy reaches; the last report
//	{flowroute}:mdr:w               hash, no TTL, bounded: windows that must be read again, and when they were read
//	{flowroute}:mdr:lock            string, TTL 30 s: a sync is running

const (
	minute = time.Minute
	day    = 24 * time.Hour
	week   = 7 * day
)

// minuteOf is the number of the minute since 1970 that t is in.
func minuteOf(t time.Time) int64 {
	s := t.Unix()
	if s < 0 {
		s -= 59
	}
	return s / 60
}

func minuteStart(m int64) time.Time { return time.Unix(m*60, 0).UTC() }

func (s *Store) key(name string) string { return s.prefix + "mdr:" + name }

func (s *Store) blockKey(m int64) string { return s.key("b:" + strconv.FormatInt(m, 10)) }

const minutesPerDay = int64(day / minute)

// dayKey is where the counter of minute m is, and the counter's place.
func (s *Store) dayKey(m int64) (key string, place int64) {
	return s.key("d:" + strconv.FormatInt(m/minutesPerDay, 10)), m % minutesPerDay
}

const minutesPerWeek = int64(week / minute)

// indexKey is where the id of a record of week w is found, on a level of the index.
func (s *Store) indexKey(w int64, id rawID, level int) string {
	part := int64(id[2]&1)<<16 | int64(id[0])<<8 | int64(id[1])
	part %= indexParts << (2 * level)
	name := "i"
	if level > 0 {
		name += strconv.Itoa(level)
	}
	return s.key(name + ":" + strconv.FormatInt(w, 10) + ":" + strconv.FormatInt(part, 16))
}

// numberKey is where a part of the index of numbers is.
func (s *Store) numberKey(w int64, part int) string {
	return s.key("n:" + strconv.FormatInt(w, 10) + ":" + strconv.FormatInt(int64(part), 16))
}

// rawID is an MDR id as it is kept: the 16 bytes of mdr2- and 32 hex digits, or a
// hash of an id of another form.
type rawID [16]byte

// packID reports whether the id can be told from its 16 bytes.
func packID(id string) (raw rawID, exact bool) {
	if len(id) == len("mdr2-")+32 && id[:5] == "mdr2-" {
		if n, err := hex.Decode(raw[:], []byte(id[5:])); err == nil && n == 16 && unpackID(raw) == id {
			return raw, true
		}
	}
	return hashID(id), false
}

func unpackID(raw rawID) string { return fmt.Sprintf("mdr2-%x", raw[:]) }
