package intake_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
)

// answers reads all rows, each as one line: "2 +12065550100 [Ann] [-]" for a
// good one, "3 to invalid: is too short (…)" for a bad one.
func answers(r io.Reader, options intake.Options) ([]string, error) {
	rows, err := intake.New(r, options)
	if err != nil {
		return nil, err
	}
	return rest(rows)
}

func rest(rows *intake.Reader) (list []string, err error) {
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, answer(row))
	}
}

func answer(row *intake.Row) string {
	if !row.OK() {
		return fmt.Sprintf("%d %s %s: %s", row.Line, row.Problem.Field, row.Problem.Code, row.Problem.Message)
	}
	values := []string{fmt.Sprint(row.Line), row.To.String()}
	for _, value := range row.Values {
		if value == nil {
			values = append(values, "-")
		} else {
			values = append(values, "["+string(value)+"]")
		}
	}
	return strings.Join(values, " ")
}

// name and code are fields: the first is required, the second is not.
func nameAndCode() []intake.Field {
	return []intake.Field{{Name: "name"}, {Name: "code", Optional: true}}
}

func packed(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const (
	ann = "2 +12065550100 [Ann] [1]"
	bob = "3 +12065550101 [Bob] [2]"

	notClosed  = " invalid: has a quote that is not closed (within 65536 bytes): close it, or write it twice within quotes"
	afterQuote = ` invalid: has text after a closing quote: write a quote within quotes twice, as in "Ann ""Annie"" Lee"`
	tooLong    = " too_large: is longer than 65536 bytes: shorten it, and see whether a quote is missing"
	rounded    = " invalid: is a number that a spreadsheet has rounded, like 1.20656E+10: format the column as text there, and save the file again"
	missing    = " required: is missing: give a number like +12065550100"
	emptyField = " required: is missing or empty: fill it in, or give it a default in the template"
	controlled = " control_character: has a control character: take it out (line ends and tabs are fine)"
)

func count(values, columns int, separator string) string {
	return fmt.Sprintf(" invalid: has %d values, and the header has %d columns: put a value with '%s' in it in quotes, and leave none out", values, columns, separator)
}

func TestCSV(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, input string
		want        []string
	}{
		{"plain", "to,name,code\n+12065550100,Ann,1\n2065550101,Bob,2\n", []string{ann, bob}},
		{"no end of the last line", "to,name,code\n+12065550100,Ann,1\n2065550101,Bob,2", []string{ann, bob}},
		{"header alone", "to,name,code", nil},
		{"another order", "code,more,name,phone\n1,x,Ann,+12065550100\n", []string{ann}},
		{"no optional column", "to,name\n+12065550100,Ann\n", []string{"2 +12065550100 [Ann] -"}},
		{"one column for two names", "Mobile Number,NAME,Code\n+12065550100,Ann,1\n", []string{ann}},
		{"semicolons", "to;name;code\n+12065550100;Ann, Lee;1\n", []string{"2 +12065550100 [Ann, Lee] [1]"}},
		{"tabs", "to\tname\tcode\n+12065550100\tAnn\t\n+12065550101\t\tx\n", []string{"2 +12065550100 [Ann] []", "3 name" + emptyField}},
		{"tabs and quotes", "to\tname\tmore\tcode\n\"+12065550100\"\tAnn\t\t\"1\"\n2065550101\t\"Bob\"\t\t2\n", []string{ann, bob}},
		{"what the header has most", "to;name;code;a,b\n+12065550100;Ann;1;\n", []string{ann}},
		{"a quoted header", "\"to\",\"the, na;;;;me\",name,\"code\"\n+12065550100,x,Ann,1\n", []string{ann}},
		{"a header of two lines", "to,name,\"co\nde\",code\n+12065550100,Ann,x,1\n", []string{"3" + ann[1:]}},
		{"BOM", "\ufeffto,name,code\n+12065550100,Zoë,1\n", []string{"2 +12065550100 [Zoë] [1]"}},
		{"BOM and quotes", "\ufeff\"to\",name,code\n+12065550100,Ann,1\n", []string{ann}},
		{"CR LF", "to,name,code\r\n+12065550100,Ann,1\r\n\r\n2065550101,Bob,2\r\n", []string{ann, "4" + bob[1:]}},
		{"CR LF and quotes", "\"to\",\"name\",\"code\"\r\n\"+12065550100\",\"Ann\",\"1\"\r\n", []string{ann}},
		{"CR LF and some quotes", "to,name,code\r\n\"+12065550100\",Ann,1\r\n", []string{ann}},
		{"Excel's sep=", "sep=;\r\nto;name;code\r\n+12065550100;Ann;1\r\n", []string{"3" + ann[1:]}},
		{"blank lines", "\n  \n\nto,name,code\n\n+12065550100,Ann,1\n \t\n,,\n\"\",,\n,,,,,\n", []string{"6" + ann[1:]}},
		{"spaces around values", "to , name, code\n +12065550100 ,\tAnn  Lee , 1 \n", []string{"2 +12065550100 [Ann  Lee] [1]"}},
		{"spaces in quotes", "to,name,code\n+12065550100, \" Ann \" ,1\n", []string{"2 +12065550100 [ Ann ] [1]"}},
		{"quoted separators", "to,name,code\n+12065550100,\"Lee, Ann\",1\n", []string{"2 +12065550100 [Lee, Ann] [1]"}},
		{"doubled quotes", "to,name,code\n+12065550100,\"a \"\"b\"\" c\",\"\"\"\"\n", []string{`2 +12065550100 [a "b" c] ["]`}},
		{"quotes within unquoted", "to,name,code\n+12065550100,6\" sub,1\n", []string{`2 +12065550100 [6" sub] [1]`}},
		{"quoted line ends", "to,name,code\n+12065550100,\"A\nn\r\nn\",1\n2065550101,Bob,2\n", []string{"2 +12065550100 [A\nn\r\nn] [1]", "5" + bob[1:]}},
		{"a column without a name", "to,name,code,\n+12065550100,Ann,1\n2065550101,Bob,2,x\n", []string{ann, bob}},
		{"columns without names", ",to,name,code,,\nx,+12065550100,Ann,1,,\n", []string{ann}},
		{"separators beyond the header", "to,name,code\n+12065550100,Ann,1,,,\n", []string{ann}},

		{"too many values", "to,name,code\n+12065550102,Lee, Ann,1\n2065550101,Bob,2\n", []string{"2 " + count(4, 3, ","), bob}},
		{"too few values", "to;name;code\n+12065550102;Ann\n2065550101;Bob;2\n", []string{"2 " + count(2, 3, ";"), bob}},
		{"an empty value", "to,name,code\n+12065550102,,1\n2065550101,Bob,2\n", []string{"2 name" + emptyField, bob}},
		{"a blank value", "to,name,code\n+12065550102,\u00a0,1\n2065550101,Bob,2\n", []string{"2 name" + emptyField, bob}},
		{"no number", "to,name,code\n,Ann,1\n2065550101,Bob,2\n", []string{"2 to" + missing, bob}},
		{"a bad number", "to,name,code\n5551234,Ann,1\n2065550101,Bob,2\n", []string{"2 to invalid: has no country code: it needs +, or ten digits with an area code (want a number like +12065550100)", bob}},
		{"a bad number in a column of another name", "Phone,name,code\nx,Ann,1\n2065550101,Bob,2\n", []string{"2 Phone invalid: contains something that is neither a digit nor a separator (want a number like +12065550100)", bob}},
		{"a control character", "to,name,code\n+12065550102,A\ann,1\n2065550101,Bob,2\n", []string{"2 name" + controlled, bob}},
		{"another", "to,name,code\n+12065550102,Ann,\u0085\n2065550101,Bob,2\n", []string{"2 code" + controlled, bob}},
		{"one that nobody asked for", "to,name,code,x\n+12065550100,Ann,1,\a\n", []string{ann}},

		{"a quote never closed", "to,name,code\n+12065550102,\"Ann,1\n2065550101,Bob,2\n", []string{"2 " + notClosed, bob}},
		{"a quote closed by another row", "to,name,code\n+12065550102,\"Ann,1\n2065550101,\"Bob\",2\n", []string{"2 " + afterQuote, bob}},
		{"a quote closed by the end of another row", "to,name,code\n+12065550102,\"Ann,1\n2065550101,Bob,2\n+12065550103,Eve,3\"\n", []string{"2 " + count(2, 3, ","), bob, `4 +12065550103 [Eve] [3"]`}},
		{"text after a quote", "to,name,code\n+12065550102,\"Ann\" Lee,1\n2065550101,Bob,2\n", []string{"2 " + afterQuote, bob}},
		{"a quote that the input ends in", "to,name,code\n+12065550100,Ann,1\n+12065550102,\"", []string{ann, "3 " + notClosed}},
		{"UTF-8, but for one row", "to,name,code\n+12065550100,Zoë,1\n+12065550102,Zo\xeb,1\n2065550101,Bob,2\n", []string{"2 +12065550100 [Zoë] [1]", "3  not_utf8: is not UTF-8, as other rows are: write it anew", "4" + bob[1:]}},
		{"BOM, but for one row", "\ufeffto,name,code\n+12065550102,Zo\xeb,1\n2065550101,Bob,2\n", []string{"2  not_utf8: is not UTF-8, as other rows are: write it anew", bob}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			checkHoweverRead(t, test.input, intake.Options{Fields: nameAndCode()}, test.want)
		})
	}
}

