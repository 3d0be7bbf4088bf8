package ledger

// Every key of the ledger is made here or, from the same prefix, in common.lua:
//
//	{flowroute}:j:<uuid>        string, no TTL: a job that is not final, with what was asked (record.lua; fields: common.lua)
//	{flowroute}:d:<gen>:<n>     hash, TTL retention + up to 7 days: final jobs, packed (cold.lua)
//	{flowroute}:c:<gen>:<n>     hash, TTL retention + 7 to 14 days: MDR id → job (cold.lua)
//	{flowroute}:d, {flowroute}:c  hash, no TTL: the generations of the two maps
//	{flowroute}:open            zset, no TTL: jobs with an open intent, by ResolveAt
//	{flowroute}:g:<print>       set, no TTL: jobs of a fingerprint that were posted and are not over
//	{flowroute}:review          zset, no TTL: jobs that wait for a person, by since when
//	{flowroute}:o:<slot>        zset, no TTL: unfinished jobs of a slot, oldest first
//	{flowroute}:turns           hash, no TTL: slot → the job that last began to set it
//	{flowroute}:w:<place>       zset, no TTL: jobs that wait for a limit of their own, by when they were created
//	{flowroute}:waits           set, no TTL: the places
//	{flowroute}:numbers         hash, no TTL: number → the purchase that claimed it
//	{flowroute}:n               hash, no TTL: number of jobs by type and state
//	{flowroute}:events          stream, bounded: every change of state
//	{flowroute}:breaker:<name>  hash, no TTL: why nothing is posted at the moment
//	{flowroute}:fence           hash, no TTL: the Redis process this ledger is cleared for
//	{flowroute}:beats           hash, no TTL: signs of life of the processes that post
//	{flowroute}:orphans         hash, TTL: fingerprint → records that became nobody's
//	{flowroute}:orphan-numbers  set, TTL: numbers that were bought, and whose purchase is not known any more
//	{flowroute}:doubtful-numbers set, TTL: the same, where they may have been the account's before
//	{flowroute}:synced          number, no TTL: what was waited for to reach the disk
//	{flowroute}:sweeper, :swept, :cursor, :unreadable  the search for lost tasks (package worker)
//	{flowroute}:cp:<id>, :n, :b, :f  a campaign, its counts, last refusals and failed rows (package campaign)
//	{flowroute}:owner           string, no TTL: the account this ledger belongs to
//
// All share one hash tag, so that one script can touch them all, in a cluster too.

// DefaultPrefix is the prefix of every key of the product.
const DefaultPrefix = "{flowroute}:"

func (l *Ledger) key(name string) string { return l.prefix + name }
