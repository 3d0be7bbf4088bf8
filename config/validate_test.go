package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
		"events url without secret":     {map[string]string{"EVENTS_URL": "https://example.com"}, []string{"EVENTS_SECRET"}},
		"events secret of another kind": {map[string]string{"EVENTS_SECRET": "0123456789abcdef0123456789abcdef"}, []string{"EVENTS_SECRET"}},
		"events secret short":           {map[string]string{"EVENTS_SECRET": "whsec_c2hvcnQ="}, []string{"EVENTS_SECRET"}},
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
		"forwarding in clear":           {map[string]string{"WEBHOOK_SECRET": hookSecret, "FORWARD_DLR_URL": "http://app:3000/"}, []string{"FORWARD_DLR_URL"}},
		"forwarding to no url":          {map[string]string{"WEBHOOK_SECRET": hookSecret, "FORWARD_SMS_URL": "app.example.com"}, []string{"FORWARD_SMS_URL"}},
		"forwarding with a fragment":    {map[string]string{"WEBHOOK_SECRET": hookSecret, "FORWARD_MMS_URL": "https://app.example.com/#x"}, []string{"FORWARD_MMS_URL"}},
		"forwarding to a bad port":      {map[string]string{"WEBHOOK_SECRET": hookSecret, "FORWARD_MMS_URL": "https://app.example.com:0/"}, []string{"FORWARD_MMS_URL"}},
		"forwarding without webhooks":   {map[string]string{"FORWARD_SMS_URL": "https://app.example.com/"}, []string{"FORWARD_SMS_URL"}},
		"forwarding to ourselves": {map[string]string{"WEBHOOK_SECRET": hookSecret, "PUBLIC_URL": "https://sms.example.com/x", "FORWARD_SMS_URL": "https://sms.example.com/x/webhooks/flowroute/" + hookSecret + "/sms"},
			[]string{"FORWARD_SMS_URL"}},
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

const hookSecret = "0123456789abcdef"

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
