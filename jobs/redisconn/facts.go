package redisconn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Facts are what [Inspect] found out about a Redis: about the shard that
// holds the ledger, when it is a cluster.
//
// A managed Redis may not let us ask: InfoDenied and ConfigDenied say so, and
// the fields that would come from there are empty, which means unknown and
// not no.
type Facts struct {
	// Version of Redis, such as "7.0.15"; empty when unknown.
	Version string
	// Mode is "standalone", "sentinel" or "cluster"; Role is "master" or
	// "slave"; both are empty when unknown.
	Mode, Role string
	// LoneNode says that this is a node of a cluster, but the client is one
	// for a single server: it can reach only a part of the keys.
	LoneNode bool
	// RunID changes with each start of the server, ReplID with each primary:
	// either change can mean that writes were lost.
	RunID, ReplID string

	// AOF says whether there is an append-only file, AOFBroken that Redis
	// could not write to it, and AppendFsync how often it goes to the disk:
	// "always", "everysec", "no", or empty when unknown.
	AOF, AOFBroken bool
	AppendFsync    string
	// RDB says whether snapshots are configured; false when unknown.
	RDB bool

	// Failover says that the client follows a primary that can change (Sentinel or
	// Cluster). Replicas is how many are connected now, MinReplicas without how many
	// Redis takes no writes; 0 when unknown.
	Failover              bool
	Replicas, MinReplicas int64

	// MaxmemoryPolicy is what Redis does at Maxmemory bytes (0: no limit):
	// "noeviction" is the only one that keeps the ledger whole.
	MaxmemoryPolicy       string
	Maxmemory, UsedMemory int64

	// Time is the server's clock when it answered, and Skew is how far the
	// local clock is ahead of it (negative: behind), give or take Uncertainty.
	Time              time.Time
	Skew, Uncertainty time.Duration

	// InfoDenied and ConfigDenied say that this Redis does not answer the
	// command INFO, or CONFIG GET, for us.
	InfoDenied, ConfigDenied bool
}

// ledgerKey is any key with the hash tag that all keys of the product share.
const ledgerKey = "{flowroute}:"

// Inspect asks Redis for its facts. A command that is not permitted leaves
// its facts unknown; the error is only for a Redis that does not answer.
func Inspect(ctx context.Context, rdb redis.UniversalClient) (Facts, error) {
	var node redis.Cmdable = rdb
	cluster, isCluster := rdb.(*redis.ClusterClient)
	if isCluster {
		master, err := cluster.MasterForKey(ctx, ledgerKey)
		if err != nil {
			return Facts{}, fmt.Errorf("inspect redis: %w", err)
		}
		node = master
	}
	var f Facts
	for _, read := range []func(context.Context, redis.Cmdable) error{f.readTime, f.readInfo, f.readConfig} {
		if err := read(ctx, node); err != nil {
			return Facts{}, fmt.Errorf("inspect redis: %w", err)
		}
	}
	f.LoneNode = f.Mode == "cluster" && !isCluster
	f.Failover = isCluster || followsSentinels(rdb)
	return f, nil
}

// followsSentinels knows the clients that go-redis makes for Sentinel by the name they
// have in place of an address.
func followsSentinels(rdb redis.UniversalClient) bool {
	client, ok := rdb.(*redis.Client)
	return ok && client.Options().Addr == "FailoverClient"
}

func (f *Facts) readTime(ctx context.Context, node redis.Cmdable) error {
	// The first answer may include dialling, which would blur the comparison.
	if err := node.Ping(ctx).Err(); err != nil {
		return err
	}
	before := time.Now()
	t, err := node.Time(ctx).Result()
	roundTrip := time.Since(before)
	if denied(err) {
		return nil
	}
	f.Time = t
	f.Uncertainty = roundTrip / 2
	f.Skew = before.Add(f.Uncertainty).Sub(t)
	return err
}

func (f *Facts) readInfo(ctx context.Context, node redis.Cmdable) error {
	text, err := node.Info(ctx).Result()
	if denied(err) {
		f.InfoDenied = true
		return f.readHello(ctx, node)
	}
	if err != nil {
		return err
	}
	info := parseInfo(text)
	f.Version = info["redis_version"]
	f.Mode = info["redis_mode"]
	f.Role = info["role"]
	f.RunID = info["run_id"]
	f.ReplID = info["master_replid"]
	f.AOF = info["aof_enabled"] == "1"
	f.AOFBroken = info["aof_last_write_status"] == "err"
	f.MaxmemoryPolicy = info["maxmemory_policy"]
	f.Maxmemory = number(info["maxmemory"])
	f.UsedMemory = number(info["used_memory"])
	f.Replicas = number(info["connected_slaves"])
	// The in-process imitation answers INFO, but with next to nothing.
	f.InfoDenied = f.Version == ""
	return nil
}

// readHello asks for version and role in the one way that no ACL can forbid.
func (f *Facts) readHello(ctx context.Context, node redis.Cmdable) error {
	hello, ok := node.(interface {
		Do(ctx context.Context, args ...any) *redis.Cmd
	})
	if !ok {
		return nil
	}
	answer, err := hello.Do(ctx, "HELLO").Result()
	if err != nil {
		if denied(err) {
			return nil
		}
		return err
	}
	text := func(value any) string { s, _ := value.(string); return s }
	for key, value := range pairs(answer) {
		switch text(key) {
		case "version":
			f.Version = text(value)
		case "mode":
			f.Mode = text(value)
		case "role":
			f.Role = text(value)
		}
	}
	return nil
}

// pairs reads a map as RESP3 sends it, or the flat list of RESP2.
func pairs(answer any) map[any]any {
	if m, ok := answer.(map[any]any); ok {
		return m
	}
	list, _ := answer.([]any)
	m := make(map[any]any, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

func (f *Facts) readConfig(ctx context.Context, node redis.Cmdable) error {
	config := map[string]string{}
	for _, name := range []string{"appendfsync", "save", "maxmemory-policy", "min-replicas-to-write"} {
		part, err := node.ConfigGet(ctx, name).Result()
		if denied(err) {
			f.ConfigDenied = true
			return nil
		}
		if err != nil {
			return err
		}
		maps.Copy(config, part)
	}
	f.AppendFsync = config["appendfsync"]
	f.RDB = config["save"] != ""
	f.MinReplicas = number(config["min-replicas-to-write"])
	if policy := config["maxmemory-policy"]; policy != "" {
		f.MaxmemoryPolicy = policy
	}
	return nil
}

// denied says that Redis understood us and does not want to answer: a rule of
// its ACL, or a managed service that has removed the command.
func denied(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && !redis.IsLoadingError(err) && !redis.IsAuthError(err)
}

// parseInfo reads the "name:value" lines of INFO.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			info[name] = value
		}
	}
	return info
}

// number is the text as a number, 0 when it is none.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// AtLeast says whether the version is known to be major.minor or newer.
func (f Facts) AtLeast(major, minor int) bool {
	var gotMajor, gotMinor int
	if _, err := fmt.Sscanf(f.Version, "%d.%d", &gotMajor, &gotMinor); err != nil {
		return false
	}
	return gotMajor > major || gotMajor == major && gotMinor >= minor
}
