package httpapi

import (
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// SignSession makes the cookie's value of a session of the server's first token
// that ends at that time.
func SignSession(s *Server, end time.Time) string { return s.auth.entries[0].signSession(end) }

// CookieName is the name of the session cookie without TLS.
const CookieName = cookieName

// FormatPayload is what the queue pages show of a task.
func FormatPayload(taskType string, payload []byte) string { return formatPayload(taskType, payload) }

// LocalPath reports whether text may be gone to after a login.
func LocalPath(text string) bool { return localPath(text) }

// ReadReceipt reads a receipt and returns the id of its message.
func ReadReceipt(body []byte) (string, error) {
	got, err := readReceipt(body)
	return got.mdr, err
}

// ReadInbound reads a message that arrived.
func ReadInbound(body []byte) (flowroute.MDR, error) {
	got, err := readInbound(body, hookSMS, time.Now())
	return got.record, err
}

// A Spool is what answers rest in.
type (
	Spool        = spool
	SpoolOptions = spoolOptions
)

// NewSpool makes one.
func NewSpool(o SpoolOptions) *Spool { return newSpool(o) }

// Resting is how many bytes of it are in memory and in the file.
func (s *spool) Resting() (memory int, file int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.memory), s.to - s.from
}

// MaxUploads is how many streams of messages a server takes at once.
const MaxUploads = maxUploads
