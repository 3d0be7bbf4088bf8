package redisconn_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		url  string
		want redis.UniversalOptions
		text string
	}{
		"plain": {
			url:  "redis://localhost:6380/3",
			want: redis.UniversalOptions{Addrs: []string{"localhost:6380"}, DB: 3},
			text: "redis://localhost:6380/3",
		},
		"default port and db": {
			url:  " redis://redis ",
			want: redis.UniversalOptions{Addrs: []string{"redis:6379"}},
			text: "redis://redis:6379/0",
		},
		"ipv6 and db as parameter": {
			url:  "redis://[::1]:6379?db=2",
			want: redis.UniversalOptions{Addrs: []string{"[::1]:6379"}, DB: 2},
			text: "redis://[::1]:6379/2",
		},
		"password alone": {
			url:  "redis://:s3cret@h/0",
			want: redis.UniversalOptions{Addrs: []string{"h:6379"}, Password: "s3cret"},
			text: "redis://:xxxxx@h:6379/0",
		},
		"password in the user's place": {
			url:  "redis://s3cret@h/0",
			want: redis.UniversalOptions{Addrs: []string{"h:6379"}, Username: "s3cret"},
			text: "redis://xxxxx@h:6379/0",
		},
		"acl user, password with reserved characters": {
			url:  "redis://worker:s3cret%2F%40%3A%25:x@h/0",
			want: redis.UniversalOptions{Addrs: []string{"h:6379"}, Username: "worker", Password: "s3cret/@:%:x"},
			text: "redis://worker:xxxxx@h:6379/0",
		},
		"pool size": {
			url:  "redis://h?pool_size=7",
			want: redis.UniversalOptions{Addrs: []string{"h:6379"}, PoolSize: 7},
			text: "redis://h:6379/0",
		},
		"unix socket": {
			url:  "redis-socket://u:s3cret@/run/redis%20a.sock?db=4",
			want: redis.UniversalOptions{Addrs: []string{"/run/redis a.sock"}, Username: "u", Password: "s3cret", DB: 4},
			text: "redis-socket://u:xxxxx@/run/redis%20a.sock?db=4",
		},
		"sentinel": {
			url: "redis-sentinel://u:s3cret@a:1,b/5?master=main&sentinel_username=su&sentinel_password=s3cret2",
			want: redis.UniversalOptions{
				Addrs: []string{"a:1", "b:26379"}, Username: "u", Password: "s3cret", DB: 5,
				MasterName: "main", SentinelUsername: "su", SentinelPassword: "s3cret2",
			},
			text: "redis-sentinel://u:xxxxx@a:1,b:26379/5?master=main&sentinel_password=xxxxx",
		},
		"cluster": {
			url:  "redis-cluster://:s3cret@a:7000,b:7001,c",
			want: redis.UniversalOptions{Addrs: []string{"a:7000", "b:7001", "c:6379"}, Password: "s3cret", IsClusterMode: true},
			text: "redis-cluster://:xxxxx@a:7000,b:7001,c:6379",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, err := redisconn.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			ours := cmp.FilterPath(func(p cmp.Path) bool {
				switch p.Last().String() {
				case ".Addrs", ".DB", ".Username", ".Password", ".MasterName", ".SentinelUsername", ".SentinelPassword", ".IsClusterMode":
					return false
				case ".PoolSize":
					return tt.want.PoolSize == 0
				}
				return len(p) == 2
			}, cmp.Ignore())
			if diff := cmp.Diff(tt.want, *target.Options(), ours, cmpopts.IgnoreUnexported(redis.UniversalOptions{})); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
			if got := target.String(); got != tt.text {
				t.Errorf("String: got %s, want %s", got, tt.text)
			}
			for _, printed := range []string{fmt.Sprintf("%v %+v %#v", target, target, &target), slog.AnyValue(target).Resolve().String()} {
				if strings.Contains(printed, "s3cret") {
					t.Errorf("printed with its password: %s", printed)
				}
			}
		})
	}
}

