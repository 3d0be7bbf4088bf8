package redisconn_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func TestInspectOwnServer(t *testing.T) {
	t.Parallel()
	srv := redistest.Own(t, redisembed.Options{})
	if srv.Kind == redisembed.KindInProcess {
		return // TestInspectInProcess covers it
	}
	rdb := srv.Client()
	for name, value := range map[string]string{
		"maxmemory":        "100mb",
		"maxmemory-policy": "allkeys-lru",
		"appendfsync":      "always",
		"save":             "60 1000",
	} {
		if err := rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := redisconn.Inspect(t.Context(), rdb)
	if err != nil {
		t.Fatal(err)
	}
	want := redisconn.Facts{
		Mode: "standalone", Role: "master",
		AOF: true, AppendFsync: "always", RDB: true,
		MaxmemoryPolicy: "allkeys-lru", Maxmemory: 100 << 20,
	}
	ours := cmpopts.IgnoreFields(redisconn.Facts{}, "Version", "RunID", "ReplID", "UsedMemory", "Time", "Skew", "Uncertainty")
	if diff := cmp.Diff(want, got, ours); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if !got.AtLeast(6, 0) || len(got.RunID) != 40 || len(got.ReplID) != 40 || got.UsedMemory == 0 {
		t.Errorf("got version %q, run id %q, replication id %q, %d bytes used, want all of them", got.Version, got.RunID, got.ReplID, got.UsedMemory)
	}
	if got.Skew.Abs() > time.Second || got.Time.IsZero() {
		t.Errorf("clock of the same machine: got %s off at %s", got.Skew, got.Time)
	}

	srv.Kill()
	srv.Restart()
	again, err := redisconn.Inspect(t.Context(), rdb)
	if err != nil {
		t.Fatal(err)
	}
	if again.RunID == got.RunID {
		t.Errorf("run id after a restart: got the former one, %s", got.RunID)
	}
}

// A managed Redis, or a user without the category @dangerous, may not ask.
func TestInspectWithoutRights(t *testing.T) {
	t.Parallel()
	srv := redistest.Own(t, redisembed.Options{})
	if srv.Kind == redisembed.KindInProcess {
		return // it has no users
	}
	admin := srv.Client()
	err := admin.Do(t.Context(), "ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all", "-@dangerous", "-@admin").Err()
	if err != nil {
		t.Fatal(err)
	}
	target, err := redisconn.Parse("redis://worker:pw@" + srv.URL[len("redis://"):])
	if err != nil {
		t.Fatal(err)
	}
	rdb := target.Producer()
	defer rdb.Close()
	got, err := redisconn.Inspect(t.Context(), rdb)
	if err != nil {
		t.Fatal(err)
	}
	want := redisconn.Facts{Mode: "standalone", Role: "master", InfoDenied: true, ConfigDenied: true}
	ours := cmpopts.IgnoreFields(redisconn.Facts{}, "Version", "Time", "Skew", "Uncertainty")
	if diff := cmp.Diff(want, got, ours); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if got.Version == "" || got.Time.IsZero() {
		t.Errorf("got version %q, time %s, want both: no right is needed for them", got.Version, got.Time)
	}
	for _, finding := range got.Problems() {
		if finding.Level == redisconn.LevelError {
			t.Errorf("what cannot be known is no reason to refuse: %+v", finding)
		}
	}
}

func TestInspectReplica(t *testing.T) {
	t.Parallel()
	srv := redistest.Own(t, redisembed.Options{})
	if srv.Kind == redisembed.KindInProcess {
		return // it has no replicas
	}
	rdb := srv.Client()
	// Nobody listens on port 1; a replica that has lost its primary is still one.
	if err := rdb.SlaveOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	got, err := redisconn.Inspect(t.Context(), rdb)
	if err != nil {
		t.Fatal(err)
	}
	if worst(got.Problems()) != redisconn.LevelError {
		t.Errorf("a replica: got %+v, want an error", got.Problems())
	}
}

func TestInspectInProcess(t *testing.T) {
	t.Parallel()
	srv := redistest.Own(t, redisembed.Options{ForceInProcess: true})
	got, err := redisconn.Inspect(t.Context(), srv.Client())
	if err != nil {
		t.Fatal(err)
	}
	if !got.InfoDenied || !got.ConfigDenied || got.Time.IsZero() {
		t.Errorf("got %+v, want INFO and CONFIG unknown, and the time", got)
	}
	if worst(got.Problems()) == redisconn.LevelError {
		t.Errorf("got %+v, want no error", got.Problems())
	}
}

func TestInspectOfNobody(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	proxy.Cut()
	if _, err := redisconn.Inspect(t.Context(), proxy.Client()); err == nil {
		t.Error("no Redis: got no error")
	}
}

// worst is the most serious level among the findings.
func worst(findings []redisconn.Finding) redisconn.Level {
	rank := map[redisconn.Level]int{redisconn.LevelInfo: 1, redisconn.LevelWarning: 2, redisconn.LevelError: 3}
	var level redisconn.Level
	for _, f := range findings {
		if rank[f.Level] > rank[level] {
			level = f.Level
		}
	}
	return level
}

func TestProblems(t *testing.T) {
	t.Parallel()
	good := redisconn.Facts{
		Version: "7.2.4", Mode: "standalone", Role: "master",
		AOF: true, AppendFsync: "always",
		MaxmemoryPolicy: "noeviction", Maxmemory: 1000, UsedMemory: 500,
		Time: time.Unix(1_800_000_000, 0),
	}
	tests := map[string]struct {
		change func(*redisconn.Facts)
		want   []redisconn.Level
	}{
		"nothing to say":      {func(*redisconn.Facts) {}, nil},
		"old":                 {func(f *redisconn.Facts) { f.Version = "6.0.16" }, []redisconn.Level{redisconn.LevelError}},
		"without WAITAOF":     {func(f *redisconn.Facts) { f.Version = "7.0.15" }, []redisconn.Level{redisconn.LevelInfo}},
		"newer major":         {func(f *redisconn.Facts) { f.Version = "10.0.0" }, nil},
		"eviction":            {func(f *redisconn.Facts) { f.MaxmemoryPolicy = "volatile-ttl" }, []redisconn.Level{redisconn.LevelError}},
		"eviction, no limit":  {func(f *redisconn.Facts) { f.MaxmemoryPolicy, f.Maxmemory = "allkeys-lru", 0 }, []redisconn.Level{redisconn.LevelError}},
		"memory short":        {func(f *redisconn.Facts) { f.UsedMemory = 800 }, []redisconn.Level{redisconn.LevelWarning}},
		"memory almost gone":  {func(f *redisconn.Facts) { f.UsedMemory = 950 }, []redisconn.Level{redisconn.LevelError}},
		"replica":             {func(f *redisconn.Facts) { f.Role = "slave" }, []redisconn.Level{redisconn.LevelError}},
		"node of a cluster":   {func(f *redisconn.Facts) { f.LoneNode = true }, []redisconn.Level{redisconn.LevelError}},
		"nothing on disk":     {func(f *redisconn.Facts) { f.AOF = false }, []redisconn.Level{redisconn.LevelWarning}},
		"snapshots only":      {func(f *redisconn.Facts) { f.AOF, f.RDB = false, true }, []redisconn.Level{redisconn.LevelWarning}},
		"disk full":           {func(f *redisconn.Facts) { f.AOFBroken = true }, []redisconn.Level{redisconn.LevelError}},
		"fsync each second":   {func(f *redisconn.Facts) { f.AppendFsync = "everysec" }, []redisconn.Level{redisconn.LevelInfo}},
		"fsync never":         {func(f *redisconn.Facts) { f.AppendFsync = "no" }, []redisconn.Level{redisconn.LevelWarning}},
		"clock ahead":         {func(f *redisconn.Facts) { f.Skew = time.Minute }, []redisconn.Level{redisconn.LevelWarning}},
		"clock behind":        {func(f *redisconn.Facts) { f.Skew = -time.Minute }, []redisconn.Level{redisconn.LevelWarning}},
		"clock, slow network": {func(f *redisconn.Facts) { f.Skew, f.Uncertainty = 4*time.Second, 3*time.Second }, nil},
		"nothing known": {
			func(f *redisconn.Facts) { *f = redisconn.Facts{InfoDenied: true, ConfigDenied: true} },
			[]redisconn.Level{redisconn.LevelInfo, redisconn.LevelWarning, redisconn.LevelWarning},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := good
			tt.change(&f)
			var got []redisconn.Level
			for _, finding := range f.Problems() {
				got = append(got, finding.Level)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("levels (-want +got):\n%s\n%+v", diff, f.Problems())
			}
		})
	}
}
