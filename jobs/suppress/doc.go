// Package suppress keeps in Redis who must not be texted: the opt-outs.
//
// # The usual path
//
// Whoever is about to send asks a [Checker]: [Store.Blocked] for one message,
// [Store.BlockedMany] for thousands. Opt-outs come from people ([Store.Add]), from
// lists ([Store.Import]), from the carriers' answer 400 with 1110 ([Store.Add] with
// [SourceCarrier]) and from words like STOP in inbound records
// ([Store.ApplyInbound]). [Store.List] and [Store.Each] show them.
//
// # What blocks
//
// An entry is of a recipient and one of our numbers, or all of them. Any entry of a
// recipient blocks all our numbers: who has told one of them to stop hardly wants to
// hear from the next. [Options.PairOnly] narrows that to the number itself.
//
// # What takes it back
//
//   - A START or UNSTOP takes back what was asked for by the recipient at the same
//     number before: by STOP, or known from the carrier's answer. Nothing else.
//   - A person's [Store.Remove] takes back everything of the recipient, or of one
//     pair. A STOP that was not known at that time still counts when it arrives.
//   - Entries of people and of lists are taken back by people alone.
//
// # Guarantees
//
//   - Adding is idempotent: the earliest time stays, with what made it.
//   - STOP and START may be seen in any order and any number of times: whether they
//     block is decided by their own times. Of a STOP and a START at one time the STOP
//     counts. For this the time of the last START outlives the entry.
//   - A change reads, and writes only if nobody else has written in between; it is
//     done whole or not at all, and the counts with it. Of several at once exactly one
//     is told that it has added the entry.
//   - No reply and no script grows with the number of opt-outs; nothing is searched
//     with KEYS or SCAN.
//
// # Layout
//
// The recipients are spread over 32,768 small hashes, which Redis keeps as flat
// lists: about 30 bytes an entry with a million of them (record.go, keys.go).
//
// # What it does not do
//
// It keeps nobody from posting by itself. Short codes have no entries: they cannot be
// sent to.
package suppress
