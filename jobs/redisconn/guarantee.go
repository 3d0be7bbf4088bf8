package redisconn

import "fmt"

// Guarantee says in plain words what the promise of the service rests on, with this
// Redis. durable: REDIS_DURABILITY is aof.
func (f Facts) Guarantee(durable bool) string {
	text := f.survival(durable && f.AtLeast(7, 2) && f.AOF)
	if f.RunID != "" {
		text += "; a restart of Redis is noticed, and where it may have lost writes nothing old is posted before Flowroute's records were read"
	}
	switch {
	case f.Failover && f.MinReplicas > 0:
		text += fmt.Sprintf("; a failover can take the last second or so of records with it (Redis takes no writes with fewer than %d replicas)", f.MinReplicas)
	case f.Failover:
		text += "; a failover can take what no replica has yet, and an old primary that goes on for a while can give out permits twice: " +
			"set min-replicas-to-write to 1 or more"
	case f.Replicas > 0:
		text += "; a replica that is made the primary by hand may lack the last records"
	}
	return text
}

func (f Facts) survival(durable bool) string {
	switch {
	case f.InfoDenied || f.ConfigDenied && !f.AOF:
		return "jobs survive whatever ends this process; whether they survive the end of Redis cannot be seen from here"
	case !f.AOF && f.RDB:
		return "jobs survive whatever ends this process, but a crash of Redis takes all since its last snapshot: switch its append-only file on"
	case !f.AOF:
		return "jobs survive whatever ends this process, but not a crash of Redis: switch its append-only file on"
	case f.AppendFsync == "always":
		return "jobs survive whatever ends this process, Redis or the machine"
	case durable:
		return "jobs survive whatever ends this process, Redis or the machine: none counts as taken, and nothing is posted, before Redis has it on its disk"
	case f.AppendFsync == "everysec":
		return "jobs survive whatever ends this process or Redis; a power cut, or a crash of Redis while its disk is busy, can take the last second or two with it"
	}
	return "jobs survive whatever ends this process or Redis; a power cut can take the last writes with it"
}

// DurabilityProblem judges whether REDIS_DURABILITY=aof can be kept; false when there
// is nothing to say. The service does not start with an error.
func (f Facts) DurabilityProblem(durable bool) (Finding, bool) {
	switch {
	case !durable:
	case f.Version == "":
		return Finding{LevelWarning, "REDIS_DURABILITY=aof needs Redis 7.2 or newer, and this server does not tell its version: " +
			"if it is older, no job is taken in and nothing is posted", "make sure that it is 7.2 or newer"}, true
	case !f.AtLeast(7, 2):
		return Finding{LevelError, fmt.Sprintf("REDIS_DURABILITY=aof needs Redis 7.2 or newer (its command WAITAOF), this is %s", f.Version),
			"upgrade Redis, or set appendfsync to always and REDIS_DURABILITY to local"}, true
	case !f.AOF && !f.InfoDenied:
		return Finding{LevelError, "REDIS_DURABILITY=aof waits for the append-only file, and this Redis keeps none",
			"redis-cli CONFIG SET appendonly yes, and the same line in redis.conf"}, true
	case f.AppendFsync == "no":
		return Finding{LevelWarning, "REDIS_DURABILITY=aof waits for the disk, and with appendfsync no that may take half a minute: " +
			"jobs will time out", "redis-cli CONFIG SET appendfsync everysec"}, true
	}
	return Finding{}, false
}
