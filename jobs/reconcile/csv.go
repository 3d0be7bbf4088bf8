package reconcile

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/jobs/spreadsheet"
)

// CSV writes items as a table for spreadsheets: amounts are exact US dollars, times are
// UTC, and a value that a spreadsheet would take for a formula gets an apostrophe in
// front. It is buffered: call Flush at the end.
type CSV struct{ table *csv.Writer }

// NewCSV writes the header.
func NewCSV(out io.Writer) CSV {
	table := csv.NewWriter(out)
	_ = table.Write([]string{"class", "issues", "time", "from", "to", "job_id", "campaign", "state", "reason",
		"mdr_id", "delivery", "status", "code", "usd", "segments", "perhaps_of"}) // Flush has the error
	return CSV{table}
}

// Write writes an item. Errors: those of the writer below.
func (c CSV) Write(i Item) error {
	money := ""
	if i.MDR != "" && i.Delivery != "" {
		money = strings.Replace(i.Money.String(), "$", "", 1) // a negative amount is a number, no formula
	}
	return c.table.Write([]string{
		string(i.Class), i.IssueList(" "), i.At.UTC().Format(time.RFC3339Nano), spreadsheet.Text(i.From), spreadsheet.Text(i.To),
		idText(i.Job), idText(i.Campaign), string(i.State), string(i.Reason), spreadsheet.Text(i.MDR), string(i.Delivery),
		spreadsheet.Text(i.Status), numberText(i.Code), money, numberText(i.Segments), idText(i.Perhaps),
	})
}

// Flush writes what is still held. Errors: those of the writer below, of any Write.
func (c CSV) Flush() error {
	c.table.Flush()
	return c.table.Error()
}

// IssueList is the item's issues, put together by a separator.
func (i Item) IssueList(by string) string {
	var list []string
	for _, issue := range i.Issues {
		list = append(list, string(issue))
	}
	return strings.Join(list, by)
}

func idText(id ledger.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

func numberText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
