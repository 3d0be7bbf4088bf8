// Package inventory keeps a copy of the account's numbers and inbound voice routes
// in Redis, and what came, went and was changed.
//
// # The usual path
//
// A [Syncer] lists the account's numbers and routes, and reads the details of some
// numbers, since only those tell a number's routes: new numbers and those that a
// job has touched at once, the others in turn, oldest reading first. What a purchase
// or route update has just read is written through with [Store.PutDetails].
//
// # Guarantees
//
//   - A number counts as gone only when a complete listing lacked it and the API
//     then said, asked for that number, that it is not on the account.
//   - A listing that breaks off changes and adds, but takes nothing away.
//   - Two writers of one number do not undo each other: each write is a
//     compare-and-set of its record.
//
// # What it does not do
//
// It sets nothing at Flowroute. A change shows when it is seen, not when it was
// made.
package inventory