func TestSeparatorWhenInDoubt(t *testing.T) {
	t.Parallel()
	checkHoweverRead(t, "to\n+12065550102,Ann\n+12065550100\n", intake.Options{}, []string{"2 " + count(2, 1, ","), "3 +12065550100"})
	checkHoweverRead(t, "to,name;code\n+12065550100,Ann\n", intake.Options{}, []string{"2 +12065550100"})
}

// checkHoweverRead reads in one piece, byte by byte, and packed.
func checkHoweverRead(t *testing.T, input string, options intake.Options, want []string) {
	t.Helper()
	for name, r := range map[string]io.Reader{
		"at once":                    strings.NewReader(input),
		"with the error of its end":  iotest.DataErrReader(strings.NewReader(input)),
		"byte by byte":               iotest.OneByteReader(strings.NewReader(input)),
		"packed":                     strings.NewReader(packed(t, input)),
		"packed, byte by byte":       iotest.OneByteReader(strings.NewReader(packed(t, input))),
		"packed in members of a log": strings.NewReader(packed(t, input[:len(input)/2]) + packed(t, input[len(input)/2:])),
	} {
		got, err := answers(r, options)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	const good = "2 +12065551234"
	tests := []struct{ in, want string }{
		{"+1 (206) 555-1234", good},
		{"206.555.1234", good},
		{"1.2065551234E+10", good},
		{"1.2065551234e10", good},
		{" +1.20655512340E+10 ", good},
		{"2.065551234E+09", good},
		{"\"1,2065551234E+10\"", good},
		{"12065551234E0", good},
		{"12065551234.0", good},
		{"2065551234.000", good},
		{"+12065551234.0", good},
		{"206.555.0000", "2 +12065550000"},
		{"206555.0000", "2 +12065550000"},
		{"1.20656E+10", "2 to" + rounded},
		{"1.206555123E+10", "2 to" + rounded},
		{"1.20655512345E+10", "2 to" + rounded},
		{"2E+09", "2 to" + rounded},
		{"1206555123.0", "2 to invalid: has an area code that is not in use (want a number like +12065550100)"},
		{"1.2065551234E+10x", "2 to invalid: contains something that is neither a digit nor a separator (want a number like +12065550100)"},
		{"1.2065551234E", "2 to invalid: contains something that is neither a digit nor a separator (want a number like +12065550100)"},
		{"1.20.65551234E+10", "2 to invalid: contains something that is neither a digit nor a separator (want a number like +12065550100)"},
		{"1.1005551234E+10", "2 to invalid: contains something that is neither a digit nor a separator (want a number like +12065550100)"},
		{"1E+99", "2 to" + rounded},
		{"E", "2 to invalid: contains something that is neither a digit nor a separator (want a number like +12065550100)"},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			t.Parallel()
			got, err := answers(strings.NewReader("to\n"+test.in+"\n"), intake.Options{})
			if diff := cmp.Diff([]string{test.want}, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestFileErrors(t *testing.T) {
	t.Parallel()
	const sayLatin1 = "is not UTF-8: save the file as UTF-8 (in Excel: CSV UTF-8), or say that it is Latin-1 if you know that it is"
	tests := []struct {
		name, input string
		options     intake.Options
		want        string
	}{
		{"nothing", "", intake.Options{}, "line 1: is empty: give a header such as to,name and a line for each recipient"},
		{"blank lines", " \n\r\n", intake.Options{}, "line 3: is empty: give a header such as to,name and a line for each recipient"},
		{"BOM alone", "\ufeff", intake.Options{}, "line 1: is empty: give a header such as to,name and a line for each recipient"},
		{"no header", "+12065550100,Ann\n", intake.Options{}, "line 1: the first line is a recipient, not a header: put a line before it that names the columns, such as to,name"},
		{"no header, a bad number", "Ann,555-12-34\n", intake.Options{}, "line 1: the first line is a recipient, not a header: put a line before it that names the columns, such as to,name"},
		{"no header, Excel's number", "Ann,1.2065551234E+10\n", intake.Options{}, "line 1: the first line is a recipient, not a header: put a line before it that names the columns, such as to,name"},
		{"no header, though it is said", "+12065550100,Ann\n", intake.Options{Recipient: "to"}, "line 1: the first line is a recipient, not a header: put a line before it that names the columns, such as to,name"},
		{"no column of the number", "who,name\n", intake.Options{}, "line 1: no column has the phone number: there are who, name. Name the one that has it to (or phone, mobile, number), or say which one it is"},
		{"several", "name,Phone,MOBILE\n", intake.Options{}, "line 1: several columns may have the phone number: Phone, MOBILE. Name the one that has it to, rename the others, or say which one it is"},
		{"not the one that is said", "to,name\n", intake.Options{Recipient: "Cell"}, "line 1: Cell: is not a column: there are to, name. Name the one with the phone number"},
		{"one name twice", "to,First Name,x,first_name\n", intake.Options{}, "line 1: first_name: columns 2 and 4 have the same name: rename one, or take it out"},
		{"the number twice", "to,name,to\n", intake.Options{}, "line 1: to: columns 1 and 3 have the same name: rename one, or take it out"},
		{"no such field", "\n\nto,name\n", intake.Options{Fields: []intake.Field{{Name: "nmae"}}}, "line 3: nmae: is not a column: there are to, name. Name one of them in the template, or add the column"},
		{"columns without end", "to" + strings.Repeat(",x", intake.MaxColumns), intake.Options{}, "line 1: has 1001 columns: use at most 1000"},
		{"names without end", "to,a\u202eb" + strings.Repeat("x", 99) + "\n", intake.Options{Recipient: strings.Repeat("y", 50)}, "line 1: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…: is not a column: there are to, a\uFFFDbxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…. Name the one with the phone number"},
		{"a header without end", "to," + strings.Repeat("x", intake.MaxRow), intake.Options{}, "line 1: the header is longer than 65536 bytes: is this a CSV?"},
		{"spaces without end", strings.Repeat(" ", 1<<20), intake.Options{}, "line 1: the header is longer than 65536 bytes: is this a CSV?"},
		{"a quote in the header", "to,\"name\n+12065550100,Ann\n", intake.Options{}, "line 1: the header has a quote that is not closed, or text after a closing one: the first line must name the columns, as in to,name"},
		{"CR alone", "to,name\r+12065550100,Ann\r", intake.Options{}, "line 1: has lines that end with CR alone: save it with the line ends of Windows or Unix (in Excel: CSV UTF-8)"},
		{"UTF-16", "\xff\xfet\x00o\x00\n\x00", intake.Options{}, "line 1: is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8)"},
		{"UTF-16 without a mark", "t\x00o\x00\n\x00", intake.Options{}, "line 1: has zero bytes, as UTF-16 and binary files have: save it as CSV in UTF-8 (in Excel: CSV UTF-8)"},
		{"a workbook", "PK\x03\x04…", intake.Options{}, "line 1: is a workbook or an archive: save it as CSV (in Excel: CSV UTF-8)"},
		{"a JSON list", ` [{"to":"+12065550100"}]`, intake.Options{}, "line 1: is a JSON list: give one object on each line, without brackets and commas around them"},
		{"JSON as Latin-1", `{"to":"+12065550100"}`, intake.Options{Latin1: true}, "line 1: JSON is always UTF-8: leave Latin-1 out"},
		{"a header in Latin-1", "to,pr\xe9nom\n", intake.Options{}, "line 1: " + sayLatin1},
		{"a header not in UTF-8 after its mark", "\ufeffto,pr\xe9nom\n", intake.Options{}, "line 1: the header is not UTF-8 although the file says so: save it anew"},
		{"a header that Latin-1 has not", "to,pr\x81nom\n", intake.Options{Latin1: true}, "line 1: the header has a byte that Latin-1 has no character for: save the file as UTF-8 (in Excel: CSV UTF-8)"},
		{"a header in UTF-8 said to be Latin-1", "to,prénom\n", intake.Options{Latin1: true}, "line 1: is UTF-8, not Latin-1: leave Latin-1 out"},
		{"rows in Latin-1", "to,name\n+12065550100,Ann\n+12065550100,Zo\xeb\n", intake.Options{}, "line 3: " + sayLatin1},
		{"quoted rows in Latin-1", "to,name\n+12065550100,\"A\nnn\"\n+12065550100,\"Zo\xeb\n\"\n", intake.Options{}, "line 4: " + sayLatin1},
		{"rows in UTF-8 said to be Latin-1", "to,name\n+12065550100,Ann\n+12065550100,Zoë\n", intake.Options{Latin1: true}, "line 3: is UTF-8, not Latin-1: leave Latin-1 out"},
		{"lines counted from elsewhere", "to,name\n+12065550100,Zo\xeb\n", intake.Options{FirstLine: 41}, "line 42: " + sayLatin1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, input := range []string{test.input, packed(t, test.input)} {
				_, err := answers(strings.NewReader(input), test.options)
				if _, ok := errors.AsType[*intake.FileError](err); !ok || err.Error() != test.want {
					t.Errorf("got  %v\nwant %s", err, test.want)
				}
			}
		})
	}
}

func TestRecipientIsSaid(t *testing.T) {
	t.Parallel()
	want := []string{"2 +12065550100 [7]"}
	options := intake.Options{Recipient: "Cell Phone", Fields: []intake.Field{{Name: "number"}}}
	got, err := answers(strings.NewReader("number,to,cell-phone\n7,x,+12065550100\n"), options)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	got, err = answers(strings.NewReader("\n"+`{"number":7,"to":"x","cell_phone":"+12065550100"}`), options)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestLatin1(t *testing.T) {
	t.Parallel()
	input := "to;pr\xe9nom;code\n+12065550100;Zo\xeb \x93\xdf\x94\x80;\"\xe9\"\"\xff\"\n+12065550101;Bob;2\n+12065550102;\x81;\n"
	options := intake.Options{Latin1: true, Fields: []intake.Field{{Name: "prénom"}, {Name: "code"}}}
	checkHoweverRead(t, input, options, []string{
		`2 +12065550100 [Zoë “ß”€] [é"ÿ]`, bob,
		"4  invalid: has a byte that Latin-1 has no character for: save the file as UTF-8 (in Excel: CSV UTF-8)",
	})
	// The mark of UTF-8 is believed.
	checkHoweverRead(t, "\ufeffto,name\n+12065550100,Zoë\n", intake.Options{Latin1: true, Fields: nameAndCode()}, []string{"2 +12065550100 [Zoë] -"})
}

func TestColumns(t *testing.T) {
	t.Parallel()
	options := intake.Options{Fields: []intake.Field{{Name: "first_name"}, {Name: "code", Optional: true}}}
	rows, err := intake.New(strings.NewReader("To,First Name\n"), options)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"To", "First Name"}, rows.Columns()); diff != "" || rows.Format() != intake.CSV {
		t.Errorf("%s (-want +got):\n%s", rows.Format(), diff)
	}
	if diff := cmp.Diff([]string{"code"}, rows.Absent()); diff != "" {
		t.Errorf("absent (-want +got):\n%s", diff)
	}
	if rows, err = intake.New(strings.NewReader("{"), options); err != nil || rows.Format() != intake.NDJSON || rows.Columns() != nil || rows.Absent() != nil {
		t.Errorf("NDJSON: got %v, %v", rows, err)
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{" First  Name ": "first_name", "first-name": "first_name", "First.Name": "first_name", "_x_": "_x_", "ÉTÉ": "été", "": ""} {
		if got := intake.Fold(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestIsPlain(t *testing.T) {
	t.Parallel()
	row := []byte("abcdefghijklmnopqrstuvwxyz ~0123")
	if !intake.IsPlain(row) {
		t.Error("printable ASCII is not plain")
	}
	for c := range 256 {
		printable := c >= ' ' && c <= '~'
		for i := range row {
			changed := bytes.Clone(row)
			changed[i] = byte(c)
			if got := intake.IsPlain(changed); got && !printable {
				t.Errorf("%#x at %d is plain", c, i)
			} else if !got && printable && c != ' ' {
				t.Errorf("%#x at %d is not plain", c, i)
			}
		}
	}
}

// What is read while an input fails is good up to the row before.
func TestBrokenInput(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, input := range map[string]string{
		"in a row":        "to,name,code\n+12065550100,Ann,1\n2065550101,Bob,2",
		"in a number":     "to,name,code\n+12065550100,Ann,1\n20655501",
		"in a quote":      "to,name,code\n+12065550100,Ann,1\n2065550101,\"Bob\n",
		"between rows":    "to,name,code\n+12065550100,Ann,1\n",
		"after a quote":   "to,name,code\n+12065550100,\"Ann\",1\n2065550101,Bob,\"2\"",
		"in NDJSON":       "\n" + `{"to":"+12065550100","name":"Ann","code":1}` + "\n" + `{"to":"+12065550101","name":"Bob"}`,
		"within NDJSON":   "\n" + `{"to":"+12065550100","name":"Ann","code":1}` + "\n" + `{"to":"+1206`,
		"in a long field": "to,name,code\n+12065550100,Ann,1\n2065550101," + strings.Repeat("x", 1000),
	} {
		rows, err := intake.New(io.MultiReader(iotest.HalfReader(strings.NewReader(input)), iotest.ErrReader(broken)), intake.Options{Fields: nameAndCode()})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := rest(rows)
		if diff := cmp.Diff([]string{ann}, got); diff != "" || !errors.Is(err, broken) {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if _, again := rows.Next(); !errors.Is(again, broken) {
			t.Errorf("%s: asked again, got %v", name, again)
		}
	}
	if _, err := intake.New(iotest.ErrReader(broken), intake.Options{}); !errors.Is(err, broken) {
		t.Errorf("from the beginning: got %v", err)
	}
}

func TestNewRefusesOtherFormats(t *testing.T) {
	t.Parallel()
	if _, err := intake.New(strings.NewReader("to\n"), intake.Options{Format: "xml"}); err == nil {
		t.Error("got no error")
	}
}

func TestBrokenGzip(t *testing.T) {
	t.Parallel()
	var input strings.Builder
	input.WriteString("to,name,code\n")
	for i := range 20_000 {
		fmt.Fprintf(&input, "+1206555%04d,Ann,%d\n", i%10000, i*7919)
	}
	whole := packed(t, input.String())
	got, err := answers(strings.NewReader(whole[:len(whole)/2]), intake.Options{Fields: nameAndCode()})
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) < 1000 || len(got) > 19_000 {
		t.Errorf("cut in the middle: got %d rows, %v", len(got), err)
	}
	changed := []byte(whole)
	changed[len(changed)-5]++ // of the checksum
	if _, err := answers(bytes.NewReader(changed), intake.Options{Fields: nameAndCode()}); !errors.Is(err, gzip.ErrChecksum) {
		t.Errorf("with another checksum: got %v", err)
	}
	if _, err := answers(strings.NewReader(whole[:5]), intake.Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut in its header: got %v", err)
	}
}

// A row that has come is answered without waiting for the next: who streams may
// wait for the answer.
func TestAnswersAtOnce(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"CSV":    {"to,name,code\n", "+12065550100,Ann,1\n", "+12065550101,\"Bob\",2\n"},
		"NDJSON": {"\n", `{"to":"+12065550100","name":"Ann","code":1}` + "\n", `{"to":"+12065550101","name":"Bob","code":2}` + "\n"},
	} {
		r := &stepReader{lines: lines, known: 1}
		rows, err := intake.New(r, intake.Options{Format: intake.Format(strings.ToLower(name)), Fields: nameAndCode()})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{ann, bob} {
			r.known++
			row, err := rows.Next()
			if err != nil || answer(row) != want {
				t.Fatalf("%s: got %v, %v, want %s", name, row, err, want)
			}
		}
	}
}

// stepReader gives a line at each call, and fails when it is asked for more than
// are known.
type stepReader struct {
	lines        []string
	given, known int
}

func (r *stepReader) Read(p []byte) (int, error) {
	if r.given == r.known {
		return 0, errors.New("asked for more than had to be known")
	}
	r.given++
	return copy(p, r.lines[r.given-1]), nil
}

func TestProblemsHaveTheCodesOfTheDoor(t *testing.T) {
	t.Parallel()
	message := jobs.Message{From: "+12065550199", To: "5551234", Body: "x"}
	var want jobs.FieldError
	if invalid, ok := errors.AsType[*jobs.ValidationError](message.Validate(testTime())); ok {
		want = invalid.Problems[0]
	}
	rows, err := intake.New(strings.NewReader("to\n5551234\n"), intake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if row, err := rows.Next(); err != nil || row.Problem != want {
		t.Errorf("got %v, %v, want %v", row, err, want)
	}
}
