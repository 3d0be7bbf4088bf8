package forward

// Every key of the package is made here; the scripts get them as KEYS.
//
//	{flowroute}:fwd:<kind>          stream, TTL 72 h: what the receiver does not have yet; b body, t type of its content
//	{flowroute}:fwd:<kind>:n        hash, no TTL: n bodies and b bytes in the stream; lapsed, full: dropped ever; at: when, the last time (ms)
//	{flowroute}:fwd:<kind>:sender   string, TTL: the lease of the process that posts
func (s *Store) streamKey(k Kind) string { return s.prefix + "fwd:" + string(k) }
func (s *Store) sumsKey(k Kind) string   { return s.streamKey(k) + ":n" }
func (s *Store) leaseKey(k Kind) string  { return s.streamKey(k) + ":sender" }
