package ratelimit

// Every key of the limiter is made here. All keys of an account carry the hash
// tag of the prefix, so that one script can touch them all, in a cluster too.

// DefaultPrefix is the prefix of every key of the product.
const DefaultPrefix = "{flowroute}:"

func (o *Options) key(name string) string { return o.Prefix + "limit:" + o.Account + ":" + name }

// stateKey is a hash without TTL: the epoch and the limiter's clock, and of
// each limit its last grant, penalty and phantoms (common.lua). A cap has fields
// while a permit is out or somebody waits.
func (o *Options) stateKey() string { return o.key("state") }

// capsKey is a zset without TTL: the caps that have something in the state or keys
// of their own, by when they may be idle (cap.lua).
func (o *Options) capsKey() string { return o.key("caps") }

// waitersKey is a hash without TTL: who waits, an entry per process, kind and
// lane, removed 2 s after its last renewal (take.lua).
func (o *Options) waitersKey() string { return o.key("waiters") }

// callKey is a string, TTL 10 minutes: the last call of a line of waiters.
func (o *Options) callKey(process string, k Kind) string {
	return o.key("call:" + process + ":" + string(k))
}

// outKey is a zset without TTL: the permits of a limit that are out, by the
// end of their lease; "=" marks it whole, "~1" to "~n" are phantoms. That of a
// cap is deleted when it is idle.
func (o *Options) outKey(limit string) string { return o.key("out:" + limit) }

// toldKey is a hash without TTL: the rate that each process declares,
// removed 10 s after its last renewal. That of a cap has a TTL of a minute.
func (o *Options) toldKey(limit string) string { return o.key("told:" + limit) }

// lineKey is a hash, TTL a minute: who waits for a cap, an entry per process, kind
// and lane (cap.lua).
func (o *Options) lineKey(limit string) string { return o.key("line:" + limit) }

// dayKey is a string: the permits of a cap that count for a day. It expires an hour
// after the day.
func (o *Options) dayKey(limit, day string) string { return o.key("day:" + limit + ":" + day) }
