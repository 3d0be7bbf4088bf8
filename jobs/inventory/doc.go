// Package inventory keeps a copy of the account's numbers and routes in Redis, and
// keeps it in step: which numbers there are, their aliases and routes, and what
// came, went and changed.
//
// # The usual path
//
// [Syncer.Sync], started by cron, lists the account's numbers and routes and reads
// the details (routes) of numbers in turn. [Store.Get], [Store.List],
// [Store.Routes] and [Store.Changes] read the copy and never talk to Flowroute. A
// worker that bought or changed a number writes it through with
// [Store.PutDetails], or marks it with [Store.Touch] for the next sync.
//
// [ReadDesired] reads a file that says how numbers should be, and [Compare] holds it
// against the copy.
//
// # What a sync reads
//
// All numbers, all routes; then details: of numbers that have none yet or were
// touched, and of others in turn, the longest unread first, within a budget. An
// alias is in the list and so known at each sync; a route that somebody else
// changed is seen when the number's turn comes.
//
// # Guarantees
//
//   - A number is gone only when a complete listing lacked it and Flowroute, asked
//     for the number itself, said that it is not there. Pages are cut by offset, so
//     a listing alone may miss a number; half a listing, or an empty one, deletes
//     nothing.
//   - There is no such question for a route. It is gone when two complete listings
//     in a row lacked it.
//   - An observation that began before the one that is stored changes nothing: what
//     a worker wrote through is not undone by a page that was on its way.
//   - A change is noted in the same script that makes it, once. The numbers of the
//     first listing ever are no changes.
//   - Dying in the middle of a sync leaves a correct copy that is partly older.
//
// # What it does not do
//
// It changes nothing at Flowroute. Gone numbers stay readable for GoneFor.
package inventory
