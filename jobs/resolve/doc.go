// Package resolve decides messages whose outcome is unknown, from Flowroute's own
// records: an answer that got lost, a worker that died. It is what makes it
// possible to post a message again without sending it twice.
//
// # How
//
// A [Resolver] looks once a second whether an outcome is open. A message is due
// when its request must be over, the records have had the settle time, and this
// process itself has watched it for as long. All that are due share one read of
// Flowroute's list, from ten minutes before the earliest first intent; a second read
// follows when one of them could be absent. What the reads say is decided by a pure
// function (decide.go), for all messages together that cannot be told apart: same
// sender, recipient and text. The ledger carries it out by compare-and-set.
//
//   - A record that is nobody's and has the text is the message's: it is accepted.
//   - Nothing of that pair of numbers is nobody's, and the reads prove themselves
//     current: it was not accepted, and is posted again.
//   - Anything else waits, and in the end a person decides, with a reason and the
//     evidence.
//
// A read proves itself current when every message that is known to be accepted is in
// it, one of them accepted after the last possible moment of the post; or, on a quiet
// account, when much more time has passed. Records that came late in the last day
// forbid to conclude anything from their absence. An empty list, or one that cannot be
// read, decides nothing.
//
// # After a loss of Redis
//
// While the ledger's fence is up, the resolver reads the records of the gap and
// matches those that are nobody's with every message that is not over, queued ones
// too (fence.go). What it finds is accepted, what is nearly one goes to a person, and
// what nobody has asked for is kept for a producer who asks for it again. Then it
// lowers the fence.
//
// # Guarantees
//
//   - Two resolvers at once are harmless, and so is one that dies at any moment.
//   - However many messages are open, a round reads the window at most twice.
//   - Redis' clock may jump, and Flowroute's be off by up to five minutes: nothing is
//     posted again because of it.
//   - While nothing is open it costs one command of Redis a second.
//
// # What it does not do
//
// Purchases and route updates are decided by a worker, from the account's state; the
// resolver only wakes it. It never posts anything.
package resolve
