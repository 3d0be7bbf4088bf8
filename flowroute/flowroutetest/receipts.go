package flowroutetest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// receiptJobs are the posts that tell of r: what is known at once, and its
// end. The caller holds the lock.
func (s *Simulator) receiptJobs(url, base string, r *record, now time.Time) []hookJob {
	id, at := r.id, now.UnixNano()
	render := func(from, to int) func() [][]byte {
		return func() [][]byte { return s.receiptBodies(id, base, from, to) }
	}
	all := hookJob{at: r.done, url: url, end: true, render: render(0, 3)}
	if r.done <= at || s.o.Callbacks.Reversed {
		return []hookJob{all}
	}
	return []hookJob{{at: at, url: url, render: render(0, 2)}, {at: r.done, url: url, end: true, render: render(2, 3)}}
}

// receiptBodies renders receipts from to to of a message, oldest first.
func (s *Simulator) receiptBodies(id [16]byte, base string, from, to int) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.acct.store
	i, ok := st.byID[id]
	if !ok {
		return nil // forgotten
	}
	r := st.at(i)
	list := r.receipts(s.now().UnixNano(), nil)
	list = list[min(from, len(list)):min(to, len(list))]
	if s.o.Callbacks.Reversed {
		slices.Reverse(list)
	}
	var out [][]byte
	for _, d := range list {
		body := r.receiptBody(d, base, s.o.Callbacks.Compact)
		for range s.o.Callbacks.Copies {
			out = append(out, body)
		}
	}
	return out
}

// receiptBody is a DLR in one of its two shapes. The compact one leaves out a
// code that is null.
func (r *record) receiptBody(d receipt, base string, compact bool) []byte {
	id, text := string(appendMDRID(nil, r.id)), r.body
	if r.flags&flagMMS != 0 {
		text = ""
	}
	attrs := map[string]any{"body": text, "status": d.status}
	if d.code != 0 {
		attrs["status_code"] = d.code
	}
	if compact {
		attrs["to"], attrs["from"] = numberText(r.to), numberText(r.from)
		return encode(map[string]any{"attributes": attrs, "id": id, "type": "delivery_receipt"})
	}
	if d.code == 0 {
		attrs["status_code"] = nil
	}
	attrs["level"] = d.level
	attrs["status_code_description"] = d.about
	attrs["timestamp"] = time.Unix(0, d.at).UTC().Format(listingTime)
	return encode(map[string]any{"data": map[string]any{"attributes": attrs, "id": id, "type": "delivery_receipt",
		"links": map[string]any{"related": base + "/v2.2/messages/" + id}}})
}

// Inbound has a message arrive from outside at one of our numbers. A single
// word STOP or UNSTOP changes the opt-outs. The record is visible like those
// of sent messages; the webhook of the number or of the account is told at
// once. It returns the MDR id.
func (s *Simulator) Inbound(from, to, body string, mediaURLs ...string) (string, error) {
	f, t := digits(from), digits(to)
	if f == 0 || t == 0 {
		return "", fmt.Errorf("inbound: from %q, to %q: 11 digits are needed", from, to)
	}
	now := s.now()
	s.mu.Lock()
	ours := s.acct.book.owned[t]
	if ours == nil {
		s.mu.Unlock()
		return "", errors.New("inbound: the number is not on the account")
	}
	switch strings.ToUpper(strings.TrimSpace(body)) {
	case "STOP":
		s.acct.optedOut[pair{t, f}] = true
	case "UNSTOP":
		delete(s.acct.optedOut, pair{t, f})
	}
	r := s.newRecord(now, f, t, body, len(mediaURLs) > 0)
	r.media, r.flags, r.code, r.done = mediaURLs, r.flags|flagInbound, codeDelivered, r.at
	s.acct.store.add(r)
	s.counts.records(1)
	kind := "sms_callback"
	if len(mediaURLs) > 0 {
		kind = "mms_callback"
	}
	url := ours.callbacks[kind]
	if url == "" {
		url = s.acct.callbacks[kind]
	}
	s.mu.Unlock()

	if url != "" {
		bodies := [][]byte{r.inboundBody(url, s.o.Callbacks.Compact)}
		job := hookJob{at: now.UnixNano(), url: url, render: func() [][]byte { return bodies }}
		for range inboundTries - 1 {
			again := job
			job.retry = &again
		}
		s.hooks.enqueue(job)
	}
	return string(appendMDRID(nil, r.id)), nil
}

