package intake_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
)

// checkRows is what must hold for any input: it reads alike in pieces; lines go
// up; a row is good, with all that was asked for, or says what is wrong.
func checkRows(t *testing.T, input string, options intake.Options) []string {
	t.Helper()
	got, err := answers(strings.NewReader(input), options)
	again, errAgain := answers(iotest.OneByteReader(strings.NewReader(input)), options)
	if diff := cmp.Diff(got, again); diff != "" || (err == nil) != (errAgain == nil) || (err != nil && err.Error() != errAgain.Error()) {
		t.Fatalf("at once %v, byte by byte %v:\n%s", err, errAgain, diff)
	}
	rows, err := intake.New(strings.NewReader(input), options)
	for before := 0; err == nil; {
		var row *intake.Row
		if row, err = rows.Next(); err != nil {
			break
		}
		if row.Line <= before || row.Line > strings.Count(input, "\n")+1 {
			t.Fatalf("line %d comes after %d", row.Line, before)
		}
		before = row.Line
		if row.OK() == row.To.IsZero() || row.OK() == (row.Problem.Message != "") {
			t.Fatalf("half a row: %v", answer(row))
		}
		for i, field := range options.Fields {
			if !row.OK() && row.Values[i] != nil {
				t.Fatalf("what is left of another row: %v, %q", answer(row), row.Values[i])
			}
			if row.OK() && !field.Optional && len(bytes.TrimSpace(row.Values[i])) == 0 {
				t.Fatalf("a field is missing: %v", answer(row))
			}
			if !bytes.Equal(bytes.ToValidUTF8(row.Values[i], nil), row.Values[i]) || bytes.ContainsAny(row.Values[i], "\x00\x07\x7f\u0085") {
				t.Fatalf("no text: %q", answer(row))
			}
		}
	}
	if _, isFile := errors.AsType[*intake.FileError](err); !isFile && !errors.Is(err, io.EOF) && !strings.HasPrefix(input, "\x1f\x8b") {
		t.Fatalf("got %v", err)
	}
	return got
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"to,name,code\n+12065550100,Ann,1\n", "to;name\r\n\"+12065550100\";\"a\"\"b\n\"\r\n", "sep=;\nto;name\n", "\ufeffto\tname\n1.2065550100E+10\t\xeb\n",
		"to,name\n+12065550100,\"Ann\n+12065550101,\"Bob\"\n", `{"to":"+12065550100","name":"A\u00eb\ud83d\ude00","x":[{}]}` + "\n{}\n{\"to\":1e", "\x1f\x8b\x08", "[", "PK\x03\x04", "to,to", ",,\n",
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, input string, latin1 bool) {
		checkRows(t, input, intake.Options{Latin1: latin1, Fields: nameAndCode()})
		// The rows as such are found more often behind a header.
		checkRows(t, "to,name,code\n"+input, intake.Options{Latin1: latin1, Fields: nameAndCode()})
	})
}

// Whatever encoding/csv writes is read as it was meant.
func FuzzCSVAsWritten(f *testing.F) {
	f.Add("Ann", "a \"b\", c\n", byte(0))
	f.Add(" x ", "\"", byte(1))
	f.Add("\r\n", "a\rb", byte(2))
	f.Fuzz(func(t *testing.T, name, code string, style byte) {
		// What is refused as text, what encoding/csv itself changes, and what it
		// leaves unquoted that is blank around.
		for _, value := range []string{name, code} {
			if strings.ToValidUTF8(value, "") != value || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }) || strings.TrimSpace(value) != value {
				return
			}
		}
		if name == "" {
			return
		}
		var file bytes.Buffer
		w := csv.NewWriter(&file)
		w.Comma, w.UseCRLF = []rune(",;\t")[style%3], style/3%2 == 1
		for _, record := range [][]string{{"to", "name", "code"}, {"+12065550100", name, code}, {"+12065550101", "Bob", "2"}} {
			if err := w.Write(record); err != nil {
				t.Fatal(err)
			}
		}
		w.Flush()
		if file.Len() > intake.MaxRow {
			return
		}
		rows, err := intake.New(&file, intake.Options{Fields: nameAndCode()})
		if err != nil {
			t.Fatal(err)
		}
		row, err := rows.Next()
		if err != nil {
			t.Fatal(err)
		}
		if w.UseCRLF { // it changes line ends within values, too
			name, code = strings.ReplaceAll(name, "\n", "\r\n"), strings.ReplaceAll(code, "\n", "\r\n")
		}
		if !row.OK() || string(row.Values[0]) != name || string(row.Values[1]) != code {
			t.Fatalf("got %q, want %q and %q", answer(row), name, code)
		}
		if row, err = rows.Next(); err != nil || row.To.String() != "+12065550101" || string(row.Values[0]) != "Bob" {
			t.Fatalf("the row after: got %q, %v", answer(row), err)
		}
	})
}

