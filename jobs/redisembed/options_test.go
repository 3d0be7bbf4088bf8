package redisembed_test

import (
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisembed"
)

func TestArgumentsWinOverOptions(t *testing.T) {
	t.Parallel()
	srv, err := redisembed.Start(t.Context(), redisembed.Options{
		Dir: t.TempDir(), AOF: true, Arguments: []string{"--appendfsync", "always"}, Environment: []string{"TZ=UTC"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	if srv.Kind() == redisembed.KindInProcess {
		return // it has no arguments
	}
	got, err := client(t, srv).ConfigGet(t.Context(), "append*").Result()
	if err != nil || got["appendfsync"] != "always" || got["appendonly"] != "yes" {
		t.Errorf("got %v, %v, want appendfsync always and appendonly yes", got, err)
	}
}
