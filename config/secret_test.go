package config_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/config"
)

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
