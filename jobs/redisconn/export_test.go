package redisconn

import "github.com/redis/go-redis/v9"

// Uncancelled is the hook of a worker's client, for the test that tries
// asynq with and without it.
func Uncancelled() redis.Hook { return uncancelled{} }

// Options are the options of both kinds of client.
func (t Target) Options() *redis.UniversalOptions { return t.options() }

// FollowsSentinels tells clients for Sentinel from others.
func FollowsSentinels(rdb redis.UniversalClient) bool { return followsSentinels(rdb) }
