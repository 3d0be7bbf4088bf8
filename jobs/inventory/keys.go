package inventory

import "strings"

// Every key of the package is made here; the scripts get them as KEYS. Numbers are
// digits, times are ms of Redis' clock.
//
//	{flowroute}:inv:n:<number>   hash, no TTL: one number (fields: put.lua); removed GoneFor after it went
//	{flowroute}:inv:r:<id>       hash, no TTL: one route (fields: put.lua)
//	{flowroute}:inv:numbers      zset by name, no TTL: the numbers that have a hash
//	{flowroute}:inv:gone         zset by name, no TTL: those of them that are gone
//	{flowroute}:inv:routes       zset by name, no TTL: the routes that have a hash
//	{flowroute}:inv:due          zset, no TTL: number → when its details were read; 0: read them at the next sync
//	{flowroute}:inv:touched      hash, no TTL: number → when it was touched, until its details are read
//	{flowroute}:inv:changes      stream, bounded: what came, went and changed
//	{flowroute}:inv:sync         hash, no TTL: number of listings, the last complete one, the last report
//	{flowroute}:inv:lock         string, TTL 30 s: a sync is running
func (s *Store) key(name string) string { return s.prefix + "inv:" + name }

// kind is what an entity is: its letter, and the index of all of its kind.
type kind struct{ letter, index string }

func numbers() kind { return kind{"n", "numbers"} }
func gone() kind    { return kind{"n", "gone"} }
func routes() kind  { return kind{"r", "routes"} }

func (s *Store) entityKey(k kind, name string) string { return s.key(k.letter + ":" + name) }

// putKeys are the KEYS of put.lua and gone.lua.
func (s *Store) putKeys(k kind, name string) []string {
	return []string{s.entityKey(k, name), s.key(k.index), s.key("changes"), s.key("due"), s.key("touched"), s.key(gone().index)}
}

// digitsOf brings what people type into the form of the index: digits, with the 1
// that Flowroute adds to a prefix without country code.
func digitsOf(prefix string) string {
	digits, international := strings.CutPrefix(prefix, "+")
	if international || digits == "" || digits[0] == '1' {
		return digits
	}
	return "1" + digits
}
