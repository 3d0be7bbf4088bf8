// Package mdr keeps a copy of Flowroute's message detail records (MDRs) in Redis,
// and keeps it in step.
//
// # The usual path
//
// [Syncer.Sync], started by cron, reads the account's records page by page and
// stores them with [Store]. A record of a message of ours that reached its end
// makes the job delivered or undelivered ([ledger.Ledger.Refine]). [Store.Get],
// [Store.List] and [Store.Each] read the copy and never talk to Flowroute.
//
// # What is read when
//
// Time is cut into windows of 15 minutes. Flowroute's records become visible late
// and change for hours, so a window is read more than once:
//
//   - at each sync while it lasts and until Overlap (5 m) after its end;
//   - half an hour after its end, and Late (6 h) after it;
//   - while it holds outbound messages without an end, or a message was posted in it of
//     which nobody knows whether it was accepted: whenever its age since the last reading
//     doubled, and a last time OpenFor (72 h) after its end. Many carriers never send a
//     receipt, so there must be a last time.
//
// Windows never read come first, oldest first, however long nothing ran; but the
// newest window is never left alone for more than five minutes meanwhile.
//
// The first sync goes back to the retention, or to the time that was asked for, the
// newest windows first: what the copy has is always of one piece that ends now
// ([Coverage]). It does so in slices of 20 minutes; each says in its report how much
// is left, and the next sync goes on.
//
// # Guarantees
//
//   - A window counts as read only when every page of it is stored. Whatever dies
//     or fails in between, the next sync goes on with the windows that are not.
//   - A row that was there from the beginning of a reading to its end is stored,
//     also when rows arrive, when several have the same timestamp, and when the
//     server gives smaller pages than asked for (see pages.go).
//   - Storing is a merge: the same record twice, in any order, by any number of
//     syncs and webhooks at once, has the same result. What is older than what is
//     stored, or says less, is left out.
//   - No reply and no script grows with the number of records; nothing is searched
//     with KEYS or SCAN. What is over the retention lapses by itself.
//
// # Layout
//
// The records of one minute are one string, compressed (block.go): about 70 bytes
// a record on a busy account. An index of packed hashes leads from an id to its
// minute, another one of short entries from a number to the minutes in which it may be
// (index.go), a string of counters per day to the minutes that hold anything. A
// campaign's records are found from its jobs (campaign.go); by direction and delivery
// the records of a window are gone through, a bounded number for each page.
//
// An earlier version had no index of numbers. Where it is missing listings go through
// the records, and syncs make it up, some at a time (walk.go).
//
// # What it does not do
//
// It does not decide whether a message was accepted: the resolver reads Flowroute
// itself, since a copy proves nothing.
package mdr
