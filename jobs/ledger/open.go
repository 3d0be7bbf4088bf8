package ledger

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// OpenJobs reads jobs that are not final, a slice at a time: about limit of them
// and the cursor for the next call; it has been all round when the cursor is "0"
// again, where the first call begins. A job may come twice, and one that is
// created or ends meanwhile may come or not.
func (l *Ledger) OpenJobs(ctx context.Context, cursor string, limit int64) ([]Job, string, error) {
	prefix := l.key("j:")
	keys, next, err := scan(ctx, l.rdb, cursor, globbed(prefix)+"*", limit)
	if err != nil {
		return nil, cursor, fmt.Errorf("read open jobs: %w", err)
	}
	ids := make([]ID, 0, len(keys))
	for _, key := range keys {
		if id, err := ParseID(strings.TrimPrefix(key, prefix)); err == nil {
			ids = append(ids, id)
		}
	}
	read, errs := l.GetMany(ctx, ids)
	jobs := make([]Job, 0, len(read))
	for i, job := range read {
		if errs[i] == nil && job.unfinished() {
			jobs = append(jobs, job)
		}
	}
	return jobs, next, nil
}

// globbed is text as a pattern that matches just this text.
func globbed(text string) string {
	return strings.NewReplacer("\\", "\\\\", "*", "\\*", "?", "\\?", "[", "\\[").Replace(text)
}

// scan asks the one node that has the ledger's slot.
func scan(ctx context.Context, rdb redis.UniversalClient, cursor, pattern string, limit int64) ([]string, string, error) {
	var at uint64
	if _, err := fmt.Sscan(cursor, &at); err != nil {
		return nil, "", fmt.Errorf("cursor %.20q: %w", cursor, err)
	}
	node := redis.Cmdable(rdb)
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, pattern)
		if err != nil {
			return nil, "", err
		}
		node = master
	}
	keys, next, err := node.Scan(ctx, at, pattern, limit).Result()
	return keys, fmt.Sprint(next), err
}

// Renudge counts a further nudge of a job and returns its running number.
// [ErrNotFound]: the job is final or gone, and needs none.
func (l *Ledger) Renudge(ctx context.Context, id ID) (int, error) {
	r := l.run(ctx, scriptRenudge, id.String(), id[:])
	if r.err != nil {
		return 0, fmt.Errorf("count nudge: %w", r.err)
	}
	return int(r.int(0)), nil
}
