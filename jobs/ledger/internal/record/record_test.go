package record_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger/internal/record"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func lengths() map[string]string {
	fields := map[string]string{"v": "1", "": "empty", "none": ""}
	for _, n := range []int{1, 31, 32, 255, 256, 65535, 65536} {
		fields["n"+strings.Repeat("x", n%300)] = strings.Repeat("\xff\x00a", n)[:n]
	}
	return fields
}

func TestPackAndUnpack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "fields")
		got, err := record.Unpack(string(record.Pack(want)))
		if err != nil || !cmp.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
	if got, err := record.Unpack(string(record.Pack(lengths()))); err != nil || !cmp.Equal(got, lengths()) {
		t.Errorf("lengths: got %v, %v", len(got), err)
	}
}

// What Redis packs is read here, and the other way round.
func TestRedisAgrees(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	for _, fields := range []map[string]string{{"a": "1"}, lengths()} {
		reply, err := redis.NewScript(`
if not rawget(_G, 'cmsgpack') then return ARGV[1] end
return cmsgpack.pack(cmsgpack.unpack(ARGV[1]))`).Run(t.Context(), rdb, nil, record.Pack(fields)).Text()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := record.Unpack(reply); err != nil || !cmp.Equal(got, fields) {
			t.Errorf("got %v, %v, want %v", got, err, fields)
		}
	}
}

// Anything else than a whole record is an error.
func TestMalformed(t *testing.T) {
	t.Parallel()
	whole := string(record.Pack(lengths()))
	for n := range whole {
		if n > 600 && n%997 != 0 {
			continue
		}
		if got, err := record.Unpack(whole[:n]); !errors.Is(err, record.ErrMalformed) {
			t.Fatalf("%d of %d bytes: got %v, %v", n, len(whole), len(got), err)
		}
	}
	for _, bad := range []string{whole + "x", "\x81\x01\x02", "\x91\xa1a", "plain text", "\x81\xa1a\xc0"} {
		if _, err := record.Unpack(bad); !errors.Is(err, record.ErrMalformed) {
			t.Errorf("%.20q: got %v, want ErrMalformed", bad, err)
		}
	}
}
