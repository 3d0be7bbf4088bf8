package jobs

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Message asks for one SMS or MMS. Its JSON is that of the HTTP API and of plain
// asynq tasks.
//
// With a Key, its content is From, To, Body, MediaURLs, whether it is an MMS, and
// SendAt as given: the same key with any of these different is [ErrConflict].
// ExpiresAt, SendingHours, Priority and Campaign are not content, so that a repetition may
// compute them anew; the first call's hold.
type Message struct {
	// From is the sending number, one of the account's. Numbers are accepted as
	// people type them: "+1 (206) 555-0100", "2065550100".
	From string `json:"from"`
	To   string `json:"to"`
	// Body is required unless there are MediaURLs. At most [MaxBody] characters.
	Body string `json:"body,omitempty"`
	// MediaURLs make it an MMS: at most [MaxMedia] absolute http or https URLs
	// that Flowroute can fetch.
	MediaURLs []string `json:"media_urls,omitempty"`
	// IsMMS sends a text alone as an MMS when true. Defaults to whether there is
	// media; false with media is refused.
	IsMMS *bool `json:"is_mms,omitempty"`
	// SendAt is when to send, at most a year ahead. Defaults to at once, as does
	// a time in the past.
	SendAt time.Time `json:"send_at,omitzero"`
	// ExpiresAt is when the message is of no use any more; it is not posted after
	// it. Defaults to 24 h after SendAt, 5 minutes for an OTP.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Priority is [PriorityOTP], [PriorityNormal] (default) or [PriorityBulk].
	Priority string `json:"priority,omitempty"`
	// SendingHours are the hours, by the recipient's clock, in which the message may be
	// sent, such as "08:00-21:00"; outside of them it waits, until ExpiresAt. Defaults to
	// all hours.
	SendingHours string `json:"sending_hours,omitempty"`
	// Campaign is a name to find messages by, at most 100 characters.
	Campaign string `json:"campaign,omitempty"`
	// Key makes the message idempotent; at most 255 characters.
	Key string `json:"key,omitempty"`
}

// Bounds of a message.
const (
	// MaxBody is in characters. Flowroute documents no bound; 1,600 (12 segments
	// of ASCII, 23 of anything else) is what other providers take, and a longer
	// text is nearly always a template gone wrong, at a price per segment.
	MaxBody = 1600
	// MaxMedia is how many media one MMS may have. Flowroute documents no bound
	// for their number but 750 kB for all of them together.
	MaxMedia = 10
	// MaxMediaURL is in bytes.
	MaxMediaURL = 2000
)

// MessageSpec is a message as a worker gets it: checked, numbers parsed.
type MessageSpec struct {
	From, To          flowroute.E164
	Body              string
	MediaURLs         []string
	IsMMS             *bool
	SendAt, ExpiresAt time.Time // as given; the ledger's Due and Expires are what counts
	Priority          string
	SendingHours      string
	Campaign, Key     string
}

// Flowroute is the message as the API client takes it.
func (s MessageSpec) Flowroute() flowroute.Message {
	return flowroute.Message{From: s.From, To: s.To, Body: s.Body, MediaURLs: s.MediaURLs, IsMMS: s.IsMMS}
}

// Validate reports all that is wrong with the message, as a [*ValidationError].
// [Client.Send] does it too.
func (m Message) Validate(now time.Time) error {
	d := door{now: now}
	m.plan(&d)
	return d.err()
}

// DecodeMessage reads and checks a message in JSON, at most [MaxPayload] bytes.
// Fields must have the exact names; unknown and repeated ones are refused.
// Errors: [*ValidationError].
func DecodeMessage(b []byte) (Message, error) {
	d := door{now: time.Now()}
	m, readable := d.message(b)
	if readable {
		m.plan(&d)
	}
	return m, d.err()
}

// ReadMessage is [DecodeMessage] for a message that is sent next: what its values are is
// checked then. Errors: [*ValidationError], of unknown fields, wrong types and the like;
// it has the problems of the values too.
func ReadMessage(b []byte) (Message, error) {
	d := door{now: time.Now()}
	m, readable := d.message(b)
	if readable && d.err() != nil {
		m.plan(&d)
	}
	return m, d.err()
}

// message reads a message; false when there is no object to read.
func (d *door) message(b []byte) (m Message, readable bool) {
	if m, readable = quickMessage(b); readable {
		return m, true
	}
	_, readable = d.decode(b, m.fields())
	return m, readable
}

// MessageOf reads what a job of type [TypeSendMessage] asks for. Errors:
// [ledger.ErrNewerVersion]; a job that is final has no payload any more.
func MessageOf(job ledger.Job) (MessageSpec, error) {
	var m Message
	if err := unpack(job, ledger.SendMessage, &m); err != nil {
		return MessageSpec{}, err
	}
	if job.From.IsZero() || job.To.IsZero() {
		return MessageSpec{}, fmt.Errorf("read what job %s asks: it has no sender or no recipient", job.ID)
	}
	return MessageSpec{
		// The ledger's numbers: rules for numbers may become stricter while a job
		// waits.
		From: job.From, To: job.To, Body: m.Body, MediaURLs: m.MediaURLs, IsMMS: m.IsMMS,
		SendAt: m.SendAt, ExpiresAt: m.ExpiresAt, Priority: job.Queue, SendingHours: m.SendingHours, Campaign: m.Campaign, Key: m.Key,
	}, nil
}

