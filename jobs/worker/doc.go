// Package worker executes jobs against the Flowroute API, inside its rate limit.
//
// A [Worker] runs one asynq server per queue, so that a waiting bulk job never
// holds an OTP's worker. A task is only a nudge: the worker reads the job from the
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
// Purchases and route updates are rows of steps, each an attempt of its own; their
// unknown outcomes are read back from the account (steps.go).
//
// # Guarantees
//
//   - One permit, one intent, one request; while an intent is open nothing posts.
//   - 429, proven "not sent" and refused credentials cost a job time, no attempt.
//   - A job whose task is gone gets a new one within minutes (sweep.go).
//   - A task of another app is taken in, or becomes a failed job that says why.
//   - [Worker.Run] ends only when all of its handlers have, or the shutdown time is
//     over.
//
// # What it does not do
//
// It does not resolve messages whose outcome is unknown.
package worker
