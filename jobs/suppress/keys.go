package suppress

import "strconv"

// Every key of the package is made here; the script gets them as KEYS.
//
//	{flowroute}:sup:b:<bucket>  hash, no TTL: number → what is kept of it (record.go), in 32,768 buckets
//	{flowroute}:sup:used        string, no TTL: a bit for each bucket, 1 where it has anything (SETBIT's order)
//	{flowroute}:sup:n           hash, no TTL: e entries, r recipients that have one
//	{flowroute}:sup:synced      number, no TTL: what was waited for to reach the disk
func (s *Store) key(name string) string { return s.prefix + "sup:" + name }

func (s *Store) bucketKey(bucket int) string { return s.key("b:" + strconv.Itoa(bucket)) }

// Redis keeps a hash flat, at a fifth of the memory, up to 128 fields: enough for
// some three million numbers in so many buckets.
const bucketBits = 15

// bucketOf spreads the numbers of one block, too, evenly. It is part of the stored
// form: never change it.
func bucketOf(number uint64) int {
	return int(number * 0x9E3779B97F4A7C15 >> (64 - bucketBits))
}
