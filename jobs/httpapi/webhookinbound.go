package httpapi

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// inbound is a message that arrived, as Flowroute posts it.
type inbound struct {
	record flowroute.MDR
	// timed: the time is the message's own; else it is to be set.
	timed bool
}

// inboundObject is a message's JSON. Newer accounts get it below "data", with its
// fields below "attributes"; older ones get the fields at the top.
type inboundObject struct {
	ID         loose          `json:"id"`
	Type       loose          `json:"type"`
	Attributes *inboundFields `json:"attributes"`
	inboundFields

	Relationships json.RawMessage `json:"relationships"`
}

// inboundFields may each be missing or null, and be a text where a number or a flag
// is meant.
type inboundFields struct {
	Direction     loose    `json:"direction"`
	From          loose    `json:"from"`
	To            loose    `json:"to"`
	Body          verbatim `json:"body"`
	IsMMS         loose    `json:"is_mms"`
	MessageType   loose    `json:"message_type"`
	Encoding      loose    `json:"message_encoding"`
	Amount        loose    `json:"amount_nanodollars"`
	AmountDisplay loose    `json:"amount_display"`
	Timestamp     loose    `json:"timestamp"`
}

// verbatim is [loose], but with the spaces that a text has.
type verbatim string

func (v *verbatim) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		text = string(b)
	}
	*v = verbatim(text)
	return nil
}

const (
	typeMessage = "message"
	// clockSlack is how far Flowroute's clock may be ahead of ours.
	clockSlack = 5 * time.Minute
	// sane is when there was no message yet, in seconds since 1970.
	sane = 946684800
)

// readInbound reads any of the shapes. kind is of the webhook that it was posted to.
func readInbound(body []byte, kind string, now time.Time) (inbound, error) {
	var both struct {
		Data *inboundObject `json:"data"`
		inboundObject
		Included json.RawMessage `json:"included"`
	}
	if err := json.Unmarshal(body, &both); err != nil {
		return inbound{}, &unreadError{"the body is not the JSON of a message"}
	}
	object := &both.inboundObject
	if both.Data != nil {
		object = both.Data
	}
	fields := &object.inboundFields
	if object.Attributes != nil {
		fields = object.Attributes
	}
	switch {
	case object.Type != "" && object.Type != typeMessage, flowroute.Direction(fields.Direction) == flowroute.Outbound:
		return inbound{}, &unreadError{"the body is not a message that arrived"}
	case !isMDRID(string(object.ID)):
		return inbound{}, &unreadError{"the message has no id"}
	}
	return fields.message(string(object.ID), kind, mediaOf(object.Relationships, both.Included), now), nil
}

// message is the record, as far as it is known but for the status. To the stored copy, a
// record that says how it ended is a later version than one that does not; so whatever
// the record of a sync says, it takes the place of this one, and never the other way.
func (f *inboundFields) message(id, kind string, media []flowroute.Media, now time.Time) inbound {
	m := inbound{record: flowroute.MDR{
		ID: id, Direction: flowroute.Inbound, From: digitsOf(f.From), To: digitsOf(f.To), Body: string(f.Body), MessageType: string(f.MessageType),
		Encoding: int(integerOf(f.Encoding)), AmountNanodollars: integerOf(f.Amount), AmountDisplay: string(f.AmountDisplay), Media: media,
	}}
	var err error
	if m.record.IsMMS, err = strconv.ParseBool(strings.ToLower(string(f.IsMMS))); err != nil {
		m.record.IsMMS = kind == hookMMS || len(media) > 0
	}
	m.record.Timestamp, m.timed = timeOf(f.Timestamp)
	// A time that cannot be is none: the record would outlast every retention.
	m.timed = m.timed && m.record.Timestamp.Unix() > sane && !m.record.Timestamp.After(now.Add(clockSlack))
	return m
}

// digitsOf is a number as the records have it.
func digitsOf(number loose) string { return strings.TrimPrefix(string(number), "+") }

// integerOf is 0 for what is none.
func integerOf(text loose) int64 {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(string(text), 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f)
	}
	return 0
}

// timeOf reads the forms that Flowroute's times come in.
func timeOf(text loose) (time.Time, bool) {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", time.DateTime} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// mediaOf puts together what is said of a message's files; what is not said of them is
// left empty.
func mediaOf(relationships, included json.RawMessage) []flowroute.Media {
	var related struct {
		Media struct {
			Data []struct {
				ID loose `json:"id"`
			} `json:"data"`
		} `json:"media"`
	}
	var extras []struct {
		ID         loose `json:"id"`
		Type       loose `json:"type"`
		Attributes struct {
			FileName loose `json:"file_name"`
			FileSize loose `json:"file_size"`
			MIMEType loose `json:"mime_type"`
			URL      loose `json:"url"`
		} `json:"attributes"`
	}
	// Missing or odd: then there is nothing to tell of files.
	_ = json.Unmarshal(relationships, &related)
	_ = json.Unmarshal(included, &extras)
	var media []flowroute.Media
	places := map[loose]int{}
	for _, file := range related.Media.Data {
		places[file.ID] = len(media)
		media = append(media, flowroute.Media{ID: string(file.ID)})
	}
	for _, extra := range extras {
		i, known := places[extra.ID]
		if extra.Type != "media" || !known && len(places) > 0 {
			continue
		}
		file := flowroute.Media{
			ID: string(extra.ID), FileName: string(extra.Attributes.FileName), MIMEType: string(extra.Attributes.MIMEType),
			URL: string(extra.Attributes.URL), FileSize: integerOf(extra.Attributes.FileSize),
		}
		if known {
			media[i] = file
		} else {
			media = append(media, file)
		}
	}
	return media
}
