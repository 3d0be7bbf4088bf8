package redisconn

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Producer returns a client for programs that enqueue, look up and watch: it
// keeps to the deadline of the caller's context (go-redis does not by
// default, and an enqueue with 500 ms to spare then hangs for 5 s), and gives
// up after a few seconds without one. The caller closes it.
func (t Target) Producer() redis.UniversalClient {
	o := t.options()
	o.PoolTimeout = 4 * time.Second
	o.MaxRetries = 2
	return redis.NewUniversalClient(o)
}

// Worker returns a client for the side that does the work. Its commands run
// to their end whatever becomes of the caller's context, and are repeated
// through an outage of some seconds (at most about half a minute each),
// because what a worker writes has mostly happened already: a message is
// sent, a task is done. The caller closes it.
//
// asynq v0.26 makes this necessary: when "task done" cannot be written, it
// tries again later with a context that it has already cancelled, so that
// every such task runs a second time.
func (t Target) Worker() redis.UniversalClient {
	o := t.options()
	o.PoolTimeout = 10 * time.Second
	o.MaxRetries = 8
	o.MinRetryBackoff = 50 * time.Millisecond
	o.MaxRetryBackoff = time.Second
	rdb := redis.NewUniversalClient(o)
	rdb.AddHook(uncancelled{})
	return rdb
}

// options holds what both kinds of client share.
func (t Target) options() *redis.UniversalOptions {
	o := &redis.UniversalOptions{
		Addrs:            t.addrs,
		DB:               t.db,
		Username:         t.username,
		Password:         t.password,
		MasterName:       t.master,
		SentinelUsername: t.sentinelUsername,
		SentinelPassword: t.sentinelPassword,
		IsClusterMode:    t.scheme == schemeCluster,
		PoolSize:         t.poolSize,

		ContextTimeoutEnabled: true,
		DialTimeout:           2 * time.Second,
		DialerRetries:         1, // commands are retried as a whole
		ReadTimeout:           3 * time.Second,
		WriteTimeout:          3 * time.Second,

		// Both send commands that older and managed Redis answer with errors.
		DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
	if o.PoolSize == 0 {
		o.PoolSize = defaultPoolSize
	}
	if t.tls {
		o.TLSConfig = t.tlsConfig()
	}
	return o
}

// defaultPoolSize is independent of the number of cores, which go-redis goes
// by: our handlers wait for the network, not for the processor.
const defaultPoolSize = 64

func (t Target) tlsConfig() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.skipVerify}
	if len(t.addrs) == 1 && t.scheme == schemeTLS {
		if host, _, err := net.SplitHostPort(t.addrs[0]); err == nil {
			c.ServerName = host
		}
	}
	return c
}

// uncancelled runs commands and pipelines, and the dialling they need, without
// the cancellation and deadline of the caller's context.
type uncancelled struct{}

func (uncancelled) DialHook(next redis.DialHook) redis.DialHook { return next }

func (uncancelled) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return next(context.WithoutCancel(ctx), cmd)
	}
}

func (uncancelled) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return next(context.WithoutCancel(ctx), cmds)
	}
}
