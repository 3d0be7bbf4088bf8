package config_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sethvargo/go-envconfig"

	"github.com/flowroute-worker/flowroute-worker/config"
)

func load(t *testing.T, env map[string]string) (*config.Config, error) {
	t.Helper()
	return config.Load(t.Context(), envconfig.MapLookuper(env))
}

// compareSecrets lets cmp look into what does not show itself.
func compareSecrets() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b config.Secret) bool { return a.Reveal() == b.Reveal() }),
		cmp.Comparer(func(a, b config.Zone) bool { return a.String() == b.String() }),
	}
}

// problems flattens a joined error.
func problems(t *testing.T, err error) []*config.Problem {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got a %T, want joined problems: %v", err, err)
	}
	var list []*config.Problem
	for _, one := range joined.Unwrap() {
		p, ok := errors.AsType[*config.Problem](one)
		if !ok {
			t.Fatalf("got a %T, want a Problem: %v", one, one)
		}
		list = append(list, p)
	}
	return list
}

func variablesOf(list []*config.Problem) []string {
	var names []string
	for _, p := range list {
		names = append(names, p.Variable)
	}
	return names
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	newYork := got.SendingZone
	if newYork.String() != "America/New_York" {
		t.Errorf("SENDING_ZONE: got %s", newYork)
	}
	want := &config.Config{
		BaseURL:             "https://api.flowroute.com",
		Timeout:             time.Minute,
		RedisURL:            config.NewSecret("redis://127.0.0.1:6379/0"),
		RedisDurability:     "local",
		RedisStartTimeout:   time.Minute,
		ShutdownTimeout:     70 * time.Second,
		RateSMS:             config.Rate{N: 5, Per: time.Second},
		RateMMS:             config.Rate{N: 1, Per: time.Second},
		RateNumbers:         config.Rate{N: 2, Per: time.Second},
		RateLookups:         config.Rate{N: 1, Per: time.Second},
		LookupsShareSMS:     true,
		CarrierDayZone:      newYork,
		AmbiguousSettle:     2 * time.Minute,
		AmbiguousSettleIdle: 15 * time.Minute,
		AmbiguousMax:        time.Hour,
		AmbiguousAction:     "resend",
		OptOutScope:         "account",
		SegmentPrice:        4_000_000,
		SendingHours:        config.Hours{Start: 8 * time.Hour, End: 21 * time.Hour},
		SendingZone:         newYork,
		CampaignBrake:       config.Brake{Percent: 5, Window: 1000},
		MDRSyncCron:         "*/5 * * * *",
		NumbersSyncCron:     "17 * * * *",
		ReconcileCron:       "30 6 * * *",
		MDRLate:             6 * time.Hour,
		MDRRetention:        90 * 24 * time.Hour,
		LedgerRetention:     30 * 24 * time.Hour,
		HTTPAddr:            "127.0.0.1:8080",
		EventsMaxLen:        1_000_000,
		LogLevel:            "info",
	}
	if diff := cmp.Diff(want, got, compareSecrets()); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestEveryVariableIsRead(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"FR_ACCESS_KEY":              "key",
		"FR_SECRET_KEY":              "secret",
		"FR_ACCOUNT_ALIAS":           "main",
		"FLOWROUTE_BASE_URL":         "http://127.0.0.1:9090/",
		"FLOWROUTE_TIMEOUT":          "10s",
		"REDIS_URL":                  "rediss://redis:6380/1",
		"REDIS_DURABILITY":           "aof",
		"REDIS_START_TIMEOUT":        "5s",
		"WORKER_CONCURRENCY":         "7",
		"SHUTDOWN_TIMEOUT":           "15s",
		"RATE_SMS_PER_SECOND":        "10",
		"RATE_MMS_PER_SECOND":        "0",
		"RATE_NUMBERS_PER_SECOND":    "1/2",
		"RATE_LOOKUPS_PER_SECOND":    "0.5",
		"LOOKUPS_SHARE_SMS":          "false",
		"RATE_PER_NUMBER_PER_SECOND": "2.5",
		"RATE_OVERRIDES":             "+12065550100=0.5/s,2000/d,+12065550101=1",
		"CARRIER_DAY_ZONE":           "UTC",
		"AMBIGUOUS_SETTLE":           "1s",
		"AMBIGUOUS_SETTLE_IDLE":      "2s",
		"AMBIGUOUS_MAX":              "1m",
		"AMBIGUOUS_ACTION":           "review",
		"PUBLIC_URL":                 "https://sms.example.com/hooks/",
		"WEBHOOK_SECRET":             "0123456789abcdef",
		"FORWARD_DLR_URL":            "https://anna:secret@app.example.com/dlr/?x=1",
		"FORWARD_SMS_URL":            "http://[::1]:3000/sms",
		"FORWARD_MMS_URL":            "https://app.example.com",
		"OPTOUT_SCOPE":               "number",
		"SEGMENT_PRICE":              "0.000000001",
		"SENDING_HOURS":              "00:00-24:00",
		"SENDING_ZONE":               "America/Chicago",
		"CAMPAIGN_BRAKE":             "100%/10",
		"MDR_SYNC_CRON":              "",
		"NUMBERS_SYNC_CRON":          "off",
		"RECONCILE_CRON":             "0 0 29 2 *",
		"MDR_LATE":                   "30m",
		"MDR_RETENTION":              "24h",
		"LEDGER_RETENTION":           "48h",
		"HTTP_ADDR":                  ":8080",
		"API_TOKENS":                 "ops:0123456789abcdef,app.1:fedcba9876543210:x",
		"METRICS_PUBLIC":             "true",
		"QUEUES_UI_WRITE":            "1",
		"EVENTS_URL":                 "http://app:3000/events?x=1",
		"EVENTS_SECRET":              "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"EVENTS_MAXLEN":              "1000",
		"LOG_LEVEL":                  "debug",
		"LOG_FORMAT":                 "text",
	}
	for _, v := range config.Variables() {
		if _, given := env[v.Name]; !given {
			t.Errorf("this test does not give %s", v.Name)
		}
	}
	got, err := load(t, env)
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		AccessKey:         "key",
		SecretKey:         config.NewSecret("secret"),
		AccountAlias:      "main",
		BaseURL:           "http://127.0.0.1:9090",
		Timeout:           10 * time.Second,
		RedisURL:          config.NewSecret("rediss://redis:6380/1"),
		RedisDurability:   "aof",
		RedisStartTimeout: 5 * time.Second,
		WorkerConcurrency: 7,
		ShutdownTimeout:   15 * time.Second,
		RateSMS:           config.Rate{N: 10, Per: time.Second},
		RateNumbers:       config.Rate{N: 1, Per: 2 * time.Second},
		RateLookups:       config.Rate{N: 1, Per: 2 * time.Second},
		RatePerNumber:     config.Rate{N: 5, Per: 2 * time.Second},
		RateOverrides: config.Overrides{
			{Sender: "+12065550100", Rate: config.Rate{N: 1, Per: 2 * time.Second}, PerDay: 2000},
			{Sender: "+12065550101", Rate: config.Rate{N: 1, Per: time.Second}},
		},
		AmbiguousSettle:     time.Second,
		AmbiguousSettleIdle: 2 * time.Second,
		AmbiguousMax:        time.Minute,
		AmbiguousAction:     "review",
		PublicURL:           "https://sms.example.com/hooks",
		WebhookSecret:       config.NewSecret("0123456789abcdef"),
		ForwardDLRURL:       config.NewSecret("https://anna:secret@app.example.com/dlr/?x=1"),
		ForwardSMSURL:       config.NewSecret("http://[::1]:3000/sms"),
		ForwardMMSURL:       config.NewSecret("https://app.example.com"),
		OptOutScope:         "number",
		SegmentPrice:        1,
		SendingHours:        config.Hours{End: 24 * time.Hour},
		SendingZone:         got.SendingZone,
		CampaignBrake:       config.Brake{Percent: 100, Window: 10},
		ReconcileCron:       "0 0 29 2 *",
		MDRLate:             30 * time.Minute,
		MDRRetention:        24 * time.Hour,
		LedgerRetention:     48 * time.Hour,
		HTTPAddr:            ":8080",
		APITokens: config.Tokens{
			{Name: "ops", Value: config.NewSecret("0123456789abcdef")},
			{Name: "app.1", Value: config.NewSecret("fedcba9876543210:x")},
		},
		MetricsPublic: true,
		QueuesUIWrite: true,
		EventsURL:     "http://app:3000/events?x=1",
		EventsSecret:  config.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
		EventsMaxLen:  1000,
		LogLevel:      "debug",
		LogFormat:     "text",
	}
	if diff := cmp.Diff(want, got, compareSecrets(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if got.SendingZone.String() != "America/Chicago" {
		t.Errorf("SENDING_ZONE: got %s", got.SendingZone)
	}
	if !got.MDRSyncCron.Off() || !got.NumbersSyncCron.Off() || got.ReconcileCron.Off() {
		t.Error("empty and off switch a cron spec off, and nothing else does")
	}
}

func TestEmptyIsUnset(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	for _, v := range config.Variables() {
		if !strings.HasSuffix(v.Name, "_CRON") {
			env[v.Name] = ""
			env[v.Name+"_FILE"] = ""
		}
	}
	got, err := load(t, env)
	if err != nil {
		t.Fatal(err)
	}
	want, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareSecrets()); diff != "" {
		t.Errorf("all variables empty against none set (-want +got):\n%s", diff)
	}
}