// inboundBody is an inbound message as it is posted: the amount is a string
// there, the time has six digits, and an MMS has no status.
func (r *record) inboundBody(url string, compact bool) []byte {
	id := string(appendMDRID(nil, r.id))
	if compact {
		return encode(map[string]any{"to": numberText(r.to), "from": numberText(r.from), "body": r.body, "id": id})
	}
	mms := r.flags&flagMMS != 0
	attrs := map[string]any{
		"amount_display": "$" + string(appendDollars(nil, r.cost)), "amount_nanodollars": strconv.FormatInt(r.cost, 10),
		"body": r.body, "direction": "inbound", "from": numberText(r.from), "to": numberText(r.to), "is_mms": mms,
		"message_callback_url": url, "message_encoding": 0, "message_type": "longcode", "status": "delivered",
		"timestamp": time.Unix(0, r.stamp).UTC().Format("2006-01-02T15:04:05.000000Z"),
	}
	if r.flags&flagUCS2 != 0 {
		attrs["message_encoding"] = 8
	}
	if tollFree(r.to) {
		attrs["message_type"] = "toll-free"
	}
	data := map[string]any{"attributes": attrs, "type": "message", "id": id}
	doc := map[string]any{"data": data}
	if mms {
		delete(attrs, "status")
		attrs["delivery_receipts"] = []any{}
		var refs []map[string]any
		for i := range r.media {
			refs = append(refs, map[string]any{"id": r.mediaID(i), "type": "media"})
		}
		data["relationships"] = map[string]any{"media": map[string]any{"data": refs}}
		doc["included"] = r.included()
	}
	return encode(doc)
}

func isCallbackType(name string) bool {
	switch name {
	case "sms_callback", "mms_callback", "sms_dlr_callback", "mms_dlr_callback", "dlr_callback":
		return true
	}
	return false
}

// callbackKey maps the deprecated name to the one it stands for.
func callbackKey(name string) string {
	if name == "dlr_callback" {
		return "sms_dlr_callback"
	}
	return name
}

// callbackURL reads {"callback_url":…} in either format.
func (c *call) callbackURL() (string, *reply) {
	attrs, bad := c.attributes()
	if bad != nil {
		return "", bad
	}
	problems := fieldErrors{}
	u := textOf(attrs["callback_url"], "callback_url", problems)
	switch {
	case len(problems) > 0:
	case u == "":
		problems.add("callback_url", missingField)
	case !webURL(u):
		problems.add("callback_url", "Not a valid URL.")
	}
	if len(problems) > 0 {
		rep := problems.reply()
		return "", &rep
	}
	return u, nil
}

// putCallback is PUT messages/{type}.
func (s *Simulator) putCallback(c *call) reply {
	name := c.r.PathValue("id")
	if !isCallbackType(name) {
		return s.noSuchResource("No such callback type")
	}
	u, bad := c.callbackURL()
	if bad != nil {
		return *bad
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acct.callbacks[callbackKey(name)] = u
	return reply{status: http.StatusNoContent}
}

// getCallback is GET messages/{type}.
func (s *Simulator) getCallback(c *call, name string) reply {
	s.mu.Lock()
	u, ok := s.acct.callbacks[callbackKey(name)]
	s.mu.Unlock()
	if !ok {
		return s.noSuchResource("No such callback")
	}
	return reply{status: http.StatusOK, body: encode(map[string]any{"data": map[string]any{"type": "callback",
		"attributes": map[string]any{"api_version": c.version, "callback_url": u, "product": name[:3]}}})}
}

// deleteCallback is DELETE messages/{type}.
func (s *Simulator) deleteCallback(c *call) reply {
	name := callbackKey(c.r.PathValue("id"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.acct.callbacks[name]; !ok {
		return s.noSuchResource("No such callback")
	}
	delete(s.acct.callbacks, name)
	return reply{status: http.StatusNoContent}
}
