package jobs

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// content makes the hash that tells whether two jobs with one key ask for the
// same. Its form must never change, or keys in use would conflict with
// themselves: each value is written as name and text, each headed by its length;
// what is empty is left out, so that a field that comes later changes nothing for
// jobs without it.
type content struct{ form []byte }

func newContent(t ledger.Type) *content {
	c := &content{form: make([]byte, 0, 256)}
	c.add("type", string(t))
	return c
}

func (c *content) add(name string, values ...string) {
	for _, value := range values {
		if value == "" {
			continue
		}
		for _, s := range []string{name, value} {
			c.form = binary.AppendUvarint(c.form, uint64(len(s)))
			c.form = append(c.form, s...)
		}
	}
}

func (c *content) addTime(name string, t time.Time) {
	if !t.IsZero() {
		c.add(name, strconv.FormatInt(t.UnixMilli(), 10))
	}
}

// sum is the first eight bytes of the SHA-256.
func (c *content) sum() [8]byte {
	sum := sha256.Sum256(c.form)
	return [8]byte(sum[:8])
}
