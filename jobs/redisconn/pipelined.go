package redisconn

import (
	"context"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// Pipelined is a client of a worker that sends the scripts of all its goroutines in
// common pipelines: those that are called while others are on their way leave
// together, which halves what a script costs both sides when many are. One that is
// called alone goes at once. Closing it closes rdb. A kind of client that it does not
// know stays as it is.
//
// As with [Target.Worker], a script runs to its end whatever becomes of the context.
func Pipelined(rdb redis.UniversalClient) redis.UniversalClient {
	client, ok := rdb.(interface {
		AutoPipeline() (*redis.AutoPipeliner, error)
	})
	if !ok {
		return rdb
	}
	scripts, err := client.AutoPipeline()
	if err != nil { // the client is closed
		return rdb
	}
	return &pipelined{UniversalClient: rdb, scripts: scripts}
}

type pipelined struct {
	redis.UniversalClient
	scripts  *redis.AutoPipeliner // closed with the client
	underWay atomic.Int64
}

func (p *pipelined) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	ctx = context.WithoutCancel(ctx)
	alone := p.underWay.Add(1) == 1
	defer p.underWay.Add(-1)
	if alone { // the way through a pipeline would be longer
		return p.UniversalClient.EvalSha(ctx, sha1, keys, args...)
	}
	return p.scripts.EvalSha(ctx, sha1, keys, args...)
}
