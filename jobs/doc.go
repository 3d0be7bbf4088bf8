// Package jobs is what other apps import: they ask for messages, number
// purchases and route updates, and look up what became of them. Workers do the
// work; none needs to run while an app enqueues.
//
// # The usual path
//
// Make one [Client] with [NewClient], call [Client.Send] (or [Client.SendMany],
// [Client.SendAll], [Client.Stream] for many, [Client.Purchase],
// [Client.UpdateRoute]), keep the [Receipt]'s id, and ask [Client.Get],
// [Client.Wait] or [Client.Events] later.
//
// # Guarantees
//
//   - What a call returns without an error is written down in Redis and reaches
//     a final state, or [ledger.Review] with its evidence. A job whose outcome is
//     not certain rests as [ledger.Unknown] and is never repeated on a guess: the
//     workers decide it from Flowroute's records.
//   - A job's id is drawn before the first try to write it down, and Redis'
//     errors are ridden out with that same id: one call makes one job at most.
//     When a call ends with [ErrUnconfirmed] the job may exist; the call may be
//     repeated when it had a key.
//   - A key makes a job idempotent: the same key with the same content is the
//     same job, however often and from how many processes it is asked for. Each
//     type documents what its content is. A key holds until the job has ended
//     and the ledger's retention (30 days unless configured) is over; after that
//     it makes a new job.
//   - Bad input is refused at the door, all problems at once, as a
//     [ValidationError]. What it says shows no message bodies and no whole
//     numbers.
//
// # Plain asynq tasks
//
// Apps that already use asynq need not import this package: a task of type
// "send-message" (or the other two) with the JSON of [Message] and "v":1, put
// into one of the queues, is taken in by a worker; see [ParseTask].
//
// # What it does not do
//
// It does not talk to Flowroute and does not pace: the limits are the workers'
// to keep. It opens no connections of its own and closes none.
package jobs
