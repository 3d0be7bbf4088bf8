// Package reconcile compares what our ledger sent with what Flowroute's records say, for
// a window of time, and keeps the result as a report.
//
// # The usual path
//
// [Reconciler.Run] reads the stored copy of the records (package mdr) and the ledger's
// messages, never Flowroute itself, and puts each record and each message into a
// [Class]:
//
//   - [Matched]: a record of a message of ours, and both say the same.
//   - [WithoutRecord]: a message that was posted in the window and may have been
//     accepted, of which the copy has no record, though it should.
//   - [WithoutJob]: an outbound record that no message of ours has claimed: somebody
//     else uses this account, or another system does.
//   - [Differing]: a record of a message of ours that says something else: how it ended,
//     segments or a price other than expected, or another encoding.
//
// A record belongs to the window by its own time, a message without a record by when it
// was posted. A message counts where its first record is.
//
// # Guarantees
//
//   - Nothing counts as without a record whose record may only not be synced yet, and
//     none as nobody's whose claim may have lapsed: such are counted apart, as waiting
//     and as not told.
//   - All amounts are exact, in nanodollars.
//   - Redis is asked in steps of some milliseconds; nothing is locked, and nothing but
//     the report is written.
//
// # What it costs
//
// The records of the window are read once, and twice when a list is asked for. Some 50
// bytes of each are held at a time, of at most [Options].Held records; a longer window is
// done in parts, and its records are read once more for what their usual price is. For each part the ledger's messages are read that had not ended before
// it: 32 small hashes, some 2,000 messages, in one round trip.
//
// # Layout
//
// A report is a string of JSON of some kilobytes; see keys.go.
package reconcile
