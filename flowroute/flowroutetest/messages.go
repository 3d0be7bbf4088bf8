package flowroutetest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// outgoing is a message as it was posted.
type outgoing struct {
	from, to uint64
	body     string
	media    []string
	mms      bool
	callback string
}

// wireMessage has the attributes flat or inside data.
type wireMessage struct {
	Data *struct {
		Attributes *messageAttrs `json:"attributes"`
	} `json:"data"`
	messageAttrs
}

type messageAttrs struct {
	To          json.RawMessage `json:"to"`
	From        json.RawMessage `json:"from"`
	Body        json.RawMessage `json:"body"`
	MediaURLs   json.RawMessage `json:"media_urls"`
	IsMMS       json.RawMessage `json:"is_mms"`
	DLRCallback json.RawMessage `json:"dlr_callback"`
}

// readMessage checks the shape of a posted message; what depends on the
// account is checked by postMessage.
func (c *call) readMessage() (*outgoing, *reply) {
	var w wireMessage
	if len(c.body) == 0 || !utf8.Valid(c.body) || json.Unmarshal(c.body, &w) != nil {
		// Not the usual case: find out what is wrong with it.
		if bad := c.checkJSON(); bad != nil {
			return nil, bad
		}
		rep := invalidField("_schema", "Invalid input type.")
		return nil, &rep
	}
	a := &w.messageAttrs
	if w.Data != nil {
		if a = w.Data.Attributes; a == nil {
			rep := invalidField("attributes", missingField)
			return nil, &rep
		}
	}
	problems := fieldErrors{}
	m := &outgoing{
		from: numberOf(a.From, "from", problems),
		to:   numberOf(a.To, "to", problems),
		body: textOf(a.Body, "body", problems),
		mms:  boolOf(a.IsMMS, "is_mms", problems),
	}
	if given(a.MediaURLs) && json.Unmarshal(a.MediaURLs, &m.media) != nil {
		problems.add("media_urls", "Not a valid list of URLs.")
	}
	c.checkContent(m, given(a.Body), problems)
	if given(a.DLRCallback) {
		if m.callback = textOf(a.DLRCallback, "dlr_callback", problems); m.callback != "" && !webURL(m.callback) {
			problems.add("dlr_callback", "Not a valid URL.")
		}
	}
	if len(problems) > 0 {
		rep := problems.reply()
		return nil, &rep
	}
	m.mms = m.mms || len(m.media) > 0
	return m, nil
}

func (c *call) checkContent(m *outgoing, hasBody bool, problems fieldErrors) {
	limits := c.s.o.Choices
	for _, u := range m.media {
		if !webURL(u) {
			problems.add("media_urls", "Not a valid URL.")
			break
		}
	}
	if limits.MaxMediaURLs > 0 && len(m.media) > limits.MaxMediaURLs {
		problems.add("media_urls", "Longer than maximum length "+strconv.Itoa(limits.MaxMediaURLs)+".")
	}
	if limits.MaxBodyRunes > 0 && utf8.RuneCountInString(m.body) > limits.MaxBodyRunes {
		problems.add("body", "Longer than maximum length "+strconv.Itoa(limits.MaxBodyRunes)+".")
	}
	switch {
	case len(m.media) > 0 || m.body != "" || len(problems["body"]) > 0:
	case hasBody:
		problems.add("body", "Shorter than minimum length 1.")
	default:
		problems.add("body", missingField)
	}
}

func numberOf(v json.RawMessage, field string, problems fieldErrors) uint64 {
	if !given(v) {
		problems.add(field, missingField)
		return 0
	}
	before := len(problems[field])
	s := textOf(v, field, problems)
	n := digits(s)
	if n == 0 && len(problems[field]) == before {
		problems.add(field, "Not a valid phone number.")
	}
	return n
}

// postMessage is POST messages.
func (s *Simulator) postMessage(c *call) reply {
	if c.msgErr != nil {
		return *c.msgErr
	}
	m := c.msg
	s.mu.Lock()
	from := s.acct.book.owned[m.from]
	switch {
	case from == nil || !from.messaging(s.now()) && !s.o.Choices.SendWithoutSetup:
		s.mu.Unlock()
		if s.o.Choices.NotOwnedStatus == http.StatusForbidden {
			return notAuthorized()
		}
		return s.apiError(s.o.Choices.NotOwnedStatus, "", "The from number is not on your account.")
	case s.acct.optedOut[pair{m.from, m.to}]:
		s.mu.Unlock()
		return s.optedOutReply()
	}
	id, index, jobs := s.acceptLocked(c, m, from)
	s.mu.Unlock()

	s.counts.accepted()
	for _, j := range jobs {
		s.hooks.enqueue(j)
	}
	return reply{
		status: http.StatusAccepted,
		body:   c.sentBody(id),
		spoil: func(fault string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.acct.store.setFault(index, fault)
		},
	}
}

// acceptLocked makes m's records and the callbacks that tell of them.
func (s *Simulator) acceptLocked(c *call, m *outgoing, from *number) (id [16]byte, index int, jobs []hookJob) {
	now := s.now()
	st := s.acct.store
	texts, lag := []string{m.body}, time.Duration(0)
	if s.faults.any.Load() {
		texts, lag = s.recordFaults(m)
		if f, ok := s.faults.hit("mdr-lag-correlated", OpSend); ok {
			st.hold(now.UnixNano(), f.Delay)
			c.lost = "mdr-lag-correlated"
		}
	}
	code, done := s.fateLocked(m.to, now)
	for n, text := range texts {
		r := s.newRecord(now, m.from, m.to, text, m.mms)
		r.media, r.code, r.done = m.media, code, done
		r.visible += int64(lag)
		i := st.add(r)
		if n == 0 {
			id, index = r.id, st.accept(accepted{body: m.body, callback: m.callback, at: now.UnixNano(), first: i, n: int32(len(texts))})
		}
	}
	s.counts.records(len(texts))
	callback := m.callback
	if callback == "" {
		callback = from.receiptURL(m.mms, s.acct.callbacks)
	}
	if callback != "" {
		jobs = s.receiptJobs(callback, c.linkBase(), st.at(st.byID[id]), now)
	}
	return id, index, jobs
}

