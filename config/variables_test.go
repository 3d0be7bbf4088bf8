package config_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/config"
)

func TestVariables(t *testing.T) {
	t.Parallel()
	var secret, file []string
	seen := map[string]bool{}
	for _, v := range config.Variables() {
		if v.Name == "" || v.Meaning == "" || seen[v.Name] {
			t.Errorf("want a name of its own and a meaning: %+v", v)
		}
		seen[v.Name] = true
		if v.Secret {
			secret = append(secret, v.Name)
		}
		if v.File {
			file = append(file, v.Name)
		}
	}
	wantFile := []string{"FR_SECRET_KEY", "REDIS_URL", "WEBHOOK_SECRET", "FORWARD_DLR_URL", "FORWARD_SMS_URL", "FORWARD_MMS_URL", "API_TOKENS", "EVENTS_SECRET"}
	if diff := cmp.Diff(wantFile, file); diff != "" {
		t.Errorf("variables with _FILE (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Concat([]string{"FR_ACCESS_KEY"}, wantFile), secret); diff != "" {
		t.Errorf("secret variables (-want +got):\n%s", diff)
	}
	want := config.Variable{
		Name: "RATE_SMS_PER_SECOND", Default: "5",
		Meaning: "the account's limit for SMS, as Flowroute counts it; 0 is no limit",
	}
	if got := config.Variables()[slices.IndexFunc(config.Variables(), func(v config.Variable) bool { return v.Name == want.Name })]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMisspelt(t *testing.T) {
	t.Parallel()
	got := config.Misspelt([]string{
		"PATH=/bin", "HOME=/root", "HTTP_PROXY=x", "LOG_DIR=x", "REDIS_HOST=x", "RATE=1", "", "=", "X", "TZ=UTC",
		"RATE_SMS_PER_SECOND=5", "REDIS_URL_FILE=/run/x",
		"RATE_SMS_PER_SEC=5", "REDIS_URI=x", "API_TOKEN=x", "FR_SECRETKEY=x", "FLOWROUTE_BASEURL=x", "WORKER_CONCURENCY=5",
	})
	want := []string{
		"API_TOKEN is not a variable of this program: is API_TOKENS meant?",
		"FLOWROUTE_BASEURL is not a variable of this program: is FLOWROUTE_BASE_URL meant?",
		"FR_SECRETKEY is not a variable of this program: is FR_SECRET_KEY meant?",
		"RATE_SMS_PER_SEC is not a variable of this program: is RATE_SMS_PER_SECOND meant?",
		"REDIS_URI is not a variable of this program: is REDIS_URL meant?",
		"WORKER_CONCURENCY is not a variable of this program: is WORKER_CONCURRENCY meant?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
