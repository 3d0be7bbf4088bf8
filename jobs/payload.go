package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// pack makes what the ledger keeps of a request: its JSON, headed by "v":1.
func pack(request any) []byte { return packAs(payloadVersion, request) }

func packAs(version int, request any) []byte {
	b := bytes.NewBuffer(make([]byte, 0, 256))
	b.WriteString(`{"v":`)
	b.WriteString(strconv.Itoa(version))
	head := b.Len()
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false) // \u003c for each < would cost memory
	if err := encoder.Encode(request); err != nil {
		// Only what the door has refused anyway: a year with five digits.
		return nil
	}
	packed := bytes.TrimSpace(b.Bytes())
	if len(packed) == head+len("{}") {
		return append(packed[:head], '}')
	}
	packed[head] = ',' // in place of the brace
	return packed
}

// unpack reads it again.
func unpack(job ledger.Job, want ledger.Type, request any) error {
	if job.Type != want {
		return fmt.Errorf("read what job %s asks: it is a %s, not a %s", job.ID, job.Type, want)
	}
	if len(job.Payload) == 0 {
		return fmt.Errorf("read what job %s asks: that is kept until a job is final, and this one is %s", job.ID, job.State)
	}
	if !bytes.HasPrefix(job.Payload, []byte(`{"v":1,`)) {
		var head struct {
			V int64 `json:"v"`
		}
		if err := json.Unmarshal(job.Payload, &head); err != nil {
			return fmt.Errorf("read what job %s asks: %w", job.ID, err)
		}
		if head.V > newestVersion(want) {
			return fmt.Errorf("read what job %s asks: %w", job.ID, ledger.ErrNewerVersion)
		}
	}
	if err := json.Unmarshal(job.Payload, request); err != nil {
		return fmt.Errorf("read what job %s asks: %w", job.ID, err)
	}
	return nil
}