// newRecord is a record accepted now, with its cost; the caller decides its end.
func (s *Simulator) newRecord(now time.Time, from, to uint64, body string, mms bool) record {
	n, ucs2 := segments(body)
	r := record{
		id: s.acct.ids.bytes(), body: body, from: from, to: to,
		at: now.UnixNano(), stamp: s.stamp(now.Add(s.o.ClockSkew + s.o.StampDelay)),
		visible: now.Add(s.o.MDRDelay).UnixNano(), segments: int32(n), cost: smsNanodollars * int64(n),
	}
	if ucs2 {
		r.flags |= flagUCS2
	}
	if mms {
		r.flags |= flagMMS
		r.segments, r.cost = 1, mmsNanodollars
	}
	return r
}

// stamp is a timestamp as the API shows it: of hundredths of a second.
func (s *Simulator) stamp(t time.Time) int64 {
	const step = int64(10 * time.Millisecond)
	n := t.UnixNano()
	if s.o.Choices.RoundTimestamps {
		n += step / 2
	}
	return n - n%step
}

// Prices of the default rate deck: the 0.0040 dollars of the documentation's
// samples for a segment, and a chosen 0.0095 for an MMS.
const (
	smsNanodollars = 4_000_000
	mmsNanodollars = 9_500_000
)

// fateLocked decides how a message to `to` ends, and when.
func (s *Simulator) fateLocked(to uint64, now time.Time) (code uint16, done int64) {
	code, done = codeDelivered, now.Add(s.o.DeliverAfter).UnixNano()
	if s.o.DeliverAfter < 0 {
		done = never
	}
	switch {
	case s.acct.never[to]:
		code = codeNotTextEnabled
	case s.o.FailShare > 0 && s.acct.chance.Float64() < s.o.FailShare:
		failures := []uint16{1005, 1006, 1007, 1105, 1112, 1150}
		code = failures[s.acct.chance.IntN(len(failures))]
	}
	return code, done
}

// recordFaults is what the record faults make of the message's text.
func (s *Simulator) recordFaults(m *outgoing) (texts []string, lag time.Duration) {
	body := m.body
	hit := func(name string) bool { _, ok := s.faults.hit(name, OpSend); return ok }
	if hit("body-trimmed") {
		body = strings.TrimSpace(body)
	}
	if hit("quotes-replaced") {
		body = swapQuotes(body)
	}
	if hit("body-suffixed") {
		body += " Reply STOP to opt out"
	}
	if hit("body-redacted") {
		body = ""
	}
	texts = []string{body}
	if hit("split-records") {
		texts = splitText(body)
	}
	if f, ok := s.faults.hit("mdr-lag", OpSend); ok {
		lag = f.Delay
	}
	return texts, lag
}

// swapQuotes curls plain quotes and straightens curly ones.
func swapQuotes(s string) string {
	return strings.NewReplacer("'", "’", `"`, "”", "’", "'", "‘", "'", "“", `"`, "”", `"`).Replace(s)
}

// splitText cuts a text at its segments, or in half when it has one only.
func splitText(s string) []string {
	runes := []rune(s)
	n, _ := segments(s)
	n = max(n, 2)
	size := max((len(runes)+n-1)/n, 1)
	var parts []string
	for len(runes) > size {
		parts = append(parts, string(runes[:size]))
		runes = runes[size:]
	}
	return append(parts, string(runes))
}

// segments is Flowroute's own table: 160 ASCII characters in a single
// message, 140 in each part of a longer one; 70 when any character is not
// ASCII, at any length.
func segments(s string) (n int, ucs2 bool) {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			units := 0
			for _, r := range s {
				units += max(utf16.RuneLen(r), 1)
			}
			return (units + 69) / 70, true
		}
	}
	if len(s) <= 160 {
		return 1, false
	}
	return (len(s) + 139) / 140, false
}

func (s *Simulator) optedOutReply() reply {
	e := wireError{Code: 1110, Detail: "User Opted Out (STOP)", ID: s.errIDs.uuid(), Status: http.StatusBadRequest}
	title := "Client Error"
	e.Title = &title
	return errorReply(http.StatusBadRequest, e)
}

// refuseWithRecord is the fault of a refused message that leaves a record all the same.
func (c *call) refuseWithRecord() reply {
	s := c.s
	if c.msg != nil {
		now := s.now()
		s.mu.Lock()
		r := s.newRecord(now, c.msg.from, c.msg.to, c.msg.body, c.msg.mms)
		r.code, r.done, r.cost, r.flags = codeRejected, r.at, 0, r.flags|flagRefused
		s.acct.store.add(r)
		s.mu.Unlock()
		s.counts.records(1)
	}
	return s.apiError(http.StatusUnprocessableEntity, "", "The message was rejected.")
}

// sentBody is the 202's document.
func (c *call) sentBody(id [16]byte) []byte {
	base := c.linkBase()
	b := make([]byte, 0, 160+len(base))
	b = append(b, `{"data":{"id":"`...)
	b = appendMDRID(b, id)
	b = append(b, `","links":{"self":"`...)
	b = append(b, base...)
	b = append(b, '/')
	b = append(b, c.version...)
	b = append(b, `/messages/`...)
	b = appendMDRID(b, id)
	return append(b, `"},"type":"message"}}`...)
}
