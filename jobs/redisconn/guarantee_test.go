package redisconn_test

import (
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func TestGuarantee(t *testing.T) {
	t.Parallel()
	const noticed = "a restart of Redis is noticed"
	for _, test := range []struct {
		name    string
		facts   redisconn.Facts
		durable bool
		want    []string
		not     []string
	}{
		{"always", redisconn.Facts{Version: "7.0.15", RunID: "a", AOF: true, AppendFsync: "always"}, false, []string{"Redis or the machine", noticed}, []string{"power cut"}},
		{"everysec", redisconn.Facts{Version: "7.2.4", RunID: "a", AOF: true, AppendFsync: "everysec"}, false, []string{"the last second", noticed}, nil},
		{"everysec, waits for the disk", redisconn.Facts{Version: "7.2.4", RunID: "a", AOF: true, AppendFsync: "everysec"}, true, []string{"has it on its disk"}, []string{"power cut"}},
		{"too old to wait for the disk", redisconn.Facts{Version: "7.0.15", RunID: "a", AOF: true, AppendFsync: "everysec"}, true, []string{"the last second"}, []string{"on its disk"}},
		{"appendfsync no", redisconn.Facts{Version: "7.2.4", RunID: "a", AOF: true, AppendFsync: "no"}, false, []string{"the last writes"}, nil},
		{"snapshots only", redisconn.Facts{Version: "7.2.4", RunID: "a", RDB: true}, false, []string{"last snapshot"}, nil},
		{"nothing on disk", redisconn.Facts{Version: "7.2.4", RunID: "a"}, false, []string{"not a crash of Redis"}, nil},
		{"tells nothing", redisconn.Facts{InfoDenied: true, ConfigDenied: true}, false, []string{"cannot be seen"}, []string{noticed}},
		{"sentinel", redisconn.Facts{Version: "7.2.4", RunID: "a", AOF: true, AppendFsync: "always", Failover: true}, false, []string{"min-replicas-to-write"}, nil},
		{"sentinel with replicas that must be there", redisconn.Facts{Version: "7.2.4", RunID: "a", AOF: true, AppendFsync: "always", Failover: true, MinReplicas: 1}, false,
			[]string{"fewer than 1 replicas"}, []string{"min-replicas-to-write"}},
		{"replica", redisconn.Facts{Version: "7.2.4", RunID: "a", AOF: true, AppendFsync: "always", Replicas: 1}, false, []string{"by hand"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := test.facts.Guarantee(test.durable)
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			for _, not := range test.not {
				if strings.Contains(got, not) {
					t.Errorf("got %q, want nothing of %q", got, not)
				}
			}
		})
	}
}

func TestDurabilityProblem(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		facts   redisconn.Facts
		durable bool
		want    redisconn.Level
	}{
		{"not asked for", redisconn.Facts{Version: "6.2.0"}, false, ""},
		{"new enough", redisconn.Facts{Version: "7.2.4", AOF: true, AppendFsync: "everysec"}, true, ""},
		{"too old", redisconn.Facts{Version: "7.0.15", AOF: true}, true, redisconn.LevelError},
		{"no file", redisconn.Facts{Version: "8.0.2"}, true, redisconn.LevelError},
		{"never synced", redisconn.Facts{Version: "8.0.2", AOF: true, AppendFsync: "no"}, true, redisconn.LevelWarning},
		{"does not tell", redisconn.Facts{InfoDenied: true}, true, redisconn.LevelWarning},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, found := test.facts.DurabilityProblem(test.durable)
			if got.Level != test.want || found != (test.want != "") {
				t.Errorf("got %+v (%t), want level %q", got, found, test.want)
			}
		})
	}
}

func TestFailoverIsSeen(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"redis://127.0.0.1:1": false, "redis-sentinel://127.0.0.1:1?master=m": true,
	} {
		target, err := redisconn.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		rdb := target.Producer()
		defer rdb.Close()
		if got := redisconn.FollowsSentinels(rdb); got != want {
			t.Errorf("%s: got failover %t, want %t", url, got, want)
		}
	}
	facts, err := redisconn.Inspect(t.Context(), redistest.New(t).Client())
	if err != nil || facts.Failover || facts.Replicas != 0 {
		t.Errorf("inspect one server: got %+v, %v, want no failover", facts, err)
	}
}
