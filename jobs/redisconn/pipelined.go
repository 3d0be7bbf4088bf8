package redisconn

import (
	"context"

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
	return pipelined{UniversalClient: rdb, scripts: scripts}
}

type pipelined struct {
	redis.UniversalClient
	scripts *redis.AutoPipeliner // closed with the client
}

func (p pipelined) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	return p.scripts.EvalSha(context.WithoutCancel(ctx), sha1, keys, args...)
}
