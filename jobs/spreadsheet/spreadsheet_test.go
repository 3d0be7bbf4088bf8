package spreadsheet_test

import (
	"testing"

	"github.com/flowroute-worker/flowroute-worker/jobs/spreadsheet"
)

func TestText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"": "", "Ada": "Ada", "1=1": "1=1", "é=": "é=",
		"=1+1": "'=1+1", "+1206": "'+1206", "-2": "'-2", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1",
	} {
		if got := spreadsheet.Text(value); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}
