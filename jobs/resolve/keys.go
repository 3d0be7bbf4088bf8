package resolve

// The resolver's own keys, of the ledger's prefix and hash tag:
//
//	{flowroute}:clock     hash, no TTL: the offset of Flowroute's clock and the samples it was learned from
//	{flowroute}:lag       hash, TTL 25 h: hour → the largest lag of records seen in it, ms
//	{flowroute}:round     string, TTL 7 days: JSON, what the last round read and decided
//	{flowroute}:resolver  string, TTL 15 s: the lease under which a round is made

func keyClock(prefix string) string { return prefix + "clock" }
func keyLag(prefix string) string   { return prefix + "lag" }
func keyRound(prefix string) string { return prefix + "round" }
func keyLease(prefix string) string { return prefix + "resolver" }
