// Package forward passes on what Flowroute has posted to our webhooks, to receivers
// that want it too: byte for byte the same body, with the same type of content.
//
// A message with a callback of its own tells nobody else of its receipts, and an
// account's callbacks have one address each. Whoever gives them to this program can
// have them all the same.
//
// # The usual path
//
// The webhook writes a body down with [Store.Add] before it answers. A [Sender] of the
// kind posts what was written down, in the order of arrival, and deletes it.
//
// # Guarantees
//
//   - What was added is posted at least once, unless it lapses or is pushed out before
//     its receiver takes it. A crash between a post and the note of it repeats that one.
//   - One process posts at a time, one body after the other. Each kind has a stream, a
//     lease and a pace of its own: a receiver that is down holds up nobody else, and
//     never the answer to Flowroute.
//   - A body that its receiver refuses again and again is passed over and tried again
//     later, at growing intervals, so that it does not hold up those behind it.
//   - It is bounded, in bodies, in bytes and in age: the texts of messages are in it.
//     While a process with a store's sender runs, nothing is kept for more than 72 hours;
//     when none does, a stream lapses 72 hours after its last arrival. What is dropped
//     before it was taken is counted, in the metrics and in Redis, and said in the log; of
//     a stream that lapsed as a whole, as soon as somebody looks.
//
// # What it does not do
//
// It changes nothing, signs nothing and follows no redirect. It does not read what it
// passes on.
package forward
