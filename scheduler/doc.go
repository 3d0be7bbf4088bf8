// Package scheduler enqueues jobs at the times of cron specs: once per tick,
// whatever the number of replicas that run it.
//
// # The usual path
//
// Every replica calls [New] with the same entries and runs [Scheduler.Run]. At a
// tick each of them asks for the same job, `name@2026-11-22T10:05:00Z`: the key
// makes it one job, however many ask, however late, and however often. No replica
// leads, so none has to be replaced when it dies.
//
// # Guarantees
//
//   - One job per entry and tick. Two replicas whose clocks differ enqueue it when
//     the first of them thinks that it is time.
//   - A tick at which Redis was away is enqueued as soon as it is back, unless a
//     newer one came in between.
//   - Ticks missed while nothing ran, or skipped by a clock that was set forward,
//     are made up by one run: the latest of them. An entry that never ran runs at
//     once. So does one whose spec was changed, if the new spec has a tick since
//     the last run.
//   - All times are UTC. `@every 10m` ticks at the multiples of ten minutes since
//     year 1, so that all replicas mean the same moment.
//
// # What it does not do
//
// It does not look at what became of the last run. The next tick enqueues all the
// same; a sync that finds another one of its kind at work ends at once and says so.
package scheduler
