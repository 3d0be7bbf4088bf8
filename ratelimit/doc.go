// Package ratelimit decides when the next request to Flowroute may go, for all
// processes that share one Redis. Flowroute counts attempts, refused ones too,
// in a window of one second, and does not say whether that window is fixed or
// slides; so the rule here is not tuned but provable.
//
// A limit of n per second is n permits. An attempt takes one before its request
// leaves and gives it back one second after the response came. [Permit] has the
// theorem: whatever the jitter, no window of one second sees more than n.
//
//	l, err := ratelimit.New(rdb, ratelimit.Options{Account: client.Account(), Limits: limits})
//	go l.Run(ctx)                                               // until every request is over
//	p, err := l.Take(ctx, ratelimit.KindSMS, ratelimit.LaneOTP) // waits
//	…                                                           // before p.Deadline()
//	p.Responded()                                               // or Abandoned, or Unsent
//
// Permits live in Redis. All limits of one request are taken in one script
// call: an MMS takes an MMS permit and an SMS permit, a look-up one of each of
// its limits, and each request of every [Cap] that it comes with: of its sending
// number, of its campaign. A process that dies leaves its permits to a lease that ends when
// its last request can no longer be counted.
//
// # Waiting
//
// Lanes are served in order: [LaneOTP] before all others, then [LaneResolve],
// [LaneNormal], [LaneBulk], [LaneSync]; of the last two, bulk gets at least one
// permit in twenty and sync one in fifty while they wait. Within a lane it is
// first come, first served in a process, and turn by turn between processes.
// While anybody waits, the grants of one limit are at least 0.9/n s apart, so
// that permits do not come back in a bunch; an idle limit delays nobody. Each
// process has one call to Redis under way for each [Kind], however many wait.
//
// Who waits for a cap holds up nobody else. A call presents a few of those whose
// caps are believed to have a permit; for the others the process knows when that
// may be. Within a cap the lanes are served in the same order, and within a lane
// first come, first served across processes. A cap that has nothing left today is
// not waited for: see [CapError].
//
// # When the account allows less
//
// A 429 all the same means that somebody else uses the account, or that it is
// allowed less than it is configured for. [Permit.RateLimited] pauses the kind as
// long as the answer asks, and shrinks its limit by a quarter for all processes;
// the 429s of one burst count as one. It grows back evenly, a quarter of the limit
// in 50 s, never beyond what is configured. The state in Redis keeps it over
// restarts.
//
// # When something is lost
//
// Without Redis there are no permits: Take waits. When the state in Redis is
// gone, when another Redis answers than the one that wrote it (run_id), or when
// Redis' clock moves by more than a second against the caller's monotonic
// clock, all permits count as out: n phantoms stand for whatever is under way
// in other processes, until it can no longer be counted ([Options.WriteWindow]
// + [Options.PathDelay] + one period + 1.25 s, by default 10.25 s after the
// loss). A process that lives presents the permits it holds; each takes the
// place of a phantom and comes back in its own time. A Redis that never saw
// the account looks the same as one that lost it, so the first start waits
// as long: see [Options.FreshStart].
//
// # What it does not do
//
// It does not see who uses the same key with another Redis. It does not hold
// if two Redis primaries are written at once (a split Sentinel or Cluster). A
// VM resumed from a memory snapshot has old clocks and old memory together,
// and nothing local can tell.
package ratelimit