func TestSpacesAreRefusedEverywhere(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	var want []string
	for i, v := range config.Variables() {
		env[v.Name] = []string{" ", "5 ", "\t5", "5\n"}[i%4]
		want = append(want, v.Name)
	}
	_, err := load(t, env)
	got := problems(t, err)
	if diff := cmp.Diff(want, variablesOf(got)); diff != "" {
		t.Errorf("variables with a problem (-want +got):\n%s", diff)
	}
	for _, p := range got {
		if !strings.Contains(p.Rule, "white space") {
			t.Errorf("%s: got %q, want the rule about white space", p.Variable, p.Rule)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, map[string]string{
		"FLOWROUTE_TIMEOUT":   "soon",
		"RATE_SMS_PER_SECOND": "-5",
		"API_TOKENS":          "ops:hunter2",
		"LOG_LEVEL":           "loud",
		"WORKER_CONCURRENCY":  "10001",
		"AMBIGUOUS_SETTLE":    "1s",
	})
	want := []*config.Problem{
		{Variable: "FLOWROUTE_TIMEOUT", Value: "soon", Rule: "must be a duration such as 90s, 15m or 2h30m from 1s to 10m"},
		{Variable: "WORKER_CONCURRENCY", Value: "10001", Rule: "must be a whole number from 0 to 10000"},
		{Variable: "RATE_SMS_PER_SECOND", Value: "-5", Rule: "must be n, n/m (n in m seconds) or a decimal per second, such as 5, 1/2 or 0.5"},
		{Variable: "API_TOKENS", Rule: "must have tokens of at least 16 characters; entry 1 is shorter"},
		{Variable: "LOG_LEVEL", Value: "loud", Rule: "must be one of debug, info, warn, error"},
		{Variable: "AMBIGUOUS_SETTLE", Value: "1s", Rule: "must be at least 30s unless FLOWROUTE_BASE_URL is a loopback address"},
	}
	if diff := cmp.Diff(want, problems(t, err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	lines := strings.Split(err.Error(), "\n")
	if line := `LOG_LEVEL: must be one of debug, info, warn, error, got "loud"`; !slices.Contains(lines, line) {
		t.Errorf("got %v, want a line %s", err, line)
	}
}

func TestUserInfoIsNotPrinted(t *testing.T) {
	t.Parallel()
	_, err := config.Load(t.Context(), envconfig.MapLookuper(map[string]string{"FLOWROUTE_BASE_URL": "ftp://user:hunter2@api.example.com"}))
	if err == nil || strings.Contains(fmt.Sprint(err), "hunter2") || !strings.Contains(fmt.Sprint(err), "api.example.com") {
		t.Errorf("got %v, want the address without its password", err)
	}
}
