package main

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
	"github.com/flowroute-worker/flowroute-worker/jobs/mdr"
	"github.com/flowroute-worker/flowroute-worker/jobs/spreadsheet"
)

// recordRows writes records in a format.
type recordRows struct {
	count  int
	marked int // values that were changed for spreadsheets
	body   bool
	table  *csv.Writer // nil: NDJSON
	lines  *json.Encoder
}

// newRecordRows makes rows, with a header where they are the first of a CSV.
func newRecordRows(out io.Writer, format string, body, first bool) *recordRows {
	w := &recordRows{body: body}
	if format == formatNDJSON {
		w.lines = json.NewEncoder(out)
		w.lines.SetEscapeHTML(false)
		return w
	}
	w.table = csv.NewWriter(out)
	if first {
		header := []string{
			"timestamp", "id", "direction", "from", "to", "status", "delivery", "receipt_code", "receipt_text", "receipt_time",
			"is_mms", "message_type", "amount", "matched",
		}
		if body {
			header = append(header, "body")
		}
		_ = w.table.Write(header) // flush has the error
	}
	return w
}

// exportedRecord is a record as NDJSON: as the HTTP API shows it, and more.
type exportedRecord struct {
	httpapi.MDRView
	Amount string `json:"amount"` // US dollars
}

func (w *recordRows) write(r mdr.Record) error {
	v := exportedRecord{httpapi.ViewMDR(r), dollars(r.AmountNanodollars)}
	if w.body {
		v.Body = r.Body
	}
	if w.table == nil {
		if err := w.lines.Encode(v); err != nil {
			return err
		}
		w.count++
		return nil
	}
	code, text, at := "", "", ""
	if last, ok := lastWord(r); ok {
		text, at = last.Description, utc(last.Timestamp)
		if last.StatusCode != nil {
			code = strconv.Itoa(*last.StatusCode)
		}
	}
	cells := []string{
		utc(v.Timestamp), w.safe(v.ID), w.safe(string(v.Direction)), w.phone(v.From), w.phone(v.To), w.safe(v.Status), string(v.Delivery),
		code, w.safe(text), at, strconv.FormatBool(v.IsMMS), w.safe(v.MessageType), v.Amount, strconv.FormatBool(v.Matched),
	}
	if w.body {
		cells = append(cells, w.safe(v.Body))
	}
	if err := w.table.Write(cells); err != nil {
		return err
	}
	w.count++
	return nil
}

func (w *recordRows) flush() error {
	if w.table == nil {
		return nil
	}
	w.table.Flush()
	return w.table.Error()
}

func (w *recordRows) safe(value string) string {
	safe := spreadsheet.Text(value)
	if safe != value {
		w.marked++
	}
	return safe
}

// phone leaves a number as it is: plus and digits are a number to a spreadsheet, no
// formula. Senders may be something else.
func (w *recordRows) phone(value string) string {
	if digits, plus := strings.CutPrefix(value, "+"); plus && digits != "" && strings.Trim(digits, "0123456789") == "" {
		return value
	}
	return w.safe(value)
}

// lastWord is the receipt by which a message's delivery is known, the latest where there
// are several.
func lastWord(r mdr.Record) (last flowroute.DeliveryReceipt, found bool) {
	delivery := r.Delivery()
	decides := false
	for _, receipt := range r.Receipts {
		if d := receipt.Delivery() == delivery; !found || d && !decides || d == decides && receipt.Timestamp.After(last.Timestamp) {
			last, found, decides = receipt, true, d
		}
	}
	return last, found
}

// utc is a time to the last digit; empty for none.
func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// dollars is an exact amount without the sign of the currency.
func dollars(nanodollars int64) string {
	text := strings.Replace(flowroute.Money(nanodollars).String(), "$", "", 1)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}
