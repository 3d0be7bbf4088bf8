// Package redisconn turns REDIS_URL into Redis clients that behave well under
// the queue and the ledger, waits for Redis at start, and says whether the
// Redis found is fit for the work.
//
// The usual path:
//
//	target, err := redisconn.Parse(cfg.RedisURL.Reveal())
//	rdb := target.Worker()
//	defer rdb.Close()
//	err = redisconn.Wait(ctx, rdb, cfg.RedisStartTimeout, logger)
//	facts, err := redisconn.Inspect(ctx, rdb)
//	for _, finding := range facts.Problems() { … }
//
// Two kinds of client exist because two kinds of caller do. A producer wants
// an answer or an error before its own deadline: [Target.Producer]. A worker
// that has just sent a message wants the outcome written down, however long
// Redis is away and whatever became of the task's context: [Target.Worker].
//
// No error, log line or String of this package holds a password.
package redisconn
