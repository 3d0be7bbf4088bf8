package flowroute_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		o    flowroute.Options
		want string
	}{
		{"no access key", flowroute.Options{Credentials: flowroute.Credentials{SecretKey: secretKey}}, "flowroute: access key is empty"},
		{"no secret key", flowroute.Options{Credentials: flowroute.Credentials{AccessKey: accessKey}}, "flowroute: secret key is empty"},
		{"newline in the secret", flowroute.Options{Credentials: flowroute.Credentials{AccessKey: accessKey, SecretKey: secretKey + "\n"}}, "flowroute: secret key contains a space or a control character"},
		{"colon in the access key", flowroute.Options{Credentials: flowroute.Credentials{AccessKey: "a:b", SecretKey: secretKey}}, "flowroute: access key contains a colon"},
		{"no scheme", flowroute.Options{BaseURL: "api.flowroute.com", Credentials: credentials}, "flowroute: base URL: must begin with https:// or http://"},
		{"another scheme", flowroute.Options{BaseURL: "ftp://api.flowroute.com", Credentials: credentials}, "flowroute: base URL: must begin with https:// or http://"},
		{"no host", flowroute.Options{BaseURL: "https:///v2", Credentials: credentials}, "flowroute: base URL: has no host"},
		{"credentials in the URL", flowroute.Options{BaseURL: "https://" + accessKey + ":" + secretKey + "@host", Credentials: credentials}, "flowroute: base URL: must not contain credentials"},
		{"broken URL with credentials", flowroute.Options{BaseURL: "https://" + accessKey + ":" + secretKey + "@host:port", Credentials: credentials}, "flowroute: base URL: is not a URL"},
		{"query", flowroute.Options{BaseURL: "https://host/?a=b", Credentials: credentials}, "flowroute: base URL: must not have a query or a fragment"},
		{"escapes", flowroute.Options{BaseURL: "https://host/a%2Fb", Credentials: credentials}, "flowroute: base URL: must not have escaped characters in its path"},
		{"negative timeout", flowroute.Options{Timeout: -time.Second, Credentials: credentials}, "flowroute: timeout is negative: -1s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := flowroute.New(test.o)
			if c != nil || err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestAccount: the same account is the same text, in every release.
func TestAccount(t *testing.T) {
	t.Parallel()
	account := func(baseURL, key, secret string) string {
		c := must(flowroute.New(flowroute.Options{BaseURL: baseURL, Credentials: flowroute.Credentials{AccessKey: key, SecretKey: secret}}))
		return c.Account()
	}
	base := account("", accessKey, secretKey)
	if want := "fr-32c1b290a067fe53"; base != want {
		t.Errorf("got %q, want %q as in earlier releases", base, want)
	}
	for _, same := range []string{"https://api.flowroute.com", "https://api.flowroute.com/", "HTTPS://API.flowroute.com:443"} {
		if got := account(same, accessKey, "rotated"); got != base {
			t.Errorf("%s: got %q, want %q", same, got, base)
		}
	}
	for _, other := range []string{account("", "99999999", secretKey), account("http://127.0.0.1:1", accessKey, secretKey), account("https://api.flowroute.com/sim", accessKey, secretKey)} {
		if other == base {
			t.Errorf("another account is also %q", base)
		}
	}
}

// TestObserve: metrics see each request once, with what became of it.
func TestObserve(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		body   string
		call   func(c *flowroute.Client, ctx context.Context)
		want   flowroute.Observation
	}{
		{"accepted", 202, golden(t, "message_sent"), send, flowroute.Observation{Op: "send message", Endpoint: "sms", Method: "POST", Status: 202, Outcome: "ok"}},
		{"refused", 403, golden(t, "error_403_empty_detail"), send, flowroute.Observation{Op: "send message", Endpoint: "sms", Method: "POST", Status: 403, Outcome: "refused"}},
		{"unknown", 500, "", send, flowroute.Observation{Op: "send message", Endpoint: "sms", Method: "POST", Status: 500, Outcome: "unknown"}},
		{"read", 200, golden(t, "mdr"), lookUp, flowroute.Observation{Op: "look up MDR", Endpoint: "lookup", Method: "GET", Status: 200, Outcome: "ok"}},
		{"read not found", 404, "", lookUp, flowroute.Observation{Op: "look up MDR", Endpoint: "lookup", Method: "GET", Status: 404, Outcome: "error"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, reply(test.status, test.body))
			var got []flowroute.Observation
			c := newClient(t, server.URL, func(o *flowroute.Options) {
				o.Observe = func(seen flowroute.Observation) { got = append(got, seen) }
			})
			test.call(c, t.Context())
			if diff := cmp.Diff([]flowroute.Observation{test.want}, got, cmpopts.IgnoreFields(flowroute.Observation{}, "Duration")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(got) == 1 && got[0].Duration <= 0 {
				t.Errorf("got duration %v", got[0].Duration)
			}
		})
	}
}

func send(c *flowroute.Client, ctx context.Context) { c.SendMessage(ctx, hello, flowroute.Write{}) }

func lookUp(c *flowroute.Client, ctx context.Context) { c.MDR(ctx, "mdr2-abc") }
