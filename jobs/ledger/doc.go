// Package ledger keeps the record of every job in Redis: what was asked, how
// far it got, and what proves it. The ledger owns the job; an asynq task is only
// a nudge to look at it, so a repeated, late or lost task changes nothing.
//
// # The usual path
//
// A producer calls [Ledger.Create]. A worker that was nudged reads the job with
// [Ledger.Get], takes a permit of the account's limit and calls [Ledger.Begin]:
// in one script it checks that the job may still be posted and writes the intent
// (attempt, account, write deadline, and the moment from which the records may
// be asked what became of it). Then it posts, and writes what it knows with
// [Ledger.Settle], again one script, which also claims the MDR id.
//
// # Guarantees
//
//   - Each transition is one Lua script on Redis' clock. There is no state
//     between two states, whatever dies.
//   - While an intent is open, [Ledger.Begin] refuses: nothing posts a second time.
//   - A step that was planned on what a job had reached is refused when another
//     attempt has ended since (Job.Seen): a task may run in two processes at once.
//   - An MDR id belongs to one job. A claim from an answer of the API is proof; a
//     claim by matching is inference and gives way, and the displaced job returns
//     to [Unknown].
//   - Proof of acceptance beats every end that was inferred: a job that was
//     [Failed], [Expired], [Cancelled] or in [Review] becomes [Accepted].
//   - Scripts carry the caller's token. A command that the Redis client repeats,
//     because the first answer got lost, gets the first answer.
//   - Jobs that are not final never lapse. A final one stays for the retention,
//     its claims at least seven days longer.
//
// # Layout
//
// A job that is not final is one string, with what was asked in it (record.lua). A
// final one moves into a packed map of about 100 bytes a job (see cold.lua).
// Every state change is added to a bounded stream, in the same script.
//
// # What it does not do
//
// It does not talk to Flowroute, does not enqueue tasks and does not decide what
// an error means.
package ledger
