package redisconn

import (
	"fmt"
	"time"
)

// Level says how much a [Finding] matters.
type Level string

// The levels.
const (
	// LevelInfo is good to know.
	LevelInfo Level = "info"
	// LevelWarning means that something can be lost or go wrong.
	LevelWarning Level = "warning"
	// LevelError means that the service must not start on this Redis.
	LevelError Level = "error"
)

// Finding is one thing about a Redis that a person should know.
type Finding struct {
	Level Level
	// Text says what is so and what it means.
	Text string
	// Fix says what to do; empty when there is nothing to do.
	Fix string
}

const (
	// skewWarning is more than the error of NTP and less than what makes
	// times in the records misleading.
	skewWarning = 2 * time.Second
	// memoryWarning and memoryError are shares of maxmemory, in percent.
	memoryWarning = 80
	memoryError   = 95
)

// Problems judges the facts, worst first within each subject. The service
// refuses to start when one of the findings is an error.
func (f Facts) Problems() []Finding {
	var found []Finding
	for _, judge := range []func(Facts) []Finding{
		judgeVersion, judgeRole, judgeEviction, judgeMemory, judgePersistence, judgeClock,
	} {
		found = append(found, judge(f)...)
	}
	return found
}

func judgeVersion(f Facts) []Finding {
	switch {
	case f.Version == "":
		return []Finding{{LevelInfo, "the version of Redis is unknown: this server does not tell", "make sure that it is 6.2 or newer"}}
	case !f.AtLeast(6, 2):
		return []Finding{{LevelError, fmt.Sprintf("Redis %s is too old: the queue needs 6.2 or newer", f.Version), "upgrade Redis"}}
	case !f.AtLeast(7, 2):
		return []Finding{{LevelInfo, fmt.Sprintf("Redis %s has no WAITAOF: REDIS_DURABILITY=aof needs 7.2 or newer", f.Version), ""}}
	}
	return nil
}

func judgeRole(f Facts) []Finding {
	switch {
	case f.Role == "slave" || f.Role == "replica":
		return []Finding{{LevelError, "this Redis is a replica: it takes no writes", "point REDIS_URL at the primary, or at its sentinels with redis-sentinel://"}}
	case f.LoneNode:
		return []Finding{{LevelError, "this Redis is one node of a cluster: other nodes hold other keys", "write redis-cluster:// in REDIS_URL"}}
	}
	return nil
}

func judgeEviction(f Facts) []Finding {
	const policyFix = "redis-cli CONFIG SET maxmemory-policy noeviction, and the same line in redis.conf"
	switch f.MaxmemoryPolicy {
	case "noeviction":
		return nil
	case "":
		return []Finding{{LevelWarning, "maxmemory-policy is unknown: this server does not tell; any other than noeviction deletes records of sent messages when memory runs short", "set maxmemory-policy to noeviction where the server is managed"}}
	}
	return []Finding{{LevelError, fmt.Sprintf("maxmemory-policy is %s: Redis would delete records of sent messages when memory runs short, and messages could be sent twice", f.MaxmemoryPolicy), policyFix}}
}

func judgeMemory(f Facts) []Finding {
	if f.Maxmemory == 0 {
		return nil
	}
	percent := f.UsedMemory * 100 / f.Maxmemory
	text := fmt.Sprintf("%d%% of maxmemory is used: at 100%% Redis refuses writes and no message is taken in or sent", percent)
	const fix = "raise maxmemory, or shorten LEDGER_RETENTION and MDR_RETENTION"
	switch {
	case percent >= memoryError:
		return []Finding{{LevelError, text, fix}}
	case percent >= memoryWarning:
		return []Finding{{LevelWarning, text, fix}}
	}
	return nil
}

func judgePersistence(f Facts) []Finding {
	const aofFix = "redis-cli CONFIG SET appendonly yes, and the same line in redis.conf"
	switch {
	case f.InfoDenied:
		return []Finding{{LevelWarning, "whether Redis keeps an append-only file is unknown: this server does not tell", "switch the append-only file on where the server is managed"}}
	case !f.AOF && f.RDB:
		return []Finding{{LevelWarning, "Redis keeps no append-only file: after a crash it falls back to its last snapshot, and what was accepted or sent since is forgotten", aofFix}}
	case !f.AOF && f.ConfigDenied:
		return []Finding{{LevelWarning, "Redis keeps no append-only file: after a crash, what was accepted or sent lately is forgotten", aofFix}}
	case !f.AOF:
		return []Finding{{LevelWarning, "Redis keeps nothing on disk: after a restart every job and record is gone", aofFix}}
	case f.AOFBroken:
		return []Finding{{LevelError, "Redis cannot write its append-only file", "look into Redis' log; most often its disk is full"}}
	}
	switch f.AppendFsync {
	case "everysec":
		return []Finding{{LevelInfo, "appendfsync is everysec: a power cut can take the last second or two of records with it, and so can a crash of Redis while its disk is busy", everysecFix(f)}}
	case "no":
		return []Finding{{LevelWarning, "appendfsync is no: a power cut can take some thirty seconds of records with it", "redis-cli CONFIG SET appendfsync everysec"}}
	}
	return nil
}

func everysecFix(f Facts) string {
	if f.AtLeast(7, 2) {
		return "REDIS_DURABILITY=aof waits for the disk where it counts"
	}
	return "with Redis 7.2, REDIS_DURABILITY=aof waits for the disk where it counts"
}

func judgeClock(f Facts) []Finding {
	if f.Time.IsZero() || f.Skew.Abs() <= skewWarning+f.Uncertainty {
		return nil
	}
	direction := "ahead of"
	if f.Skew < 0 {
		direction = "behind"
	}
	text := fmt.Sprintf("the clock of this machine is %s %s that of Redis: send times and times in records will be off by that",
		f.Skew.Abs().Round(time.Millisecond), direction)
	return []Finding{{LevelWarning, text, "let NTP set both clocks (timedatectl set-ntp true)"}}
}
