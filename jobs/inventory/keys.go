package inventory

// Every key of the package is made here:
//
//	{flowroute}:inv:numbers  hash, no TTL: digits → record (record.go)
//	{flowroute}:inv:order    zset, no TTL, all scores 0: digits, for lists by prefix
//	{flowroute}:inv:routes   hash, no TTL: route id → record
//	{flowroute}:inv:changes  stream, bounded: what was added, removed, changed
//	{flowroute}:inv:touched  set, no TTL: digits whose details are to be read next
//	{flowroute}:inv:report   string, no TTL: the last sync that ended well
//	{flowroute}:inv:lock     string, TTL 30 s: a sync is running

func (s *Store) key(name string) string { return s.prefix + "inv:" + name }
