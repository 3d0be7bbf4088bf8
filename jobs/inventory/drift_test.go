package inventory_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
	"github.com/flowroute-worker/flowroute-worker/jobs/inventory"
)

func desired(t *testing.T, text string) ([]inventory.Desired, []inventory.RowError) {
	t.Helper()
	rows, wrong, err := inventory.ReadDesired(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return rows, wrong
}

func TestReadDesired(t *testing.T) {
	t.Parallel()
	number := func(text string) flowroute.E164 {
		n, err := flowroute.ParseE164(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first, second := number("+12065550100"), number("+12065550101")
	for name, tt := range map[string]struct {
		text string
		want []inventory.Desired
	}{
		"all columns": {"number,alias,primary,failover\n+12065550100,office,83834,-\n(206) 555-0101,,,\n", []inventory.Desired{
			{Line: 2, Number: first, Alias: new("office"), Primary: new("83834"), Failover: new("")}, {Line: 3, Number: second},
		}},
		"other order, fewer, from a spreadsheet": {"\xef\xbb\xbfPrimary_Route;Number\r\n# the office\r\nsip-reg;12065550100\r\n", []inventory.Desired{
			{Line: 3, Number: first, Primary: new("sip-reg")},
		}},
		"tabs and quotes": {"number\talias\n\n+12065550100\t\"a, b\"\n", []inventory.Desired{{Line: 3, Number: first, Alias: new("a, b")}}},
		"no rows":         {"number", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, wrong := desired(t, tt.text)
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b flowroute.E164) bool { return a == b })); diff != "" || len(wrong) > 0 {
				t.Errorf("%v (-want +got):\n%s", wrong, diff)
			}
		})
	}
}

func TestReadDesiredSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, file, row string }{
		"empty":             {"", "empty:", ""},
		"no header":         {"+12065550100,office\n", "line 1: the first line has to name the columns, number,alias,primary,failover", ""},
		"another column":    {"number,color\n", `line 1: no column is called "color": there are number, alias, primary, failover`, ""},
		"json":              {`[{"number":"+12065550100"}]`, "this looks like JSON: the file is CSV", ""},
		"no number":         {"alias,primary\n", "line 1: no column is called number", ""},
		"column twice":      {"number,alias,alias\n", "line 1: two columns are called alias", ""},
		"not text":          {"number\n\xff\n", "not UTF-8", ""},
		"quote left open":   {"number,alias\n+12065550100,\"x\n", "line 2: extraneous or missing", ""},
		"number that isn't": {"number\nbob\n", "", "line 2: number:"},
		"number twice":      {"number\n+12065550100\n\n12065550100\n", "", "line 4: +12065550100 is in line 2 already"},
		"value too many":    {"number,alias\n+12065550100,a,b\n", "", "line 2: it has 3 values, the first line names 2 columns"},
		"value too few":     {"number,alias\n+12065550100\n", "", "line 2: it has 1 values"},
		"alias too long":    {"number,alias\n+12065550100," + strings.Repeat("ä", 65) + "\n", "", "line 2: alias: longer than 64"},
		"alias of lines":    {"number,alias\n+12065550100,\"a\nb\"\n", "", "line 2: alias: has a line break"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, wrong, err := inventory.ReadDesired(strings.NewReader(tt.text))
			if tt.file != "" {
				if bad, ok := errors.AsType[*inventory.RowError](err); !ok || !strings.Contains(bad.Error(), tt.file) || rows != nil {
					t.Errorf("got %v and %v, want no rows and %q", rows, err, tt.file)
				}
				return
			}
			if err != nil || len(wrong) != 1 || !strings.Contains(wrong[0].Error(), tt.row) {
				t.Errorf("got %v, %v; want %q", wrong, err, tt.row)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	read := time.Now()
	numbers := []inventory.Number{}
	for i, primary := range []string{"0", "0", "83834", "", "0"} {
		n, err := flowroute.E164FromUint64(12065550100 + uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, inventory.Number{Number: n, Alias: "a", PrimaryRoute: primary, FailoverRoute: "83840", DetailsRead: read})
	}
	numbers[3].DetailsRead, numbers[4].Gone = time.Time{}, read
	routes := []inventory.Route{
		{Route: flowroute.Route{ID: "0", Type: flowroute.RouteSIPReg, Alias: "sip-reg"}},
		{Route: flowroute.Route{ID: "83834", Type: flowroute.RouteHost, Value: "sip.example.com", Alias: "office"}},
		{Route: flowroute.Route{ID: "83840", Type: flowroute.RouteNumber, Value: "12065559999", Alias: "mobile"}},
		{Route: flowroute.Route{ID: "83841", Type: flowroute.RouteHost, Value: "office", Alias: "x"}},
	}
	for name, tt := range map[string]struct{ row, want string }{
		"as it is":                {"+12065550100,,,", "same"},
		"all as it should be":     {"+12065550100,a,0,83840", "same"},
		"by alias":                {"+12065550100,,sip-reg,mobile", "same"},
		"by value":                {"+12065550102,,sip.example.com,(206) 555-9999", "same"},
		"by type and value":       {"+12065550102,,host:sip.example.com,number:+12065559999", "same"},
		"an id before an alias":   {"+12065550102,,83834,", "same"},
		"another alias":           {"+12065550100,b,,", "alias b"},
		"no alias":                {"+12065550100,-,,", "alias "},
		"another route":           {"+12065550101,,83834,", "primary 83834"},
		"no failover":             {"+12065550101,,,-", "failover -"},
		"a route to make":         {"+12065550101,,uri:sip:a@example.com,", "primary uri:sip:a@example.com"},
		"routes not known yet":    {"+12065550103,,0,", "primary 0"},
		"unknown route":           {"+12065550101,,sip-rge,", `line 2: primary: no route has the id, alias or value "sip-rge"`},
		"name of two":             {"+12065550101,,,office", `line 2: failover: "office" is the name of 2 routes, 83834 and 83841: give the id`},
		"gone":                    {"+12065550104,,0,", "line 2: +12065550104 is no more on the account since"},
		"never on the account":    {"+12065550199,,0,", "line 2: +12065550199 is not on the account"},
		"of a type that is wrong": {"+12065550101,,ftp:x,", "line 2: primary: no route has"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, wrong := desired(t, "number,alias,primary,failover\n"+tt.row+"\n")
			drift := inventory.Compare(rows, wrong, numbers, routes)
			got := "same"
			switch {
			case len(drift.Wrong) == 1:
				got = drift.Wrong[0].Error()
			case len(drift.Differs) == 1:
				d := drift.Differs[0]
				switch {
				case d.Alias != nil:
					got = "alias " + *d.Alias
				case d.Primary != nil:
					got = "primary " + d.Primary.String()
				case d.Failover != nil:
					got = "failover " + d.Failover.String()
				}
			}
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			unlisted := 3
			if strings.Contains(tt.want, "on the account") { // the row is of none of the four
				unlisted = 4
			}
			if len(drift.Unlisted) != unlisted {
				t.Errorf("got %d numbers that are not in the file, want %d", len(drift.Unlisted), unlisted)
			}
		})
	}
	// What is wrong with a row does not make its number one that the file lacks.
	rows, wrong := desired(t, "number\n+12065550100\n+12065550100\n+12065550101\n+12065550102,x\n+12065550103\n")
	if drift := inventory.Compare(rows, wrong, numbers, routes); drift.Same != 3 || len(drift.Wrong) != 2 || len(drift.Unlisted) != 0 {
		t.Errorf("got %+v, want 3 as they should be, 2 wrong and none unlisted", drift)
	}
}

// TestChangesFrom: a list that was cut says from when on it is whole.
func TestChangesFrom(t *testing.T) {
	t.Parallel()
	r := setup(t, flowroutetest.Options{}, inventory.SyncerOptions{})
	store, err := inventory.New(r.rdb, inventory.Options{ChangesMax: 1})
	if err != nil {
		t.Fatal(err)
	}
	if from, err := store.ChangesFrom(t.Context()); err != nil || !from.IsZero() {
		t.Errorf("got %v, %v; want zero where nothing happened", from, err)
	}
	if err := store.PutRoute(t.Context(), flowroute.Route{ID: "1", Type: flowroute.RouteHost, Value: "example.com"}); err != nil {
		t.Fatal(err)
	}
	if from, err := store.ChangesFrom(t.Context()); err != nil || from.IsZero() {
		t.Errorf("got %v, %v; want the time of the change", from, err)
	}
}