// The way for most rows says what encoding/json says.
func FuzzNDJSON(f *testing.F) {
	for _, seed := range []string{
		`{"to":"+12065550100","name":"Ann","code":1}`, `{"to":"+12065550100","name":"\u00eb\ud83d\ude00\ud83d","code":-0.5E+1}`, `{"to":12065550100,"name":"Ann","x":{"a":[1,"]}"]}}`,
		`{"to":"+12065550100","name":"Ann","Name":"Bob"}`, `{"x":1,"x":2}`, `{}`, `[]`, `{"a":tru}`, `{"a":01}`, `{"a":1.}`, `{"a":[}]}`, "{\"a\":\"\t\"}", `{"\u0074o":"+12065550100","name":null}`, ` { "to" : "+12065550100" , "name" : true } `,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		options := intake.Options{Format: intake.NDJSON, Fields: nameAndCode()}
		// Not at the beginning, where other kinds of files are told; and again, with
		// keys that are known by then.
		input := "\n" + line + "\n" + `{"to":"+12065550100","name":"Ann","code":1}` + "\n" + line + "\n" + line
		got := checkRows(t, input, options)
		rows, err := intake.New(strings.NewReader(input), options)
		if err != nil {
			t.Fatal(err)
		}
		intake.WithEncodingJSON(rows)
		want, err := rest(rows)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("%v (-encoding/json +the other way):\n%s", err, diff)
		}
	})
}

// endless gives a file of any length without holding it.
type endless struct {
	beginning, middle, end string
	times                  int // of the middle
	place                  int // in it
}

func (e *endless) Read(p []byte) (n int, err error) {
	switch {
	case e.beginning != "":
		n = copy(p, e.beginning)
		e.beginning = e.beginning[n:]
	case e.times > 0:
		n = copy(p, e.middle[e.place:])
		if e.place += n; e.place == len(e.middle) {
			e.place, e.times = 0, e.times-1
		}
	case e.end != "":
		n = copy(p, e.end)
		e.end = e.end[n:]
	default:
		return 0, io.EOF
	}
	return n, nil
}

// A field of 100 MB costs its row, and no memory.
func TestHugeFields(t *testing.T) {
	const times = 25_000
	end := "\n" + bob[2:14] + ",Bob,2\n"
	for name, input := range map[string]*endless{
		"unquoted": {beginning: "to,name,code\n+12065550102,", middle: strings.Repeat("x", 4000), times: times, end: end},
		"quoted":   {beginning: "to,name,code\n+12065550102,\"", middle: strings.Repeat("x", 4000), times: times, end: "\",1" + end},
		"of JSON":  {beginning: "\n" + `{"to":"+12065550102","name":"`, middle: strings.Repeat("x", 4000), times: times, end: "\"}\n" + `{"to":"+12065550101","name":"Bob","code":2}`},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := answers(input, intake.Options{Fields: nameAndCode()})
		runtime.ReadMemStats(&after)
		if diff := cmp.Diff([]string{"2 " + tooLong, bob}, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", name, allocated)
		}
	}
}

// Nor do keys that are as long as a line.
func TestLongKeysAreNotKept(t *testing.T) {
	var before, after runtime.MemStats
	input := &longKeys{left: 200}
	rows, err := intake.New(input, intake.Options{Format: intake.NDJSON})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&before)
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || !row.OK() {
			t.Fatalf("got %v, %v", row, err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(rows)
	if after.HeapAlloc > before.HeapAlloc+4<<20 {
		t.Errorf("%d bytes are kept", after.HeapAlloc-before.HeapAlloc)
	}
}

// longKeys gives objects with a key of 50 kB, each time another.
type longKeys struct {
	left    int
	pending string
}

func (l *longKeys) Read(p []byte) (int, error) {
	if l.pending == "" && l.left > 0 {
		l.left--
		l.pending = `{"to":"+12065550100","` + strings.Repeat("x", 50_000) + strconv.Itoa(l.left) + `":1}` + "\n"
	}
	n := copy(p, l.pending)
	if l.pending = l.pending[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// With line ends in it, each of its lines is answered, and what comes after it
// is not lost.
func TestHugeFieldOfManyLines(t *testing.T) {
	t.Parallel()
	input := &endless{beginning: "to,name,code\n+12065550102,\"", middle: strings.Repeat("a note that is as long as a line of many mails is\n", 200), times: 1000, end: "\",1\n+12065550101,Bob,2\n"}
	rows, err := intake.New(input, intake.Options{Fields: nameAndCode()})
	if err != nil {
		t.Fatal(err)
	}
	invalid, good := 0, 0
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.OK() {
			good++
		} else {
			invalid++
		}
	}
	if good != 1 || invalid < 200_000 || invalid > 200_002 {
		t.Errorf("got %d good rows and %d invalid ones", good, invalid)
	}
}

// What a million rows allocate is what a thousand do.
func TestRowsAllocateNothing(t *testing.T) {
	for name, input := range map[string]*endless{
		"CSV":           {beginning: "to,name,code\n", middle: "+12065550100,Ann,1\n"},
		"quoted":        {beginning: "to,name,code\n", middle: "\"+12065550100\",\"A\"\"n\nn\",\"1\"\n"},
		"Latin-1":       {beginning: "to,name,code\n", middle: "+12065550100,Zo\xeb,1\n"},
		"NDJSON":        {beginning: "\n", middle: `{"to":"+12065550100","name":"Zo\u00eb","code":1,"x":[]}` + "\n"},
		"of other keys": {beginning: "\n", middle: `{"to":"+12065550100","name":"Ann","code":1}` + "\n" + `{"name":"Ann","to":"+12065550100"}` + "\n"},
	} {
		input.middle = strings.Repeat(input.middle, 100)
		input.times = 400
		rows, err := intake.New(input, intake.Options{Fields: nameAndCode(), Latin1: name == "Latin-1"})
		if err != nil {
			t.Fatal(err)
		}
		allocs := testing.AllocsPerRun(20_000, func() {
			if row, err := rows.Next(); err != nil || !row.OK() {
				t.Fatalf("%s: %v, %v", name, row, err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: got %v allocations per row, want none", name, allocs)
		}
	}
}