func TestParseTLS(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		url                string
		wantTLS, wantTrust bool
		wantName           string
	}{
		"rediss":               {url: "rediss://h:6380/0", wantTLS: true, wantName: "h"},
		"rediss, any":          {url: "rediss://h?skip_verify=true", wantTLS: true, wantTrust: true, wantName: "h"},
		"sentinel":             {url: "redis-sentinel://a,b?master=m&tls=true", wantTLS: true},
		"cluster":              {url: "redis-cluster://a,b?tls=1", wantTLS: true},
		"cluster, not":         {url: "redis-cluster://a,b?tls=false"},
		"redis":                {url: "redis://h"},
		"sentinel without tls": {url: "redis-sentinel://a,b?master=m"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, err := redisconn.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			got := target.Options().TLSConfig
			if (got != nil) != tt.wantTLS {
				t.Fatalf("TLS: got %v, want %t", got, tt.wantTLS)
			}
			if got != nil && (got.InsecureSkipVerify != tt.wantTrust || got.ServerName != tt.wantName) {
				t.Errorf("got skip %t name %q, want %t %q", got.InsecureSkipVerify, got.ServerName, tt.wantTrust, tt.wantName)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		url, want string
	}{
		"empty":                {"", "no scheme"},
		"no scheme":            {"localhost:6379", "no scheme"},
		"no scheme, login":     {"user:s3cret@localhost:6379", "no scheme"},
		"other scheme":         {"http://localhost", "unknown scheme"},
		"no host":              {"redis://", "host name is missing"},
		"no host, port":        {"redis://:6379", "host name is missing"},
		"port is a word":       {"redis://h:s3cret", "a port is not a number"},
		"port too high":        {"redis://h:65536", "a port is not a number"},
		"ipv6 without bracket": {"redis://fe80::g:1", "not host:port"},
		"db is a word":         {"redis://h/s3cret", "the database must be a number"},
		"db negative":          {"redis://h/-1", "the database must be a number"},
		"two hosts":            {"redis://a,b", "takes one host"},
		"trailing comma":       {"redis-cluster://a,", "host name is missing"},
		"slash in password":    {"redis://u:s3cret/x@h", "must be written as"},
		"hash in password":     {"redis://u:s3cret#x@h", "must be written as"},
		"question in password": {"redis://u:s3cret?x@h", "must be written as"},
		"percent in password":  {"redis://u:s3cret%@h", "begins no escape"},
		"fragment":             {"redis://h/0#s3cret", "has no meaning"},
		"parameter unknown":    {"redis://h?timeout=s3cret", `unknown parameter "timeout" for redis://`},
		"parameter elsewhere":  {"redis://h?master=m", `unknown parameter "master" for redis://`},
		"parameter twice":      {"redis://h?db=1&db=2", "db is given 2 times"},
		"query broken":         {"redis://h?db=%s3cret", "name=value"},
		"tls on redis":         {"redis://h?tls=true", "use rediss://"},
		"skip_verify no tls":   {"redis://h?skip_verify=true", "without TLS"},
		"bool":                 {"redis-cluster://h?tls=s3cret", "tls must be true or false"},
		"pool size":            {"redis://h?pool_size=0", "pool_size must be"},
		"socket with host":     {"redis-socket://host/run/s", "takes a path and no host"},
		"socket without path":  {"redis-socket://", "needs the path"},
		"sentinel no master":   {"redis-sentinel://a,b", "?master="},
		"cluster with db":      {"redis-cluster://a/1", "database 0 only"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := redisconn.Parse(tt.url)
			refused, ok := errors.AsType[*redisconn.URLError](err)
			if !ok {
				t.Fatalf("got %v, want a URLError", err)
			}
			if !strings.Contains(refused.Reason, tt.want) {
				t.Errorf("got %q, want it to say %q", refused.Reason, tt.want)
			}
			if strings.Contains(refused.Reason, "s3cret") {
				t.Errorf("the error shows what may be a password: %v", err)
			}
		})
	}
}

func FuzzParseKeepsPassword(f *testing.F) {
	f.Add("redis://u:", "@h:6379/0?db=1")
	f.Add("redis-sentinel://:", "/x@a,b?master=m")
	f.Add("redis-cluster://", ":1@a,b")
	f.Add("rediss://h:", "")
	f.Add("redis://h/", "")
	f.Fuzz(func(t *testing.T, before, after string) {
		const password = "s3cr3tW0rd"
		target, err := redisconn.Parse(before + password + after)
		if err != nil {
			// The name of an unknown parameter is shown.
			if text := err.Error(); strings.Contains(text, password) && !strings.Contains(before, "?") {
				t.Errorf("error shows the password: %s", text)
			}
			return
		}
		again, err := redisconn.Parse(target.String())
		if err != nil {
			t.Fatalf("String of a good target does not parse: %s: %v", target, err)
		}
		if got := again.String(); got != target.String() {
			t.Errorf("String: got %s after parsing %s", got, target)
		}
	})
}
