package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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
		SegmentPrice:        4_000_000,
		SendingHours:        config.Hours{Start: 8 * time.Hour, End: 21 * time.Hour},
		SendingZone:         newYork,
		CampaignBrake:       config.Brake{Percent: 5, Window: 1000},
		MDRSyncCron:         "*/5 * * * *",
		NumbersSyncCron:     "17 * * * *",
		ReconcileCron:       "30 6 * * *",
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
		"SEGMENT_PRICE":              "0.000000001",
		"SENDING_HOURS":              "00:00-24:00",
		"SENDING_ZONE":               "America/Chicago",
		"CAMPAIGN_BRAKE":             "100%/10",
		"MDR_SYNC_CRON":              "",
		"NUMBERS_SYNC_CRON":          "off",
		"RECONCILE_CRON":             "0 0 29 2 *",
		"MDR_RETENTION":              "24h",
		"LEDGER_RETENTION":           "48h",
		"HTTP_ADDR":                  ":8080",
		"API_TOKENS":                 "ops:0123456789abcdef,app.1:fedcba9876543210:x",
		"METRICS_PUBLIC":             "true",
		"QUEUES_UI_WRITE":            "1",
		"EVENTS_URL":                 "http://app:3000/events?x=1",
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
		SegmentPrice:        1,
		SendingHours:        config.Hours{End: 24 * time.Hour},
		SendingZone:         got.SendingZone,
		CampaignBrake:       config.Brake{Percent: 100, Window: 10},
		ReconcileCron:       "0 0 29 2 *",
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

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env  map[string]string
		want []string
	}{
		"base url is none":              {map[string]string{"FLOWROUTE_BASE_URL": "api.flowroute.com"}, []string{"FLOWROUTE_BASE_URL"}},
		"base url in clear":             {map[string]string{"FLOWROUTE_BASE_URL": "http://api.flowroute.com"}, []string{"FLOWROUTE_BASE_URL"}},
		"base url with login":           {map[string]string{"FLOWROUTE_BASE_URL": "https://a:b@api.flowroute.com"}, []string{"FLOWROUTE_BASE_URL"}},
		"base url with query":           {map[string]string{"FLOWROUTE_BASE_URL": "https://api.flowroute.com/?a=b"}, []string{"FLOWROUTE_BASE_URL"}},
		"base url of another kind":      {map[string]string{"FLOWROUTE_BASE_URL": "ftp://api.flowroute.com"}, []string{"FLOWROUTE_BASE_URL"}},
		"access key with colon":         {map[string]string{"FR_ACCESS_KEY": "a:b"}, []string{"FR_ACCESS_KEY"}},
		"secret key with control":       {map[string]string{"FR_SECRET_KEY": "a\x00b"}, []string{"FR_SECRET_KEY"}},
		"alias with space":              {map[string]string{"FR_ACCOUNT_ALIAS": "a b"}, []string{"FR_ACCOUNT_ALIAS"}},
		"timeout zero":                  {map[string]string{"FLOWROUTE_TIMEOUT": "0"}, []string{"FLOWROUTE_TIMEOUT"}},
		"timeout without unit":          {map[string]string{"FLOWROUTE_TIMEOUT": "60"}, []string{"FLOWROUTE_TIMEOUT"}},
		"drain shorter than a request":  {map[string]string{"FLOWROUTE_TIMEOUT": "66s"}, []string{"SHUTDOWN_TIMEOUT"}},
		"idle below settle":             {map[string]string{"AMBIGUOUS_SETTLE": "20m"}, []string{"AMBIGUOUS_SETTLE_IDLE"}},
		"max below settle":              {map[string]string{"AMBIGUOUS_SETTLE": "2h", "AMBIGUOUS_SETTLE_IDLE": "2h"}, []string{"AMBIGUOUS_MAX"}},
		"action unknown":                {map[string]string{"AMBIGUOUS_ACTION": "ignore"}, []string{"AMBIGUOUS_ACTION"}},
		"public url in clear":           {map[string]string{"PUBLIC_URL": "http://example.com", "WEBHOOK_SECRET": "0123456789abcdef"}, []string{"PUBLIC_URL"}},
		"public url without secret":     {map[string]string{"PUBLIC_URL": "https://example.com"}, []string{"WEBHOOK_SECRET"}},
		"webhook secret short":          {map[string]string{"WEBHOOK_SECRET": "abc"}, []string{"WEBHOOK_SECRET"}},
		"webhook secret with slash":     {map[string]string{"WEBHOOK_SECRET": "0123456789/abcdef"}, []string{"WEBHOOK_SECRET"}},
		"every interface, no token":     {map[string]string{"HTTP_ADDR": ":8080"}, []string{"HTTP_ADDR"}},
		"all zeros, no token":           {map[string]string{"HTTP_ADDR": "0.0.0.0:8080"}, []string{"HTTP_ADDR"}},
		"host name, no token":           {map[string]string{"HTTP_ADDR": "worker:8080"}, []string{"HTTP_ADDR"}},
		"address without port":          {map[string]string{"HTTP_ADDR": "127.0.0.1"}, []string{"HTTP_ADDR"}},
		"bad token is blamed alone":     {map[string]string{"HTTP_ADDR": ":8080", "API_TOKENS": "ops"}, []string{"API_TOKENS"}},
		"token name twice":              {map[string]string{"API_TOKENS": "a:0123456789abcdef,a:fedcba9876543210"}, []string{"API_TOKENS"}},
		"token twice":                   {map[string]string{"API_TOKENS": "a:0123456789abcdef,b:0123456789abcdef"}, []string{"API_TOKENS"}},
		"token list with empty entry":   {map[string]string{"API_TOKENS": "a:0123456789abcdef,"}, []string{"API_TOKENS"}},
		"token without name":            {map[string]string{"API_TOKENS": ":0123456789abcdef"}, []string{"API_TOKENS"}},
		"token with space":              {map[string]string{"API_TOKENS": "a:0123456789 abcdef"}, []string{"API_TOKENS"}},
		"zone unknown":                  {map[string]string{"SENDING_ZONE": "Mars/Olympus"}, []string{"SENDING_ZONE"}},
		"zone of the machine":           {map[string]string{"CARRIER_DAY_ZONE": "Local"}, []string{"CARRIER_DAY_ZONE"}},
		"hours backwards":               {map[string]string{"SENDING_HOURS": "21:00-08:00"}, []string{"SENDING_HOURS"}},
		"hours without minutes":         {map[string]string{"SENDING_HOURS": "8-21"}, []string{"SENDING_HOURS"}},
		"hour that is none":             {map[string]string{"SENDING_HOURS": "08:00-25:00"}, []string{"SENDING_HOURS"}},
		"brake without percent":         {map[string]string{"CAMPAIGN_BRAKE": "5/1000"}, []string{"CAMPAIGN_BRAKE"}},
		"brake of nothing":              {map[string]string{"CAMPAIGN_BRAKE": "0%/1000"}, []string{"CAMPAIGN_BRAKE"}},
		"price negative":                {map[string]string{"SEGMENT_PRICE": "-0.004"}, []string{"SEGMENT_PRICE"}},
		"price too exact":               {map[string]string{"SEGMENT_PRICE": "0.0000000001"}, []string{"SEGMENT_PRICE"}},
		"price with comma":              {map[string]string{"SEGMENT_PRICE": "0,004"}, []string{"SEGMENT_PRICE"}},
		"price in exponents":            {map[string]string{"SEGMENT_PRICE": "4e-3"}, []string{"SEGMENT_PRICE"}},
		"cron with six fields":          {map[string]string{"MDR_SYNC_CRON": "0 */5 * * * *"}, []string{"MDR_SYNC_CRON"}},
		"cron descriptor":               {map[string]string{"MDR_SYNC_CRON": "@every 5m"}, []string{"MDR_SYNC_CRON"}},
		"cron zone":                     {map[string]string{"MDR_SYNC_CRON": "TZ=UTC 0 0 * * *"}, []string{"MDR_SYNC_CRON"}},
		"cron zone cut short":           {map[string]string{"MDR_SYNC_CRON": "TZ=UTC"}, []string{"MDR_SYNC_CRON"}},
		"cron that never comes":         {map[string]string{"MDR_SYNC_CRON": "0 0 30 2 *"}, []string{"MDR_SYNC_CRON"}},
		"bool in words":                 {map[string]string{"METRICS_PUBLIC": "yes"}, []string{"METRICS_PUBLIC"}},
		"event stream too short":        {map[string]string{"EVENTS_MAXLEN": "10"}, []string{"EVENTS_MAXLEN"}},
		"override without sender":       {map[string]string{"RATE_OVERRIDES": "0.5/s"}, []string{"RATE_OVERRIDES"}},
		"override of no number":         {map[string]string{"RATE_OVERRIDES": "206-555-0100=1"}, []string{"RATE_OVERRIDES"}},
		"override without cap":          {map[string]string{"RATE_OVERRIDES": "+12065550100="}, []string{"RATE_OVERRIDES"}},
		"override without limit":        {map[string]string{"RATE_OVERRIDES": "+12065550100=0"}, []string{"RATE_OVERRIDES"}},
		"override with two rates":       {map[string]string{"RATE_OVERRIDES": "+12065550100=1,2"}, []string{"RATE_OVERRIDES"}},
		"override with two daily caps":  {map[string]string{"RATE_OVERRIDES": "+12065550100=1/d,2/d"}, []string{"RATE_OVERRIDES"}},
		"override twice for one sender": {map[string]string{"RATE_OVERRIDES": "+12065550100=1,+12065550100=5/d"}, []string{"RATE_OVERRIDES"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := load(t, tt.env)
			if diff := cmp.Diff(tt.want, variablesOf(problems(t, err))); diff != "" {
				t.Errorf("variables with a problem (-want +got):\n%s\n%v", diff, err)
			}
			if cfg == nil {
				t.Error("no config beside the problems")
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	tests := map[string]map[string]string{
		"short settle on loopback":     {"FLOWROUTE_BASE_URL": "http://localhost:9090", "AMBIGUOUS_SETTLE": "1s"},
		"short settle on ::1":          {"FLOWROUTE_BASE_URL": "http://[::1]:9090", "AMBIGUOUS_SETTLE": "1s"},
		"every interface with a token": {"HTTP_ADDR": ":8080", "API_TOKENS": "a:0123456789abcdef"},
		"loopback without a token":     {"HTTP_ADDR": "[::1]:0"},
		"local name":                   {"HTTP_ADDR": "localhost:8080"},
		"public url on loopback":       {"PUBLIC_URL": "http://127.0.0.1:8080", "WEBHOOK_SECRET": "0123456789abcdef"},
		"secret without public url":    {"WEBHOOK_SECRET": "0123456789abcdef"},
		"drain exactly long enough":    {"FLOWROUTE_TIMEOUT": "65s"},
	}
	for name, env := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := load(t, env); err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNeedCredentials(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env  map[string]string
		want []string
	}{
		"none":    {nil, []string{"FR_ACCESS_KEY", "FR_SECRET_KEY"}},
		"no key":  {map[string]string{"FR_SECRET_KEY": "s"}, []string{"FR_ACCESS_KEY"}},
		"no pair": {map[string]string{"FR_ACCESS_KEY": "k"}, []string{"FR_SECRET_KEY"}},
		"both":    {map[string]string{"FR_ACCESS_KEY": "k", "FR_SECRET_KEY": "s"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := load(t, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, variablesOf(problems(t, cfg.NeedCredentials()))); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	write := func(content string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg, err := load(t, map[string]string{
		"FR_SECRET_KEY_FILE":  write("from a file\n"),
		"REDIS_URL_FILE":      write("redis://:pw@h/1\r\n"),
		"API_TOKENS_FILE":     write("ops:0123456789abcdef"),
		"WEBHOOK_SECRET_FILE": write("0123456789abcdef"),
		"FR_SECRET_KEY":       "",
	})
	// The space inside is the key's own affair, the rule about visible
	// characters is ours.
	if got := variablesOf(problems(t, err)); !cmp.Equal(got, []string{"FR_SECRET_KEY"}) {
		t.Errorf("problems: got %v", err)
	}
	if got := cfg.RedisURL.Reveal(); got != "redis://:pw@h/1" {
		t.Errorf("REDIS_URL_FILE: got %q", got)
	}
	if len(cfg.APITokens) != 1 || cfg.WebhookSecret.Reveal() != "0123456789abcdef" {
		t.Errorf("got tokens %v, webhook secret %q", cfg.APITokens, cfg.WebhookSecret.Reveal())
	}

	tests := map[string]struct {
		env      map[string]string
		variable string
		want     string
	}{
		"both":       {map[string]string{"FR_SECRET_KEY": "a", "FR_SECRET_KEY_FILE": write("b")}, "FR_SECRET_KEY", "together with FR_SECRET_KEY_FILE"},
		"missing":    {map[string]string{"FR_SECRET_KEY_FILE": "/does/not/exist"}, "FR_SECRET_KEY_FILE", "no such file"},
		"directory":  {map[string]string{"FR_SECRET_KEY_FILE": t.TempDir()}, "FR_SECRET_KEY_FILE", "is a directory"},
		"empty":      {map[string]string{"FR_SECRET_KEY_FILE": write("\n")}, "FR_SECRET_KEY_FILE", "not empty"},
		"endless":    {map[string]string{"FR_SECRET_KEY_FILE": "/dev/zero"}, "FR_SECRET_KEY_FILE", "at most"},
		"two lines":  {map[string]string{"FR_SECRET_KEY_FILE": write("a\n\n")}, "FR_SECRET_KEY_FILE", "white space"},
		"wrong text": {map[string]string{"API_TOKENS_FILE": write("ops:hunter2")}, "API_TOKENS", "at least 16"},
	}
	for name, tt := range tests {
		_, err := load(t, tt.env)
		list := problems(t, err)
		if len(list) != 1 || list[0].Variable != tt.variable || !strings.Contains(list[0].Rule, tt.want) {
			t.Errorf("%s: got %v, want one problem of %s that says %q", name, err, tt.variable, tt.want)
		}
	}
}

// Whatever is printed of a configuration, and whatever is wrong with it,
// secrets stay out of sight.
func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2hunter2"
	cfg, err := load(t, map[string]string{
		"FR_SECRET_KEY":  secret,
		"REDIS_URL":      secret,
		"API_TOKENS":     "ops:" + secret,
		"WEBHOOK_SECRET": secret,
	})
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("config", "cfg", cfg, "key", cfg.SecretKey)
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d", *cfg, *cfg, *cfg, cfg.SecretKey, cfg.SecretKey, cfg.SecretKey, cfg.SecretKey) +
		string(asJSON) + log.String() + fmt.Sprint(cfg.SecretKey, &cfg.SecretKey)
	for _, form := range []string{secret, fmt.Sprintf("%x", secret)} {
		if strings.Contains(printed, form) {
			t.Errorf("secret printed: %s", printed)
		}
	}
	if !strings.Contains(printed, "[secret]") {
		t.Errorf("nothing says that there is a secret: %s", printed)
	}

	bad := map[string]string{}
	for _, v := range config.Variables() {
		if v.Secret {
			bad[v.Name] = secret + "\x01: ,\n"
		}
	}
	_, err = load(t, bad)
	if list := problems(t, err); len(list) != len(bad) {
		t.Errorf("bad secrets: got %v, want %d problems", err, len(bad))
	}
	if text := fmt.Sprint(err); strings.Contains(text, secret) {
		t.Errorf("a problem shows a secret: %s", text)
	}
}