func (m *Message) fields() map[string]any {
	return map[string]any{
		"from": &m.From, "to": &m.To, "body": &m.Body, "media_urls": &m.MediaURLs, "is_mms": &m.IsMMS,
		"send_at": &m.SendAt, "expires_at": &m.ExpiresAt, "priority": &m.Priority, "sending_hours": &m.SendingHours, "campaign": &m.Campaign, "key": &m.Key,
	}
}

// plan checks the message and makes the ledger's job of it, but for the id. The
// job is of use only when d has no problems.
func (m Message) plan(d *door) ledger.NewJob {
	job := ledger.NewJob{Type: ledger.SendMessage, Queue: ledger.QueueNormal, Expires: m.ExpiresAt}
	job.From, job.To = d.number("from", m.From), d.number("to", m.To)
	if !job.From.IsZero() && job.From == job.To {
		d.refuse("to", CodeContradiction, "is the sending number: give another recipient")
	}
	m.checkBody(d)
	m.checkMedia(d)
	m.checkTimes(d)
	if m.SendAt.After(d.now) {
		job.Due = m.SendAt
	}
	switch m.Priority {
	case "":
	case PriorityOTP, PriorityNormal, PriorityBulk:
		job.Queue = m.Priority
	default:
		d.refuse("priority", CodeInvalid, "use otp, normal or bulk")
	}
	if m.SendingHours != "" {
		if _, err := ParseSendingHours(m.SendingHours); err != nil {
			d.refuse("sending_hours", CodeInvalid, "%s", err.Error())
		}
	}
	d.name("campaign", m.Campaign, maxCampaign)
	d.name("key", m.Key, maxKey)

	job.Content = m.content(job.From, job.To)
	job.Fingerprint = Fingerprint(job.From.Digits(), job.To.Digits(), m.Body, m.isMMS())
	m.From, m.To, m.Priority = job.From.String(), job.To.String(), ""
	job.Payload = pack(m)
	return job
}

func (m Message) isMMS() bool { return len(m.MediaURLs) > 0 || (m.IsMMS != nil && *m.IsMMS) }

func (m Message) content(from, to flowroute.E164) [8]byte {
	c := newContent(ledger.SendMessage)
	c.add("from", from.String())
	c.add("to", to.String())
	c.add("body", m.Body)
	c.add("media_urls", m.MediaURLs...)
	if m.isMMS() {
		c.add("mms", "1")
	}
	c.addTime("send_at", m.SendAt)
	return c.sum()
}

func (m Message) checkBody(d *door) {
	if !utf8.ValidString(m.Body) {
		d.refuse("body", CodeNotUTF8, "must be UTF-8")
		return
	}
	if strings.TrimSpace(m.Body) == "" && len(m.MediaURLs) == 0 {
		d.refuse("body", CodeRequired, "is empty: give a text or media_urls")
	}
	if n := utf8.RuneCountInString(m.Body); n > MaxBody {
		d.refuse("body", CodeTooLong, "has %d characters: use at most %d", n, MaxBody)
	}
	if place, char := control(m.Body); place > 0 {
		d.refuse("body", CodeControl, "has the control character %U at place %d: take it out (line ends and tabs are fine)", char, place)
	}
}

func (m Message) checkMedia(d *door) {
	if len(m.MediaURLs) > MaxMedia {
		d.refuse("media_urls", CodeTooMany, "has %d entries: use at most %d", len(m.MediaURLs), MaxMedia)
		return
	}
	if len(m.MediaURLs) > 0 && m.IsMMS != nil && !*m.IsMMS {
		d.refuse("is_mms", CodeContradiction, "is false, but media makes an MMS: leave is_mms out, or media_urls")
	}
	for i, text := range m.MediaURLs {
		d.mediaURL(elementPath("media_urls", i), text)
	}
}

func (d *door) mediaURL(field, text string) {
	if len(text) > MaxMediaURL {
		d.refuse(field, CodeTooLong, "has %d bytes: use at most %d", len(text), MaxMediaURL)
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || !utf8.ValidString(text) || strings.ContainsAny(text, " \t\r\n"):
		d.refuse(field, CodeInvalid, "is no URL: give an absolute one like https://example.com/cat.jpg")
	case u.Scheme != "http" && u.Scheme != "https":
		d.refuse(field, CodeInvalid, "is no http or https URL: give an absolute one like https://example.com/cat.jpg")
	case u.Hostname() == "":
		d.refuse(field, CodeInvalid, "has no host: give an absolute URL like https://example.com/cat.jpg")
	case u.User != nil:
		d.refuse(field, CodeInvalid, "has a user name or password in it, which would be kept and passed on: use a signed URL")
	}
}

func (m Message) checkTimes(d *door) {
	due := d.now
	if m.SendAt.After(due) {
		due = m.SendAt
	}
	if due.After(d.now.AddDate(1, 0, 0)) {
		d.refuse("send_at", CodeTooFar, "is more than a year ahead: give an earlier time")
	}
	switch expires := m.ExpiresAt; {
	case expires.IsZero():
	case !m.SendAt.IsZero() && !expires.After(m.SendAt):
		d.refuse("expires_at", CodeContradiction, "is not after send_at: give a later time")
	case !expires.After(d.now) && !d.waited:
		d.refuse("expires_at", CodeInPast, "is in the past: give a later time, or leave it out")
	case expires.After(due.AddDate(1, 0, 0)):
		d.refuse("expires_at", CodeTooFar, "is more than a year after the message is due: give an earlier time")
	}
}

// sortedNames is for messages that list what is known.
func sortedNames(fields map[string]any) string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
