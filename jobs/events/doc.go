// Package events carries the changes of jobs' states to other apps: it reads the
// ledger's stream for those who follow it over HTTP ([Feed]), and posts it to a
// webhook ([Sender]).
//
// # The usual path
//
// A reader joins a [Feed] and asks for a [Page] after the place it has come to; in
// between it waits for [Feed.Changed]. A [Sender] is such a reader: [Sender.Run]
// posts page after page, and keeps its place in Redis.
//
// # Guarantees
//
//   - A reader gets every change after its place, in the order of the stream, which
//     is the order of each job's life. What the stream no longer holds is said, as a
//     [Gap], never skipped in silence.
//   - The webhook gets each change at least once, and in order, for as long as the
//     stream holds it. One process posts at a time. A crash between a delivery and
//     the note of it repeats that one delivery, no more.
//   - Each post is signed over its id, its time and its body, in the manner of
//     Standard Webhooks, so that the libraries for that verify it.
//   - No number and no text of a message is in an event.
//   - However many read along in a process, following the stream takes one blocking
//     read of Redis; a slow reader costs the page it holds.
//
// # What it does not do
//
// It keeps no copy: how far back a reader may go on is the length of the stream
// (EVENTS_MAXLEN). A process that was stopped in the middle of a post for longer than
// its lease may post the old changes once more beside newer ones: a receiver should
// drop, for each job, what is not newer than what it has.
package events
