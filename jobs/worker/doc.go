// Package worker executes jobs against the Flowroute API, inside its rate limit.
//
// A [Worker] runs one asynq server per queue, so that a waiting bulk job never
// holds an OTP's worker. Where no limit makes messages wait, their tasks are taken many
// at a time beside asynq (express.go). A task is only a nudge: the worker reads the job from the
// ledger and does what its state allows.
//
// # One attempt
//
//  1. The breaker: while the credentials are refused or the API is away, jobs wait
//     here and burn nothing.
//  2. A permit of the account's limit, for all processes together.
//  3. The intent in the ledger: who, when, which attempt, until when.
//  4. One request. It is written before the permit's deadline or never.
//  5. The outcome in the ledger, with the MDR id. This is tried until it succeeds
//     or the process ends.
//
// What each error means is decided in one place, outcome.go. An outcome that
// cannot be told puts the job into the state unknown, in which nothing posts it.
//
// # Calls of Redis for a message
//
// Without a limit three, each for many messages: one in which tasks that are over leave
// and others are taken; the intent, whose answer brings the job; the outcome, which
// nothing waits for. With a limit, the task and its end are two calls of asynq, the job is
// read before it takes a permit from one that may be posted, and the permit is asked for
// and given back, which those of many messages share (package ratelimit).
//
// # Purchases and routes
//
// They are rows of steps, each an attempt of its own. An unknown step is read back
// from the account (reread.go): once its request must be over and the account had
// time to show it, by Redis' clock and by this process's own. It is repeated when the
// account does not show it, and a repeat that is refused proves nothing: then, and
// when the posts of a purchase are used up, a person decides. A step that a newer
// update of the same number and slot sets is not repeated.
//
// # Guarantees
//
//   - One permit, one intent, one request; while an intent is open nothing posts.
//   - 429, proven "not sent" and refused credentials cost a job time, no attempt.
//   - Behind a fence, and while this process's signs of life are not acknowledged
//     ([Guard]), nothing is posted.
//   - A certain outcome is written however late it comes, and posts nothing.
//   - A job whose task is gone gets a new one (sweep.go); a dead process's tasks are
//     given back within seconds.
//   - A task of another app is taken in, or becomes a failed job that says why.
//   - [Worker.Run] ends only when all of its handlers have, or the shutdown time is
//     over.
//
// Every [Point] at which a process may die or stand still has its test.
//
// # What it does not do
//
// It does not resolve messages whose outcome is unknown; package resolve does, and
// gives those that are to be posted again to [Resend].
package worker
