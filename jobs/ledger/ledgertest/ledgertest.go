// Package ledgertest changes the ledger's records behind its back, for tests of what
// nobody can wait for.
package ledgertest

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/internal/record"
)

// Set sets fields, given as name and value, of a job that is not final. The comment of
// the ledger's common.lua has their names.
func Set(t testing.TB, rdb redis.UniversalClient, id string, fields ...string) {
	t.Helper()
	key := ledger.DefaultPrefix + "j:" + id
	change := func(tx *redis.Tx) error {
		packed, err := tx.Get(t.Context(), key).Result()
		if err != nil {
			return err
		}
		all, err := record.Unpack(packed)
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(fields); i += 2 {
			all[fields[i]] = fields[i+1]
		}
		_, err = tx.TxPipelined(t.Context(), func(pipe redis.Pipeliner) error {
			return pipe.Set(t.Context(), key, record.Pack(all), redis.KeepTTL).Err()
		})
		return err
	}
	err := rdb.Watch(t.Context(), change, key)
	for errors.Is(err, redis.TxFailedErr) { // somebody else has changed it
		err = rdb.Watch(t.Context(), change, key)
	}
	if err != nil {
		t.Fatalf("set %v of job %s: %v", fields, id, err)
	}
}
